//! The looks at queue and results: whether they can be opened, and what they say of themselves.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tokio::time::timeout;

use super::finding::Finding;
use crate::address::Address;
use crate::config::Config;
use crate::roles::seams;

/// How long broker and store may take: longer than each tries by itself.
const PATIENCE: Duration = Duration::from_secs(15);
/// A disk with less room is about to be full.
const LITTLE_BYTES: u64 = 64 << 20;

/// The database files among the addresses.
pub fn databases<'a>(broker: &'a Address, store: &'a Address) -> BTreeSet<&'a Path> {
    let file = |address: &'a Address| match address {
        Address::Sqlite(path) => Some(path.as_path()),
        _ => None,
    };
    [broker, store].into_iter().filter_map(file).collect()
}

/// Whether a database file's folder can be written, or made: SQLite keeps its log beside the file.
pub fn database(file: &Path) -> Finding {
    let check = "database";
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    let there = folder.ancestors().find(|ancestor| ancestor.exists());
    let there = there.unwrap_or(Path::new("."));
    let hint = "name another file with --broker and --store, or see whose folder it is";
    if let Err(reason) = writable(there) {
        let detail = format!("{}: {} {reason}", file.display(), there.display());
        return Finding::wrong(check, detail).hint(hint);
    }
    let is = if file.exists() {
        "there"
    } else {
        "made when it is needed"
    };
    match room(there) {
        Some(bytes) if bytes < LITTLE_BYTES => {
            let detail = format!("{}: its disk has {} MB left", file.display(), bytes >> 20);
            Finding::wrong(check, detail).hint("make room on its disk")
        }
        Some(bytes) => Finding::well(
            check,
            format!("{}: {is}, its disk has {} MB left", file.display(), bytes >> 20),
        ),
        None => Finding::well(check, format!("{}: {is}", file.display())),
    }
}

/// Whether the queue can be opened, and how much waits on it.
pub async fn broker(address: &Address, config: &Config) -> Finding {
    if let Some(absent) = absent("broker", address) {
        return absent;
    }
    let look = async {
        let broker = seams::open_broker(address, config).await?;
        let waiting = broker.backlog().await.context("its queue can't be counted");
        let server = broker.server().unwrap_or_default();
        broker.close().await;
        let (waiting, limit) = (waiting?, config.queue.queue_limit);
        anyhow::Ok(format!("{server} at {address}: {waiting} of {limit} wait"))
    };
    told(
        "broker",
        timeout(PATIENCE, look).await.unwrap_or_else(|_| silent()),
    )
}

/// Whether results can be stored.
pub async fn store(address: &Address, config: &Config) -> Finding {
    if let Some(absent) = absent("store", address) {
        return absent;
    }
    let look = async {
        let (store, _) = seams::open_store(address, config).await?;
        let checked = store.check().await.context("it takes no results");
        let server = store.server().unwrap_or_default();
        store.close().await;
        checked?;
        anyhow::Ok(format!("{server} at {address}: takes results"))
    };
    told(
        "store",
        timeout(PATIENCE, look).await.unwrap_or_else(|_| silent()),
    )
}

/// A database that is not there yet is left so.
fn absent(check: &'static str, address: &Address) -> Option<Finding> {
    match address {
        Address::Sqlite(path) if !path.exists() => {
            Some(Finding::well(check, format!("{address}: made when it is needed")))
        }
        _ => None,
    }
}

fn silent() -> anyhow::Result<String> {
    anyhow::bail!("no answer within {} s", PATIENCE.as_secs())
}

fn told(check: &'static str, look: anyhow::Result<String>) -> Finding {
    match look {
        Ok(detail) => Finding::well(check, detail),
        Err(error) => {
            let finding = Finding::wrong(check, format!("{error:#}"));
            match seams::hint(&error) {
                Some(hint) => finding.hint(hint),
                None => finding,
            }
        }
    }
}

#[cfg(unix)]
fn writable(folder: &Path) -> Result<(), String> {
    use rustix::fs::{Access, access};

    if !folder.is_dir() {
        return Err("is no folder".to_owned());
    }
    access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(|error| format!("can't be written: {error}"))
}

#[cfg(not(unix))]
fn writable(folder: &Path) -> Result<(), String> {
    folder.is_dir().then_some(()).ok_or("is no folder".to_owned())
}

/// Bytes left to this user on the disk of a folder, if the system tells.
#[cfg(unix)]
fn room(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

#[cfg(not(unix))]
fn room(_: &Path) -> Option<u64> {
    None
}
