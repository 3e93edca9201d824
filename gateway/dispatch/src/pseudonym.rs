//! How an institution's users are known outside of it.
//!
//! The key is the institution's own, not the consortium's: whoever shares the consortium's could guess
//! user names, which have little entropy.

use xinqiao_crypto::hmac_sm3;
use xinqiao_ledger::ids::{OrgId, UserId};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// An institution's key for the pseudonyms of its users. It never leaves the institution.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct UserKey([u8; 32]);

impl From<[u8; 32]> for UserKey {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl UserKey {
    /// HMAC-SM3(key, tag ‖ length of the institution's id (1) ‖ id ‖ user).
    pub fn user(&self, institution: &OrgId, user: &str) -> UserId {
        let org = institution.as_str().as_bytes();
        let length = [u8::try_from(org.len()).expect("ids have at most 32 bytes")];
        UserId(hmac_sm3(
            &self.0,
            &[b"xinqiao/user/v1", &length, org, user.as_bytes()],
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_s_pseudonym_is_golden_and_differs_by_institution_and_key() {
        let bank: OrgId = "js-bank".parse().unwrap();
        let other: OrgId = "js-ban".parse().unwrap();
        let key = UserKey::from([7; 32]);
        let golden = key.user(&bank, "zhang.wei");
        assert_eq!(golden.to_string(), GOLDEN);
        assert_ne!(golden, key.user(&other, "kzhang.wei"));
        assert_ne!(golden, UserKey::from([8; 32]).user(&bank, "zhang.wei"));
    }

    /// From OpenSSL's SM3, with RFC 2104 written out around it.
    const GOLDEN: &str = "2d70189bc456a6c8488072d88a4b96531abe049962f3d8bc3c66462211440092";
}
