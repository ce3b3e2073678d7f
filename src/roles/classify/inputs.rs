//! What the user named on the command line: files, folders of pictures, standard input.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Names that mark a picture in a folder. A file that is named itself is asked about whatever its name.
const EXTENSIONS: [&str; 6] = ["png", "jpg", "jpeg", "webp", "gif", "bmp"];

/// One picture to ask about.
#[derive(Debug)]
pub enum Input {
    /// A file.
    File(PathBuf),
    /// What was read from standard input.
    Standard(Vec<u8>),
}

impl Input {
    /// What the user calls it.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Standard(_) => "-".to_owned(),
        }
    }

    /// Its bytes.
    pub async fn read(&self) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::File(path) => tokio::fs::read(path).await.context("the file can't be read"),
            Self::Standard(picture) => Ok(picture.clone()),
        }
    }

    /// Its bytes, without a runtime.
    pub fn read_blocking(&self) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::File(path) => fs::read(path).context("the file can't be read"),
            Self::Standard(picture) => Ok(picture.clone()),
        }
    }
}

/// All inputs in the order given, folders replaced by the pictures in and below them, sorted by name.
pub fn expand(paths: &[PathBuf]) -> anyhow::Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut picture = Vec::new();
            io::stdin()
                .read_to_end(&mut picture)
                .context("standard input can't be read")?;
            inputs.push(Input::Standard(picture));
        } else if path.is_dir() {
            let before = inputs.len();
            collect(path, &mut inputs)?;
            if inputs.len() == before {
                bail!(
                    "{}: no pictures in this folder ({})",
                    path.display(),
                    EXTENSIONS.join(", ")
                );
            }
        } else {
            inputs.push(Input::File(path.clone()));
        }
    }
    Ok(inputs)
}

fn collect(folder: &Path, inputs: &mut Vec<Input>) -> anyhow::Result<()> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let entries = entries.with_context(|| format!("{}: the folder can't be read", folder.display()))?;
    let mut paths: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).collect();
    paths.sort();
    for path in paths {
        // A link to a folder may lead back up: it is not followed.
        if path.is_dir() && !path.is_symlink() {
            collect(&path, inputs)?;
        } else if is_picture(&path) {
            inputs.push(Input::File(path));
        }
    }
    Ok(())
}

fn is_picture(path: &Path) -> bool {
    let extension = path
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default();
    path.is_file()
        && EXTENSIONS
            .iter()
            .any(|known| extension.eq_ignore_ascii_case(known))
}
