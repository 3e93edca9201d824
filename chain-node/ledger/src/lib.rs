//! xinqiao-ledger
