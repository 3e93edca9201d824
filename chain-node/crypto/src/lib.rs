//! SM2 signatures, SM3 digests, SM3 Merkle trees and sealed envelopes.
//!
//! Pure: no clock, no file, no network and no randomness of its own; a random number generator is
//! always an argument. Nothing here knows what a transaction or a report is: the caller brings
//! bytes and a [`Domain`], and gets back digests, proofs and proof tokens.
//!
//! | module | what it gives |
//! |---|---|
//! | [`digest`] | [`Digest`], [`sm3`], [`hmac_sm3`] |
//! | [`many`] | SM3 and HMAC-SM3 of many messages side by side |
//! | [`keys`] | [`PublicKey`], [`KeyId`], [`DistinguishingId`] |
//! | [`secret`] | [`SecretKey`]: signing and opening, zeroed when dropped |
//! | [`signature`] | [`Signature`]: 64 bytes r‖s, strict DER |
//! | [`verify`] | [`KnownKey`] (precomputed tables), [`verify_once`], [`VerifierCache`] |
//! | [`merkle`] | RFC 6962 shaped trees over SM3: roots, inclusion and consistency proofs |
//! | [`seal`] | envelopes that only the addressee can open |
//! | [`chest`] | bytes at rest under one symmetric key |
//! | [`domain`] | domain separation of everything that is signed |

pub mod chest;
pub mod digest;
pub mod domain;
pub mod keys;
pub mod many;
pub mod merkle;
pub mod seal;
pub mod secret;
mod sign;
pub mod signature;
pub mod verify;

pub use chest::ChestKey;
pub use digest::{Digest, DigestError, MacKey, hmac_sm3, sm3, sm3_parts};
pub use domain::{Domain, signing_message};
pub use keys::{DistinguishingId, KeyError, KeyId, PublicKey};
pub use many::{Messages, sm3_each};
pub use merkle::{Frontier, MerkleError, NodeSource};
pub use seal::{ContentKey, Open, Seal, SealError, SealScheme, Sm2Sm4Gcm};
pub use secret::SecretKey;
pub use signature::{Signature, SignatureError};
pub use verify::{KnownKey, SignatureValid, VerifierCache, verify_once};
