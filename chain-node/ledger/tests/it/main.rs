//! Tests of the ledger's types from the outside: what they accept, refuse, hash to and prove.

mod certificate;
mod evidence;
mod flipped;
mod golden;
mod malformed;
mod samples;
mod world;
