//! Real database servers for tests: each in a folder of its own that goes with it, on a free port of loopback.
//!
//! A server ends when its value is dropped, which a panic does too; and when the test process is killed, the kernel
//! ends it. The programs come from the system's packages, which `cargo xtask setup` installs. What runs as root
//! runs servers as the packages' own users, since PostgreSQL refuses root.
//!
//! Not for production, and not here: what the data looks like.

mod certificate;
mod mariadb;
mod postgres;
mod server;

pub use certificate::{Issued, Issuer};
pub use mariadb::MariaDb;
pub use postgres::Postgres;
