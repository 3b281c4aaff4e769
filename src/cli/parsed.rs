//! The arguments of one command as a line gives them, for tests.

use clap::{Args, Command};

/// Parses the words behind the command's name.
pub fn parsed<A: Args>(line: &str) -> A {
    let command = A::augment_args(Command::new("obsteward").no_binary_name(true));
    A::from_arg_matches(&command.try_get_matches_from(line.split_whitespace()).unwrap()).unwrap()
}
