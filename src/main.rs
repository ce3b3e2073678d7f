//! Parses the command line, starts the log, runs one role, picks the exit code.

fn main() {}
