//! A consortium in memory: keys, signing and blocks, for tests here and in crates above.
//!
//! Everything is drawn from counted seeds, so two runs give the same bytes. Signatures are made and
//! checked for real. Not for production: the keys are known to everyone.

use std::{collections::BTreeMap, sync::Arc};

use prost::Message;
use rand::{SeedableRng, rngs::StdRng};
use xinqiao_crypto::{Digest, DistinguishingId, KeyId, PublicKey, SecretKey, sm3, sm3_parts};
use xinqiao_ledger::{
    catalogue::{
        Catalogue, Named,
        field::{Field, FieldKind},
        item::{ItemSchema, Sensitivity, Shape},
    },
    genesis::{Genesis, Parameters},
    ids::{ChainId, Fingerprint, HeaderHash, Height, OrgId, Subject, TimeMs, TxId, UserId},
    member::{KeyRole, Member, MemberKey, MemberKind, Region},
    outcome::Outcome,
    text::{DisplayName, Endpoint},
    tx::{Tx, Verified},
    validators::{Engine, Validator},
    vote::{Equivocation, Statement, VoteKind},
    wire::{self, change::Kind, tx_body::Action},
};

use crate::{
    BlockContext, Candidate, Executed, NotVerified, VerifyTx, Writes, execute_block,
    genesis_writes, parameters, state_commitment,
};

/// A day in milliseconds.
pub const DAY: TimeMs = 86_400_000;

/// When the chain of [`Consortium::new`] begins.
pub const START: TimeMs = 1_750_000_000_000;

/// Checks signatures one by one, without tables.
#[derive(Debug, Clone, Default)]
pub struct PlainVerifier(pub DistinguishingId);

impl VerifyTx for PlainVerifier {
    fn verify(&self, tx: Tx, key: &[u8; PublicKey::LEN]) -> Result<Verified<Tx>, NotVerified> {
        Ok(tx.verify_once(&PublicKey::try_from(&key[..])?, &self.0)?)
    }
}

/// A chain in memory with everybody's keys.
#[derive(Debug, Clone)]
pub struct Consortium {
    /// What it began with.
    pub genesis: Genesis,
    /// Its id.
    pub chain: ChainId,
    /// Its state.
    pub state: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Height of the last block.
    pub height: Height,
    /// Time of the last block.
    pub time: TimeMs,
    /// Commitment after the last block.
    pub commitment: Digest,
    /// What the last block wrote.
    pub writes: Writes,
    /// What the last block came to.
    pub outcomes: Vec<Outcome>,
    keys: BTreeMap<String, Arc<SecretKey>>,
    signed: u64,
}

impl Consortium {
    /// Three bureaus, a source unit, two banks, a regulator and a mediation body, at height 0.
    pub fn new() -> Self {
        Self::with(Parameters::default())
    }

    /// The same with other limits.
    pub fn with(parameters: Parameters) -> Self {
        let members = [
            member("cn-mediation", MemberKind::Mediation, "11", None),
            member("cz-tax", MemberKind::SourceUnit, "32", Some("js-bureau")),
            member("js-bank", MemberKind::Institution, "32", Some("js-bureau")),
            member("js-bureau", MemberKind::Bureau, "32", None),
            member("pboc", MemberKind::Regulator, "11", None),
            member("sh-bureau", MemberKind::Bureau, "31", None),
            member("zj-bank", MemberKind::Institution, "33", Some("zj-bureau")),
            member("zj-bureau", MemberKind::Bureau, "33", None),
        ];
        let genesis = Genesis {
            name: "testing".into(),
            engine: Engine::Solo,
            time: START,
            distinguishing_id: DistinguishingId::default(),
            validators: vec![Validator {
                org: "sh-bureau".parse().expect("a slug"),
                key: *secret("validator").public(),
                endpoint: "https://127.0.0.1:7000".parse().expect("short"),
            }],
            members: members.to_vec(),
            catalogue: catalogue(1),
            authorities: vec![b"no real certificate".to_vec()],
            parameters,
        };
        genesis.check().expect("the testing genesis is well formed");
        let writes = genesis_writes(&genesis);
        let chain = genesis.chain_id();
        let mut state = BTreeMap::new();
        write(&mut state, &writes);
        Self {
            chain,
            state,
            height: 0,
            time: START,
            commitment: state_commitment(&chain.0, 0, &writes),
            writes,
            outcomes: Vec::new(),
            genesis,
            keys: BTreeMap::new(),
            signed: 0,
        }
    }

