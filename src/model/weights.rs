//! Weight files: safetensors in and out, PyTorch's `state_dict` files in, and the weights in the executable.
//!
//! In come files of unknown origin, out go [`Parameters`] with the right names, shapes and dtype, or an error
//! that names what is wrong. Nothing in a file is ever run. Knows no network.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};
use sha2::{Digest, Sha256};

use super::parameters::{Parameters, TENSORS};
use super::state_dict;

/// The weights that the executable carries; `weights/README.md` says how they were made.
const EMBEDDED: &[u8] = include_bytes!("../../weights/mnist.safetensors");
/// The parameters take 4.8 MB; a file many times as large is none of ours.
pub(super) const MAX_FILE_BYTES: u64 = 64 << 20;
/// A zip archive starts like this, and so does what PyTorch saves.
const ZIP_MAGIC: &[u8] = b"PK\x03\x04";
/// What PyTorch before 1.6 saved starts like this: a pickle of 0x1950a86a20f9469cfc6c.
const LEGACY_MAGIC: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
/// The one element type that is taken.
pub(super) const F32: &str = "F32";

/// Parameters, and the name of the file that they came from: its SHA-256.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// The parameters.
    pub parameters: Parameters,
    /// SHA-256 of the whole file, in hexadecimal digits.
    pub sha256: String,
}

