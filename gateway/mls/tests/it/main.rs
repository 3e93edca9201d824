//! Both sides of a group together: real keys, real files, the real library. What lies between them is played.

#![allow(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

mod life;
mod malformed;
mod released;
mod secrecy;
mod sim;
mod world;
