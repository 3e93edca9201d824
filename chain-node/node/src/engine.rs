//! The engines behind one type: which one is at work is decided by the validator set in force, so a
//! change of engine at a height is a change of sets like any other.

use std::sync::Arc;

use rand::rng;
use xinqiao_bft::{Bft, Timeouts};
use xinqiao_consensus::{
    Effect, Engine, Error, Input, Malformed, Message, Refused, Signer, Silence, Solo, Verifier,
};
use xinqiao_crypto::{DistinguishingId, KeyId, SecretKey, Signature};
use xinqiao_ledger::{
    ids::{ChainId, HeaderHash, Height},
    validators::{Engine as Kind, ValidatorSet},
};
use xinqiao_raft::Raft;

/// A validator's key.
#[derive(Clone)]
pub(crate) struct KeySigner {
    pub(crate) key: Arc<SecretKey>,
    pub(crate) id: DistinguishingId,
}

impl Signer for KeySigner {
    fn validator(&self) -> KeyId {
        self.key.public().id()
    }

    fn sign(&mut self, message: &[u8]) -> Signature {
        self.key.sign(&self.id, message, &mut rng())
    }
}

/// The engine in force.
pub(crate) struct EngineInForce {
    chain: ChainId,
    signer: KeySigner,
    at_work: AtWork,
}

enum AtWork {
    None,
    Solo(Solo<KeySigner>),
    Raft(Box<Raft<KeySigner>>),
    Bft(Box<Bft<KeySigner>>),
}

/// A message of some engine.
#[derive(Debug, Clone)]
pub(crate) enum AnyMessage {
    Raft(xinqiao_raft::Message),
    Bft(xinqiao_bft::Message),
}

/// The same once it is verified.
#[derive(Debug)]
pub(crate) enum AnyVerified {
    Raft(xinqiao_raft::Verified),
    Bft(xinqiao_bft::Verified),
}

impl Message for AnyMessage {
    type Verified = AnyVerified;

    fn encode(&self) -> Vec<u8> {
        let (kind, message) = match self {
            Self::Raft(message) => (Kind::Raft, message.encode()),
            Self::Bft(message) => (Kind::Bft, message.encode()),
        };
        tagged(kind, &message)
    }

    fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        match untagged(bytes) {
            Some((Kind::Bft, message)) => Message::decode(message).map(Self::Bft),
            Some((Kind::Raft, message)) => Message::decode(message).map(Self::Raft),
            Some((Kind::Solo, _)) | None => Err(Malformed::Encoding),
        }
    }

    fn height(&self) -> Height {
        match self {
            Self::Raft(message) => Message::height(message),
            Self::Bft(message) => Message::height(message),
        }
    }

    fn proposes(&self) -> Vec<HeaderHash> {
        match self {
            Self::Raft(message) => message.proposes(),
            Self::Bft(message) => message.proposes(),
        }
    }

    fn verify(
        self,
        from: KeyId,
        chain: &ChainId,
        validators: &ValidatorSet,
        verifier: &impl Verifier,
    ) -> Result<AnyVerified, Refused> {
        match self {
            Self::Raft(message) => {
                Message::verify(message, from, chain, validators, verifier).map(AnyVerified::Raft)
            }
            Self::Bft(message) => {
                Message::verify(message, from, chain, validators, verifier).map(AnyVerified::Bft)
            }
        }
    }
}

/// An engine's bytes, with the engine's number before them: on the wire and in the log.
fn tagged(kind: Kind, bytes: &[u8]) -> Vec<u8> {
    let mut tagged = Vec::with_capacity(bytes.len() + 1);
    tagged.push(kind as u8);
    tagged.extend_from_slice(bytes);
    tagged
}

fn untagged(bytes: &[u8]) -> Option<(Kind, &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let kind = Kind::ALL.into_iter().find(|kind| *kind as u8 == *tag)?;
    Some((kind, rest))
}

impl EngineInForce {
    pub(crate) fn new(chain: ChainId, signer: KeySigner) -> Self {
        Self {
            chain,
            signer,
            at_work: AtWork::None,
        }
    }

    /// The engine of that kind: the one at work, or a fresh one.
    fn install(&mut self, kind: Kind) {
        let (chain, signer) = (self.chain, self.signer.clone());
        self.at_work = match (std::mem::replace(&mut self.at_work, AtWork::None), kind) {
            (AtWork::Solo(engine), Kind::Solo) => AtWork::Solo(engine),
            (AtWork::Raft(engine), Kind::Raft) => AtWork::Raft(engine),
            (AtWork::Bft(engine), Kind::Bft) => AtWork::Bft(engine),
            (_, Kind::Solo) => AtWork::Solo(Solo::new(chain, signer)),
            (_, Kind::Bft) => AtWork::Bft(Box::new(Bft::new(chain, signer, Timeouts::default()))),
            (_, Kind::Raft) => AtWork::Raft(Box::new(Raft::new(chain, signer, rand::random()))),
        };
    }
}