    /// At work: `sh-tax` and `zj-power` in service with digests of subject 1 (and `sh-tax` of
    /// subject 2), user 1 of `js-bank` open, subject 1 with a key bound.
    pub fn at_work() -> Self {
        Self::new().set_to_work()
    }

    /// As [`Consortium::at_work`], from where this one stands.
    #[must_use]
    pub fn set_to_work(mut self) -> Self {
        let steps = [
            (
                "sh-bureau/admin",
                register_source("sh-tax", "sh-bureau", &["invoices", "tax"]),
            ),
            ("sh-bureau/admin", activate_source("sh-tax")),
            (
                "zj-bureau/admin",
                register_source("zj-power", "zj-bureau", &["power", "tax"]),
            ),
            ("zj-bureau/admin", activate_source("zj-power")),
            (
                "sh-bureau/holder",
                register_digests("sh-tax", &["invoices", "tax"], &[1, 2], 20_000),
            ),
            (
                "zj-bureau/holder",
                register_digests("zj-power", &["power"], &[1], 20_000),
            ),
            ("js-bank/admin", open_user(1)),
            (
                "sh-bureau/admin",
                bind_subject_key(1, secret("subject-1").public()),
            ),
        ];
        for (by, action) in steps {
            let outcome = self.run(by, action);
            assert!(matches!(outcome, Outcome::Applied(_)), "{by}: {outcome:?}");
        }
        self
    }

    /// Signs an action. `by` is the name of a secret, such as `js-bank/agent` (the first of the
    /// org's keys of that role) or `subject-1`.
    pub fn sign(&mut self, by: &str, action: Action) -> Tx {
        let expires_at = self.height + self.parameters().max_expiry_window;
        self.sign_until(by, action, expires_at)
    }

    /// As [`Consortium::sign`], with an expiry height.
    pub fn sign_until(&mut self, by: &str, action: Action, expires_at: Height) -> Tx {
        let chain = self.chain;
        self.sign_for(&chain, by, action, expires_at)
    }

    /// As [`Consortium::sign_until`], for a chain that may be another one.
    pub fn sign_for(
        &mut self,
        chain: &ChainId,
        by: &str,
        action: Action,
        expires_at: Height,
    ) -> Tx {
        self.signed += 1;
        let mut rng = StdRng::seed_from_u64(self.signed);
        let key = Arc::clone(
            self.keys
                .entry(by.to_owned())
                .or_insert_with(|| Arc::new(secret(by))),
        );
        let id = &self.genesis.distinguishing_id;
        let signed = Tx::sign(action, chain, expires_at, &key, id, &mut rng);
        Tx::parse(&signed.encode_to_vec()).expect("what tests sign is well formed")
    }

    /// The context of the next block, a second after the last one.
    pub fn next(&self) -> BlockContext {
        self.next_at(self.time + 1_000)
    }

    /// The context of the next block at a time.
    pub fn next_at(&self, time: TimeMs) -> BlockContext {
        BlockContext {
            chain: self.chain,
            height: self.height + 1,
            time,
            parameters: self.parameters(),
        }
    }

    /// The limits in force from the next block on.
    pub fn parameters(&self) -> Parameters {
        parameters(&self.state).expect("a map in memory does not fail")
    }

    /// Executes a block a second after the last one.
    pub fn block(&mut self, txs: Vec<Tx>) -> Executed {
        self.block_at(self.time + 1_000, txs)
    }

