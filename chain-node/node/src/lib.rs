//! xinqiao-node
