//! The engine: inputs and effects on one side, the library's group and the voters' shares on the
//! other.

use std::collections::BTreeMap;

use xinqiao_consensus::{Effect, Engine, Error, Input, Signer, Timer};
use xinqiao_crypto::KeyId;
use xinqiao_ledger::{
    block::Certificate,
    ids::{ChainId, HeaderHash, Height},
    validators::ValidatorSet,
    vote::commit_message,
};

use crate::{
    desk::{Desk, Held},
    gate::{Gate, Through},
    group::{Group, Logged, Turn},
    message::{Block, Body, Letter, Message, Share, Verified},
    record::{Event, Kept, Record, recover},
    shares::Shares,
    timer::{AGAIN_TICKS, Patience, TICK, TICK_MS},
};

/// How many blocks stay in the log after they are on disk, so that a node a little behind gets them
/// from there; and again as many before the log is cut.
const KEEP: Height = 16;

/// The crash-fault engine.
pub struct Raft<S> {
    chain: ChainId,
    signer: S,
    patience: Patience,
    desk: Desk,
    gate: Gate,
    shares: Shares,
    height: Height,
    work: bool,
    building: bool,
    phase: Phase,
    group: Option<Member>,
    /// The last header that this node signed, and its height.
    signed: Option<(Height, HeaderHash)>,
    ticks: u64,
    stopped: bool,
}

/// This node as a voter.
struct Member {
    group: Group,
    set: ValidatorSet,
    /// The heights that the others said they stand at.
    heights: BTreeMap<KeyId, Height>,
    /// A point beyond the chain's end: the blocks have to come first.
    beyond: Option<Letter>,
}

/// How far a height has got.
enum Phase {
    /// Nothing is agreed on.
    Open,
    /// A header is agreed on and signed.
    Agreed {
        header: HeaderHash,
        /// This node's signature, once it is out.
        said: Option<Share>,
    },
    /// Nothing is left but to write the block.
    Decided,
}

impl<S: Signer> Engine for Raft<S> {
    type Message = Message;

    fn handle(&mut self, input: Input<Verified>) -> Result<Vec<Effect<Message>>, Error> {
        if self.stopped {
            return Err(Error::Stopped);
        }
        match self.take(input).and_then(|()| self.settle()) {
            Ok(()) => Ok(self.desk.take()),
            Err(error) => {
                self.stopped = true;
                Err(error)
            }
        }
    }

    fn height(&self) -> Height {
        self.height
    }
}

impl<S: Signer> Raft<S> {
    /// An engine that signs as a validator of a chain; it waits for [`Input::Start`]. The seed makes
    /// its election timeouts differ from the others'.
    pub fn new(chain: ChainId, signer: S, seed: u64) -> Self {
        Self {
            chain,
            signer,
            patience: Patience::new(seed),
            desk: Desk::default(),
            gate: Gate::default(),
            shares: Shares::default(),
            height: 0,
            work: false,
            building: false,
            phase: Phase::Open,
            group: None,
            signed: None,
            ticks: 0,
            stopped: false,
        }
    }

    /// Whether this node leads.
    pub fn is_leader(&self) -> bool {
        let group = self.group.as_ref();
        group.is_some_and(|member| member.group.is_leader())
    }

    /// The term under way.
    pub fn term(&self) -> u64 {
        let group = self.group.as_ref();
        group.map_or(0, |member| member.group.term())
    }

    fn take(&mut self, input: Input<Verified>) -> Result<(), Error> {
        match input {
            Input::Start {
                height,
                since,
                validators,
                log,
                work,
            } => self.start(height, since, validators, &log, work),
            Input::Work => {
                self.work = true;
                Ok(())
            }
            Input::Message { from, message } => self.message(from, message),
            Input::Built { height, header, .. } => self.built(height, header),
            Input::Judged {
                height,
                header,
                valid,
            } => self.judged(height, header, valid),
            Input::Timeout(timer) => {
                self.timeout(timer);
                Ok(())
            }
            Input::Flushed { upto } => {
                self.desk.flushed(upto);
                Ok(())
            }
            Input::Connected { validator } => {
                self.connected(validator);
                Ok(())
            }
        }
    }

