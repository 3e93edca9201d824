//! User tokens: the agent says, signed, which of its institution's users acts, in which roles and for
//! which purposes; the gateway believes it only over the connection the token was made for.
//!
//! JWT (RFC 7519) signed with ES256 and nothing else, bound to the client certificate (`cnf`
//! `x5t#S256`, RFC 8705 §3.1), for one gateway, for minutes, and for one use. A token says who the user
//! is; what that user may do is decided elsewhere.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use xinqiao_rpc::{Fault, PeerIdentity, Reason};

use crate::directory::TokenPublicKey;

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// The longest time a token may be valid from now on, in seconds.
pub const MAX_LIFETIME_SECONDS: u64 = 600;

/// How far two clocks may differ, in seconds.
pub const LEEWAY_SECONDS: u64 = 30;

/// The most roles, and the most purposes, in one token.
pub const MAX_ENTRIES: usize = 16;

/// The longest name in a token: user, role, purpose, key id, token id.
pub const MAX_NAME: usize = 64;

/// Why a token is not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// There is none.
    #[error("no token was sent")]
    Missing,
    /// It is longer than [`MAX_TOKEN_BYTES`].
    #[error("the token has {0} bytes; at most {MAX_TOKEN_BYTES} are allowed")]
    TooLong(usize),
    /// It is not three base64url parts of JSON.
    #[error("the token is no JWT")]
    Malformed,
    /// It is signed with something else than ES256, or not at all.
    #[error("the token is not signed with ES256")]
    Algorithm,
    /// Its header brings what a header must not bring, such as a key of its own.
    #[error("the token's header has no usable {0}")]
    Header(&'static str),
    /// The institution has published no such key.
    #[error("the institution has published no key with this id")]
    KeyUnknown,
    /// The signature does not fit.
    #[error("the token's signature does not fit")]
    Signature,
    /// A claim is missing or has the wrong form.
    #[error("the claim {0} is missing or has the wrong form")]
    Claim(String),
    /// It was issued by another institution than the connection's.
    #[error("the token was issued by another institution than the one that is connected")]
    Issuer,
    /// It is for another gateway.
    #[error("the token is for another gateway")]
    Audience,
    /// It has expired.
    #[error("the token has expired")]
    Expired,
    /// It is not valid yet.
    #[error("the token is not valid yet")]
    NotYetValid,
    /// It would be valid for too long.
    #[error("the token is valid for more than {MAX_LIFETIME_SECONDS} seconds")]
    TooLongLived,
    /// It is bound to another certificate.
    #[error("the token is bound to another certificate")]
    Binding,
    /// It was used before.
    #[error("the token was used before")]
    Replayed,
    /// The institution has more tokens in use than can be remembered.
    #[error("the institution has too many tokens in use at once")]
    TooManyInUse,
}

impl TokenError {
    /// The stable reason.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            TokenError::Missing => Reason::TokenMissing,
            TokenError::Expired | TokenError::NotYetValid | TokenError::TooLongLived => {
                Reason::TokenExpired
            }
            TokenError::Audience => Reason::TokenAudience,
            TokenError::Binding => Reason::TokenBinding,
            TokenError::TooManyInUse => Reason::QuotaExceeded,
            _ => Reason::TokenInvalid,
        }
    }

    /// The answer to the caller.
    pub fn fault(&self) -> Fault {
        Fault::new(self.reason()).because(self.to_string())
    }
}

/// A key pair that an institution signs its users' tokens with.
pub struct TokenKey {
    kid: String,
    public: TokenPublicKey,
    private_pem: SecretString,
    encoding: EncodingKey,
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// A token key cannot be made or read, or a token cannot be signed.
#[derive(Debug, thiserror::Error)]
#[error("the token key cannot be used: {0}")]
pub struct TokenKeyError(String);

impl TokenKey {
    /// A new key pair.
    ///
    /// # Errors
    /// [`TokenKeyError`] when the system's randomness fails.
    pub fn generate() -> Result<Self, TokenKeyError> {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(unusable)?;
        Self::from_pair(&pair)
    }

    /// A key pair that was kept as PKCS#8 PEM.
    ///
    /// # Errors
    /// [`TokenKeyError`] when the text holds no P-256 private key.
    pub fn from_pem(private_pem: &SecretString) -> Result<Self, TokenKeyError> {
        let pair = KeyPair::from_pem(private_pem.expose_secret()).map_err(unusable)?;
        Self::from_pair(&pair)
    }

