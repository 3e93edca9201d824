//! The ledger's domain types: what a transaction, a block, a member, a consent grant or an order is.
//!
//! Wire types (`xinqiao-proto`) only carry bytes; the types here exist only in valid form, and the
//! way from one to the other is `TryFrom`, which answers with the field at fault. Nothing here
//! decides whether a transaction may take effect: that is `xinqiao-contracts`.
//!
//! | module | what it holds |
//! |---|---|
//! | [`ids`] | ids, codes and pseudonyms |
//! | [`malformed`] | what can be wrong with a field |
//! | [`text`] | free text, and the search for plain codes |
//! | [`member`], [`catalogue`], [`source`], [`consent`], [`order`] | the things contracts keep |
//! | [`objection`] | objections to what a source registered, and their marks |
//! | [`group`] | delivery groups: epochs, and agents' questions |
//! | [`governance`] | changes that take a vote, and how votes are counted |
//! | [`action`] | everything a transaction can say |
//! | [`tx`] | transactions and the proof that one was verified |
//! | [`outcome`] | events, and the reasons for which a transaction is rejected |
//! | [`block`] | headers, certificates, blocks |
//! | [`checkpoint`] | whole states, cut into chunks, and the proof that validators certified one |
//! | [`validators`] | who certifies blocks, and since when |
//! | [`vote`] | what validators sign, and the proof that one contradicted itself |
//! | [`receipt`] | proofs that a transaction was ordered and what it came to |
//! | [`evidence`] | files that prove one order's whole life offline |
//! | [`genesis`] | what everyone starts from |
//! | [`item`] | item leaves, salts and report roots |
//! | [`uscc`] | unified social credit codes, and their pseudonyms |

pub mod action;
pub mod block;
pub mod catalogue;
pub mod checkpoint;
pub mod consent;
pub mod evidence;
pub mod genesis;
pub mod governance;
pub mod group;
pub mod ids;
pub mod item;
pub mod malformed;
pub mod member;
pub mod objection;
pub mod order;
pub mod outcome;
pub mod receipt;
pub mod source;
pub mod text;
pub mod tx;
pub mod uscc;
pub mod validators;
pub mod vote;

/// The wire types that this crate's types are made from.
pub use xinqiao_proto::v1 as wire;