/// What is wrong with a weight file.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// It can't be read.
    #[error("the weights can't be read")]
    Read(#[source] io::Error),
    /// It can't be written.
    #[error("the weights can't be written")]
    Write(#[source] io::Error),
    /// It is much larger than these weights are.
    #[error("the file has {0} bytes: no weights of MNISTNet")]
    TooLarge(u64),
    /// It is neither of the two formats, or damaged.
    #[error("neither a safetensors file nor a PyTorch state_dict file")]
    Format(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A PyTorch file with something else in it than tensors by name.
    #[error("the PyTorch file is no plain state_dict: {0}")]
    StateDict(String),
    /// A tensor is missing.
    #[error("the tensor {0} is missing")]
    Missing(&'static str),
    /// A tensor that the network does not have.
    #[error("the tensor {0} is none of MNISTNet's")]
    Unexpected(String),
    /// A tensor has another shape.
    #[error("the tensor {name} has the shape {found:?} instead of {expected:?}")]
    Shape {
        /// Which.
        name: &'static str,
        /// The network's.
        expected: &'static [usize],
        /// The file's.
        found: Vec<usize>,
    },
    /// A tensor has another element type.
    #[error("the tensor {name} holds {found} numbers instead of F32")]
    Dtype {
        /// Which.
        name: &'static str,
        /// The file's.
        found: String,
    },
}

/// A tensor as a file has it.
pub(super) struct RawTensor<'a> {
    pub shape: Vec<usize>,
    /// The element type's name; only [`F32`] is taken.
    pub dtype: String,
    /// Little-endian numbers, row by row.
    pub bytes: Cow<'a, [u8]>,
}

impl Weights {
    /// The weights in this executable.
    ///
    /// # Errors
    /// Never in an executable whose tests have passed.
    pub fn embedded() -> Result<Self, WeightsError> {
        Self::parse(EMBEDDED)
    }

    /// Reads a safetensors file, or a `state_dict` that PyTorch has saved.
    ///
    /// # Errors
    /// [`WeightsError`] names what is wrong.
    pub fn read(path: &Path) -> Result<Self, WeightsError> {
        let bytes = fs::metadata(path).map_err(WeightsError::Read)?.len();
        if bytes > MAX_FILE_BYTES {
            return Err(WeightsError::TooLarge(bytes));
        }
        Self::parse(&fs::read(path).map_err(WeightsError::Read)?)
    }

    /// Reads the bytes of either format.
    ///
    /// # Errors
    /// [`WeightsError`] names what is wrong.
    pub fn parse(file: &[u8]) -> Result<Self, WeightsError> {
        let parameters = if file.starts_with(ZIP_MAGIC) {
            state_dict::parse(file)?
        } else if file.starts_with(LEGACY_MAGIC) {
            return Err(WeightsError::StateDict(
                "it was saved as before PyTorch 1.6: load it in PyTorch and save it again".to_owned(),
            ));
        } else {
            parse_safetensors(file)?
        };
        Ok(Self {
            parameters,
            sha256: sha256(file),
        })
    }

    /// The weights with these parameters, named by the file that [`Weights::write`] makes of them.
    ///
    /// # Errors
    /// [`WeightsError::Format`] if they can't be serialized.
    pub fn new(parameters: Parameters) -> Result<Self, WeightsError> {
        let sha256 = sha256(&serialize(&parameters)?);
        Ok(Self { parameters, sha256 })
    }

    /// Writes a safetensors file. It is complete or not there: a crash leaves the file that was there before.
    ///
    /// # Errors
    /// [`WeightsError::Write`].
    pub fn write(&self, path: &Path) -> Result<(), WeightsError> {
        replace(path, &serialize(&self.parameters)?).map_err(WeightsError::Write)
    }
}

/// Puts `content` in the place of a file, at once.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".unfinished");
    let mut file = fs::File::create(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}

fn parse_safetensors(file: &[u8]) -> Result<Parameters, WeightsError> {
    let tensors = SafeTensors::deserialize(file).map_err(|error| WeightsError::Format(Box::new(error)))?;
    let names = tensors.names().into_iter().map(str::to_owned).collect();
    collect(&names, |name| match tensors.tensor(name) {
        Ok(view) => Ok(Some(RawTensor {
            shape: view.shape().to_vec(),
            dtype: view.dtype().to_string(),
            bytes: view.data().into(),
        })),
        Err(SafeTensorError::TensorNotFound(_)) => Ok(None),
        Err(error) => Err(WeightsError::Format(Box::new(error))),
    })
}

/// The parameters, if the file has exactly these tensors.
pub(super) fn collect<'a>(
    names: &BTreeSet<String>,
    mut tensor: impl FnMut(&str) -> Result<Option<RawTensor<'a>>, WeightsError>,
) -> Result<Parameters, WeightsError> {
    if let Some(stranger) = names
        .iter()
        .find(|found| TENSORS.iter().all(|(name, _)| name != found))
    {
        return Err(WeightsError::Unexpected(stranger.clone()));
    }
    let mut parameters = Parameters::zeros();
    for ((name, expected), array) in TENSORS.into_iter().zip(parameters.arrays_mut()) {
        let RawTensor { shape, dtype, bytes } = tensor(name)?.ok_or(WeightsError::Missing(name))?;
        if dtype != F32 {
            return Err(WeightsError::Dtype { name, found: dtype });
        }
        if shape != expected || bytes.len() != size_of_val(array) {
            return Err(WeightsError::Shape {
                name,
                expected,
                found: shape,
            });
        }
        for (number, bytes) in array.iter_mut().zip(bytes.as_chunks().0) {
            *number = f32::from_le_bytes(*bytes);
        }
    }
    Ok(parameters)
}

/// A safetensors file with these parameters under PyTorch's names.
pub(crate) fn serialize(parameters: &Parameters) -> Result<Vec<u8>, WeightsError> {
    let format = |error| WeightsError::Format(Box::new(error));
    let little_endian = parameters.arrays().each_ref().map(|array| {
        array
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect::<Vec<u8>>()
    });
    let views = TENSORS
        .iter()
        .zip(&little_endian)
        .map(|((name, shape), bytes)| Ok((*name, TensorView::new(Dtype::F32, shape.to_vec(), bytes)?)));
    let views = views
        .collect::<Result<Vec<_>, SafeTensorError>>()
        .map_err(format)?;
    safetensors::serialize(views, None).map_err(format)
}

fn sha256(file: &[u8]) -> String {
    Sha256::digest(file)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
