//! The whole way in: certificate, membership, token, replay, and what a storm of made-up keys costs.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use xinqiao_identity::decide::{Denial, Standing};
use xinqiao_identity::directory::{
    Directory, DirectoryError, FOUND_SECONDS, MAX_MISSES, MISS_WINDOW_SECONDS, Membership,
    TokenPublicKey,
};
use xinqiao_identity::token::TokenError;
use xinqiao_identity::{AuthError, Authenticator, TokenIssuer, TokenKey, TokenRequest};
use xinqiao_rpc::{PeerIdentity, Reason, Role};

/// A directory in memory that counts how often its keys are asked for.
#[derive(Default)]
struct Ledger {
    members: Mutex<BTreeMap<String, Standing>>,
    certificates: Mutex<BTreeSet<(String, [u8; 32])>>,
    keys: Mutex<BTreeMap<(String, String), TokenPublicKey>>,
    lookups: AtomicUsize,
    down: AtomicUsize,
}

impl Directory for Ledger {
    async fn membership(
        &self,
        org: &str,
        certificate: [u8; 32],
    ) -> Result<Membership, DirectoryError> {
        if self.down.load(Ordering::Relaxed) > 0 {
            return Err(DirectoryError("the node at 10.0.0.7 is down".into()));
        }
        let standing = self.members.lock().unwrap().get(org).copied();
        Ok(Membership {
            standing: standing.unwrap_or(Standing::Unknown),
            certificate_registered: self
                .certificates
                .lock()
                .unwrap()
                .contains(&(org.to_owned(), certificate)),
        })
    }

    async fn token_key(
        &self,
        org: &str,
        kid: &str,
    ) -> Result<Option<TokenPublicKey>, DirectoryError> {
        self.lookups.fetch_add(1, Ordering::Relaxed);
        Ok(self
            .keys
            .lock()
            .unwrap()
            .get(&(org.to_owned(), kid.to_owned()))
            .copied())
    }
}

struct World {
    ledger: Arc<Ledger>,
    now: Arc<AtomicU64>,
    authenticator: Authenticator<Arc<Ledger>>,
    issuer: TokenIssuer,
    peer: PeerIdentity,
}

const CERTIFICATE: [u8; 32] = [7; 32];

impl World {
    fn new() -> Self {
        let ledger = Arc::new(Ledger::default());
        let key = TokenKey::generate().unwrap();
        ledger
            .members
            .lock()
            .unwrap()
            .insert("bank-sz".into(), Standing::Active);
        ledger
            .certificates
            .lock()
            .unwrap()
            .insert(("bank-sz".into(), CERTIFICATE));
        let place = ("bank-sz".to_owned(), key.kid().to_owned());
        ledger.keys.lock().unwrap().insert(place, key.public());
        let now = Arc::new(AtomicU64::new(1_800_000_000));
        let clock = now.clone();
        Self {
            authenticator: Authenticator::new(
                ledger.clone(),
                "bureau-js",
                Arc::new(move || clock.load(Ordering::Relaxed)),
            ),
            issuer: TokenIssuer::new(key, "bank-sz", CERTIFICATE),
            peer: PeerIdentity {
                org: "bank-sz".into(),
                role: Role::Agent,
                fingerprint_sha256: CERTIFICATE,
                not_after: i64::MAX,
            },
            ledger,
            now,
        }
    }

    fn token_by(&self, issuer: &TokenIssuer) -> String {
        let request = TokenRequest {
            audience: "bureau-js".into(),
            user_pseudonym: "u7".into(),
            roles: BTreeSet::from(["bank.querier".into()]),
            purposes: BTreeSet::from(["loan.pre".into()]),
            lifetime_seconds: 60,
        };
        issuer
            .issue(&request, self.now.load(Ordering::Relaxed))
            .unwrap()
    }

    fn token(&self) -> String {
        self.token_by(&self.issuer)
    }

    fn wait(&self, seconds: u64) {
        self.now.fetch_add(seconds, Ordering::Relaxed);
    }

    fn lookups(&self) -> usize {
        self.ledger.lookups.load(Ordering::Relaxed)
    }

    async fn check(
        &self,
        peer: &PeerIdentity,
        token: Option<&str>,
        expected: AuthError,
        reason: Reason,
    ) {
        let error = self
            .authenticator
            .authenticate(peer, token)
            .await
            .unwrap_err();
        assert_eq!(error, expected);
        assert_eq!(error.fault().reason(), reason);
    }
}

#[tokio::test]
async fn a_registered_agent_with_a_fresh_token_becomes_a_caller() {
    let world = World::new();
    let let_in = world
        .authenticator
        .authenticate(&world.peer, Some(&world.token()))
        .await
        .unwrap();
    assert_eq!(let_in.standing, Standing::Active);
    assert_eq!(
        (
            let_in.caller.org.as_str(),
            let_in.caller.user_pseudonym.as_str()
        ),
        ("bank-sz", "u7")
    );
    assert!(let_in.caller.roles.contains("bank.querier"));
    assert!(let_in.caller.purposes.contains("loan.pre"));
}

