//! The `barnacle` program.

fn main() {}
