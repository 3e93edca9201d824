//! Tokens: every known way to get a wrong one accepted is a row that must be refused.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use xinqiao_identity::token::{
    self, LEEWAY_SECONDS, MAX_LIFETIME_SECONDS, TokenError, TokenIssuer, TokenKey, TokenRequest,
    ValidToken, key_id_of,
};
use xinqiao_rpc::{PeerIdentity, Reason, Role};

const NOW: u64 = 1_800_000_000;
const CERTIFICATE: [u8; 32] = [7; 32];

struct World {
    key: TokenKey,
    peer: PeerIdentity,
}

impl World {
    fn new() -> Self {
        let peer = PeerIdentity {
            org: "bank-sz".into(),
            role: Role::Agent,
            fingerprint_sha256: CERTIFICATE,
            not_after: i64::MAX,
        };
        Self {
            key: TokenKey::generate().unwrap(),
            peer,
        }
    }

    fn header(&self) -> Value {
        json!({ "typ": "JWT", "alg": "ES256", "kid": self.key.kid() })
    }

    fn claims(&self) -> Value {
        json!({
            "iss": "bank-sz", "aud": "bureau-js", "sub": "u7",
            "nbf": NOW, "exp": NOW + 60, "jti": "0123456789abcdef",
            "roles": ["bank.querier"], "purposes": ["loan.pre"],
            "cnf": { "x5t#S256": URL_SAFE_NO_PAD.encode(CERTIFICATE) },
        })
    }

    fn es256(&self) -> EncodingKey {
        EncodingKey::from_ec_pem(self.key.private_pem().expose_secret().as_bytes()).unwrap()
    }

    /// Signs whatever header and claims, as a member gone wrong could with its own key.
    fn sign(&self, header: &Value, claims: &str) -> String {
        let message = format!("{}.{}", part(&header.to_string()), part(claims));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &self.es256(), Algorithm::ES256)
                .unwrap();
        format!("{message}.{signature}")
    }

    fn verify_at(&self, token: &str, now: u64) -> Result<ValidToken, TokenError> {
        token::verify(token, &self.key.public(), &self.peer, "bureau-js", now)
    }

    #[track_caller]
    fn check(&self, token: &str, expected: TokenError) {
        assert_eq!(self.verify_at(token, NOW), Err(expected), "{token}");
    }

    /// One claim changed (`null` in a patch removes it, as in RFC 7386).
    #[track_caller]
    fn check_claims(&self, patch: Value, expected: Result<(), TokenError>) {
        let token = self.sign(&self.header(), &patched(self.claims(), &patch).to_string());
        assert_eq!(self.verify_at(&token, NOW).map(|_| ()), expected, "{patch}");
    }

    #[track_caller]
    fn check_header(&self, patch: Value, expected: Result<(), TokenError>) {
        let token = self.sign(&patched(self.header(), &patch), &self.claims().to_string());
        assert_eq!(self.verify_at(&token, NOW).map(|_| ()), expected, "{patch}");
    }
}

fn part(json: &str) -> String {
    URL_SAFE_NO_PAD.encode(json)
}

fn patched(mut value: Value, patch: &Value) -> Value {
    for (key, new) in patch.as_object().unwrap() {
        let object = value.as_object_mut().unwrap();
        if new.is_null() {
            object.remove(key);
        } else {
            object.insert(key.clone(), new.clone());
        }
    }
    value
}

fn claim(name: &str) -> Result<(), TokenError> {
    Err(TokenError::Claim(name.into()))
}

