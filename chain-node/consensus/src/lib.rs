//! xinqiao-consensus
