//! Labelled pictures from IDX files, plain or gzipped, as MNIST comes.
//!
//! In comes a folder, out go bytes and labels, or an error that names the file. Fetches nothing.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

/// Bytes of a picture: 28 × 28, row by row, 0 the background.
pub const PICTURE: usize = 784;
/// MNIST's largest file has 47 MB; a file many times as large is none of ours.
const MAX_FILE_BYTES: u64 = 256 << 20;
/// Start of a file of bytes in three dimensions, and in one: <http://yann.lecun.com/exdb/mnist/>.
pub const IMAGES_MAGIC: u32 = 0x0803;
/// See [`IMAGES_MAGIC`].
pub const LABELS_MAGIC: u32 = 0x0801;

/// The two halves of MNIST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    /// 60,000 pictures to learn from.
    Train,
    /// 10,000 pictures to test with.
    Test,
}

impl Split {
    /// The names of its images and labels, without `.gz`.
    #[must_use]
    pub fn files(self) -> [&'static str; 2] {
        match self {
            Self::Train => ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"],
            Self::Test => ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"],
        }
    }
}

/// Labelled pictures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dataset {
    images: Vec<u8>,
    labels: Vec<u8>,
}

/// What is wrong with a data set.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// A file is not in the folder, neither plain nor gzipped.
    #[error("{} is not in {}: put the four MNIST files there, plain or gzipped ({})", name, folder.display(), FOUR)]
    Missing {
        /// Which.
        name: &'static str,
        /// Where it should be.
        folder: PathBuf,
    },
    /// A file can't be read.
    #[error("{} can't be read", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is no IDX file of MNIST's.
    #[error("{} is no MNIST file: {problem}", path.display())]
    Format {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

/// What people are told to put into a folder.
pub(super) const FOUR: &str = "train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and \
                               t10k-labels-idx1-ubyte";

impl Dataset {
    /// Pictures of 784 bytes each, and a label from 0 to 9 for each; none if they don't fit together.
    #[must_use]
    pub fn new(images: Vec<u8>, labels: Vec<u8>) -> Option<Self> {
        let fits = images.len() == labels.len() * PICTURE && labels.iter().all(|label| *label < 10);
        fits.then_some(Self { images, labels })
    }

    /// Reads one half of MNIST from a folder.
    ///
    /// # Errors
    /// [`DatasetError`] names the file.
    pub fn read(folder: &Path, split: Split) -> Result<Self, DatasetError> {
        let [images_name, labels_name] = split.files();
        let (images_path, images) = read(folder, images_name)?;
        let (labels_path, labels) = read(folder, labels_name)?;
        let wrong = |path: &Path, problem: String| DatasetError::Format {
            path: path.to_owned(),
            problem,
        };
        let images = payload(&images, IMAGES_MAGIC).map_err(|problem| wrong(&images_path, problem))?;
        let labels = payload(&labels, LABELS_MAGIC).map_err(|problem| wrong(&labels_path, problem))?;
        let (pictures, count) = (images.len() / PICTURE, labels.len());
        Self::new(images, labels).ok_or_else(|| {
            wrong(
                &labels_path,
                format!("{count} labels from 0 to 9 were expected for {pictures} pictures"),
            )
        })
    }

    /// How many pictures.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// All pictures, one after the other.
    #[must_use]
    pub fn images(&self) -> &[u8] {
        &self.images
    }

    /// All labels.
    #[must_use]
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// One picture.
    ///
    /// # Panics
    /// If there are not that many.
    #[must_use]
    pub fn image(&self, index: usize) -> &[u8] {
        &self.images[index * PICTURE..][..PICTURE]
    }

    /// All but the last `count`, and those; none if there are not more.
    #[must_use]
    pub fn hold_out(&self, count: usize) -> Option<(Self, Self)> {
        let rest = self.len().checked_sub(count).filter(|rest| *rest > 0)?;
        let held = Self {
            images: self.images[rest * PICTURE..].to_vec(),
            labels: self.labels[rest..].to_vec(),
        };
        Some((self.first(rest), held))
    }

    /// The first `count` of them, or all.
    #[must_use]
    pub fn first(&self, count: usize) -> Self {
        let count = count.min(self.len());
        Self {
            images: self.images[..count * PICTURE].to_vec(),
            labels: self.labels[..count].to_vec(),
        }
    }
}

/// The content of a file, wherever it is: plain or gzipped, with the dash or the dot that people use.
fn read(folder: &Path, name: &'static str) -> Result<(PathBuf, Vec<u8>), DatasetError> {
    let dotted = name.replace("-idx", ".idx");
    let names = [
        name.to_owned(),
        format!("{name}.gz"),
        dotted.clone(),
        format!("{dotted}.gz"),
    ];
    let path = names
        .iter()
        .map(|name| folder.join(name))
        .find(|path| path.exists());
    let path = path.ok_or_else(|| DatasetError::Missing {
        name,
        folder: folder.to_owned(),
    })?;
    match decompress(&path) {
        Ok(content) => Ok((path, content)),
        Err(source) => Err(DatasetError::Read { path, source }),
    }
}

fn decompress(path: &Path) -> io::Result<Vec<u8>> {
    let file = io::BufReader::new(fs::File::open(path)?);
    let is_gzipped = path.extension().is_some_and(|extension| extension == "gz");
    let mut content = Vec::new();
    let read = if is_gzipped {
        GzDecoder::new(file)
            .take(MAX_FILE_BYTES)
            .read_to_end(&mut content)
    } else {
        file.take(MAX_FILE_BYTES).read_to_end(&mut content)
    };
    read.map(|_| content)
}

/// What follows the header of an IDX file that starts with this magic number, if the header is right and fits the length.
///
/// # Errors
/// What is wrong with the file, in a few words.
pub fn payload(file: &[u8], magic: u32) -> Result<Vec<u8>, String> {
    let word = |index: usize| {
        let bytes = file.get(index * 4..).and_then(|rest| rest.first_chunk());
        bytes
            .map(|bytes| u32::from_be_bytes(*bytes))
            .ok_or_else(|| "it breaks off in its header".to_owned())
    };
    if word(0)? != magic {
        return Err(format!(
            "it starts with {:#010x} instead of {magic:#010x}",
            word(0)?
        ));
    }
    let (header, item) = if magic == IMAGES_MAGIC {
        if (word(2)?, word(3)?) != (28, 28) {
            return Err(format!(
                "its pictures have {}×{} pixels instead of 28×28",
                word(2)?,
                word(3)?
            ));
        }
        (16, PICTURE)
    } else {
        (8, 1)
    };
    let count = word(1)? as usize;
    let payload = &file[header..];
    if payload.len() != count * item {
        return Err(format!(
            "its header says {count} items, and it holds {} bytes",
            payload.len()
        ));
    }
    Ok(payload.to_vec())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn header(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    #[test]
    fn takes_whole_files_only() {
        let mut file = header(&[IMAGES_MAGIC, 2, 28, 28]);
        file.resize(16 + 2 * PICTURE, 7);
        assert_eq!(payload(&file, IMAGES_MAGIC).unwrap(), vec![7; 2 * PICTURE]);
        for length in 0..file.len() {
            assert!(payload(&file[..length], IMAGES_MAGIC).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let problem = payload(&header(&[LABELS_MAGIC, 0]), IMAGES_MAGIC).unwrap_err();
        assert_eq!(problem, "it starts with 0x00000801 instead of 0x00000803");
        let problem = payload(&header(&[IMAGES_MAGIC, 0, 32, 32]), IMAGES_MAGIC).unwrap_err();
        assert_eq!(problem, "its pictures have 32×32 pixels instead of 28×28");
    }

    #[test]
    fn labels_and_pictures_must_fit() {
        assert!(Dataset::new(vec![0; PICTURE], vec![9]).is_some());
        assert!(Dataset::new(vec![0; PICTURE], vec![10]).is_none());
        assert!(Dataset::new(vec![0; PICTURE], vec![1, 2]).is_none());
    }
}