#[test]
fn an_issued_token_says_what_was_asked_for() {
    let world = World::new();
    let kept = TokenKey::from_pem(world.key.private_pem()).unwrap();
    assert_eq!(
        (kept.kid(), kept.public()),
        (world.key.kid(), world.key.public())
    );
    let issuer = TokenIssuer::new(kept, "bank-sz", CERTIFICATE);
    let request = TokenRequest {
        audience: "bureau-js".into(),
        user_pseudonym: "u7".into(),
        roles: BTreeSet::from(["bank.querier".into()]),
        purposes: BTreeSet::from(["loan.pre".into()]),
        lifetime_seconds: 60,
    };
    let token = issuer.issue(&request, NOW).unwrap();
    assert_eq!(key_id_of(&token).unwrap(), world.key.kid());
    let valid = world.verify_at(&token, NOW).unwrap();
    assert_eq!(
        (valid.user_pseudonym.as_str(), valid.expires_at),
        ("u7", NOW + 60)
    );
    assert_eq!(
        (&valid.roles, &valid.purposes),
        (&request.roles, &request.purposes)
    );
    let second = world
        .verify_at(&issuer.issue(&request, NOW).unwrap(), NOW)
        .unwrap();
    assert_ne!(valid.jti, second.jti, "each token has its own id");

    let greedy = TokenRequest {
        lifetime_seconds: u64::MAX,
        ..request
    };
    let valid = world
        .verify_at(&issuer.issue(&greedy, NOW).unwrap(), NOW)
        .unwrap();
    assert_eq!(valid.expires_at, NOW + MAX_LIFETIME_SECONDS);
}

#[test]
fn the_hand_made_token_of_these_tests_is_good_before_it_is_spoilt() {
    let world = World::new();
    world.check_claims(json!({}), Ok(()));
    world.check_header(json!({}), Ok(()));
    world.check_header(json!({ "typ": null }), Ok(()));
    world.check_claims(json!({ "roles": null, "purposes": null }), Ok(()));
}

#[test]
fn only_es256_with_the_published_key_is_a_signature() {
    let world = World::new();
    let claims = world.claims().to_string();
    let unsigned = |alg: &str| {
        let header = patched(world.header(), &json!({ "alg": alg }));
        format!("{}.{}", part(&header.to_string()), part(&claims))
    };
    for alg in ["none", "None", "NONE", "nOnE", "", "ES256K", "XX"] {
        world.check(&format!("{}.", unsigned(alg)), TokenError::Algorithm);
        world.check(&format!("{}.AAAA", unsigned(alg)), TokenError::Algorithm);
    }
    // The public key, which everyone knows, taken for an HMAC secret: as point, and as PEM text.
    for secret in [
        world.key.public().0.to_vec(),
        public_pem(&world).into_bytes(),
    ] {
        for alg in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let mut header = Header::new(alg);
            header.kid = Some(world.key.kid().into());
            let token =
                jsonwebtoken::encode(&header, &world.claims(), &EncodingKey::from_secret(&secret));
            world.check(&token.unwrap(), TokenError::Algorithm);
        }
    }
    // The right header over an HMAC.
    let message = unsigned("ES256");
    let hmac = EncodingKey::from_secret(&world.key.public().0);
    let mac = jsonwebtoken::crypto::sign(message.as_bytes(), &hmac, Algorithm::HS256).unwrap();
    world.check(&format!("{message}.{mac}"), TokenError::Signature);
    // Somebody else's key under our key's id.
    let other = World::new();
    let forged = other.sign(&world.header(), &claims);
    world.check(&forged, TokenError::Signature);
    // r = s = 0 ("psychic signatures", CVE-2022-21449), no signature, and a DER one's length.
    for signature in [
        vec![0; 64],
        vec![],
        vec![0x30; 70],
        vec![0; 63],
        vec![0xff; 64],
    ] {
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature));
        world.check(&token, TokenError::Signature);
    }
}

fn public_pem(world: &World) -> String {
    rcgen::KeyPair::from_pem(world.key.private_pem().expose_secret())
        .unwrap()
        .public_key_pem()
}

