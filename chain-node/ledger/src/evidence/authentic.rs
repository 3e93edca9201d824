//! Whether everything in a bundle is authentic: one certified history, and each transaction signed.
//!
//! What authentic transactions mean together is not decided here; see [`super::claims`].

use std::collections::BTreeMap;

use xinqiao_crypto::{KeyId, PublicKey, merkle};

use super::{EvidenceFault, MAX_HANDOVERS, MAX_RECEIPTS, Piece};
use crate::{
    action::Action,
    block::{Certificate, Certified, Header},
    genesis::Genesis,
    governance::Change,
    ids::{ChainId, Height, OrgId, Subject, TimeMs, TxId},
    malformed::{Malformed, Problem, required},
    member::{KeyRole, Member, MemberKey},
    outcome::{Event, Outcome, Reason},
    receipt::{self, Path, Proven, Unproven},
    validators::{Epochs, Handover},
    wire,
};

/// A place in the ledger's order, and its block's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// Height of the block.
    pub height: Height,
    /// Index of the transaction within the block; none for the block's own outcome, which begins
    /// before them all.
    pub index: Option<u64>,
    /// Time of the block.
    pub time: TimeMs,
}

/// Whose key signed a transaction, as far as the genesis and the bundle say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signer {
    /// A member's key. The signature was checked with it.
    Member {
        /// The member.
        org: OrgId,
        /// What the key may do.
        role: KeyRole,
        /// Which key: a member may have several of a role.
        key: KeyId,
    },
    /// The key of an information subject. The signature was checked with it.
    Subject(Subject),
    /// A key that neither the genesis nor the bundle has: its signature was checked by the quorum
    /// that applied the transaction, and not again here.
    Unknown(KeyId),
}

impl Signer {
    /// The member, if it is one.
    pub fn org(&self) -> Option<&OrgId> {
        match self {
            Self::Member { org, .. } => Some(org),
            Self::Subject(_) | Self::Unknown(_) => None,
        }
    }

    /// Whether the signature was checked here.
    pub fn is_known(&self) -> bool {
        !matches!(self, Self::Unknown(_))
    }
}

/// One authentic transaction of the bundle.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// When it was ordered.
    pub at: Moment,
    /// Its id.
    pub id: TxId,
    /// What it said, as the contract names it: `grant_consent` and so on.
    pub name: &'static str,
    /// Who signed it.
    pub signer: Signer,
    /// What it said.
    pub action: Action,
    /// What it came to.
    pub outcome: Outcome,
}

impl Step {
    /// What happened through it; nothing if it was rejected.
    pub fn events(&self) -> &[Event] {
        match &self.outcome {
            Outcome::Applied(events) => events,
            Outcome::Rejected { .. } => &[],
        }
    }

    /// Whether it took effect.
    pub fn is_applied(&self) -> bool {
        matches!(self.outcome, Outcome::Applied(_))
    }
}

/// One authentic outcome of a block itself: what its deadlines did, and the proposals it carried out. Nobody signed it but those who
/// certified the block.
#[derive(Debug, Clone, PartialEq)]
pub struct Fired {
    /// When.
    pub at: Moment,
    /// What happened, to whatever order or grant.
    pub events: Vec<Event>,
}

/// All of a bundle, authentic.
pub(super) struct Authentic {
    pub(super) tip: Certified,
    pub(super) tip_signatures: usize,
    pub(super) steps: Vec<Step>,
    pub(super) fired: Vec<Fired>,
    pub(super) keys: Keys,
}

/// Keys of the genesis, and those that transactions of the bundle brought.
pub(super) struct Keys {
    known: BTreeMap<KeyId, (PublicKey, Signer)>,
    names: BTreeMap<OrgId, String>,
    /// Members that proposals of the bundle would admit.
    proposed: BTreeMap<TxId, Vec<Member>>,
    /// Proposals that blocks of the bundle carried out, the latest first: what one admits may sign in
    /// the blocks after that.
    enacted: Vec<(Height, TxId)>,
}

impl Keys {
    fn of(genesis: &Genesis, fired: &[Fired]) -> Self {
        let enacted = fired.iter().rev().flat_map(|block| {
            let events = block.events.iter().rev();
            events.filter_map(|event| Some((block.at.height, carried_out(event)?)))
        });
        let mut keys = Self {
            known: BTreeMap::new(),
            names: BTreeMap::new(),
            proposed: BTreeMap::new(),
            enacted: enacted.collect(),
        };
        for member in &genesis.members {
            keys.admit(member);
        }
        keys
    }

