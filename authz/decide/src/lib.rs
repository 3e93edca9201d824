//! xinqiao-decide
