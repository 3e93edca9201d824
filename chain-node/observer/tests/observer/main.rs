//! An observer beside a real validator, over real TLS, with real stores.

#![allow(clippy::unwrap_used, reason = "test code throughout")]

mod consortium;
mod surface;
mod views;
