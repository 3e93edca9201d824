//! xinqiao-gateway
