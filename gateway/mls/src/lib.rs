//! Group delivery (RFC 9420): the keys of reports, between a data-holding node and an institution's agents.
//!
//! One group per data-holding node and institution. The node makes the group and is its only committer; the
//! institution's agents are its other members, one or more machines. It is a library of steps without a
//! network: questions and messages go in, answers and messages come out, and what must survive a crash is on
//! disk before anything is given back.
//!
//! ```text
//!   order ─▶ body = report under a fresh SM4 key ─▶ recorded on the ledger: its digest, the epoch's mark
//!                          │ only then
//!   agent ─ Ask ──────────▶│ where do I stand, take me in, update me; the letter for this part, please
//!         ◀──── Answer ────┘ a welcome, or the commits that it missed, and the letter: the body's key as an
//!                            application message of the epoch that is current now
//! ```
//!
//! A report is sealed when it is ordered, and its key travels when it is fetched. So a letter is always of
//! the epoch that the answer brings the agent to: no member ever keeps keys of past epochs, and whatever was
//! lost (a message, an agent's state, the whole group) is made good by asking again. See [`holder`].
//!
//! **Ciphersuite.** `MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519`, the one that every implementation must
//! have. MLS has no suite of the SM algorithms: agreement on keys is not SM cryptography here. Reports
//! themselves are under SM4-GCM, and who may be a member is decided by SM2 signatures under ledger keys
//! ([`binding`]).
//!
//! | module | what it holds |
//! |---|---|
//! | [`member`] | who is in a group, and which group that is |
//! | [`binding`] | a ledger key's word that an MLS key is its own |
//! | [`body`] | a report under its own key |
//! | [`letter`] | what a letter says |
//! | [`message`] | what agents ask and what nodes answer, with limits |
//! | [`holder`] | the data-holding node's side |
//! | [`agent`] | the agent's side |
//! | [`disk`] | where a side's state lies, and how old keys go |
//! | [`sealing`] | groups and digital envelopes side by side |
//! | [`opened`] | a group that is opened when it is first needed |
//! | [`together`] | what waits for one group, done in one go |
//!
//! Not here: who may order what, when a report may leave, and how messages travel.

pub mod agent;
pub mod binding;
pub mod body;
mod book;
pub mod disk;
mod error;
pub mod holder;
pub mod letter;
pub mod member;
pub mod message;
mod mls;
pub mod opened;
pub mod sealing;
pub mod together;

pub use agent::AgentGroup;
pub use binding::{Binding, BindingError, Identity, Ledger, Signer};
pub use disk::{Disk, StateFile};
pub use error::Error;
pub use holder::HolderGroup;
pub use member::{EpochMark, Member, NodeName, Pair, Side};
pub use message::{Answer, Ask};
pub use xinqiao_crypto::ContentKey;
