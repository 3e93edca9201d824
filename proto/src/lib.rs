//! The wire types of `xinqiao.v1`, generated from the contract in this folder. No logic: what a
//! field may hold is checked where wire types become domain types, in `xinqiao-ledger`.

/// Package `xinqiao.v1`.
pub mod v1 {
    #![allow(missing_docs, clippy::all, unreachable_pub, rustdoc::all)]
    include!(concat!(env!("OUT_DIR"), "/xinqiao.v1.rs"));
}

/// The compiled descriptors, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/xinqiao.v1.bin"));
