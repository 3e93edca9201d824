//! xinqiao-proto
