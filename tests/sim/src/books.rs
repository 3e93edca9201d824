//! The real contracts behind a simulated chain: who founded it, what was signed, and the state of a
//! replica, which executes every block by itself.
//!
//! Bodies are lists of numbers, as everywhere in the simulator; here a number names a signed
//! transaction. The state is a map in memory, behind the trait that the store's view implements too.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use xinqiao_contracts::{
    BlockContext, Candidate, Executed, NotVerified, VerifyTx, Writes, execute_block,
    genesis_writes, parameters, state_commitment,
    testing::{Consortium, member, open_user, secret},
};
use xinqiao_crypto::{Digest, PublicKey, sm3};
use xinqiao_ledger::{
    action::Action,
    block::{outcome_root, tx_root},
    ids::{ChainId, Height, TimeMs},
    member::{KeyRole, MemberKey, MemberKind},
    outcome::{Outcome, Reason},
    tx::{NotSigned, Tx as Signed, Verified},
    validators::{Engine, Validator},
    wire,
};

use crate::{
    block::{POISON, Tx},
    clients::SOURCES,
    scheme::key,
};

/// A replica's state.
pub type State = BTreeMap<Vec<u8>, Vec<u8>>;

/// The members that run validators, in the order of those.
const HOSTS: [&str; 10] = [
    "host-0", "host-1", "host-2", "host-3", "host-4", "host-5", "host-6", "host-7", "host-8",
    "host-9",
];

thread_local! {
    /// Making everybody's keys takes longer than a run.
    static FOUNDED: Consortium = {
        let mut founded = Consortium::new();
        let members = &mut founded.genesis.members;
        members.extend(HOSTS.map(|host| member(host, MemberKind::Bureau, "31", None)));
        members.sort_by(|left, right| left.org.cmp(&right.org));
        // A source's other data-holding nodes have keys of their own.
        for name in SOURCES.iter().flat_map(|source| &source.holders[1..]) {
            let org = name.split('/').next().unwrap_or_default();
            let found = members.iter_mut().find(|member| member.org.as_str() == org);
            found.expect("a bureau").keys.push(MemberKey::Sm2 {
                role: KeyRole::Holder,
                key: *secret(name).public(),
            });
        }
        founded
    };
}

/// What the replicas of a run have in common: the genesis, and what was signed.
pub struct Ledger {
    /// The chain.
    pub chain: ChainId,
    /// When it begins.
    pub time: TimeMs,
    members: RefCell<Consortium>,
    signed: RefCell<Vec<Signed>>,
    forged: Signed,
    /// What checking a signature comes to, which is the same every time.
    verified: RefCell<BTreeMap<Digest, Option<Verified<Signed>>>>,
    /// The planted mistake: a contract that answers to a revocation and does nothing.
    ignores_revocations: bool,
}

impl Ledger {
    /// A consortium of which so many members, at most ten, run validators.
    ///
    /// # Panics
    /// When no consortium begins with so many under that engine.
    pub fn new(engine: Engine, validators: usize, ignores_revocations: bool) -> Self {
        let mut members = FOUNDED.with(Clone::clone);
        members.genesis.engine = engine;
        let hosts = HOSTS.iter().take(validators).enumerate();
        let hosts = hosts.map(|(place, org)| Validator {
            org: org.parse().expect("a slug"),
            key: *key(place).public(),
            endpoint: "https://127.0.0.1:7000".parse().expect("short"),
        });
        members.genesis.validators = hosts.collect();
        members.genesis.check().expect("a consortium");
        members.chain = members.genesis.chain_id();
        let honest = members.sign("js-bank/admin", open_user(9));
        let mut bytes = honest.encoded().to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        Self {
            chain: members.chain,
            time: members.genesis.time,
            forged: Signed::parse(&bytes).expect("another signature"),
            members: RefCell::new(members),
            signed: RefCell::default(),
            verified: RefCell::default(),
            ignores_revocations,
        }
    }

    /// Signs an action with the key of a name; gives the number.
    pub fn sign(&self, by: &str, action: wire::tx_body::Action, expires_at: Height) -> Tx {
        let tx = self.members.borrow_mut().sign_until(by, action, expires_at);
        let mut signed = self.signed.borrow_mut();
        signed.push(tx);
        signed.len() as Tx
    }

    /// The transaction of a number; a forged one if nobody signed it.
    pub fn tx(&self, number: Tx) -> Signed {
        let signed = self.signed.borrow();
        let place = usize::try_from(number)
            .ok()
            .and_then(|number| number.checked_sub(1));
        let found = place.and_then(|place| signed.get(place));
        found.unwrap_or(&self.forged).clone()
    }

    /// Whether a member, or a subject, signed the transaction of that number.
    pub fn was_signed(&self, number: Tx) -> bool {
        number & POISON == 0 && number > 0 && number <= self.signed.borrow().len() as Tx
    }
}

impl VerifyTx for Ledger {
    fn verify(
        &self,
        tx: Signed,
        key: &[u8; PublicKey::LEN],
    ) -> Result<Verified<Signed>, NotVerified> {
        let key = PublicKey::try_from(&key[..])?;
        // Unlike its id, this covers the signature as well.
        let whole = sm3(tx.encoded());
        let mut verified = self.verified.borrow_mut();
        let id = &self.members.borrow().genesis.distinguishing_id;
        let known = verified
            .entry(whole)
            .or_insert_with(|| tx.verify_once(&key, id).ok());
        Ok(known.clone().ok_or(NotSigned)?)
    }
}

