//! xinqiao-dispatch
