//! xinqiao
fn main() {}
