//! Members of the consortium and their keys.

use std::fmt;

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};
use xinqiao_crypto::{Digest, KeyId, PublicKey, sm3_parts};

use crate::{
    ids::{Fingerprint, OrgId},
    malformed::{Malformed, Problem, ascending, fixed, list, required},
    text::{DisplayName, Endpoint},
    wire,
};

macro_rules! wire_enum {
    ($(#[$doc:meta])* $type:ident from $wire:ident { $($(#[$vdoc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, BorshSerialize,
            BorshDeserialize, serde::Serialize, serde::Deserialize,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum $type { $($(#[$vdoc])* $variant),+ }

        impl $type {
            /// Every value there is.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Parses a field.
            ///
            /// # Errors
            /// When it was left out or has a value that nobody defined.
            pub fn parse(field: &str, value: i32) -> Result<Self, $crate::malformed::Malformed> {
                use $crate::malformed::{Malformed, Problem};
                match $crate::wire::$wire::try_from(value) {
                    $(Ok($crate::wire::$wire::$variant) => Ok(Self::$variant),)+
                    Ok($crate::wire::$wire::Unspecified) => Err(Malformed::new(field, Problem::Required)),
                    #[allow(unreachable_patterns)]
                    Ok(_) | Err(_) => Err(Malformed::new(field, Problem::UnknownEnum(value))),
                }
            }

            /// The wire value.
            pub fn to_wire(self) -> i32 {
                match self { $(Self::$variant => $crate::wire::$wire::$variant as i32),+ }
            }
        }
    };
}
pub(crate) use wire_enum;

wire_enum!(
    /// What an organisation is.
    MemberKind from MemberKind {
        /// Credit bureau.
        Bureau,
        /// Data source unit under a bureau.
        SourceUnit,
        /// Query institution.
        Institution,
        /// Regulator.
        Regulator,
        /// Mediation body.
        Mediation,
        /// Platform of another province.
        Platform,
    }
);

wire_enum!(
    /// What a member's key may do.
    KeyRole from KeyRole {
        /// Signs for the organisation.
        Admin,
        /// Signs digests and deliveries.
        Holder,
        /// Signs refusals that its gateway records.
        Gateway,
        /// Signs orders and verdicts.
        Agent,
        /// Is sealed to.
        Encryption,
        /// Verifies access tokens.
        Token,
    }
);

/// A member's public key, by what it may do.
#[derive(Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub enum MemberKey {
    /// An SM2 key of a role that signs or is sealed to.
    Sm2 {
        /// Any role but [`KeyRole::Token`].
        role: KeyRole,
        /// The key.
        key: PublicKey,
    },
    /// A P-256 key that verifies access tokens, as an uncompressed SEC1 point.
    Token(#[doc = "65 bytes that begin with 4."] [u8; 65]),
}

impl fmt::Debug for MemberKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "MemberKey({:?} {})", self.role(), self.id())
    }
}

impl MemberKey {
    /// What it may do.
    pub fn role(&self) -> KeyRole {
        match self {
            Self::Sm2 { role, .. } => *role,
            Self::Token(_) => KeyRole::Token,
        }
    }

    /// Its id: the SM2 key id, or SM3 over a tag and the token key's bytes.
    pub fn id(&self) -> Digest {
        match self {
            Self::Sm2 { key, .. } => key.id().digest(),
            Self::Token(point) => sm3_parts(&[b"xinqiao/token-key/v1", point]),
        }
    }

    /// Parses a field.
    ///
    /// # Errors
    /// When the role is unknown or the key is not one of that role's kind.
    pub fn parse(field: &str, wire: &wire::MemberKey) -> Result<Self, Malformed> {
        let role = KeyRole::parse(&format!("{field}.role"), wire.role)?;
        let at = format!("{field}.public_key");
        if role == KeyRole::Token {
            let point = fixed::<65>(&at, &wire.public_key)?;
            if point[0] != 4 {
                return Err(Malformed::new(
                    at,
                    Problem::Format("an uncompressed P-256 point"),
                ));
            }
            return Ok(Self::Token(point));
        }
        Ok(Self::Sm2 {
            role,
            key: sm2_key(&at, &wire.public_key)?,
        })
    }
}

/// A compressed SM2 key of a field.
pub(crate) fn sm2_key(field: &str, bytes: &[u8]) -> Result<PublicKey, Malformed> {
    let compressed = fixed::<33>(field, bytes)?;
    PublicKey::try_from(&compressed[..]).map_err(|_| {
        Malformed::new(
            field,
            Problem::Format("a point of sm2p256v1 other than infinity"),
        )
    })
}

impl From<&MemberKey> for wire::MemberKey {
    fn from(key: &MemberKey) -> Self {
        let public_key = match key {
            MemberKey::Sm2 { key, .. } => key.to_sec1().to_vec(),
            MemberKey::Token(point) => point.to_vec(),
        };
        Self {
            public_key,
            role: key.role().to_wire(),
        }
    }
}

/// An organisation, as it is admitted.
#[derive(Debug, Clone, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct Member {
    /// Its id.
    pub org: OrgId,
    /// What it is.
    pub kind: MemberKind,
    /// Its name.
    pub name: DisplayName,
    /// Its region: the first two digits of GB/T 2260.
    pub region: Region,
    /// Where its gateway listens; empty if it runs none.
    pub gateway_endpoint: Endpoint,
    /// Its keys. 1 to 16.
    pub keys: Vec<MemberKey>,
    /// Its TLS certificates, ascending. At most 32.
    pub certificates: Vec<Fingerprint>,
    /// The bureau whose gateway serves it, if it runs none.
    pub home: Option<OrgId>,
}

