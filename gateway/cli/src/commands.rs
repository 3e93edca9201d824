//! The commands, one file each.

pub mod audit;
pub mod catalogue;
pub mod consent;
pub mod genesis;
pub mod governance;
pub mod job;
pub mod keys;
pub mod member;
pub mod node;
pub mod objection;
pub mod order;
pub mod proof;
pub mod query;
pub mod run;
pub mod source;
pub mod source_sync;
pub mod validator;
pub mod watch;
