//! What the end-to-end tests share: a whole consortium of real `xinqiao` processes, people who connect to
//! it with real certificates, calls made of raw bytes, and a search for what must not be found.
//!
//! Nothing here stands in for a part of the product. A test that cannot start the product fails and says
//! which command builds it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a harness of tests: what goes wrong here is the test's failure"
)]

pub mod consortium;
pub mod fleet;
pub mod links;
pub mod load;
pub mod markers;
pub mod otlp;
pub mod people;
pub mod process;
pub mod raw;
pub mod tap;
pub mod transactions;
pub mod votes;

pub use consortium::{Consortium, Running};
pub use people::{Kind, People};

/// The folder of the clone that the tests were built from.
#[must_use]
pub fn root() -> std::path::PathBuf {
    let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest
        .ancestors()
        .nth(2)
        .expect("tests/it lies two folders below the root")
        .to_owned()
}