/// A region: the first two digits of the administrative division codes of GB/T 2260.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    BorshSerialize,
    BorshDeserialize,
    Serialize,
    Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Region(u8);

impl Region {
    /// Parses a field.
    ///
    /// # Errors
    /// When it is not two digits from 11 to 82.
    pub fn parse(field: &str, value: &str) -> Result<Self, Malformed> {
        let fault = || Malformed::new(field, Problem::Format("two digits from 11 to 82"));
        if value.len() != 2 || !value.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(fault());
        }
        match value.parse() {
            Ok(number @ 11..=82) => Ok(Self(number)),
            _ => Err(fault()),
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}", self.0)
    }
}

impl TryFrom<String> for Region {
    type Error = Malformed;
    fn try_from(value: String) -> Result<Self, Malformed> {
        Self::parse("region", &value)
    }
}

impl From<Region> for String {
    fn from(region: Region) -> String {
        region.to_string()
    }
}

impl Member {
    /// The SM2 keys of one role.
    pub fn keys_of(&self, role: KeyRole) -> impl Iterator<Item = &PublicKey> {
        self.keys.iter().filter_map(move |key| match key {
            MemberKey::Sm2 { role: has, key } if *has == role => Some(key),
            _ => None,
        })
    }

    /// The SM2 key of that id and its role.
    pub fn sm2(&self, id: &KeyId) -> Option<(&PublicKey, KeyRole)> {
        self.keys.iter().find_map(|key| match key {
            MemberKey::Sm2 { role, key } if key.id() == *id => Some((key, *role)),
            _ => None,
        })
    }
}

impl TryFrom<&wire::Member> for Member {
    type Error = Malformed;

    fn try_from(wire: &wire::Member) -> Result<Self, Malformed> {
        let keys = list("keys", &wire.keys, 1, 16, MemberKey::parse)?;
        let mut ids: Vec<Digest> = keys.iter().map(MemberKey::id).collect();
        ids.sort();
        if ids.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Malformed::new(
                "keys",
                Problem::Format("keys that differ from each other"),
            ));
        }
        Ok(Self {
            org: OrgId::parse("org", &wire.org)?,
            kind: MemberKind::parse("kind", wire.kind)?,
            name: DisplayName::parse("name", &wire.name)?,
            region: Region::parse("region", &wire.region)?,
            gateway_endpoint: Endpoint::parse("gateway_endpoint", &wire.gateway_endpoint)?,
            keys,
            certificates: ascending("certificates", &wire.certificates, 0, 32, |field, bytes| {
                Fingerprint::parse(field, bytes)
            })?,
            home: if wire.home.is_empty() {
                None
            } else {
                Some(OrgId::parse("home", &wire.home)?)
            },
        })
    }
}

impl From<&Member> for wire::Member {
    fn from(member: &Member) -> Self {
        Self {
            org: member.org.to_string(),
            kind: member.kind.to_wire(),
            name: member.name.to_string(),
            region: member.region.to_string(),
            gateway_endpoint: member.gateway_endpoint.to_string(),
            keys: member.keys.iter().map(Into::into).collect(),
            certificates: member
                .certificates
                .iter()
                .map(Fingerprint::to_vec)
                .collect(),
            home: member
                .home
                .as_ref()
                .map(ToString::to_string)
                .unwrap_or_default(),
        }
    }
}

/// A member that must be there.
pub(crate) fn member_field(field: &str, wire: Option<&wire::Member>) -> Result<Member, Malformed> {
    Member::try_from(required(field, wire)?).map_err(|fault| fault.within(field))
}
