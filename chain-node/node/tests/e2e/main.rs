//! Nodes of one consortium in one process, over real TLS, with real stores.

mod agreement;
mod consortium;
mod crash;
mod liars;
mod refused;
mod restart;
mod services;
