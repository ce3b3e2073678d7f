//! Where the MNIST files are: the folder that the user names, or the cache, filled on first use.

use std::path::{Path, PathBuf};

use anyhow::Context;
use etcetera::BaseStrategy;
use indicatif::{ProgressBar, ProgressStyle};

use crate::terminal;
use crate::train::download::{self, Fetched, MNIST};

/// Where they are kept once they were fetched; none without a home directory.
pub fn cache() -> Option<PathBuf> {
    let directories = etcetera::choose_base_strategy().ok()?;
    Some(directories.cache_dir().join("mnistq").join("mnist"))
}

/// The folder that has them.
pub async fn folder(named: Option<&Path>, mirrors: &[String]) -> anyhow::Result<PathBuf> {
    if let Some(folder) = named {
        return Ok(folder.to_owned());
    }
    let folder = cache().context("no home directory: name a folder with --data")?;
    let bar = if terminal::is_interactive(&std::io::stderr()) {
        ProgressBar::no_length()
    } else {
        ProgressBar::hidden()
    };
    bar.set_style(ProgressStyle::with_template(
        "{msg} {wide_bar} {bytes}/{total_bytes}, {eta} left",
    )?);
    let show = |fetched: Fetched| {
        bar.set_message(fetched.name);
        if let Some(total) = fetched.total {
            bar.set_length(total);
        }
        bar.set_position(fetched.bytes);
    };
    let fetched = download::fetch(&folder, &MNIST, mirrors, show).await;
    bar.finish_and_clear();
    fetched?;
    Ok(folder)
}