    fn admit(&mut self, member: &Member) {
        self.names
            .insert(member.org.clone(), member.name.to_string());
        for key in &member.keys {
            self.add(&member.org, key);
        }
    }

    fn add(&mut self, org: &OrgId, key: &MemberKey) {
        if let MemberKey::Sm2 { role, key } = key {
            let owner = Signer::Member {
                org: org.clone(),
                role: *role,
                key: key.id(),
            };
            self.known.insert(key.id(), (*key, owner));
        }
    }

    /// Takes up the keys that an applied transaction brought.
    fn learn(&mut self, proven: &Proven) {
        let Outcome::Applied(events) = proven.outcome() else {
            return;
        };
        match proven.tx().action() {
            Action::AdmitMember(member) => self.admit(member),
            Action::AddKey(key) => {
                // The transaction does not name the organisation, its outcome does.
                let owner = events.iter().find_map(|event| match event {
                    Event::CredentialChanged(changed) => changed.org.parse::<OrgId>().ok(),
                    _ => None,
                });
                if let Some(org) = owner {
                    self.add(&org, key);
                }
            }
            Action::BindSubjectKey { subject, key } => {
                self.known
                    .insert(key.id(), (*key, Signer::Subject(*subject)));
            }
            Action::Propose(proposal) => {
                let members = proposal.changes.iter().filter_map(|change| match change {
                    Change::AdmitMember(member) => Some(member.clone()),
                    _ => None,
                });
                self.proposed.insert(proven.id(), members.collect());
            }
            _ => {}
        }
    }

    /// Takes up the keys of those whom a vote had admitted before that height. A proposal alone brings
    /// no key: anybody can propose anything.
    fn carry_out_before(&mut self, height: Height) {
        while let Some((_, id)) = self.enacted.pop_if(|(at, _)| *at < height) {
            for member in self.proposed.remove(&id).unwrap_or_default() {
                self.admit(&member);
            }
        }
    }

    /// Whose key that is.
    pub(super) fn owner(&self, id: &KeyId) -> Signer {
        self.known
            .get(id)
            .map_or(Signer::Unknown(*id), |(_, owner)| owner.clone())
    }

    pub(super) fn into_names(self) -> BTreeMap<OrgId, String> {
        self.names
    }
}

/// The proposal that was carried out, if that is what happened.
fn carried_out(event: &Event) -> Option<TxId> {
    match event {
        Event::ProposalChanged(it) if it.status() == wire::ProposalStatus::Enacted => {
            TxId::parse("proposal", &it.proposal).ok()
        }
        _ => None,
    }
}

