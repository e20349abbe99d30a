//! pact-operator
fn main() {}
