//! A validator's main loop: the engine decides, this carries out. One owner of the store and of the
//! engine; executing and writing happen on the blocking pool, checking what others say at the edge
//! (`service::validator`), and the log has a thread of its own, so that nothing waits here.

mod jobs;
mod rounds;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    future::pending,
    sync::Arc,
    time::{Duration, Instant},
};

use prost::Message as _;
use tokio::sync::{mpsc, oneshot, watch};
use xinqiao_consensus::{Effect, Engine, Input, Message, Step, Timer};
use xinqiao_contracts::{next_deadline, validators};
use xinqiao_crypto::{KeyId, SecretKey};
use xinqiao_ledger::{
    ids::{HeaderHash, Height, TimeMs},
    tx::Tx,
    validators::Engine as Consensus,
    vote::Equivocation,
    wire,
};
use xinqiao_store::Store;

use crate::{
    bodies::{Bodies, Body, NotTaken, Stage},
    catch_up::{Fetch, Others},
    caution::Caution,
    engine::{AnyMessage, AnyVerified, EngineInForce, KeySigner},
    error::Error,
    intake::Intake,
    mesh::{Mesh, Saying, Ways},
    shared::{Shared, now, stopped},
    upstream::{Checked, UpstreamFault},
    wal::{Kind, LogKeeper, Recovered},
};

use self::jobs::{Done, Job, Work, deadline_of};

/// How far ahead of a block's time, and of the clock while none is formed, deadlines are looked for.
/// Most are cleared long before they would fire, and a store is slow to walk over what was cleared:
/// looking for the earliest of all would cost more the more was done.
const SIGHT_MS: TimeMs = 1_000;

/// How many blocks a report may take to be ordered.
const REPORT_EXPIRES: Height = 100;

/// How long a proposal is waited for that nobody can send.
const ABSENT: Duration = Duration::from_millis(40);

/// How often it is looked whether others are ahead, and whether a body that is wanted has to be asked
/// for again.
const ROUNDS: Duration = Duration::from_millis(100);

/// How often others are told of waiting transactions at most: each telling is a message to every one of
/// them, which costs as much as checking several transactions.
const TELL: Duration = Duration::from_millis(10);

/// How many waiting transactions a validator that comes back is told of.
const TOLD_AGAIN: usize = 1_000;

/// What comes in from beside the loop.
#[derive(Debug)]
pub(crate) enum Heard {
    /// A validator can be reached again.
    Connected(KeyId),
    /// A validator listens for transactions again.
    Listens(KeyId),
    /// A validator cannot be reached any more.
    Gone(KeyId),
    /// A validator has said something.
    Told {
        /// Which.
        from: KeyId,
        /// What.
        told: Told,
    },
    /// A validator asks for a body.
    Asked {
        /// Its header.
        hash: HeaderHash,
        /// Where the answer goes.
        answer: oneshot::Sender<Option<Arc<wire::ProposedBody>>>,
    },
}

/// What a validator says.
#[derive(Debug)]
pub(crate) enum Told {
    /// A message of the engine.
    Message(AnyVerified),
    /// A body.
    Body(Box<Body>),
    /// Where its chain stands.
    Tip(Height),
}

/// A body that the engine waits for.
struct Wanted {
    height: Height,
    /// Whom to ask next, by turns.
    turn: usize,
    proposer: KeyId,
    asked: Instant,
}