/// Checks chain, certificates, paths, order and signatures.
pub(super) fn check(
    bundle: &wire::EvidenceBundle,
    genesis: &Genesis,
) -> Result<Authentic, EvidenceFault> {
    let mut epochs = Epochs::begin(genesis.validator_set().map_err(EvidenceFault::Genesis)?);
    let ours = genesis.chain_id();
    let found = ChainId::parse("bundle.chain_id", &bundle.chain_id)?;
    if found != ours {
        return Err(EvidenceFault::OtherChain {
            found,
            genesis: ours,
        });
    }
    let got = bundle.receipts.len() + bundle.blocks.len();
    if got > MAX_RECEIPTS {
        let problem = Problem::TooMany {
            max: MAX_RECEIPTS,
            got,
        };
        return Err(Malformed::new("bundle.receipts", problem).into());
    }

    let got = bundle.handovers.len();
    if got > MAX_HANDOVERS {
        let problem = Problem::TooMany {
            max: MAX_HANDOVERS,
            got,
        };
        return Err(Malformed::new("bundle.handovers", problem).into());
    }
    for (place, wire) in bundle.handovers.iter().enumerate() {
        let handover = Handover::parse(wire, genesis.distinguishing_id.clone())
            .map_err(|fault| fault.within(&format!("bundle.handovers[{place}]")))?;
        let found = handover.header.chain;
        if found != ours {
            return Err(EvidenceFault::OtherChain {
                found,
                genesis: ours,
            });
        }
        epochs
            .hand_over(handover)
            .map_err(|why| EvidenceFault::Handover { place, why })?;
    }
    let epochs = epochs;

    let within = |fault: Malformed| fault.within("bundle.tip");
    let header = Header::parse(&bundle.tip_header).map_err(within)?;
    if header.chain != ours {
        return Err(EvidenceFault::OtherChain {
            found: header.chain,
            genesis: ours,
        });
    }
    let certificate = required("certificate", bundle.tip_certificate.as_ref())
        .and_then(Certificate::try_from)
        .map_err(within)?;
    let validators = epochs.at(header.height);
    let tip = certificate
        .check(header, validators)
        .map_err(EvidenceFault::Tip)?;

    let mut fired: Vec<Fired> = Vec::with_capacity(bundle.blocks.len());
    for (place, wire) in bundle.blocks.iter().enumerate() {
        let piece = Piece::Block(place);
        let refused = |why: Unproven| EvidenceFault::Receipt { piece, why };
        let inner =
            required("receipt", wire.receipt.as_ref()).map_err(|fault| refused(fault.into()))?;
        let proven = receipt::check_block(inner, &epochs, &ours).map_err(refused)?;
        let header = proven.header();
        in_history(piece, header, wire.history_path.as_ref(), &tip)?;
        let at = Moment {
            height: header.height,
            index: None,
            time: header.time,
        };
        if fired.last().is_some_and(|last| last.at >= at) {
            return Err(EvidenceFault::OutOfOrder { piece });
        }
        fired.push(Fired {
            at,
            events: proven.events().to_vec(),
        });
    }

    let mut keys = Keys::of(genesis, &fired);
    let mut steps: Vec<Step> = Vec::with_capacity(bundle.receipts.len());
    for (place, wire) in bundle.receipts.iter().enumerate() {
        let piece = Piece::Receipt(place);
        let refused = |why: Unproven| EvidenceFault::Receipt { piece, why };
        let inner =
            required("receipt", wire.receipt.as_ref()).map_err(|fault| refused(fault.into()))?;
        let proven = receipt::check(inner, &epochs, &ours).map_err(refused)?;
        let header = proven.header();
        in_history(piece, header, wire.history_path.as_ref(), &tip)?;
        let at = Moment {
            height: header.height,
            index: Some(proven.index()),
            time: header.time,
        };
        if steps.last().is_some_and(|last| last.at >= at) {
            return Err(EvidenceFault::OutOfOrder { piece });
        }
        keys.carry_out_before(at.height);
        let signer = signer(&proven, &keys, genesis).ok_or(EvidenceFault::Signature {
            receipt: place,
            id: proven.id(),
        })?;
        keys.learn(&proven);
        steps.push(Step {
            at,
            id: proven.id(),
            name: proven.tx().action_name(),
            signer,
            action: proven.tx().action().clone(),
            outcome: proven.outcome().clone(),
        });
    }
    keys.carry_out_before(Height::MAX);
    Ok(Authentic {
        tip,
        tip_signatures: certificate.signatures.len(),
        steps,
        fired,
        keys,
    })
}

/// Refuses a receipt whose header neither is the tip nor leads to its history: the tip's
/// `history_root` is over the hashes of headers 1 to one before it, each hashed as a leaf.
fn in_history(
    piece: Piece,
    header: &Header,
    path: Option<&wire::MerklePath>,
    tip: &Certified,
) -> Result<(), EvidenceFault> {
    let shown = match path {
        None => header.hash() == tip.hash(),
        Some(path) => {
            let path = Path::try_from(path).map_err(|fault| EvidenceFault::Receipt {
                piece,
                why: fault.within("history_path").into(),
            })?;
            let leaf = merkle::leaf_hash(header.hash().as_bytes());
            path.size == tip.height - 1
                && path.index == header.height - 1
                && path.leads(leaf, tip.history_root)
        }
    };
    if shown {
        return Ok(());
    }
    Err(EvidenceFault::History {
        piece,
        height: header.height,
        tip: tip.height,
    })
}

/// Who signed it; none when the key is known and did not.
fn signer(proven: &Proven, keys: &Keys, genesis: &Genesis) -> Option<Signer> {
    let id = proven.tx().meta().signer;
    let Some((key, owner)) = keys.known.get(&id) else {
        return Some(Signer::Unknown(id));
    };
    // A wrong signature is what such a rejection says; nothing rests on it.
    let refused = matches!(
        proven.outcome(),
        Outcome::Rejected {
            reason: Reason::SignatureInvalid,
            ..
        }
    );
    let signed = proven
        .tx()
        .clone()
        .verify_once(key, &genesis.distinguishing_id)
        .is_ok();
    (signed != refused).then(|| owner.clone())
}
