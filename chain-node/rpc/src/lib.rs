//! xinqiao-rpc
