//! Every adapter against the real thing: one set of records, one conformance suite.

mod csv;
mod data;
mod http;
mod peer;
mod sql;
mod xlsx;
