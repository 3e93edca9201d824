//! `solo`: one validator that decides alone. For development, tests and simulation.
//!
//! A block is formed as soon as the engine is free and something waits, or a deadline is due; there
//! is no interval. While one block is under way, transactions gather for the next.

use xinqiao_ledger::{
    block::Certificate,
    ids::{HeaderHash, Height, TimeMs},
};

use crate::{
    engine::{Effect, Effects, Engine, Error, Input, Position, Slot},
    time::{self, TimeFault},
};

/// The engine of a single validator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Solo {
    position: Position,
    /// Whether transactions wait that no block under way takes up.
    waiting: bool,
    state: State,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Free,
    Building(Slot),
    Signing { height: Height, header: HeaderHash },
    Committing { height: Height },
}

impl State {
    fn name(&self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Building(_) => "building",
            Self::Signing { .. } => "signing",
            Self::Committing { .. } => "committing",
        }
    }
}

impl Solo {
    /// An engine of a chain that stands there.
    pub fn new(position: Position) -> Self {
        Self {
            position,
            waiting: false,
            state: State::Free,
        }
    }

    /// Begins a block if there is cause, or asks to be woken when there will be.
    fn consider(&mut self, now: TimeMs) -> Effects {
        if self.state != State::Free {
            return Vec::new();
        }
        let due = self.position.deadline.is_some_and(|at| at <= now);
        if !self.waiting && !due {
            return self
                .position
                .deadline
                .map(Effect::WakeAt)
                .into_iter()
                .collect();
        }
        match time::next(self.position.time, now) {
            Ok(time) => {
                let slot = Slot {
                    height: self.position.height + 1,
                    time,
                };
                self.waiting = false;
                self.state = State::Building(slot);
                vec![Effect::Build(slot)]
            }
            Err(TimeFault::Ahead { by_ms }) => vec![
                Effect::ClockBehind { by_ms },
                Effect::WakeAt(now + (by_ms - time::MAX_AHEAD_MS)),
            ],
            // Only after the last millisecond that 64 bits can tell.
            Err(TimeFault::NotLater { .. }) => Vec::new(),
        }
    }
}

impl Engine for Solo {
    fn handle(&mut self, input: Input) -> Result<Effects, Error> {
        match (&self.state, input) {
            (_, Input::Waiting { now }) => {
                self.waiting = true;
                Ok(self.consider(now))
            }
            (_, Input::Tick { now }) => Ok(self.consider(now)),
            (_, Input::Deadline { at, now }) => {
                let known = self.position.deadline;
                self.position.deadline = Some(known.map_or(at, |known| known.min(at)));
                Ok(self.consider(now))
            }
            (State::Building(slot), Input::Built(header)) => {
                if header.height != slot.height {
                    return Err(Error::OtherBlock {
                        expected: slot.height,
                        got: header.height,
                    });
                }
                if header.time != slot.time {
                    return Err(Error::OtherTime {
                        expected: slot.time,
                        got: header.time,
                    });
                }
                let (height, header) = (header.height, header.hash());
                self.state = State::Signing { height, header };
                Ok(vec![Effect::Sign { height, header }])
            }
            (
                State::Signing { height, header },
                Input::Signed {
                    validator,
                    signature,
                },
            ) => {
                let certificate = Certificate {
                    height: *height,
                    header: *header,
                    signatures: vec![(validator, signature)],
                };
                self.state = State::Committing { height: *height };
                Ok(vec![Effect::Commit(certificate)])
            }
            (
                State::Committing { height },
                Input::Committed {
                    position,
                    waiting,
                    now,
                },
            ) => {
                if position.height != *height {
                    return Err(Error::OtherBlock {
                        expected: *height,
                        got: position.height,
                    });
                }
                self.position = position;
                self.waiting = waiting;
                self.state = State::Free;
                Ok(self.consider(now))
            }
            (state, input) => Err(Error::Unexpected {
                input: match input {
                    Input::Built(_) => "a built block",
                    Input::Signed { .. } => "a signature",
                    Input::Committed { .. } => "a committed block",
                    Input::Waiting { .. } | Input::Tick { .. } | Input::Deadline { .. } => {
                        "the time"
                    }
                },
                state: state.name(),
            }),
        }
    }

    fn position(&self) -> Position {
        self.position
    }
}

#[cfg(test)]
mod tests;
