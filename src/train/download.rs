//! Fills a folder with the MNIST files from the public mirrors: resumable, each file checked.
//!
//! In comes a folder and where to look, out go gzipped files whose content has the right SHA-256. Prints
//! nothing; says how far it is.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::read::GzDecoder;
use reqwest::{Client, StatusCode, header};
use sha2::{Digest, Sha256};

use super::dataset::FOUR;

/// A server that sends nothing for so long is given up.
const STALL: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);

/// A file to fetch: `NAME.gz` on every mirror.
#[derive(Debug, Clone, Copy)]
pub struct RemoteFile {
    /// Name without `.gz`.
    pub name: &'static str,
    /// SHA-256 of the unpacked content, in hexadecimal digits.
    pub sha256: &'static str,
}

/// MNIST, by the sums of its raw files.
pub const MNIST: [RemoteFile; 4] = [
    RemoteFile {
        name: "train-images-idx3-ubyte",
        sha256: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    },
    RemoteFile {
        name: "train-labels-idx1-ubyte",
        sha256: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    },
    RemoteFile {
        name: "t10k-images-idx3-ubyte",
        sha256: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    },
    RemoteFile {
        name: "t10k-labels-idx1-ubyte",
        sha256: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
];

/// Why the files could not be fetched.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// No mirror gave a file.
    #[error("{name} could not be fetched from any mirror: put {FOUR} (plain or gzipped) into {}, or name their folder with --data", folder.display())]
    NoMirror {
        /// Which file.
        name: &'static str,
        /// Where to put the files.
        folder: PathBuf,
        /// What the last mirror answered.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The folder can't be written.
    #[error("{} can't be written", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// How far a download is.
#[derive(Debug, Clone, Copy)]
pub struct Fetched {
    /// Which file.
    pub name: &'static str,
    /// Bytes here.
    pub bytes: u64,
    /// Bytes in all, if the mirror said so.
    pub total: Option<u64>,
}

/// What is wrong with what a mirror gave: then another is asked.
#[derive(Debug, thiserror::Error)]
enum MirrorError {
    #[error("no mirror is configured")]
    NoneConfigured,
    #[error("{url}")]
    Request { url: String, source: reqwest::Error },
    #[error("{url} has another content than MNIST's")]
    Checksum { url: String },
    #[error("{}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Fetches what the folder lacks. What was fetched in part before is gone on with.
///
/// # Errors
/// [`DownloadError`]; whole files that are here stay.
pub async fn fetch(
    folder: &Path,
    files: &[RemoteFile],
    mirrors: &[String],
    mut progress: impl FnMut(Fetched),
) -> Result<(), DownloadError> {
    fs::create_dir_all(folder).map_err(|source| DownloadError::Write {
        path: folder.to_owned(),
        source,
    })?;
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    for file in files {
        let whole = folder.join(format!("{}.gz", file.name));
        if whole.exists() || folder.join(file.name).exists() {
            continue;
        }
        let part = folder.join(format!("{}.gz.part", file.name));
        fetch_file(&part, file, mirrors, &mut progress)
            .await
            .map_err(|error| match error {
                MirrorError::Write { path, source } => DownloadError::Write { path, source },
                error => DownloadError::NoMirror {
                    name: file.name,
                    folder: folder.to_owned(),
                    source: error.into(),
                },
            })?;
        fs::rename(&part, &whole).map_err(|source| DownloadError::Write { path: whole, source })?;
    }
    Ok(())
}

/// Asks one mirror after the other until one gives the right content; the error is the last one's.
async fn fetch_file(
    part: &Path,
    file: &RemoteFile,
    mirrors: &[String],
    progress: &mut impl FnMut(Fetched),
) -> Result<(), MirrorError> {
    let mut last = MirrorError::NoneConfigured;
    for mirror in mirrors {
        let url = format!("{}/{}.gz", mirror.trim_end_matches('/'), file.name);
        let goes_on = part.exists();
        let mut outcome = fetch_from(&url, part, file, progress).await;
        if goes_on && matches!(outcome, Err(MirrorError::Checksum { .. })) {
            // Mirrors may have packed the file differently: what was here need not fit to what this one gave.
            outcome = fetch_from(&url, part, file, progress).await;
        }
        match outcome {
            Ok(()) => return Ok(()),
            Err(error @ MirrorError::Write { .. }) => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Goes on with what is here of a file, to its end, and looks at what it has then.
async fn fetch_from(
    url: &str,
    part: &Path,
    file: &RemoteFile,
    progress: &mut impl FnMut(Fetched),
) -> Result<(), MirrorError> {
    let unwritten = |source| MirrorError::Write {
        path: part.to_owned(),
        source,
    };
    let failed = |source| MirrorError::Request {
        url: url.to_owned(),
        source,
    };
    let client = Client::builder()
        .read_timeout(STALL)
        .connect_timeout(CONNECT)
        .build()
        .map_err(failed)?;
    let mut bytes = fs::metadata(part).map_or(0, |metadata| metadata.len());
    let mut request = client.get(url);
    if bytes > 0 {
        request = request.header(header::RANGE, format!("bytes={bytes}-"));
    }
    let response = request.send().await.map_err(failed)?;
    // Not satisfiable: nothing is left to send, what is here is all, or not this file, which its sum will tell.
    if response.status() != StatusCode::RANGE_NOT_SATISFIABLE {
        let mut response = response.error_for_status().map_err(failed)?;
        let mut output = if response.status() == StatusCode::PARTIAL_CONTENT {
            OpenOptions::new().append(true).open(part).map_err(unwritten)?
        } else {
            bytes = 0;
            File::create(part).map_err(unwritten)?
        };
        let total = response.content_length().map(|rest| bytes + rest);
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            output.write_all(&chunk).map_err(unwritten)?;
            bytes += chunk.len() as u64;
            progress(Fetched {
                name: file.name,
                bytes,
                total,
            });
        }
    }
    check(part, file, url)
}

fn check(part: &Path, file: &RemoteFile, url: &str) -> Result<(), MirrorError> {
    if raw_sha256(part).is_ok_and(|found| found == file.sha256) {
        return Ok(());
    }
    // The next try starts from nothing.
    let _ = fs::remove_file(part);
    Err(MirrorError::Checksum { url: url.to_owned() })
}

fn raw_sha256(path: &Path) -> io::Result<String> {
    struct Hashing(Sha256);
    impl Write for Hashing {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut hashing = Hashing(Sha256::new());
    io::copy(
        &mut GzDecoder::new(io::BufReader::new(File::open(path)?)),
        &mut hashing,
    )?;
    Ok(hashing
        .0
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}
