//! xinqiao-identity