/// What a block came to.
#[derive(Debug)]
pub struct Ran {
    /// The block's own outcome, then one for each transaction.
    pub outcomes: Vec<Outcome>,
    /// Merkle root over the transactions.
    pub tx_root: Digest,
    /// Merkle root over the outcomes.
    pub outcome_root: Digest,
    /// Commitment to the state after it.
    pub commitment: Digest,
    writes: Writes,
}

impl Ran {
    /// Whether a transaction is no member's, or was there before: no honest node puts it into a
    /// block, nor votes for one that has it.
    pub fn is_weak(&self) -> bool {
        self.outcomes.iter().any(|outcome| {
            matches!(
                outcome,
                Outcome::Rejected {
                    reason: Reason::ChainIdMismatch
                        | Reason::TxReplayed
                        | Reason::SignerUnknown
                        | Reason::SignatureInvalid,
                    ..
                }
            )
        })
    }
}

/// What [`Books::run`] was last asked.
type Asked = (TimeMs, Vec<Tx>);

/// One replica's state at the end of its chain.
#[derive(Clone)]
pub struct Books {
    /// What it has in common with others.
    pub ledger: Rc<Ledger>,
    /// The state.
    pub state: State,
    /// Commitment to it.
    pub commitment: Digest,
    /// What the last block came to.
    pub last: Option<Rc<Ran>>,
    /// What was executed above this state lately: whoever judges a block applies it next.
    ran: RefCell<Option<(Asked, Rc<Ran>)>>,
}

impl std::fmt::Debug for Books {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Books({})", self.commitment)
    }
}

impl Books {
    /// Before the first block.
    pub fn genesis(ledger: Rc<Ledger>) -> Self {
        let writes = genesis_writes(&ledger.members.borrow().genesis);
        let mut state = State::new();
        write(&mut state, &writes);
        Self {
            commitment: state_commitment(&ledger.chain.0, 0, &writes),
            ledger,
            state,
            last: None,
            ran: RefCell::default(),
        }
    }

    /// What a block comes to above this state.
    pub fn run(&self, height: Height, time: TimeMs, body: &[Tx]) -> Rc<Ran> {
        let mut ran = self.ran.borrow_mut();
        if let Some(((at, of), known)) = ran.as_ref()
            && *at == time
            && of == body
        {
            return Rc::clone(known);
        }
        let fresh = Rc::new(self.execute(height, time, body));
        *ran = Some(((time, body.to_vec()), Rc::clone(&fresh)));
        fresh
    }

    fn execute(&self, height: Height, time: TimeMs, body: &[Tx]) -> Ran {
        let txs: Vec<Signed> = body.iter().map(|number| self.ledger.tx(*number)).collect();
        let context = BlockContext {
            chain: self.ledger.chain,
            height,
            time,
            parameters: parameters(&self.state).expect("a map in memory does not fail"),
        };
        let Executed {
            outcomes,
            encoded,
            writes,
        } = if self.ledger.ignores_revocations {
            self.execute_without_revocations(&context, &txs)
        } else {
            self.execute_all(&context, &txs)
        };
        Ran {
            tx_root: tx_root(&txs),
            outcome_root: outcome_root(&encoded),
            commitment: state_commitment(&self.commitment, height, &writes),
            outcomes,
            writes,
        }
    }

    fn execute_all(&self, context: &BlockContext, txs: &[Signed]) -> Executed {
        let candidates = txs.iter().cloned().map(Candidate::Unverified).collect();
        execute_block(&self.state, context, candidates, self.ledger.as_ref())
            .expect("a map in memory does not fail")
    }

    /// Revocations come to what they came to in an honest execution, and to no write.
    fn execute_without_revocations(&self, context: &BlockContext, txs: &[Signed]) -> Executed {
        let honest = self.execute_all(context, txs);
        let revokes = |tx: &Signed| matches!(tx.action(), Action::RevokeConsent(_));
        let others: Vec<Signed> = txs.iter().filter(|tx| !revokes(tx)).cloned().collect();
        let mut executed = self.execute_all(context, &others);
        for (place, _) in txs.iter().enumerate().filter(|(_, tx)| revokes(tx)) {
            let outcome = honest.outcomes[place + 1].clone();
            executed.outcomes.insert(place + 1, outcome);
            let encoded = honest.encoded[place + 1].clone();
            executed.encoded.insert(place + 1, encoded);
        }
        executed
    }

    /// Goes on by a block.
    pub fn advance(&mut self, height: Height, time: TimeMs, body: &[Tx]) {
        let ran = self.run(height, time, body);
        write(&mut self.state, &ran.writes);
        self.commitment = ran.commitment;
        self.last = Some(ran);
        self.ran = RefCell::default();
    }
}

fn write(state: &mut State, writes: &Writes) {
    for (key, value) in writes {
        match value {
            Some(value) => state.insert(key.clone(), value.clone()),
            None => state.remove(key),
        };
    }
}