    fn from_pair(pair: &KeyPair) -> Result<Self, TokenKeyError> {
        let public: [u8; 65] = pair
            .der_bytes()
            .try_into()
            .map_err(|_| TokenKeyError("it is not a P-256 key".to_owned()))?;
        let private_pem = SecretString::from(pair.serialize_pem());
        let encoding =
            EncodingKey::from_ec_pem(private_pem.expose_secret().as_bytes()).map_err(unusable)?;
        let public = TokenPublicKey(public);
        Ok(Self {
            kid: key_id(&public),
            public,
            private_pem,
            encoding,
        })
    }

    /// The key's id, derived from the public key.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public key, to be published on the ledger.
    #[must_use]
    pub fn public(&self) -> TokenPublicKey {
        self.public
    }

    /// The private key as PKCS#8 PEM, to be kept.
    #[must_use]
    pub fn private_pem(&self) -> &SecretString {
        &self.private_pem
    }
}

/// The id of a token key: the first 16 bytes of its SHA-256, in hexadecimal.
#[must_use]
pub fn key_id(public: &TokenPublicKey) -> String {
    hex::encode(&Sha256::digest(public.0)[..16])
}

/// Who acts, for whom a token is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRequest {
    /// The gateway's organisation.
    pub audience: String,
    /// The user's pseudonym.
    pub user_pseudonym: String,
    /// The user's roles.
    pub roles: BTreeSet<String>,
    /// The purposes the user is approved for.
    pub purposes: BTreeSet<String>,
    /// For how long, in seconds; at most [`MAX_LIFETIME_SECONDS`].
    pub lifetime_seconds: u64,
}

/// What a token says. Field names are the registered claim names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) aud: String,
    pub(crate) sub: String,
    pub(crate) exp: u64,
    pub(crate) nbf: u64,
    pub(crate) jti: String,
    #[serde(default)]
    pub(crate) roles: Vec<String>,
    #[serde(default)]
    pub(crate) purposes: Vec<String>,
    pub(crate) cnf: Confirmation,
}

/// RFC 8705 §3.1: the certificate that the token may be used with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Confirmation {
    #[serde(rename = "x5t#S256")]
    pub(crate) x5t_s256: String,
}

/// Issues tokens at the institution's agent.
#[derive(Debug)]
pub struct TokenIssuer {
    key: TokenKey,
    org: String,
    certificate_sha256: [u8; 32],
}

impl TokenIssuer {
    /// An issuer for this institution, whose tokens work over connections with this certificate.
    #[must_use]
    pub fn new(key: TokenKey, org: impl Into<String>, certificate_sha256: [u8; 32]) -> Self {
        Self {
            key,
            org: org.into(),
            certificate_sha256,
        }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &TokenKey {
        &self.key
    }

    /// A token for one use, valid from `now` (seconds since 1970).
    ///
    /// # Errors
    /// [`TokenKeyError`] when signing fails.
    pub fn issue(&self, request: &TokenRequest, now: u64) -> Result<String, TokenKeyError> {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.key.kid.clone());
        let claims = Claims {
            iss: self.org.clone(),
            aud: request.audience.clone(),
            sub: request.user_pseudonym.clone(),
            exp: now.saturating_add(request.lifetime_seconds.min(MAX_LIFETIME_SECONDS)),
            nbf: now,
            jti: hex::encode(rand::random::<[u8; 16]>()),
            roles: request.roles.iter().cloned().collect(),
            purposes: request.purposes.iter().cloned().collect(),
            cnf: Confirmation {
                x5t_s256: URL_SAFE_NO_PAD.encode(self.certificate_sha256),
            },
        };
        jsonwebtoken::encode(&header, &claims, &self.key.encoding).map_err(unusable)
    }
}

/// A token whose signature and claims hold. Whether it was used before is the caller's to check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidToken {
    /// The user's pseudonym.
    pub user_pseudonym: String,
    /// The user's roles.
    pub roles: BTreeSet<String>,
    /// The purposes the user is approved for.
    pub purposes: BTreeSet<String>,
    /// The token's id.
    pub jti: String,
    /// When it ends, in seconds since 1970.
    pub expires_at: u64,
}

