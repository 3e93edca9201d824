//! Validators that lie, at the point where their messages leave them: the code behind is the
//! honest one, and what others get is something else.

use std::rc::Rc;

use xinqiao_bft::{BlockId, Message, NilOrVal, Signed, Voter};
use xinqiao_consensus::{Message as _, Signer};
use xinqiao_crypto::{KeyId, sm3};
use xinqiao_ledger::ids::{ChainId, HeaderHash};

use crate::{block::Block, dice::Dice, scheme::Scheme, world::Packet};

/// In which way a validator is faulty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It says nothing.
    Silent,
    /// It runs twice, and each of the two talks to some of the others.
    Twins,
    /// It withholds, forges, replays and contradicts itself, proposes invalid bodies, and answers
    /// catch-up with certificates that prove nothing.
    Liar,
}

/// How many old messages a liar remembers.
const REMEMBERED: usize = 64;

/// A liar's pen.
pub struct Liar<C: Scheme> {
    chain: ChainId,
    signer: C::Signer,
    quorum: usize,
    /// All validators.
    ids: Vec<KeyId>,
    remembered: Vec<Rc<[u8]>>,
}

impl<C: Scheme> Liar<C> {
    /// The liar that a validator is.
    pub fn new(chain: ChainId, validator: usize, quorum: usize, ids: Vec<KeyId>) -> Self {
        Self {
            chain,
            signer: C::signer(validator),
            quorum,
            ids,
            remembered: Vec::new(),
        }
    }

    /// What goes out to one receiver instead of a packet.
    pub fn twist(&mut self, packet: &Packet, dice: &mut Dice) -> Vec<Packet> {
        match packet {
            Packet::Consensus { bytes, bodies } => {
                let bytes = self.twist_message(bytes, dice);
                let mut out: Vec<Packet> = bytes
                    .into_iter()
                    .map(|bytes| Packet::Consensus {
                        bytes,
                        bodies: bodies.clone(),
                    })
                    .collect();
                if dice.permille(100) && !self.remembered.is_empty() {
                    let old = dice.index(self.remembered.len());
                    out.push(Packet::Consensus {
                        bytes: Rc::clone(&self.remembered[old]),
                        bodies: Vec::new(),
                    });
                }
                out
            }
            Packet::Status(height) if dice.permille(300) => vec![Packet::Status(height + 1_000)],
            Packet::Blocks(blocks) => {
                let quorum = self.quorum;
                let blocks = blocks.iter().map(|block| twist_block(block, quorum, dice));
                vec![Packet::Blocks(Rc::new(blocks.collect()))]
            }
            Packet::Body(_) if dice.permille(300) => Vec::new(),
            other => vec![other.clone()],
        }
    }

    /// Keeps a message that went by, to replay it.
    pub fn remember(&mut self, packet: &Packet, dice: &mut Dice) {
        if let Packet::Consensus { bytes, .. } = packet {
            if self.remembered.len() < REMEMBERED {
                self.remembered.push(Rc::clone(bytes));
            } else {
                let at = dice.index(REMEMBERED);
                self.remembered[at] = Rc::clone(bytes);
            }
        }
    }

    fn twist_message(&mut self, bytes: &Rc<[u8]>, dice: &mut Dice) -> Vec<Rc<[u8]>> {
        match dice.below(11) {
            // Withheld from this receiver.
            0 | 1 => Vec::new(),
            // Damaged, or in somebody else's name.
            2 => {
                let mut damaged = bytes.to_vec();
                let at = dice.index(damaged.len());
                damaged[at] ^= 1 << dice.below(8);
                vec![Rc::from(damaged)]
            }
            3 => {
                let mut short = bytes.to_vec();
                short.truncate(dice.index(short.len()));
                vec![Rc::from(short)]
            }
            // Something else than what others get, signed like the truth; sometimes both.
            4 | 5 => {
                let mut out = self.contradiction(bytes, dice);
                if dice.permille(300) {
                    out.push(Rc::clone(bytes));
                }
                out
            }
            // What it says itself, said in another's name too.
            6 => {
                let forged = self.in_another_s_name(bytes, dice);
                std::iter::once(Rc::clone(bytes)).chain(forged).collect()
            }
            _ => vec![Rc::clone(bytes)],
        }
    }

    fn in_another_s_name(&mut self, bytes: &[u8], dice: &mut Dice) -> Option<Rc<[u8]>> {
        let Ok(Message::Vote(mut vote)) = Message::decode(bytes) else {
            return None;
        };
        vote.message.validator = Voter(self.ids[dice.index(self.ids.len())]);
        Some(Rc::from(Message::Vote(vote).encode()))
    }

    fn contradiction(&mut self, bytes: &[u8], dice: &mut Dice) -> Vec<Rc<[u8]>> {
        let other = BlockId(HeaderHash(sm3(&dice.below(3).to_be_bytes())));
        let message = match Message::decode(bytes) {
            Ok(Message::Vote(vote)) if vote.message.validator.0 == self.signer.validator() => {
                let mut vote = vote.message;
                vote.header = match vote.header {
                    NilOrVal::Val(_) if dice.permille(500) => NilOrVal::Nil,
                    _ => NilOrVal::Val(other),
                };
                let signature = self.signer.sign(&vote.signing_message(&self.chain));
                Message::Vote(Signed {
                    message: vote,
                    signature,
                })
            }
            Ok(Message::Proposal(proposal))
                if proposal.message.proposer.0 == self.signer.validator() =>
            {
                let mut proposal = proposal.message;
                proposal.header = other;
                let signature = self.signer.sign(&proposal.signing_message(&self.chain));
                Message::Proposal(Signed {
                    message: proposal,
                    signature,
                })
            }
            _ => return Vec::new(),
        };
        vec![Rc::from(message.encode())]
    }
}

/// A block whose certificate, or body, is not what it was.
fn twist_block(block: &Block, quorum: usize, dice: &mut Dice) -> Block {
    let mut block = block.clone();
    match dice.below(4) {
        0 => {
            // One signature too few, whatever the certificate had to spare.
            block.certificate.signatures.truncate(quorum - 1);
        }
        1 => {
            let first = block.certificate.signatures.first().copied();
            block.certificate.signatures.extend(first);
        }
        2 => block.candidate.body.push(dice.bits()),
        _ => {}
    }
    block
}
