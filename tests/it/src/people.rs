//! Who is in a consortium and how to reach them, read from the same files that its processes read:
//! certificates, keys, addresses; or impostors with certificates of a test's own making.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use time::{Duration, OffsetDateTime};
use xinqiao_crypto::SecretKey;
use xinqiao_identity::{
    pki::{Authority, LeafRequest, Validity},
    token::{TokenIssuer, TokenKey, TokenRequest},
};
use xinqiao_ledger::{item::PseudonymKey, uscc::Uscc};
use xinqiao_rpc::{Identity, Limits, Role, RpcChannel, tls};

/// The bureaus; each one's node is a validator. The first three serve sources.
pub const BUREAUS: [&str; 4] = ["sh-bureau", "js-bureau", "zj-bureau", "ah-bureau"];

/// The bank. Its region's bureau is `js-bureau`.
pub const BANK: &str = "js-bank";

/// The bureau whose gateway serves the bank.
pub const HOME: &str = "js-bureau";

/// The regulator.
pub const REGULATOR: &str = "pboc";

/// The kinds of processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `xinqiao node`
    Node,
    /// `xinqiao gateway`
    Gateway,
    /// `xinqiao holder`
    Holder,
    /// `xinqiao agent`
    Agent,
    /// `xinqiao observer`
    Observer,
}

impl Kind {
    /// As on the command line, and as the configuration file is called.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Gateway => "gateway",
            Self::Holder => "holder",
            Self::Agent => "agent",
            Self::Observer => "observer",
        }
    }
}

/// The people and processes of the consortium in a folder.
#[derive(Debug, Clone)]
pub struct People {
    dir: PathBuf,
}

impl People {
    /// Of the consortium in this folder.
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
        }
    }

    /// The configuration file of a process.
    #[must_use]
    pub fn config(&self, org: &str, kind: Kind) -> PathBuf {
        self.dir.join(org).join(format!("{}.toml", kind.as_str()))
    }

    /// Where a process listens.
    ///
    /// # Panics
    /// When its configuration does not say.
    #[must_use]
    pub fn address(&self, org: &str, kind: Kind) -> String {
        let file = self.config(org, kind);
        let text = std::fs::read_to_string(&file)
            .unwrap_or_else(|fault| panic!("{}: {fault}", file.display()));
        let table: toml::Table = text.parse().expect("a configuration is TOML");
        let listen = table["listen"]
            .as_str()
            .expect("a configuration says where it listens");
        listen.to_owned()
    }

    /// Who someone is, by the certificate that they were given.
    #[must_use]
    pub fn identity(&self, org: &str, role: Role) -> Identity {
        let cert = self.dir.join(org).join(format!("tls/{role}.pem"));
        Identity::load(&cert, cert.with_extension("key"), self.ca_file())
            .expect("a certificate of the consortium")
    }

    /// A connection of someone to a process.
    #[must_use]
    pub fn connect(&self, (org, role): (&str, Role), (to, kind): (&str, Kind)) -> RpcChannel {
        self.connect_as(&self.identity(org, role), (to, kind))
    }

    /// A connection with a given identity to a process.
    #[must_use]
    pub fn connect_as(&self, identity: &Identity, (to, kind): (&str, Kind)) -> RpcChannel {
        let uri = format!("https://{}", self.address(to, kind));
        tls::channel(&uri, identity, Some(to)).expect("a channel")
    }

    /// A connection to the bank's agent, which needs no certificate.
    #[must_use]
    pub fn agent(&self) -> RpcChannel {
        let uri = format!("http://{}", self.address(BANK, Kind::Agent));
        tls::plain_channel(&uri, &Limits::default()).expect("a channel")
    }

    /// A member's SM2 key, such as `admin`.
    #[must_use]
    pub fn key(&self, org: &str, name: &str) -> SecretKey {
        let file = self.dir.join(org).join(format!("keys/{name}.pem"));
        let pem = std::fs::read_to_string(&file)
            .unwrap_or_else(|fault| panic!("{}: {fault}", file.display()));
        SecretKey::from_pem(&pem).expect("an SM2 key")
    }

    /// An enterprise's pseudonym on the ledger.
    #[must_use]
    pub fn subject(&self, uscc: &str) -> Vec<u8> {
        let key = PseudonymKey::from(self.secret("shared/pseudonym.key"));
        let uscc: Uscc = uscc.parse().expect("a valid code");
        key.subject(&uscc).to_vec()
    }

    /// A shared secret of 32 bytes.
    #[must_use]
    pub fn secret(&self, file: &str) -> [u8; 32] {
        let text = std::fs::read_to_string(self.dir.join(file)).expect("a secret file");
        let bytes = hex::decode(text.trim()).expect("hexadecimal digits");
        bytes.try_into().expect("32 bytes")
    }

    /// The consortium's authority, as whoever founded it has it.
    #[must_use]
    pub fn authority(&self) -> Authority {
        let cert = std::fs::read_to_string(self.ca_file()).expect("ca.pem");
        let key = std::fs::read_to_string(self.dir.join("ca/ca.key")).expect("ca.key");
        Authority::from_pem(&cert, &SecretString::from(key)).expect("an authority")
    }

    fn ca_file(&self) -> PathBuf {
        self.dir.join("ca/ca.pem")
    }

    /// An identity newly issued by an authority, valid from and to so many days from now. It trusts the
    /// consortium's authority, whoever issued it.
    #[must_use]
    pub fn issued(&self, by: &Authority, who: (&str, Role), from: i64, to: i64) -> Identity {
        let now = OffsetDateTime::now_utc();
        let mut request = LeafRequest::new(who.0, who.1, now).for_this_machine();
        request.validity = Validity {
            not_before: now + Duration::days(from),
            not_after: now + Duration::days(to),
        };
        let issued = by.issue(&request).expect("a certificate");
        let ca = std::fs::read_to_string(self.ca_file()).expect("ca.pem");
        Identity::from_pem(issued.cert_pem, issued.key_pem.expose_secret(), ca)
            .expect("an identity")
    }

    /// The pseudonym of a user of the bank.
    #[must_use]
    pub fn user(&self, name: &str) -> Vec<u8> {
        let key = xinqiao_dispatch::pseudonym::UserKey::from(
            self.secret(&format!("{BANK}/keys/user.key")),
        );
        key.user(&BANK.parse().expect("an id"), name).to_vec()
    }

    /// A token of a user of the bank for its gateway, as the bank's agent would make it.
    #[must_use]
    pub fn token(&self, user: &str) -> String {
        let pem = std::fs::read_to_string(self.dir.join(BANK).join("keys/token.pem"))
            .expect("the bank's token key");
        let key = TokenKey::from_pem(&SecretString::from(pem)).expect("a token key");
        let own = self.identity(BANK, Role::Agent).own().fingerprint_sha256;
        let request = TokenRequest {
            audience: HOME.to_owned(),
            user_pseudonym: hex::encode(self.user(user)),
            roles: ["bank.loan_officer".to_owned()].into(),
            purposes: ["loan_approval".to_owned(), "post_loan".to_owned()].into(),
            lifetime_seconds: 60,
        };
        let now = OffsetDateTime::now_utc().unix_timestamp();
        TokenIssuer::new(key, BANK, own)
            .issue(&request, u64::try_from(now).expect("after 1970"))
            .expect("a token")
    }
}
