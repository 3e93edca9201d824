//! What has to be seen to now and then: whether others are ahead, whom blocks are fetched from, and
//! bodies that did not come by themselves.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use xinqiao_contracts::validators;
use xinqiao_crypto::KeyId;
use xinqiao_ledger::wire::{self, validator_service_client::ValidatorServiceClient};
use xinqiao_rpc::limited;

use super::{Heard, Host, Told, jobs::Work};
use crate::{
    bodies::Body,
    catch_up::Fetch,
    error::Error,
    upstream::{self, Checked, UpstreamFault},
};

/// How often it is looked whether a validator has moved to another address.
const LOOK_UP: Duration = Duration::from_secs(5);

/// How long nothing has to be committed before somebody is asked whether there is more.
const QUIET: Duration = Duration::from_secs(5);

/// How long a body may take before it is asked for again, of somebody else.
const BODY_PATIENCE: Duration = Duration::from_millis(300);

impl Host {
    /// What has to be seen to now and then.
    pub(super) fn go_round(&mut self) -> Result<(), Error> {
        let at = Instant::now();
        if let Some((when, height, round)) = self.build_at
            && when <= at
        {
            self.build_at = None;
            self.todo.push_back(Work::Build { height, round });
        }
        self.ask_for_bodies(at);
        if at.duration_since(self.looked_up) >= LOOK_UP {
            self.looked_up = at;
            self.mesh.set(validators(&self.shared.reader.view())?);
        }
        if let Some(fetch) = &self.fetch {
            if self.engine.is_none() {
                // A node that nobody tells anything goes on listening, each time to another: one may stand still.
                if fetch.is_silent(at) {
                    if self.others.say_more_than(self.next_height() - 1) {
                        return self.leave(&UpstreamFault::Silent);
                    }
                    self.fetch = None;
                }
                return Ok(());
            }
            if !self.others.say_more_than(self.next_height() - 1) && fetch.has_waited(at) {
                self.fetch = None;
                return self.start_height();
            }
            if fetch.is_silent(at) {
                return self.leave(&UpstreamFault::Silent);
            }
            return Ok(());
        }
        // Who was removed while it was behind is told nothing any more, and does not know why.
        let ahead = self.others.ahead(self.next_height() - 1, at);
        let told = ahead.is_some();
        let quiet = at.duration_since(self.got_on) >= QUIET;
        let from = if told || (self.engine.is_some() && !quiet) {
            ahead
        } else {
            self.got_on = at;
            self.turn += 1;
            let all: Vec<KeyId> = self.mesh.others().copied().collect();
            self.others.anybody(&all, self.turn, at)
        };
        let Some((from, feed)) = from.and_then(|from| Some((from, self.mesh.feed(&from)?))) else {
            return Ok(());
        };
        let (out, blocks) = upstream::channel();
        let task = tokio::spawn(feed.run(Arc::clone(&self.shared), self.next_height(), out));
        let fetch = Fetch::new(from, blocks, task);
        self.fetch = Some(if told { fetch } else { fetch.unasked() });
        Ok(())
    }

    pub(super) fn ask_for_bodies(&mut self, at: Instant) {
        let others: Vec<KeyId> = self.mesh.others().copied().collect();
        for (hash, wanted) in &mut self.wanted {
            if at.duration_since(wanted.asked) < BODY_PATIENCE || others.is_empty() {
                continue;
            }
            wanted.asked = at;
            let of = if wanted.turn == 0 {
                wanted.proposer
            } else {
                others[wanted.turn % others.len()]
            };
            wanted.turn += 1;
            let Some(feed) = self.mesh.feed(&of) else {
                continue;
            };
            let (hash, tell) = (*hash, self.tell.clone());
            let (shared, intake) = (Arc::clone(&self.shared), Arc::clone(&self.intake));
            tokio::spawn(async move {
                let channel = feed.channel.with_default_deadline(BODY_PATIENCE * 4);
                let mut client = limited!(ValidatorServiceClient::new(channel));
                let request = wire::GetBodyRequest {
                    header_hash: hash.to_vec(),
                };
                let Ok(answer) = client.get_body(request).await else {
                    return;
                };
                let Some(body) = answer.into_inner().body else {
                    return;
                };
                let check = move || Body::check(&shared, &intake, body);
                if let Ok(Ok(Some(body))) = tokio::task::spawn_blocking(check).await
                    && body.hash == hash
                {
                    let told = Told::Body(Box::new(body));
                    let _ = tell.send(Heard::Told { from: of, told }).await;
                }
            });
        }
    }

    pub(super) fn fetched(&mut self, block: Result<Checked, UpstreamFault>) -> Result<(), Error> {
        match block {
            Ok(block) => {
                self.todo.push_back(Work::Apply(Box::new(block)));
                Ok(())
            }
            Err(fault) => self.leave(&fault),
        }
    }

    /// Fetching from a validator has ended: the engine goes on where it led.
    pub(super) fn leave(&mut self, fault: &UpstreamFault) -> Result<(), Error> {
        let Some(fetch) = self.fetch.take() else {
            return Ok(());
        };
        if fault.is_lie() {
            tracing::warn!(validator = %fetch.from, %fault, "a validator is left: it does not tell the truth");
        } else {
            tracing::info!(validator = %fetch.from, %fault, "a validator sends no more blocks");
        }
        let misleads = fault.is_lie() || matches!(fault, UpstreamFault::Silent);
        self.others.leave(fetch.from, misleads, Instant::now());
        self.start_height()
    }
}
