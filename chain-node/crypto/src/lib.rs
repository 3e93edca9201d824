//! xinqiao-crypto
