//! xinqiao-observer
