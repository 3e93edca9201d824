//! xinqiao-holder