    /// Executes a block at a time.
    pub fn block_at(&mut self, time: TimeMs, txs: Vec<Tx>) -> Executed {
        let context = self.next_at(time);
        let txs = txs.into_iter().map(Candidate::Unverified).collect();
        let verifier = PlainVerifier(self.genesis.distinguishing_id.clone());
        let executed = execute_block(&self.state, &context, txs, &verifier)
            .expect("a map in memory does not fail");
        write(&mut self.state, &executed.writes);
        self.writes = executed.writes.clone();
        self.outcomes = executed.outcomes.clone();
        self.height = context.height;
        self.time = context.time;
        self.commitment = state_commitment(&self.commitment, self.height, &executed.writes);
        executed
    }

    /// Signs an action, puts it into a block of its own, and gives what it came to.
    pub fn run(&mut self, by: &str, action: Action) -> Outcome {
        self.run_at(self.time + 1_000, by, action).1
    }

    /// As [`Consortium::run`], at a time; gives the transaction's id too.
    pub fn run_at(&mut self, time: TimeMs, by: &str, action: Action) -> (TxId, Outcome) {
        let tx = self.sign(by, action);
        let id = tx.meta().id;
        let mut executed = self.block_at(time, vec![tx]);
        (id, executed.outcomes.remove(1))
    }
}

impl Consortium {
    /// Puts changes to the vote and votes for them with all of [`VOTERS`] that it takes. Gives the
    /// proposal's id and what the block that carried it out, or was to, came to by itself.
    pub fn enact(&mut self, changes: Vec<Kind>) -> (TxId, Outcome) {
        let proposal = propose(changes);
        let (id, outcome) = self.run_at(self.time + 1_000, "pboc/admin", proposal);
        assert!(matches!(outcome, Outcome::Applied(_)), "{outcome:?}");
        for org in VOTERS {
            let outcome = self.run(&format!("{org}/admin"), vote(&id, true));
            let Outcome::Applied(events) = outcome else {
                panic!("{org}: {outcome:?}");
            };
            if events.len() > 1 {
                break;
            }
        }
        (id, self.outcomes[0].clone())
    }
}

impl Default for Consortium {
    fn default() -> Self {
        Self::new()
    }
}

fn write(state: &mut BTreeMap<Vec<u8>, Vec<u8>>, writes: &Writes) {
    for (key, value) in writes {
        match value {
            Some(value) => state.insert(key.clone(), value.clone()),
            None => state.remove(key),
        };
    }
}

/// The secret of a name.
pub fn secret(name: &str) -> SecretKey {
    let seed = sm3_parts(&[b"testing secret ", name.as_bytes()]).to_bytes();
    SecretKey::generate(&mut StdRng::from_seed(seed))
}

/// Id of the key of a name.
pub fn key_id(name: &str) -> KeyId {
    secret(name).public().id()
}

/// Pseudonym of a subject by number.
pub fn subject(number: u64) -> Subject {
    Subject(sm3_parts(&[b"subject", &number.to_be_bytes()]))
}

/// Pseudonym of a user by number.
pub fn user(number: u64) -> UserId {
    UserId(sm3_parts(&[b"user", &number.to_be_bytes()]))
}

/// An organisation's certificate by name.
pub fn certificate(name: &str) -> Fingerprint {
    Fingerprint(sm3_parts(&[b"certificate", name.as_bytes()]))
}

/// A report root of a source for a subject as of a day.
pub fn root(source: &str, number: u64, as_of_day: u32) -> Digest {
    let day = as_of_day.to_be_bytes();
    sm3_parts(&[b"root", source.as_bytes(), &number.to_be_bytes(), &day])
}

/// A member with one key of each role that signs or is sealed to, named `<org>/<role>`.
pub fn member(org: &str, kind: MemberKind, region: &str, home: Option<&str>) -> Member {
    let roles = [
        ("admin", KeyRole::Admin),
        ("holder", KeyRole::Holder),
        ("gateway", KeyRole::Gateway),
        ("agent", KeyRole::Agent),
        ("encryption", KeyRole::Encryption),
    ];
    let key = |(name, role)| MemberKey::Sm2 {
        role,
        key: *secret(&format!("{org}/{name}")).public(),
    };
    Member {
        org: OrgId::parse("org", org).expect("names in tests are well formed"),
        kind,
        name: text(&org.to_uppercase()),
        region: Region::parse("region", region).expect("regions in tests are well formed"),
        gateway_endpoint: Endpoint::default(),
        keys: roles.into_iter().map(key).collect(),
        certificates: vec![certificate(org)],
        home: home.map(|home| OrgId::parse("home", home).expect("names are well formed")),
    }
}

