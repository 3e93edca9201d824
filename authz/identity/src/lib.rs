//! Establishing who calls: certificates of the consortium, user tokens, and the role policy.
//!
//! ```text
//!   pki ── issues ──▶ certificate ──TLS──▶ PeerIdentity ─┐
//!                                                        ├─▶ Authenticator ─▶ Caller ─▶ Policy ─▶ Permit
//!   token::TokenIssuer ── signs ──▶ user token ──────────┘        │                       │
//!                                                             Directory (ledger)   xinqiao_decide
//! ```
//!
//! It establishes and looks up; the decision itself is the pure crate `xinqiao-decide`. It does not know
//! how the ledger keeps members: whoever embeds it implements [`Directory`].

pub mod authenticator;
pub mod directory;
pub mod pki;
pub mod policy;
pub mod replay;
pub mod token;

pub use authenticator::{
    AuthError, Authenticated, Authenticator, Clock, SystemClock, denial_fault, denial_reason,
};
pub use directory::{Directory, DirectoryError, Membership, TokenPublicKey};
pub use pki::{Authority, LeafRequest, Validity};
pub use policy::{Circumstances, Policy};
pub use token::{TokenIssuer, TokenKey, TokenRequest};
pub use xinqiao_decide as decide;
