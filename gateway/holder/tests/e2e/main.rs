//! A data-holding node over real TLS, with a real validator and real stores; and gateways that lie.

mod liar;
mod promise;
mod serving;
mod sync;
mod world;