/// A catalogue of four items and two purposes.
pub fn catalogue(version: u32) -> Catalogue {
    Catalogue {
        version,
        groups: vec![named("records")],
        items: ["customs", "invoices", "power", "tax"].map(item).to_vec(),
        purposes: ["credit_review", "post_loan"].map(named).to_vec(),
    }
}

/// An item of one text, `said`, in the group `records`.
pub fn item(code: &str) -> ItemSchema {
    let Named {
        code,
        name_zh,
        name_en,
    } = named(code);
    ItemSchema {
        code,
        name_zh,
        name_en,
        group: "records".parse().expect("the code is well formed"),
        place: 0,
        shape: Shape::Record,
        fields: vec![Field {
            name: "said".parse().expect("the name is well formed"),
            name_zh: text("内容"),
            name_en: text("said"),
            required: false,
            sensitive: false,
            kind: FieldKind::Text { max_chars: 100 },
        }],
        key: Vec::new(),
        fresh_days: 365,
        keep_days: 1_825,
        sensitivity: Sensitivity::Commercial,
        owner: None,
    }
}

/// A code with names.
pub fn named<C: std::str::FromStr>(code: &str) -> Named<C> {
    Named {
        code: code
            .parse()
            .unwrap_or_else(|_| panic!("codes in tests are well formed: {code}")),
        name_zh: text(&format!("项目 {code}")),
        name_en: text(code),
    }
}

fn text(value: &str) -> DisplayName {
    DisplayName::parse("name", value).expect("names in tests are well formed")
}

/// Consent terms of subject 1 for `js-bank`: both purposes, all items, all sources, from the
/// chain's beginning for 100 days, three uses.
pub fn terms() -> wire::ConsentTerms {
    wire::ConsentTerms {
        subject: subject(1).to_vec(),
        grantee: "js-bank".into(),
        branch: String::new(),
        purposes: texts(&["credit_review", "post_loan"]),
        items: texts(&["customs", "invoices", "power", "tax"]),
        sources: Vec::new(),
        valid_from_ms: START,
        valid_until_ms: START + 100 * DAY,
        max_uses: 3,
        max_uses_per_period: 0,
        period_seconds: 0,
        data_life_days: 180,
        onward_sharing: false,
        document_digest: sm3(b"document").as_bytes().to_vec(),
        text_digest: sm3(b"text").as_bytes().to_vec(),
    }
}

/// An order of `js-bank` for invoices, power and tax of subject 1, with an hour's time.
pub fn order(grant: &TxId) -> wire::PlaceOrder {
    wire::PlaceOrder {
        subject: subject(1).to_vec(),
        grant: grant.to_vec(),
        purpose: "credit_review".into(),
        items: texts(&["invoices", "power", "tax"]),
        user: user(1).to_vec(),
        branch: String::new(),
        deadline_ms: 3_600_000,
        recipient: key_id("js-bank/encryption").as_bytes().to_vec(),
    }
}

/// A delivery of what a part of [`order`] asks: part 0 is `sh-tax`'s, part 1 `zj-power`'s.
pub fn delivery(order: &TxId, part: u32) -> wire::DeliverPart {
    let (source, items): (_, &[&str]) = match part {
        0 => ("sh-tax", &["invoices", "tax"]),
        _ => ("zj-power", &["power"]),
    };
    wire::DeliverPart {
        order: order.to_vec(),
        part,
        ciphertext_digest: sm3(b"ciphertext").as_bytes().to_vec(),
        ciphertext_length: 4_096,
        report_root: root(source, 1, 20_000).as_bytes().to_vec(),
        items: texts(items),
        seal_scheme: wire::SealScheme::Sm2Sm4Gcm.into(),
        group_epoch: None,
    }
}

/// Text as wire fields have it.
pub fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Who has a vote in [`Consortium::new`], of weight 1 each.
pub const VOTERS: [&str; 4] = ["js-bureau", "pboc", "sh-bureau", "zj-bureau"];