    fn start(
        &mut self,
        height: Height,
        since: Height,
        validators: ValidatorSet,
        log: &[Vec<u8>],
        work: bool,
    ) -> Result<(), Error> {
        if height <= self.height {
            return Err(Error::NotAbove {
                current: self.height,
                got: height,
            });
        }
        if since == 0 || since > height {
            return Err(Error::Unexpected("validators from a later height on"));
        }
        let kept = recover(height, log)?;
        self.height = height;
        self.work = work;
        self.building = false;
        self.phase = Phase::Open;
        self.gate.begin();
        self.shares.begin(height);
        let goes_on = (self.group.as_ref()).is_some_and(|member| {
            member.group.since() == since && member.group.validators() == validators.hash()
        });
        if goes_on {
            self.go_on();
        } else {
            self.begin(since, validators, kept)?;
        }
        // After a crash: what was signed had been agreed on.
        match self.signed {
            Some((at, header)) if at == height && self.group.is_some() => self.agree(header),
            _ => Ok(()),
        }
    }

    /// Enters the group of an epoch, or enters it again after a crash.
    fn begin(
        &mut self,
        since: Height,
        validators: ValidatorSet,
        kept: Option<Kept>,
    ) -> Result<(), Error> {
        self.desk.forget();
        self.gate.clear();
        self.group = None;
        if let Some(kept) = &kept {
            self.signed = kept.signed;
        }
        let me = self.signer.validator();
        if validators.key(&me).is_none() {
            return Ok(());
        }
        let hash = validators.hash();
        let kept = match kept {
            Some(kept) if kept.since > since => {
                return Err(Error::LogAhead {
                    log: kept.since,
                    start: since,
                });
            }
            Some(kept) if kept.since == since && kept.validators != hash => {
                let fault = "the log is of other validators than those in force";
                return Err(Error::Core(fault.to_owned()));
            }
            Some(kept) if kept.since == since => kept,
            // Nothing of an earlier epoch is left to agree on.
            Some(_) | None => Kept::begin(since, hash),
        };
        let group = Group::new(&kept, &validators, &me, self.patience.clone())?;
        // Each epoch, and each life of this process, draws other timeouts.
        self.patience.next();
        if group.last_height() > self.height {
            return Err(Error::LogAhead {
                log: group.last_height(),
                start: self.height,
            });
        }
        self.group = Some(Member {
            group,
            set: validators,
            heights: BTreeMap::new(),
            beyond: None,
        });
        self.write_all();
        self.desk.push(Effect::SetTimer {
            timer: TICK,
            after_ms: TICK_MS,
        });
        Ok(())
    }

    /// The next height of the same epoch: the blocks below are on disk.
    fn go_on(&mut self) {
        let height = self.height;
        let Some(member) = &mut self.group else {
            return;
        };
        // First, while the library has nothing in hand that is not in the log yet.
        if member.group.compact(height.saturating_sub(KEEP + 1), KEEP) {
            self.write_all();
        }
        let Some(member) = &mut self.group else {
            return;
        };
        if let Some(letter) = member.beyond.take() {
            match &letter.body {
                Body::Restore(point) if point.height >= height => member.beyond = Some(letter),
                _ => member.group.step(&letter, self.desk.is_durable()),
            }
        }
    }

    /// Writes down everything that matters, and then asks to drop what was written before.
    fn write_all(&mut self) {
        let Some(member) = &self.group else { return };
        let kept = member.group.keep(self.signed);
        debug_assert!(
            kept.is_sound(),
            "what is written can be read again: {kept:?}"
        );
        self.append(Event::Kept(kept));
        let below = self.height;
        self.desk.hold(Held::Do(Effect::Truncate { below }));
    }

    fn append(&mut self, event: Event) {
        let height = self.height;
        self.desk.append(&Record { height, event });
    }

    fn message(&mut self, from: KeyId, message: Verified) -> Result<(), Error> {
        if self.height == 0 {
            return Err(Error::NotStarted);
        }
        let set = message.validators();
        match message.into_message() {
            Message::Share(share) => {
                if share.height < self.height {
                    if share.again {
                        self.behind(from, share.height);
                    }
                } else if let Some(twice) = self.shares.keep(self.height, &share, set) {
                    self.desk.push(Effect::Accuse(twice));
                }
            }
            Message::Letter(letter) => {
                let Some(member) = &mut self.group else {
                    return Ok(());
                };
                if letter.to != self.signer.validator() || letter.from == letter.to {
                    return Ok(());
                }
                let ours = member.group.since();
                if letter.since < ours {
                    self.behind(from, letter.height);
                } else if letter.since == ours && set == member.group.validators() {
                    self.letter(letter);
                }
            }
        }
        Ok(())
    }

