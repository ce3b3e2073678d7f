//! The command that makes and revokes API keys: `keys`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `mnistq keys`
#[derive(Debug, Args)]
#[command(after_help = "\
A server takes over changes of its file within a second, without a restart.

Examples:
  mnistq keys add alice --api-keys keys
  mnistq keys list --api-keys keys
  mnistq keys remove alice --api-keys keys")]
pub struct Keys {
    /// What to do.
    #[command(subcommand)]
    pub asked: KeysAsked,
    /// The file of keys, made if it is not there
    #[arg(long, global = true, env = "MNISTQ_API_KEYS", value_name = "FILE")]
    pub api_keys: Option<PathBuf>,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KeysAsked {
    /// Makes a key and prints it, this once; a name may have several
    #[command(after_help = "\
Examples:
  mnistq keys add alice --api-keys keys")]
    Add {
        /// Whose it is
        name: String,
    },
    /// Lists names, and the start of each key's SHA-256
    #[command(after_help = "\
Examples:
  mnistq keys list --api-keys keys")]
    List,
    /// Revokes all keys of a name, or the one whose SHA-256 starts so
    #[command(after_help = "\
Examples:
  mnistq keys remove alice --api-keys keys
  mnistq keys remove 9f86d081 --api-keys keys")]
    Remove {
        /// A name, or the start of a SHA-256 as `list` prints it
        which: String,
    },
}
