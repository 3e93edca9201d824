//! From a connection and a token to a caller: the gateway's first two questions, in one place.
//!
//! The order is that of trust: the certificate (checked by TLS), then what the ledger says of it, then
//! the token. It decides nothing about actions; its [`Authenticated`] goes to the policy.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use tonic::metadata::MetadataMap;
use xinqiao_decide::{Caller, Denial, Standing};
use xinqiao_rpc::{Fault, PeerIdentity, Reason, Role};

use crate::directory::{Directory, DirectoryError, KeyCache};
use crate::replay::{ReplayGuard, Use};
use crate::token::{self, LEEWAY_SECONDS, TokenError};

/// Seconds since 1970-01-01 UTC.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> u64;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    }
}

impl<F: Fn() -> u64 + Send + Sync> Clock for F {
    fn now(&self) -> u64 {
        self()
    }
}

/// Why a call is not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The ledger does not know the certificate for this organisation.
    #[error("the certificate is not registered for {0}")]
    CertificateUnknown(String),
    /// The certificate is for another kind of process than may call here.
    #[error("a {0} may not call here")]
    RoleUnexpected(Role),
    /// The organisation is no member, or was expelled.
    #[error(transparent)]
    Member(Denial),
    /// The token is not accepted.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The ledger could not be asked; nobody is let in meanwhile.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
}

impl AuthError {
    /// The stable reason.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            AuthError::CertificateUnknown(_) => Reason::CertificateUnknown,
            AuthError::RoleUnexpected(_) => Reason::CertificateOrgMismatch,
            AuthError::Member(denial) => denial_reason(denial),
            AuthError::Token(error) => error.reason(),
            AuthError::Directory(_) => Reason::UpstreamUnavailable,
        }
    }

    /// The answer to the caller. What went wrong with the directory is for the log alone.
    pub fn fault(&self) -> Fault {
        match self {
            AuthError::Directory(error) => {
                tracing::error!(%error, "callers cannot be authenticated");
                Fault::new(Reason::UpstreamUnavailable)
            }
            AuthError::Token(error) => error.fault(),
            other => Fault::new(other.reason()).because(other.to_string()),
        }
    }
}

/// The reason that goes with a denial: the same word.
#[must_use]
pub fn denial_reason(denial: &Denial) -> Reason {
    Reason::from_code(denial.code()).unwrap_or(Reason::Internal)
}

/// The answer to a caller whose action was denied.
pub fn denial_fault(denial: &Denial) -> Fault {
    let reason = denial_reason(denial);
    let fault = Fault::new(reason).because(denial.to_string());
    match denial {
        Denial::Quota { retry_after_ms } => {
            fault.retry_after(std::time::Duration::from_millis(*retry_after_ms))
        }
        Denial::PurposeMissing(_) => fault.and_field("purpose", reason, "must be stated"),
        _ => fault,
    }
}

/// A caller whose certificate and token hold, and how its institution stands. A frozen institution is
/// let this far, since a few actions stay open to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    /// Who calls.
    pub caller: Caller,
    /// How its institution stands.
    pub standing: Standing,
}

/// Lets callers in at one gateway.
pub struct Authenticator<D> {
    directory: D,
    own_org: String,
    keys: KeyCache,
    replay: ReplayGuard,
    clock: Arc<dyn Clock>,
}

impl<D> fmt::Debug for Authenticator<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authenticator")
            .field("own_org", &self.own_org)
            .finish_non_exhaustive()
    }
}

impl<D: Directory> Authenticator<D> {
    /// An authenticator for the gateway of `own_org`.
    #[must_use]
    pub fn new(directory: D, own_org: impl Into<String>, clock: Arc<dyn Clock>) -> Self {
        Self {
            directory,
            own_org: own_org.into(),
            keys: KeyCache::default(),
            replay: ReplayGuard::default(),
            clock,
        }
    }

    /// Checks the connection alone: a registered certificate of a member in one of these roles. For
    /// calls between processes, which have no user.
    ///
    /// # Errors
    /// [`AuthError`] when the ledger does not know the certificate or the member.
    pub async fn peer(&self, peer: &PeerIdentity, roles: &[Role]) -> Result<Standing, AuthError> {
        if !roles.contains(&peer.role) {
            return Err(AuthError::RoleUnexpected(peer.role));
        }
        let membership = self
            .directory
            .membership(&peer.org, peer.fingerprint_sha256)
            .await?;
        match membership.standing {
            Standing::Unknown => {
                return Err(AuthError::Member(Denial::MemberUnknown(peer.org.clone())));
            }
            Standing::Expelled => {
                return Err(AuthError::Member(Denial::MemberExpelled(peer.org.clone())));
            }
            Standing::Active | Standing::Frozen => {}
        }
        if !membership.certificate_registered {
            return Err(AuthError::CertificateUnknown(peer.org.clone()));
        }
        Ok(membership.standing)
    }

    /// Checks connection and token of an institution's agent. A token that passes is used up.
    ///
    /// # Errors
    /// [`AuthError`] of the first check that fails.
    pub async fn authenticate(
        &self,
        peer: &PeerIdentity,
        token: Option<&str>,
    ) -> Result<Authenticated, AuthError> {
        let standing = self.peer(peer, &[Role::Agent]).await?;
        let token = token.ok_or(TokenError::Missing)?;
        let now = self.clock.now();
        let kid = token::key_id_of(token)?;
        let key = self
            .keys
            .token_key(&self.directory, &peer.org, &kid, now)
            .await?
            .ok_or(TokenError::KeyUnknown)?;
        let valid = token::verify(token, &key, peer, &self.own_org, now)?;
        let forget_after = valid.expires_at.saturating_add(LEEWAY_SECONDS);
        match self.replay.use_id(&peer.org, &valid.jti, forget_after, now) {
            Use::First => {}
            Use::Again => return Err(TokenError::Replayed.into()),
            Use::NoRoom => return Err(TokenError::TooManyInUse.into()),
        }
        Ok(Authenticated {
            caller: Caller {
                org: peer.org.clone(),
                user_pseudonym: valid.user_pseudonym,
                roles: valid.roles,
                purposes: valid.purposes,
            },
            standing,
        })
    }

    /// [`authenticate`](Self::authenticate) from a gRPC request, answering with a proper status.
    ///
    /// # Errors
    /// The status that the caller is to be given.
    pub async fn authenticate_request<T: Sync>(
        &self,
        request: &tonic::Request<T>,
    ) -> Result<Authenticated, Box<tonic::Status>> {
        let peer = PeerIdentity::of_request(request)?;
        self.authenticate(&peer, bearer(request.metadata()))
            .await
            .map_err(|error| Box::new(error.fault().status()))
    }
}

/// The token of an `authorization: Bearer …` header.
#[must_use]
pub fn bearer(metadata: &MetadataMap) -> Option<&str> {
    let (scheme, token) = metadata
        .get("authorization")?
        .to_str()
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