    fn letter(&mut self, letter: Letter) {
        let Some(member) = &mut self.group else {
            return;
        };
        let known = member.heights.entry(letter.from).or_default();
        *known = letter.height.max(*known);
        let lags = letter.height + 1 < self.height;
        let regular = matches!(letter.body, Body::Heartbeat { .. } | Body::Beaten { .. });
        let (from, height) = (letter.from, letter.height);
        match &letter.body {
            Body::Append { .. } => self.gate.put(letter),
            Body::Restore(point) if point.height >= self.height => member.beyond = Some(letter),
            _ => member.group.step(&letter, self.desk.is_durable()),
        }
        if lags && regular {
            self.behind(from, height);
        }
    }

    fn behind(&mut self, validator: KeyId, height: Height) {
        self.desk.push(Effect::Behind { validator, height });
    }

    fn built(&mut self, height: Height, header: HeaderHash) -> Result<(), Error> {
        if height != self.height {
            return Ok(());
        }
        if !std::mem::take(&mut self.building) {
            return Err(Error::NotAsked(header));
        }
        self.gate.judged(header);
        let may = self.may_propose();
        let proposer = self.signer.validator();
        if let Some(member) = &mut self.group
            && may
        {
            member.group.propose(&Block {
                height,
                header,
                proposer,
            });
        }
        Ok(())
    }

    fn judged(&mut self, height: Height, header: HeaderHash, valid: bool) -> Result<(), Error> {
        if height != self.height {
            return Ok(());
        }
        if !self.gate.is_asked(&header) {
            return Err(Error::NotAsked(header));
        }
        if !valid {
            return Err(Error::Diverged(header));
        }
        self.gate.judged(header);
        Ok(())
    }

    fn timeout(&mut self, timer: Timer) {
        let Some(member) = &mut self.group else {
            return;
        };
        if timer != TICK {
            return;
        }
        member.group.tick();
        self.gate.tick();
        self.ticks += 1;
        if self.ticks.is_multiple_of(AGAIN_TICKS)
            && let Phase::Agreed {
                said: Some(share), ..
            } = &self.phase
        {
            let share = share.clone();
            self.desk.push(Effect::Broadcast(Message::Share(share)));
        }
        self.desk.push(Effect::SetTimer {
            timer,
            after_ms: TICK_MS,
        });
    }

    fn connected(&mut self, to: KeyId) {
        let Some(member) = &mut self.group else {
            return;
        };
        // Whoever answers is told what it misses.
        member.group.ping();
        if let Phase::Agreed {
            said: Some(share), ..
        } = &self.phase
        {
            let message = Message::Share(share.clone());
            self.desk.push(Effect::Send { to, message });
        }
    }

    /// Goes on until nothing is left that can be done without the host.
    fn settle(&mut self) -> Result<(), Error> {
        loop {
            if let Some(turn) = self.turn()? {
                self.take_turn(turn)?;
            } else if let Some(held) = self.desk.release() {
                self.release(held);
            } else if let Some(through) = self.through() {
                self.take_through(through);
            } else {
                break;
            }
        }
        self.certify();
        self.build();
        Ok(())
    }

    fn turn(&mut self) -> Result<Option<Turn>, Error> {
        match &mut self.group {
            Some(member) => member.group.turn(),
            None => Ok(None),
        }
    }

    fn take_turn(&mut self, turn: Turn) -> Result<(), Error> {
        let whole = matches!(turn.log, Some(Logged::Whole));
        match turn.log {
            Some(Logged::Whole) => self.write_all(),
            Some(Logged::Event(event)) => self.append(event),
            None => {}
        }
        self.desk.hold(Held::Persisted(turn.number, whole));
        for (to, term, body) in turn.say {
            self.say(to, term, body, turn.at_once);
        }
        for block in turn.agreed {
            if block.height == self.height {
                self.agree(block.header)?;
            } else if block.height > self.height {
                return Err(Error::Core(format!(
                    "height {} was agreed on before {} was written",
                    block.height, self.height
                )));
            }
        }
        Ok(())
    }

