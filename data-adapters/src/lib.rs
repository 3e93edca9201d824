//! xinqiao-data-adapters