/// The key id that a token names, after a check of its header. Nothing of it is believed yet.
///
/// # Errors
/// [`TokenError`] when the token cannot be one of ours.
pub fn key_id_of(token: &str) -> Result<String, TokenError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenError::TooLong(token.len()));
    }
    if token.split('.').count() != 3 {
        return Err(TokenError::Malformed);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|error| match error.kind() {
        // An algorithm that the library does not know, `none` above all.
        ErrorKind::Json(_) | ErrorKind::InvalidAlgorithmName | ErrorKind::UnsupportedAlgorithm => {
            TokenError::Algorithm
        }
        _ => TokenError::Malformed,
    })?;
    if header.alg != Algorithm::ES256 {
        return Err(TokenError::Algorithm);
    }
    if header
        .typ
        .as_deref()
        .is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT"))
    {
        return Err(TokenError::Header("typ"));
    }
    // A key, or the address of one, from the token itself would let anyone sign.
    let foreign = [
        (header.jwk.is_some(), "jwk"),
        (header.jku.is_some(), "jku"),
        (header.x5u.is_some(), "x5u"),
        (header.x5c.is_some(), "x5c"),
        (header.crit.is_some(), "crit"),
        (header.enc.is_some() || header.zip.is_some(), "enc"),
    ];
    if let Some((_, name)) = foreign.into_iter().find(|(present, _)| *present) {
        return Err(TokenError::Header(name));
    }
    header
        .kid
        .filter(|kid| is_name(kid))
        .ok_or(TokenError::Header("kid"))
}

/// Checks a token against the key it names, the connection it came over, the gateway it should be for,
/// and the clock (`now` in seconds since 1970).
///
/// # Errors
/// The [`TokenError`] of the first check that fails.
pub fn verify(
    token: &str,
    key: &TokenPublicKey,
    peer: &PeerIdentity,
    audience: &str,
    now: u64,
) -> Result<ValidToken, TokenError> {
    key_id_of(token)?;
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_required_spec_claims(&["iss", "aud", "sub", "exp", "nbf"]);
    validation.set_audience(&[audience]);
    validation.set_issuer(&[&peer.org]);
    // The times are checked below, against the clock that was passed in.
    validation.validate_exp = false;
    validation.validate_nbf = false;
    let claims =
        jsonwebtoken::decode::<Claims>(token, &DecodingKey::from_ec_der(&key.0), &validation)
            .map_err(|error| refusal(error.kind()))?
            .claims;
    check_times(&claims, now)?;
    if claims.cnf.x5t_s256 != URL_SAFE_NO_PAD.encode(peer.fingerprint_sha256) {
        return Err(TokenError::Binding);
    }
    let named = |name: &str, value: &str| {
        if is_name(value) {
            Ok(())
        } else {
            Err(TokenError::Claim(name.to_owned()))
        }
    };
    named("sub", &claims.sub)?;
    named("jti", &claims.jti)?;
    Ok(ValidToken {
        user_pseudonym: claims.sub,
        roles: name_set("roles", claims.roles)?,
        purposes: name_set("purposes", claims.purposes)?,
        jti: claims.jti,
        expires_at: claims.exp,
    })
}

fn check_times(claims: &Claims, now: u64) -> Result<(), TokenError> {
    if claims.exp.saturating_add(LEEWAY_SECONDS) <= now {
        return Err(TokenError::Expired);
    }
    if claims.nbf > now.saturating_add(LEEWAY_SECONDS) {
        return Err(TokenError::NotYetValid);
    }
    if claims.exp > now.saturating_add(MAX_LIFETIME_SECONDS + LEEWAY_SECONDS) {
        return Err(TokenError::TooLongLived);
    }
    Ok(())
}

fn refusal(kind: &ErrorKind) -> TokenError {
    match kind {
        ErrorKind::InvalidSignature => TokenError::Signature,
        ErrorKind::InvalidAlgorithm => TokenError::Algorithm,
        ErrorKind::InvalidIssuer => TokenError::Issuer,
        ErrorKind::InvalidAudience => TokenError::Audience,
        ErrorKind::MissingRequiredClaim(name) | ErrorKind::InvalidClaimFormat(name) => {
            TokenError::Claim(name.clone())
        }
        // The signature held, so it is the claims that are not what they should be.
        ErrorKind::Json(_) => TokenError::Claim("set".to_owned()),
        _ => TokenError::Malformed,
    }
}

fn name_set(claim: &str, names: Vec<String>) -> Result<BTreeSet<String>, TokenError> {
    if names.len() > MAX_ENTRIES || !names.iter().all(|name| is_name(name)) {
        return Err(TokenError::Claim(claim.to_owned()));
    }
    Ok(names.into_iter().collect())
}

/// Names in tokens are 1 to [`MAX_NAME`] of letters, digits, `.`, `_` and `-`.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= MAX_NAME
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

fn unusable(error: impl fmt::Display) -> TokenKeyError {
    TokenKeyError(error.to_string())
}
