//! xinqiao-store
