//! Nodes of one consortium in one process, over real TLS, with real stores.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod agreement;
mod babble;
mod consortium;
mod crash;
mod governance;
mod joining;
mod liars;
mod refused;
mod restart;
mod services;
