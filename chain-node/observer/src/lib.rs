//! The regulator's observer: a replica that executes every block again, and views of what it saw.
//!
//! ```text
//!   node ── certified blocks ──▶ xinqiao-node (Role::Observer) ──▶ state ──▶ Overview, Attempt,
//!                                checks, executes, compares                  OrderTrace, Feed
//! ```
//!
//! An observer cannot write, by what it is made of: [`ObserverConfig`] has no place for a key that
//! signs transactions or blocks, the handle has no call that sends anything, and the services that
//! the replica listens with only read. Its TLS key opens connections and no more.
//!
//! Not here: following and executing (`xinqiao-node`), what the state means (`xinqiao-contracts`),
//! and how views are printed (the command line).

mod config;
mod error;
mod feed;
mod observer;
mod views;

pub use config::ObserverConfig;
pub use error::Error;
pub use feed::Feed;
pub use observer::{MAX_PAGE, Observer, ObserverHandle};
pub use views::{Attempt, Label, OrderTrace, Overview, Part};
/// Filters and pages of the access log, as the contracts define them.
pub use xinqiao_contracts::query::{AccessFilter, Page, Summary};
pub use xinqiao_node::Upstream;