#[tokio::test]
async fn each_step_refuses_with_its_own_reason() {
    let world = World::new();
    let token = world.token();
    let token = Some(token.as_str());
    let stranger = PeerIdentity {
        org: "bank-xx".into(),
        ..world.peer.clone()
    };
    let unknown = AuthError::Member(Denial::MemberUnknown("bank-xx".into()));
    world
        .check(&stranger, token, unknown, Reason::MemberUnknown)
        .await;
    let renewed = PeerIdentity {
        fingerprint_sha256: [9; 32],
        ..world.peer.clone()
    };
    let unregistered = AuthError::CertificateUnknown("bank-sz".into());
    world
        .check(&renewed, token, unregistered, Reason::CertificateUnknown)
        .await;
    let node = PeerIdentity {
        role: Role::Node,
        ..world.peer.clone()
    };
    let role = AuthError::RoleUnexpected(Role::Node);
    world
        .check(&node, token, role, Reason::CertificateOrgMismatch)
        .await;
    world
        .check(
            &world.peer,
            None,
            TokenError::Missing.into(),
            Reason::TokenMissing,
        )
        .await;
    world
        .check(
            &world.peer,
            Some("x"),
            TokenError::Malformed.into(),
            Reason::TokenInvalid,
        )
        .await;

    world
        .ledger
        .members
        .lock()
        .unwrap()
        .insert("bank-sz".into(), Standing::Expelled);
    let expelled = AuthError::Member(Denial::MemberExpelled("bank-sz".into()));
    world
        .check(&world.peer, token, expelled, Reason::MemberExpelled)
        .await;
    // None of these attempts has used the token up.
    world
        .ledger
        .members
        .lock()
        .unwrap()
        .insert("bank-sz".into(), Standing::Active);
    world
        .authenticator
        .authenticate(&world.peer, token)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_frozen_member_is_let_in_as_frozen_for_the_policy_to_judge() {
    let world = World::new();
    world
        .ledger
        .members
        .lock()
        .unwrap()
        .insert("bank-sz".into(), Standing::Frozen);
    let let_in = world
        .authenticator
        .authenticate(&world.peer, Some(&world.token()))
        .await
        .unwrap();
    assert_eq!(let_in.standing, Standing::Frozen);
}

#[tokio::test]
async fn a_token_is_used_once() {
    let world = World::new();
    let token = world.token();
    world
        .authenticator
        .authenticate(&world.peer, Some(&token))
        .await
        .unwrap();
    let again = || {
        world.check(
            &world.peer,
            Some(&token),
            TokenError::Replayed.into(),
            Reason::TokenInvalid,
        )
    };
    again().await;
    world.wait(80);
    again().await;
    world.wait(11);
    world
        .check(
            &world.peer,
            Some(&token),
            TokenError::Expired.into(),
            Reason::TokenExpired,
        )
        .await;
}

#[tokio::test]
async fn while_the_ledger_cannot_be_asked_nobody_is_let_in_and_no_address_is_told() {
    let world = World::new();
    world.ledger.down.store(1, Ordering::Relaxed);
    let error = world
        .authenticator
        .authenticate(&world.peer, Some(&world.token()))
        .await
        .unwrap_err();
    let status = error.fault().status();
    assert_eq!(error.reason(), Reason::UpstreamUnavailable);
    assert!(!format!("{status:?}").contains("10.0.0.7"), "{status:?}");
}

#[tokio::test]
async fn one_key_is_looked_up_once_and_a_revoked_one_is_soon_forgotten() {
    let world = World::new();
    for _ in 0..100 {
        world
            .authenticator
            .authenticate(&world.peer, Some(&world.token()))
            .await
            .unwrap();
    }
    assert_eq!(world.lookups(), 1);
    world.ledger.keys.lock().unwrap().clear();
    world.wait(FOUND_SECONDS);
    world
        .check(
            &world.peer,
            Some(&world.token()),
            TokenError::KeyUnknown.into(),
            Reason::TokenInvalid,
        )
        .await;
}

#[tokio::test]
async fn a_storm_of_made_up_keys_reaches_the_ledger_a_few_times_only() {
    let world = World::new();
    world
        .authenticator
        .authenticate(&world.peer, Some(&world.token()))
        .await
        .unwrap();
    for _ in 0..200 {
        let made_up = TokenIssuer::new(TokenKey::generate().unwrap(), "bank-sz", CERTIFICATE);
        let token = world.token_by(&made_up);
        world
            .check(
                &world.peer,
                Some(&token),
                TokenError::KeyUnknown.into(),
                Reason::TokenInvalid,
            )
            .await;
    }
    assert_eq!(world.lookups(), 1 + MAX_MISSES as usize);
    // The key that is in use keeps working through the storm,
    world
        .authenticator
        .authenticate(&world.peer, Some(&world.token()))
        .await
        .unwrap();
    // and a newly published one works when the window has passed.
    let fresh = TokenIssuer::new(TokenKey::generate().unwrap(), "bank-sz", CERTIFICATE);
    let place = ("bank-sz".to_owned(), fresh.key().kid().to_owned());
    world
        .ledger
        .keys
        .lock()
        .unwrap()
        .insert(place, fresh.key().public());
    world.wait(MISS_WINDOW_SECONDS);
    let token = world.token_by(&fresh);
    world
        .authenticator
        .authenticate(&world.peer, Some(&token))
        .await
        .unwrap();
}
