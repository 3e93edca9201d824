//! A data-holding node over real TLS, with a real validator and real stores; and gateways that lie.

#![allow(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

mod admin;
mod groups;
mod liar;
mod promise;
mod serving;
mod sync;
mod world;
