//! Both sides of a group together: real keys, real files, the real library. What lies between them is played.

mod life;
mod malformed;
mod secrecy;
mod sim;
mod world;