#[test]
fn a_header_may_not_bring_its_own_key_or_demands() {
    let world = World::new();
    let bad = |name: &'static str| Err(TokenError::Header(name));
    let jwk = json!({ "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA" });
    world.check_header(json!({ "jwk": jwk }), bad("jwk"));
    world.check_header(json!({ "jku": "https://example.com/keys" }), bad("jku"));
    world.check_header(json!({ "x5u": "https://example.com/cert" }), bad("x5u"));
    world.check_header(json!({ "x5c": ["AAAA"] }), bad("x5c"));
    world.check_header(json!({ "crit": ["b64"], "b64": false }), bad("crit"));
    world.check_header(json!({ "zip": "DEF" }), bad("enc"));
    world.check_header(json!({ "typ": "JWE" }), bad("typ"));
    world.check_header(json!({ "kid": null }), bad("kid"));
    world.check_header(json!({ "kid": "" }), bad("kid"));
    world.check_header(json!({ "kid": "../../etc/passwd" }), bad("kid"));
    world.check_header(json!({ "kid": "x' OR '1'='1" }), bad("kid"));
    world.check_header(json!({ "kid": "k".repeat(65) }), bad("kid"));
}

#[test]
fn each_claim_must_be_there_and_of_its_type() {
    let world = World::new();
    for name in ["iss", "aud", "sub", "exp", "nbf"] {
        world.check_claims(json!({ name: null }), claim("set"));
        for wrong in [json!([]), json!({}), json!(true), json!(-1), json!(1.5)] {
            let token = world.sign(
                &world.header(),
                &patched(world.claims(), &json!({ name: wrong })).to_string(),
            );
            assert!(world.verify_at(&token, NOW).is_err(), "{name} = {wrong}");
        }
    }
    // Times as strings were taken for absent, and so for unlimited (CVE-2026-25537).
    world.check_claims(json!({ "exp": (NOW + 60).to_string() }), claim("set"));
    world.check_claims(json!({ "nbf": (NOW + 9999).to_string() }), claim("set"));
    world.check_claims(json!({ "exp": "never" }), claim("set"));
    world.check_claims(json!({ "jti": null }), claim("set"));
    world.check_claims(json!({ "cnf": null }), claim("set"));
    world.check_claims(json!({ "cnf": {} }), claim("set"));
    world.check_claims(json!({ "jti": "" }), claim("jti"));
    world.check_claims(json!({ "jti": "x".repeat(65) }), claim("jti"));
    world.check_claims(json!({ "sub": "" }), claim("sub"));
    world.check_claims(json!({ "sub": "u7\nrole=admin" }), claim("sub"));
    world.check_claims(json!({ "sub": "张三" }), claim("sub"));
    world.check_claims(json!({ "roles": "bank.querier" }), claim("set"));
    world.check_claims(json!({ "roles": [1] }), claim("set"));
    world.check_claims(json!({ "roles": [""] }), claim("roles"));
    world.check_claims(json!({ "roles": ["a, b"] }), claim("roles"));
    world.check_claims(json!({ "roles": vec!["r"; 17] }), claim("roles"));
    world.check_claims(json!({ "purposes": ["*"] }), claim("purposes"));
    world.check_claims(json!({ "purposes": vec!["p"; 17] }), claim("purposes"));
}

#[test]
fn a_token_is_for_one_issuer_one_gateway_and_one_certificate() {
    let world = World::new();
    world.check_claims(json!({ "iss": "bank-nj" }), Err(TokenError::Issuer));
    world.check_claims(json!({ "iss": "" }), Err(TokenError::Issuer));
    world.check_claims(json!({ "iss": ["bank-sz", "bank-nj"] }), claim("set"));
    world.check_claims(json!({ "aud": "bureau-sh" }), Err(TokenError::Audience));
    world.check_claims(json!({ "aud": "*" }), Err(TokenError::Audience));
    // A list of audiences would let one gateway use the token at another.
    world.check_claims(json!({ "aud": ["bureau-js", "bureau-sh"] }), claim("set"));
    let another = URL_SAFE_NO_PAD.encode([8; 32]);
    world.check_claims(
        json!({ "cnf": { "x5t#S256": another } }),
        Err(TokenError::Binding),
    );
    world.check_claims(
        json!({ "cnf": { "x5t#S256": "" } }),
        Err(TokenError::Binding),
    );
}

