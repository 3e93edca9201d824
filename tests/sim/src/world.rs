//! What lies between the nodes: time, and a network that delays, loses, repeats, reorders and is
//! cut in two.

use std::{collections::BTreeMap, rc::Rc};

use xinqiao_consensus::Timer;
use xinqiao_crypto::KeyId;
use xinqiao_ledger::ids::{HeaderHash, Height};

use crate::{
    block::{Block, Candidate, Tx},
    dice::Dice,
    holder::Wait,
    kind::Kind,
    node::Node,
    observe::Observed,
    scheme::Scheme,
};

/// What nodes send each other.
#[derive(Debug, Clone)]
pub enum Packet {
    /// A message of the engine, encoded, with the bodies of what it proposes.
    Consensus {
        /// The message.
        bytes: Rc<[u8]>,
        /// The bodies that travel beside it.
        bodies: Vec<Rc<Candidate>>,
    },
    /// A transaction.
    Tx(Tx),
    /// How high the sender's chain is.
    Status(Height),
    /// A request for blocks from a height on.
    Ask(Height),
    /// Blocks.
    Blocks(Rc<Vec<Block>>),
    /// A request for a body.
    AskBody(HeaderHash),
    /// A body.
    Body(Rc<Candidate>),
}

/// What a node waits for.
#[derive(Debug, Clone)]
pub enum Later {
    /// Its own regular turn.
    Tick,
    /// The power fails, likely in the middle of a flush.
    PowerCut,
    /// A timer of the engine, with the number under which it was set.
    Timer(Timer, u64),
    /// A flush.
    Flushed {
        /// Up to which entry of the log.
        upto: u64,
        /// How many writes it covers.
        covers: u64,
    },
    /// A block is formed.
    Build {
        /// For this height.
        height: Height,
        /// For this round.
        round: u32,
    },
    /// A body is executed.
    Judge {
        /// For this height.
        height: Height,
        /// Its header.
        header: HeaderHash,
    },
}

/// What a node asked the world for.
#[derive(Debug)]
pub(crate) enum Action {
    Send {
        node: usize,
        to: usize,
        packet: Packet,
    },
    Broadcast {
        node: usize,
        packet: Packet,
    },
    PowerOff {
        node: usize,
    },
    /// From an address that is no validator's.
    SendAs {
        address: usize,
        to: usize,
        packet: Packet,
    },
    Wait {
        holder: usize,
        life: u64,
        after_us: u64,
        what: Wait,
    },
    Later {
        node: usize,
        life: u64,
        after_us: u64,
        what: Later,
    },
}

/// What a node may touch of the world.
pub struct Env {
    pub(crate) now_us: u64,
    /// Chance.
    pub dice: Dice,
    /// The observer.
    pub observed: Observed,
    /// How long a flush may take, in microseconds.
    pub flush_us: u64,
    /// How many of a thousand flushes the power fails in, or soon after.
    pub power_cuts: u64,
    pub(crate) ids: Vec<KeyId>,
    pub(crate) actions: Vec<Action>,
}

impl Env {
    /// The true time, in microseconds.
    pub fn now(&self) -> u64 {
        self.now_us
    }

    /// A number below `end`.
    pub fn dice_below(&mut self, end: u64) -> u64 {
        self.dice.below(end)
    }

    /// The id of a validator.
    pub fn id(&self, validator: usize) -> KeyId {
        self.ids[validator]
    }

    /// The validator of that id.
    pub fn validator(&self, id: KeyId) -> usize {
        let found = self.ids.iter().position(|one| *one == id);
        found.expect("nodes know validators only")
    }

    /// Sends to one validator.
    pub fn send<K: Kind, C: Scheme>(&mut self, node: &Node<K, C>, to: usize, packet: Packet) {
        let node = node.id;
        self.actions.push(Action::Send { node, to, packet });
    }

    /// Sends to all other validators.
    pub fn broadcast<K: Kind, C: Scheme>(&mut self, node: &Node<K, C>, packet: Packet) {
        let node = node.id;
        self.actions.push(Action::Broadcast { node, packet });
    }

    /// Sends to a validator from an address that is no validator's.
    pub fn send_as(&mut self, address: usize, to: usize, packet: Packet) {
        self.actions.push(Action::SendAs {
            address,
            to,
            packet,
        });
    }

    /// Comes back to a holder after a time, in microseconds.
    pub fn wait(&mut self, holder: usize, life: u64, after_us: u64, what: Wait) {
        self.actions.push(Action::Wait {
            holder,
            life,
            after_us,
            what,
        });
    }

    /// The node's power fails.
    pub fn power_off<K: Kind, C: Scheme>(&mut self, node: &Node<K, C>) {
        self.actions.push(Action::PowerOff { node: node.id });
    }

    /// Comes back to the node after a time, in microseconds.
    pub fn later<K: Kind, C: Scheme>(&mut self, node: &Node<K, C>, after_us: u64, what: Later) {
        self.actions.push(Action::Later {
            node: node.id,
            life: node.life,
            after_us,
            what,
        });
    }
}

/// How the network is.
#[derive(Debug, Clone)]
pub struct Network {
    /// The shortest way of a packet, in microseconds.
    pub least_us: u64,
    /// What may come on top.
    pub jitter_us: u64,
    /// How many of a thousand packets are lost.
    pub loss: u64,
    /// How many of a thousand packets come twice.
    pub twice: u64,
    /// On which side of a cut each address is, if there is one.
    pub cut: Option<Vec<bool>>,
}

impl Network {
    /// A network that works.
    pub fn healed() -> Self {
        Self {
            least_us: 200,
            jitter_us: 2_000,
            loss: 0,
            twice: 0,
            cut: None,
        }
    }

    /// After which delays a packet arrives: never, once or twice.
    pub fn deliveries(&self, from: usize, to: usize, dice: &mut Dice) -> Vec<u64> {
        if let Some(side) = &self.cut
            && side[from] != side[to]
        {
            return Vec::new();
        }
        if dice.permille(self.loss) {
            return Vec::new();
        }
        let copies = if dice.permille(self.twice) { 2 } else { 1 };
        let delay = |dice: &mut Dice| self.least_us + dice.below(self.jitter_us + 1);
        (0..copies).map(|_| delay(dice)).collect()
    }
}

/// Everything that will happen, by time.
#[derive(Debug)]
pub struct Agenda<E> {
    events: BTreeMap<(u64, u64), E>,
    count: u64,
}

impl<E> Agenda<E> {
    /// An empty one.
    pub fn new() -> Self {
        Self {
            events: BTreeMap::new(),
            count: 0,
        }
    }

    /// Something will happen then; what was added first happens first.
    pub fn add(&mut self, at_us: u64, event: E) {
        self.count += 1;
        self.events.insert((at_us, self.count), event);
    }

    /// What happens next, if it happens before then.
    pub fn next_before(&mut self, end_us: u64) -> Option<(u64, E)> {
        let entry = self.events.first_entry()?;
        let at_us = entry.key().0;
        (at_us < end_us).then(|| (at_us, entry.remove()))
    }
}

impl<E> Default for Agenda<E> {
    fn default() -> Self {
        Self::new()
    }
}