/// A validator at work.
pub(crate) struct Host {
    me: KeyId,
    signer: KeySigner,
    shared: Arc<Shared>,
    intake: Arc<Intake>,
    /// At work as long as this node is among the validators in force.
    engine: Option<EngineInForce>,
    /// Records for the engine's first start.
    recovered: Vec<Vec<u8>>,
    /// Here, or with the job under way.
    store: Option<Store>,
    job: Option<Job>,
    todo: VecDeque<Work>,
    bodies: Bodies,
    wanted: BTreeMap<HeaderHash, Wanted>,
    log: LogKeeper,
    /// Flushes under way: the engine's number, and how often the engine had been replaced.
    flushes: VecDeque<(u64, u64)>,
    flushed: u64,
    generation: u64,
    timers: BTreeMap<Timer, Instant>,
    connected: BTreeSet<KeyId>,
    caution: Caution,
    mesh: Mesh,
    tell: mpsc::Sender<Heard>,
    heard: mpsc::Receiver<Heard>,
    others: Others,
    fetch: Option<Fetch>,
    turn: usize,
    /// When a block was committed last, or somebody was asked for one.
    got_on: Instant,
    /// When others were told of waiting transactions last, and when those are told that came since.
    told_at: Option<Instant>,
    tell_at: Option<Instant>,
    /// When the validators' addresses were looked up last.
    looked_up: Instant,
    /// A block that waits for this machine's clock to catch up with the chain's time.
    build_at: Option<(Instant, Height, u32)>,
    /// When the earliest deadline in sight has to fire.
    deadline: Option<TimeMs>,
    /// Up to when deadlines were looked for and none was seen; none while one is known.
    clear_until: Option<TimeMs>,
}

fn in_sight(time: TimeMs) -> TimeMs {
    time.saturating_add(SIGHT_MS)
}

/// A channel for what comes in from beside the loop.
pub(crate) fn channel() -> (mpsc::Sender<Heard>, mpsc::Receiver<Heard>) {
    mpsc::channel(1_024)
}

/// What a validator needs beside its store.
pub(crate) struct Means {
    pub(crate) key: SecretKey,
    pub(crate) intake: Arc<Intake>,
    pub(crate) ways: Ways,
    pub(crate) tell: mpsc::Sender<Heard>,
    pub(crate) heard: mpsc::Receiver<Heard>,
    pub(crate) log: LogKeeper,
    pub(crate) recovered: Recovered,
    pub(crate) speak_without_log: bool,
}

impl Host {
    pub(crate) fn new(shared: Arc<Shared>, store: Store, means: Means) -> Result<Self, Error> {
        let Means {
            key,
            intake,
            ways,
            tell,
            heard,
            log,
            recovered,
            speak_without_log,
        } = means;
        let me = key.public().id();
        let signer = KeySigner {
            key: Arc::new(key),
            id: shared.genesis.distinguishing_id.clone(),
        };
        let mut bodies = Bodies::default();
        for record in &recovered.bodies {
            let body = Body::recovered(&shared, record).map_err(|fault| match fault {
                NotTaken::Malformed(fault) => Error::LoggedBody(fault),
                NotTaken::Store(fault) => fault.into(),
            })?;
            if body.header.height == store.tip().height + 1 {
                bodies.keep_logged(body);
            }
        }
        let deadline = deadline_of(&store)?;
        let clear_until = deadline.is_none().then(|| in_sight(store.tip().time));
        Ok(Self {
            me,
            signer,
            intake,
            engine: None,
            recovered: recovered.engine,
            job: None,
            todo: VecDeque::new(),
            bodies,
            wanted: BTreeMap::new(),
            log,
            flushes: VecDeque::new(),
            flushed: 0,
            generation: 0,
            timers: BTreeMap::new(),
            connected: BTreeSet::new(),
            caution: Caution::new(recovered.is_new && !speak_without_log),
            mesh: Mesh::new(me, shared.chain, ways, tell.clone()),
            tell,
            heard,
            others: Others::default(),
            fetch: None,
            turn: 0,
            got_on: Instant::now(),
            told_at: None,
            tell_at: None,
            looked_up: Instant::now(),
            build_at: None,
            deadline,
            clear_until,
            store: Some(store),
            shared,
        })
    }