/// An input without a message is every engine's.
fn without_message<V, W>(input: Input<V>) -> Result<Input<W>, V> {
    Ok(match input {
        Input::Message { message, .. } => return Err(message),
        Input::Start {
            height,
            since,
            validators,
            log,
            work,
        } => Input::Start {
            height,
            since,
            validators,
            log,
            work,
        },
        Input::Work => Input::Work,
        Input::Built {
            height,
            round,
            header,
        } => Input::Built {
            height,
            round,
            header,
        },
        Input::Judged {
            height,
            header,
            valid,
        } => Input::Judged {
            height,
            header,
            valid,
        },
        Input::Timeout(timer) => Input::Timeout(timer),
        Input::Flushed { upto } => Input::Flushed { upto },
        Input::Connected { validator } => Input::Connected { validator },
    })
}

/// Effects of one engine as those of any.
fn any<M>(
    effects: Vec<Effect<M>>,
    kind: Kind,
    wrap: impl Fn(M) -> AnyMessage,
) -> Vec<Effect<AnyMessage>> {
    let one = |effect| match effect {
        Effect::Append(record) => Effect::Append(tagged(kind, &record)),
        Effect::Broadcast(message) => Effect::Broadcast(wrap(message)),
        Effect::Send { to, message } => Effect::Send {
            to,
            message: wrap(message),
        },
        Effect::Flush { upto } => Effect::Flush { upto },
        Effect::Truncate { below } => Effect::Truncate { below },
        Effect::SetTimer { timer, after_ms } => Effect::SetTimer { timer, after_ms },
        Effect::CancelTimer(timer) => Effect::CancelTimer(timer),
        Effect::CancelTimers => Effect::CancelTimers,
        Effect::Build { height, round } => Effect::Build { height, round },
        Effect::Judge {
            height,
            header,
            proposer,
        } => Effect::Judge {
            height,
            header,
            proposer,
        },
        Effect::Commit(certificate) => Effect::Commit(certificate),
        Effect::Accuse(equivocation) => Effect::Accuse(equivocation),
        Effect::Behind { validator, height } => Effect::Behind { validator, height },
    };
    effects.into_iter().map(one).collect()
}

impl Engine for EngineInForce {
    type Message = AnyMessage;

    fn handle(&mut self, mut input: Input<AnyVerified>) -> Result<Vec<Effect<AnyMessage>>, Error> {
        let mut stops_timers = false;
        if let Input::Start {
            validators, log, ..
        } = &mut input
        {
            let kind = validators.engine();
            let before = self.kind();
            self.install(kind);
            stops_timers = before.is_some_and(|before| before != kind);
            // Records of another engine are of heights that were decided with it.
            log.retain(|record| matches!(untagged(record), Some((of, _)) if of == kind));
            for record in log.iter_mut() {
                record.remove(0);
            }
        }
        let mut effects = match &mut self.at_work {
            AtWork::None => return Err(Error::NotStarted),
            AtWork::Solo(engine) => match without_message::<_, Silence>(input) {
                Ok(input) => any(
                    engine.handle(input)?,
                    Kind::Solo,
                    |silence| match silence {},
                ),
                Err(_) => Vec::new(),
            },
            AtWork::Raft(engine) => {
                let input = match input {
                    Input::Message {
                        from,
                        message: AnyVerified::Raft(message),
                    } => Input::Message { from, message },
                    other => match without_message(other) {
                        Ok(input) => input,
                        Err(_) => return Ok(Vec::new()),
                    },
                };
                any(engine.handle(input)?, Kind::Raft, AnyMessage::Raft)
            }
            AtWork::Bft(engine) => {
                let input = match input {
                    Input::Message {
                        from,
                        message: AnyVerified::Bft(message),
                    } => Input::Message { from, message },
                    other => match without_message(other) {
                        Ok(input) => input,
                        Err(_) => return Ok(Vec::new()),
                    },
                };
                any(engine.handle(input)?, Kind::Bft, AnyMessage::Bft)
            }
        };
        if stops_timers {
            effects.insert(0, Effect::CancelTimers);
        }
        Ok(effects)
    }

    fn height(&self) -> Height {
        match &self.at_work {
            AtWork::None => 0,
            AtWork::Solo(engine) => engine.height(),
            AtWork::Raft(engine) => engine.height(),
            AtWork::Bft(engine) => Engine::height(&**engine),
        }
    }
}

impl EngineInForce {
    /// Which engine is at work.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match &self.at_work {
            AtWork::None => None,
            AtWork::Solo(_) => Some(Kind::Solo),
            AtWork::Raft(_) => Some(Kind::Raft),
            AtWork::Bft(_) => Some(Kind::Bft),
        }
    }
}