    fn say(&mut self, to: KeyId, term: u64, body: Body, at_once: bool) {
        let Some(member) = &self.group else { return };
        if let Body::Restore(point) = &body {
            let known = member.heights.get(&to).copied();
            self.behind(to, known.unwrap_or(point.height));
        }
        let Some(member) = &self.group else { return };
        let message = Message::Letter(Letter {
            since: member.group.since(),
            height: self.height,
            from: self.signer.validator(),
            to,
            term,
            body,
        });
        let effect = Effect::Send { to, message };
        if at_once {
            self.desk.push(effect);
        } else {
            self.desk.hold(Held::Do(effect));
        }
    }

    fn release(&mut self, held: Held) {
        match held {
            Held::Do(effect) => self.desk.push(effect),
            Held::Persisted(number, whole) => {
                if let Some(member) = &mut self.group {
                    member.group.persisted(number, whole);
                }
            }
            Held::Share(share) => self.release_share(share),
        }
    }

    fn release_share(&mut self, share: Share) {
        if let Some(member) = &self.group {
            // An own share cannot contradict another: `agree` saw to it.
            let set = member.group.validators();
            let _ = self.shares.keep(self.height, &share, set);
        }
        if share.height == self.height
            && let Phase::Agreed { said, .. } = &mut self.phase
        {
            let again = true;
            *said = Some(Share {
                again,
                ..share.clone()
            });
        }
        self.desk.push(Effect::Broadcast(Message::Share(share)));
    }

    fn through(&mut self) -> Option<Through> {
        let member = self.group.as_ref()?;
        let me = self.signer.validator();
        self.gate.next(self.height, me, &member.group)
    }

    fn take_through(&mut self, through: Through) {
        let durable = self.desk.is_durable();
        match (through, &mut self.group) {
            (Through::Letter(letter), Some(member)) => member.group.step(&letter, durable),
            (Through::Letter(_), None) => {}
            (Through::Ask(block, proposer), _) => self.desk.push(Effect::Judge {
                height: block.height,
                header: block.header,
                proposer,
            }),
        }
    }

    /// The last look: whatever led here, two headers are never signed at one height.
    fn agree(&mut self, header: HeaderHash) -> Result<(), Error> {
        let height = self.height;
        let against = Err(Error::DoubleSign { height, round: 0 });
        match &self.phase {
            Phase::Open => {}
            Phase::Agreed { header: agreed, .. } if *agreed != header => return against,
            Phase::Agreed { .. } | Phase::Decided => return Ok(()),
        }
        match self.signed {
            Some((at, signed)) if at == height && signed != header => return against,
            Some((at, _)) if at > height => return against,
            Some((at, _)) if at == height => {}
            Some(_) | None => {
                self.signed = Some((height, header));
                self.append(Event::Signed(header));
            }
        }
        let message = commit_message(&self.chain, height, 0, &header);
        let share = Share {
            height,
            header,
            validator: self.signer.validator(),
            signature: self.signer.sign(&message),
            again: false,
        };
        self.phase = Phase::Agreed { header, said: None };
        self.desk.hold(Held::Share(share));
        Ok(())
    }

    /// A majority's signatures are the certificate.
    fn certify(&mut self) {
        let (Phase::Agreed { header, .. }, Some(member)) = (&self.phase, &self.group) else {
            return;
        };
        let set = &member.set;
        let (height, header) = (self.height, *header);
        let signatures = self.shares.over(height, &header, set.hash());
        if signatures.len() >= set.quorum() {
            self.phase = Phase::Decided;
            self.desk.push(Effect::Commit(Certificate {
                height,
                round: 0,
                header,
                signatures,
            }));
        }
    }

    fn build(&mut self) {
        if self.work && !self.building && self.may_propose() {
            self.building = true;
            self.desk.push(Effect::Build {
                height: self.height,
                round: 0,
            });
        }
    }

    /// Whether this node leads and nothing is under way at this height: a block of it in the
    /// leader's log is agreed on with the first entry of the leader's term.
    fn may_propose(&self) -> bool {
        let open = matches!(self.phase, Phase::Open);
        let group = self.group.as_ref().map(|member| &member.group);
        open && group.is_some_and(|group| group.is_leader() && group.last_height() < self.height)
    }
}

#[cfg(test)]
mod tests;
