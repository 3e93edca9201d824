//! xinqiao-agent