#[test]
fn times_are_held_to_the_second_with_a_small_leeway() {
    let world = World::new();
    let at = |nbf: u64, exp: u64| {
        let claims = patched(world.claims(), &json!({ "nbf": nbf, "exp": exp })).to_string();
        world
            .verify_at(&world.sign(&world.header(), &claims), NOW)
            .map(|_| ())
    };
    let max = NOW + MAX_LIFETIME_SECONDS + LEEWAY_SECONDS;
    for (nbf, exp, expected) in [
        (NOW, NOW + 1, Ok(())),
        (0, NOW - LEEWAY_SECONDS + 1, Ok(())),
        (0, NOW - LEEWAY_SECONDS, Err(TokenError::Expired)),
        (0, 0, Err(TokenError::Expired)),
        (NOW + LEEWAY_SECONDS, NOW + 60, Ok(())),
        (
            NOW + LEEWAY_SECONDS + 1,
            NOW + 60,
            Err(TokenError::NotYetValid),
        ),
        (u64::MAX, NOW + 60, Err(TokenError::NotYetValid)),
        (NOW, max, Ok(())),
        (NOW, max + 1, Err(TokenError::TooLongLived)),
        (NOW, u64::MAX, Err(TokenError::TooLongLived)),
    ] {
        assert_eq!(at(nbf, exp), expected, "nbf {nbf}, exp {exp}");
    }
}

#[test]
fn what_is_no_token_is_refused_before_any_key_is_looked_up() {
    for (text, expected) in [
        (String::new(), TokenError::Malformed),
        ("abc".into(), TokenError::Malformed),
        ("a.b".into(), TokenError::Malformed),
        ("a.b.c.d".into(), TokenError::Malformed),
        ("....".into(), TokenError::Malformed),
        ("x".repeat(8193), TokenError::TooLong(8193)),
    ] {
        assert_eq!(key_id_of(&text), Err(expected), "{text:.20}");
    }
    for text in ["!!.!!.!!", "e30.e30.e30", "..", "bnVsbA.e30.AA"] {
        assert!(key_id_of(text).is_err(), "{text}");
    }
}

#[test]
fn a_claim_given_twice_is_refused_whichever_comes_first() {
    let world = World::new();
    let good = world.claims().to_string();
    let inner = good.trim_start_matches('{').trim_end_matches('}');
    for doubled in [
        format!("{{\"sub\":\"admin\",{inner}}}"),
        format!("{{{inner},\"sub\":\"admin\"}}"),
        format!("{{{inner},\"exp\":{}}}", u64::MAX),
    ] {
        let token = world.sign(&world.header(), &doubled);
        assert!(world.verify_at(&token, NOW).is_err(), "{doubled}");
    }
}

#[test]
fn each_fault_has_its_reason() {
    for (error, reason) in [
        (TokenError::Missing, Reason::TokenMissing),
        (TokenError::Malformed, Reason::TokenInvalid),
        (TokenError::Algorithm, Reason::TokenInvalid),
        (TokenError::KeyUnknown, Reason::TokenInvalid),
        (TokenError::Signature, Reason::TokenInvalid),
        (TokenError::Issuer, Reason::TokenInvalid),
        (TokenError::Replayed, Reason::TokenInvalid),
        (TokenError::Audience, Reason::TokenAudience),
        (TokenError::Expired, Reason::TokenExpired),
        (TokenError::NotYetValid, Reason::TokenExpired),
        (TokenError::TooLongLived, Reason::TokenExpired),
        (TokenError::Binding, Reason::TokenBinding),
        (TokenError::TooManyInUse, Reason::QuotaExceeded),
    ] {
        assert_eq!(error.reason(), reason, "{error:?}");
        assert_eq!(error.fault().reason(), reason);
    }
}
