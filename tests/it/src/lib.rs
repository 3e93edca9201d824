//! xinqiao-it
