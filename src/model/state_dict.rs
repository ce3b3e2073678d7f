//! A `state_dict` as PyTorch saves it: a zip archive with a pickle and one raw file a storage.
//!
//! In comes the archive, out go parameters; what the pickle says is `pickle`'s business. Bounded in memory whatever
//! the archive says. Knows no file system.

use std::collections::BTreeSet;
use std::io::{Cursor, Read};

use zip::ZipArchive;

use super::parameters::Parameters;
use super::pickle::{self, PickledTensor};
use super::weights::{F32, MAX_FILE_BYTES, RawTensor, WeightsError, collect};

/// The pickle of these eight tensors has about 900 bytes.
const MAX_PICKLE_BYTES: u64 = 64 << 10;

/// Reads the archive.
///
/// # Errors
/// [`WeightsError`] names what is wrong.
pub fn parse(file: &[u8]) -> Result<Parameters, WeightsError> {
    let mut archive = ZipArchive::new(Cursor::new(file)).map_err(format)?;
    let names = archive
        .file_names()
        .collect::<Result<Vec<_>, _>>()
        .map_err(format)?;
    let folder = names
        .iter()
        .find_map(|name| name.strip_suffix("/data.pkl"))
        .map(ToString::to_string);
    let folder = folder.ok_or_else(|| WeightsError::StateDict("it has no data.pkl".to_owned()))?;
    let byteorder = format!("{folder}/byteorder");
    let says_byteorder = names.iter().any(|name| *name == byteorder);
    drop(names);
    if says_byteorder && read(&mut archive, &byteorder, MAX_PICKLE_BYTES)? != b"little" {
        return Err(WeightsError::StateDict("its numbers are big-endian".to_owned()));
    }

    let pickle = read(&mut archive, &format!("{folder}/data.pkl"), MAX_PICKLE_BYTES)?;
    let tensors = pickle::tensors(&pickle).map_err(|error| WeightsError::StateDict(error.to_string()))?;
    let names: BTreeSet<String> = tensors.keys().map(|name| (*name).to_owned()).collect();
    collect(&names, |name| {
        let Some(tensor) = tensors.get(name) else {
            return Ok(None);
        };
        let dtype = dtype(tensor.element);
        let bytes = if dtype == F32 {
            let storage = format!("{folder}/data/{}", tensor.storage);
            numbers(name, tensor, read(&mut archive, &storage, MAX_FILE_BYTES)?)?
        } else {
            Vec::new()
        };
        Ok(Some(RawTensor {
            shape: tensor.shape.clone(),
            dtype,
            bytes: bytes.into(),
        }))
    })
}

fn read(archive: &mut ZipArchive<Cursor<&[u8]>>, name: &str, limit: u64) -> Result<Vec<u8>, WeightsError> {
    let file = archive.by_name(name).map_err(format)?;
    let mut content = Vec::new();
    file.take(limit + 1).read_to_end(&mut content).map_err(format)?;
    if content.len() as u64 > limit {
        return Err(WeightsError::StateDict(format!(
            "{name} has more than {limit} bytes"
        )));
    }
    Ok(content)
}

/// The tensor's part of its storage.
fn numbers(name: &str, tensor: &PickledTensor<'_>, mut storage: Vec<u8>) -> Result<Vec<u8>, WeightsError> {
    if !is_contiguous(tensor) {
        return Err(WeightsError::StateDict(format!(
            "{name} is not contiguous: save {name}.contiguous()"
        )));
    }
    let bytes = |elements: usize| elements.checked_mul(size_of::<f32>());
    let length = tensor
        .shape
        .iter()
        .try_fold(1, |product: usize, axis| product.checked_mul(*axis));
    let range = bytes(tensor.offset)
        .zip(length.and_then(bytes))
        .and_then(|(start, length)| Some(start..start.checked_add(length)?));
    let range = range
        .filter(|range| range.end <= storage.len())
        .ok_or_else(|| WeightsError::StateDict(format!("{name} has fewer numbers than its shape says")))?;
    storage.truncate(range.end);
    Ok(storage.split_off(range.start))
}

/// Whether its numbers lie row by row without a gap. The stride of an axis with one element says nothing.
fn is_contiguous(tensor: &PickledTensor<'_>) -> bool {
    let mut expected: usize = 1;
    tensor.shape.len() == tensor.stride.len()
        && tensor
            .shape
            .iter()
            .zip(&tensor.stride)
            .rev()
            .all(|(&elements, &stride)| {
                let fits = elements == 1 || stride == expected;
                expected = expected.saturating_mul(elements);
                fits
            })
}

/// The element type in the words of safetensors, where it has one.
fn dtype(element: &str) -> String {
    match element {
        "Float" => F32,
        "Double" => "F64",
        "Half" => "F16",
        "BFloat16" => "BF16",
        other => other,
    }
    .to_owned()
}

fn format(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> WeightsError {
    WeightsError::Format(error.into())
}
