//! `mnistq keys`: makes, lists and revokes API keys, in the file that a server follows.
//!
//! What else stands in the file stays: comments, and the order of its lines.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use crate::cli::{self, KeysAsked};
use crate::config::Config;
use crate::http::{ApiKey, KeyLine, Keys};

/// Does as it was asked.
pub fn run(asked: &cli::Keys, config: &Config) -> anyhow::Result<()> {
    let path = asked.api_keys.as_ref().or(config.access.api_keys.as_ref());
    let path = path.context("say with --api-keys which file the keys are in")?;
    match &asked.asked {
        KeysAsked::Add { name } => add(path, name),
        KeysAsked::List => list(path),
        KeysAsked::Remove { which } => remove(path, which),
    }
}

fn add(path: &Path, name: &str) -> anyhow::Result<()> {
    let key = ApiKey::make().context("this system has no random numbers")?;
    let line = key.line(name)?;
    let mut text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| path.display().to_string()),
    };
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(&format!("{line}\n"));
    replace(path, &text)?;
    println!("{}", key.expose());
    Ok(())
}

fn list(path: &Path) -> anyhow::Result<()> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let keys: Keys = text.parse().with_context(|| path.display().to_string())?;
    for key in keys.lines() {
        println!("{}  {}", key.fingerprint(), key.name());
    }
    Ok(())
}

fn remove(path: &Path, which: &str) -> anyhow::Result<()> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let is_meant = |line: &str| {
        let key = line.trim().parse::<KeyLine>();
        key.is_ok_and(|key| key.name() == which || key.fingerprint() == which)
    };
    let kept: Vec<&str> = text.lines().filter(|line| !is_meant(line)).collect();
    let removed = text.lines().count() - kept.len();
    if removed == 0 {
        bail!(
            "{}: there is no key {which}; `mnistq keys list` names them",
            path.display()
        );
    }
    let kept: String = kept.iter().map(|line| format!("{line}\n")).collect();
    if kept.parse::<Keys>().is_err() {
        tracing::warn!(
            "that was the last key: a running server keeps it until there is another, and none starts"
        );
    }
    replace(path, &kept)?;
    println!("{removed} revoked");
    Ok(())
}

/// Puts another file in its place at once, which its owner alone may read: no server sees half of it.
fn replace(path: &Path, text: &str) -> anyhow::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let write = || {
        let mut file = options.open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    };
    write().with_context(|| format!("{} can't be written", path.display()))
}