    /// Runs until told to stop, or until this node disagrees with a quorum. A job under way is finished
    /// first.
    pub(crate) async fn run(mut self, mut stop: watch::Receiver<bool>) -> Result<(), Error> {
        self.mesh.set(validators(&self.shared.reader.view())?);
        self.start_height()?;
        let mut rounds = tokio::time::interval(ROUNDS);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.work_on()?;
            let applies = (self.todo.iter()).any(|work| matches!(work, Work::Apply(_)));
            tokio::select! {
                () = stopped(&mut stop) => break,
                done = finished(&mut self.job) => {
                    if self.note(done)? {
                        break;
                    }
                }
                heard = self.heard.recv() => match heard {
                    Some(heard) => self.hear(heard)?,
                    None => break,
                },
                report = self.log.report() => self.flushed(report?)?,
                () = self.intake.arrived() => self.transactions_came()?,
                () = reached(self.tell_at) => self.tell_of_transactions(),
                timer = first(&self.timers) => {
                    self.timers.remove(&timer);
                    self.feed(Input::Timeout(timer))?;
                }
                block = fetched(&mut self.fetch), if !applies => self.fetched(block)?,
                // Half of what is in sight is left by then: time enough to form the block.
                () = wake(self.clear_until.map(|time| time.saturating_sub(SIGHT_MS / 2))) => {
                    self.look_ahead()?;
                }
                () = wake(self.deadline) => {
                    // Until the block that fires it is committed, there is nothing new to say.
                    self.deadline = None;
                    self.feed(Input::Work)?;
                }
                _ = rounds.tick() => self.go_round()?,
            }
        }
        if self.job.is_some() {
            let done = finished(&mut self.job).await;
            self.note(done)?;
        }
        Ok(())
    }

    /// The height after the last block.
    fn next_height(&self) -> Height {
        self.shared.tip.borrow().height + 1
    }

    fn has_work(&self) -> bool {
        let due = self.deadline.is_some_and(|at| at <= now());
        due || self.intake.mempool().waits()
    }

    /// Lets the engine begin with the next height, if this node is among its validators.
    fn start_height(&mut self) -> Result<(), Error> {
        let height = self.next_height();
        if !self
            .caution
            .may_speak(height - 1, self.shared.epochs.borrow().last())
        {
            return Ok(());
        }
        let (since, validators) = {
            let epochs = self.shared.epochs.borrow();
            (epochs.since(height), epochs.at(height).clone())
        };
        if validators.key(&self.me).is_none() {
            if self.engine.take().is_some() {
                self.timers.clear();
                tracing::warn!(height, "this node is no validator from this height on");
            }
            return Ok(());
        }
        let engine = self.engine.get_or_insert_with(|| {
            self.generation += 1;
            EngineInForce::new(self.shared.chain, self.signer.clone())
        });
        if engine.height() >= height {
            return Ok(());
        }
        if engine.kind() != Some(validators.engine()) {
            self.generation += 1;
        }
        self.log.begin(height);
        let start = Input::Start {
            height,
            since,
            validators,
            log: std::mem::take(&mut self.recovered),
            work: self.has_work(),
        };
        self.feed(start)
    }

    /// Tells the engine something and carries out all that comes of it.
    fn feed(&mut self, input: Input<AnyVerified>) -> Result<(), Error> {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let Some(engine) = &mut self.engine else {
                return Ok(());
            };
            for effect in engine.handle(input)? {
                inputs.extend(self.carry_out(effect));
            }
        }
        Ok(())
    }

    fn carry_out(&mut self, effect: Effect<AnyMessage>) -> Option<Input<AnyVerified>> {
        match effect {
            Effect::Append(record) => self.log.append(Kind::Engine, record),
            Effect::Flush { upto } => {
                self.flushes.push_back((upto, self.generation));
                self.log.flush(self.flushed + self.flushes.len() as u64);
            }
            Effect::Truncate { below } => self.log.truncate(below),
            Effect::Broadcast(message) => {
                for body in self.proposed(&message) {
                    self.mesh.say_all(&Saying::Body(body));
                }
                self.mesh.say_all(&Saying::Message(message.encode().into()));
            }
            Effect::Send { to, message } => {
                for body in self.proposed(&message) {
                    self.mesh.say(&to, Saying::Body(body));
                }
                self.mesh.say(&to, Saying::Message(message.encode().into()));
            }
            Effect::SetTimer { timer, after_ms } => {
                let mut wait = Duration::from_millis(after_ms);
                if self.waits_for_nobody(timer) {
                    wait = wait.min(ABSENT);
                }
                self.timers.insert(timer, Instant::now() + wait);
            }
            Effect::CancelTimer(timer) => drop(self.timers.remove(&timer)),
            Effect::CancelTimers => self.timers.clear(),
            Effect::Build { height, round } => {
                self.todo.push_back(Work::Build { height, round });
            }
            Effect::Judge {
                height,
                header,
                proposer,
            } => return self.judge(height, header, proposer),
            Effect::Commit(certificate) => {
                // Whoever proposes next takes what it has when it has written this block.
                self.tell_of_transactions();
                if certificate.height == self.next_height() {
                    self.todo.push_front(Work::Commit(certificate));
                }
            }
            Effect::Accuse(equivocation) => {
                let (validator, height) = (equivocation.validator, equivocation.height);
                tracing::error!(%validator, height, "a validator has contradicted itself");
                self.report(&equivocation);
            }
            Effect::Behind { validator, .. } => {
                let tip = self.next_height() - 1;
                self.mesh.say(&validator, Saying::Tip(tip));
            }
        }
        None
    }

    /// Puts a contradiction on the ledger. Every honest validator that saw it does; the first counts.
    fn report(&self, equivocation: &Equivocation) {
        let action = wire::tx_body::Action::ReportEquivocation(wire::ReportEquivocation {
            evidence: Some(equivocation.into()),
        });
        let expires_at = self.next_height() + REPORT_EXPIRES;
        let KeySigner { key, id } = &self.signer;
        let transaction = Tx::sign(
            action,
            &self.shared.chain,
            expires_at,
            key,
            id,
            &mut rand::rng(),
        );
        let intake = Arc::clone(&self.intake);
        tokio::spawn(async move {
            match intake.submit(transaction).await {
                Ok(_) => {}
                Err(fault) => tracing::info!(%fault, "a contradiction was not reported from here"),
            }
        });
    }

    /// Whether a timer waits for the proposal of a validator that cannot be reached. How long it runs is
    /// no matter of safety; and in later rounds it runs its time, in case it is this node that is cut off.
    fn waits_for_nobody(&self, timer: Timer) -> bool {
        let validators = self.shared.epochs.borrow().last().clone();
        if timer.step != Step::Propose || timer.round > 2 || validators.engine() != Consensus::Bft {
            return false;
        }
        let proposer = xinqiao_bft::proposer(&validators, timer.height, timer.round);
        proposer != self.me && !self.connected.contains(&proposer)
    }

    fn proposed(&self, message: &AnyMessage) -> Vec<Arc<wire::ProposedBody>> {
        let bodies = message.proposes().into_iter();
        bodies
            .filter_map(|hash| Some(Arc::clone(&self.bodies.get(&hash)?.wire)))
            .collect()
    }

    /// The verdict on a body, if it is known; otherwise it is worked on, or asked for.
    fn judge(
        &mut self,
        height: Height,
        hash: HeaderHash,
        proposer: KeyId,
    ) -> Option<Input<AnyVerified>> {
        let valid = match self.bodies.get(&hash).map(|kept| &kept.stage) {
            Some(Stage::Stands(_)) => true,
            Some(Stage::Refused) => false,
            Some(Stage::Executing) => return None,
            Some(Stage::Waits(_)) => {
                self.todo.push_back(Work::Judge(hash));
                return None;
            }
            None => {
                let wanted = Wanted {
                    height,
                    turn: 0,
                    proposer,
                    // It travels with the proposal: only one that was lost has to be asked for.
                    asked: Instant::now(),
                };
                self.wanted.insert(hash, wanted);
                return None;
            }
        };
        Some(Input::Judged {
            height,
            header: hash,
            valid,
        })
    }

    fn hear(&mut self, heard: Heard) -> Result<(), Error> {
        match heard {
            Heard::Gone(validator) => {
                self.connected.remove(&validator);
                let soon = Instant::now() + ABSENT;
                let absent: Vec<Timer> = (self.timers.keys())
                    .filter(|timer| self.waits_for_nobody(**timer))
                    .copied()
                    .collect();
                for timer in absent {
                    self.timers
                        .entry(timer)
                        .and_modify(|at| *at = soon.min(*at));
                }
                Ok(())
            }
            Heard::Connected(validator) => {
                self.connected.insert(validator);
                let tip = self.next_height() - 1;
                self.mesh.say(&validator, Saying::Tip(tip));
                self.feed(Input::Connected { validator })
            }
            Heard::Listens(validator) => {
                let waiting: Vec<wire::Transaction> = (self.intake.mempool())
                    .oldest(TOLD_AGAIN)
                    .filter_map(|waiting| wire::Transaction::decode(waiting.tx.encoded()).ok())
                    .collect();
                if !waiting.is_empty() {
                    self.mesh.say(&validator, transactions(waiting));
                }
                Ok(())
            }
            Heard::Told { from, told } => match told {
                Told::Message(message) => self.feed(Input::Message { from, message }),
                Told::Body(body) => {
                    let hash = body.hash;
                    self.bodies.keep(from, *body);
                    if self.bodies.get(&hash).is_some() && self.wanted.remove(&hash).is_some() {
                        self.todo.push_back(Work::Judge(hash));
                    }
                    Ok(())
                }
                Told::Tip(height) => {
                    self.others.note(from, height);
                    if self.caution.hears(from, height) {
                        return self.start_height();
                    }
                    Ok(())
                }
            },
            Heard::Asked { hash, answer } => {
                let body = self.bodies.get(&hash).map(|kept| Arc::clone(&kept.wire));
                let _ = answer.send(body);
                Ok(())
            }
        }
    }

    fn transactions_came(&mut self) -> Result<(), Error> {
        if self.tell_at.is_none() {
            match self.told_at.map(|at| at + TELL) {
                Some(next) if next > Instant::now() => self.tell_at = Some(next),
                _ => self.tell_of_transactions(),
            }
        }
        // What arrived may be in a block already.
        if self.intake.mempool().waits() {
            self.feed(Input::Work)?;
        }
        Ok(())
    }

    fn tell_of_transactions(&mut self) {
        self.tell_at = None;
        let fresh = self.intake.fresh();
        if !fresh.is_empty() {
            self.told_at = Some(Instant::now());
            self.mesh.say_all(&transactions(fresh));
        }
    }

    fn flushed(&mut self, token: u64) -> Result<(), Error> {
        while self.flushed < token
            && let Some((upto, generation)) = self.flushes.pop_front()
        {
            self.flushed += 1;
            if generation == self.generation {
                self.feed(Input::Flushed { upto })?;
            }
        }
        Ok(())
    }

    /// Looks for deadlines where nobody has looked before.
    fn look_ahead(&mut self) -> Result<(), Error> {
        let Some(seen) = self.clear_until.take() else {
            return Ok(());
        };
        let until = in_sight(now());
        match next_deadline(&self.shared.reader.view(), seen..=until)? {
            Some(at) => self.deadline = Some(at),
            None => self.clear_until = Some(until.max(seen)),
        }
        Ok(())
    }
}

