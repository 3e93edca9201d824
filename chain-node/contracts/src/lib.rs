//! xinqiao-contracts
