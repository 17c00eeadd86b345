//! Parses the command line, runs the verb, exits. The only exit.

fn main() {}