fn transactions(transactions: Vec<wire::Transaction>) -> Saying {
    Saying::Transactions(Arc::new(wire::TransactionBatch { transactions }))
}

/// Completes with the job under way; never, when there is none.
async fn finished(job: &mut Option<Job>) -> Result<(Store, Done), Error> {
    match job {
        Some(job) => job.await?,
        None => pending().await,
    }
}

async fn fetched(fetch: &mut Option<Fetch>) -> Result<Checked, UpstreamFault> {
    match fetch {
        Some(fetch) => fetch.next().await,
        None => pending().await,
    }
}

async fn reached(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}

/// The timer that runs out first, when it does.
async fn first(timers: &BTreeMap<Timer, Instant>) -> Timer {
    let Some((timer, at)) = timers.iter().min_by_key(|(_, at)| **at) else {
        return pending().await;
    };
    tokio::time::sleep_until((*at).into()).await;
    *timer
}

/// Completes at that time by the machine's clock, however the clock was set meanwhile.
async fn wake(at: Option<TimeMs>) {
    let Some(at) = at else {
        return pending().await;
    };
    // The clock may step: look again at least every second.
    while let Some(left) = at.checked_sub(now()).filter(|left| *left > 0) {
        tokio::time::sleep(Duration::from_millis(left.min(1_000))).await;
    }
}