/// Puts changes to the vote, for the block after the decision.
pub fn propose(changes: Vec<Kind>) -> Action {
    propose_at(changes, 0)
}

/// Puts changes to the vote, for a height.
pub fn propose_at(changes: Vec<Kind>, effective_height: Height) -> Action {
    let change = |kind| wire::Change { kind: Some(kind) };
    Action::Propose(wire::Propose {
        changes: changes.into_iter().map(change).collect(),
        reason: "a test".into(),
        effective_height,
    })
}

/// Votes on a proposal.
pub fn vote(proposal: &TxId, approve: bool) -> Action {
    let choice = if approve {
        wire::VoteChoice::Approve
    } else {
        wire::VoteChoice::Reject
    };
    Action::Vote(wire::Vote {
        proposal: proposal.to_vec(),
        choice: choice.into(),
    })
}

/// Two precommits of a key of a name, for two headers of one height.
pub fn precommits(chain: &ChainId, key: &str, height: Height) -> Equivocation {
    let said = |header: &[u8]| Statement::Vote {
        kind: VoteKind::Precommit,
        header: Some(HeaderHash(sm3(header))),
    };
    let key = secret(key);
    let mut rng = StdRng::seed_from_u64(height);
    let mut signed = |statement: Statement| {
        let message = statement.signing_message(chain, height, 0);
        let signature = key.sign(&DistinguishingId::default(), &message, &mut rng);
        (statement, signature)
    };
    let (one, other) = (signed(said(b"one")), signed(said(b"other")));
    Equivocation::new(key.public().id(), height, 0, one, other)
}

/// A member's validator with the key of a name.
pub fn validator(org: &str, key: &str) -> wire::Validator {
    wire::Validator {
        org: org.into(),
        public_key: secret(key).public().to_sec1().to_vec(),
        endpoint: "https://127.0.0.1:7000".into(),
    }
}

/// Registers a source.
pub fn register_source(source: &str, operator: &str, items: &[&str]) -> Action {
    Action::RegisterSource(wire::RegisterSource {
        source: Some(wire::DataSource {
            source: source.into(),
            operator: operator.into(),
            name: source.to_uppercase(),
            items: texts(items),
        }),
    })
}

/// Puts a source into service.
pub fn activate_source(source: &str) -> Action {
    let source = source.into();
    Action::ActivateSource(wire::ActivateSource { source })
}

/// Registers digests of subjects by number, each with all of the items.
pub fn register_digests(source: &str, items: &[&str], subjects: &[u64], as_of_day: u32) -> Action {
    let mut entries: Vec<_> = subjects
        .iter()
        .map(|number| wire::DigestEntry {
            subject: subject(*number).to_vec(),
            root: root(source, *number, as_of_day).as_bytes().to_vec(),
            item_set: (1 << items.len()) - 1,
            as_of_day,
        })
        .collect();
    entries.sort_by(|left, right| left.subject.cmp(&right.subject));
    Action::RegisterDigests(wire::RegisterDigests {
        source: source.into(),
        items: texts(items),
        entries,
    })
}

/// Withdraws digests of subjects by number.
pub fn withdraw_digests(source: &str, subjects: &[u64]) -> Action {
    let mut subjects: Vec<_> = subjects.iter().map(|n| subject(*n).to_vec()).collect();
    subjects.sort();
    Action::WithdrawDigests(wire::WithdrawDigests {
        source: source.into(),
        subjects,
    })
}

/// Opens a user by number.
pub fn open_user(number: u64) -> Action {
    let user = user(number).to_vec();
    Action::OpenUser(wire::OpenUser { user })
}

/// Binds a key to a subject by number.
pub fn bind_subject_key(number: u64, key: &PublicKey) -> Action {
    Action::BindSubjectKey(wire::BindSubjectKey {
        subject: subject(number).to_vec(),
        public_key: key.to_sec1().to_vec(),
    })
}

/// Grants consent without a request.
pub fn grant(terms: wire::ConsentTerms) -> Action {
    Action::GrantConsent(wire::GrantConsent {
        request: Vec::new(),
        terms: Some(terms),
    })
}
