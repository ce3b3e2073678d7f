//! A `state_dict` as PyTorch saves it: a zip archive with a pickle and one raw file a tensor.
//!
//! The pickle is taken apart by candle's interpreter, which knows no code, only names of it; this file then
//! takes nothing but an ordered dictionary of contiguous tensors. Bounded in memory whatever the archive says.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Cursor, Read};

use candle_core::pickle::{Object, Stack};
use zip::ZipArchive;

use super::parameters::{Parameters, TENSORS};
use super::weights::{RawTensor, WeightsError, collect};

/// The pickle of these eight tensors has about 900 bytes.
const MAX_PICKLE_BYTES: u64 = 64 << 10;
/// The largest tensor has 4.7 MB; a file many times as large is none of ours.
const MAX_TENSOR_BYTES: u64 = 64 << 20;

/// Where a tensor's numbers are, and what they mean.
struct Entry {
    storage: String,
    dtype: String,
    shape: Vec<usize>,
}

/// Reads the archive.
pub fn parse(file: &[u8]) -> Result<Parameters, WeightsError> {
    let mut archive = ZipArchive::new(Cursor::new(file)).map_err(format)?;
    let names = archive
        .file_names()
        .collect::<Result<Vec<_>, _>>()
        .map_err(format)?;
    let pickle = names
        .iter()
        .find(|name| name.ends_with("/data.pkl"))
        .map(ToString::to_string);
    let pickle = pickle.ok_or_else(|| WeightsError::StateDict("it has no data.pkl".to_owned()))?;
    let folder = pickle.trim_end_matches(".pkl").to_owned();
    drop(names);

    let entries = entries(&read(&mut archive, &pickle, MAX_PICKLE_BYTES)?)?;
    let mut storages = BTreeMap::new();
    for (name, entry) in &entries {
        if TENSORS.iter().any(|(known, _)| known == name) {
            let bytes = read(
                &mut archive,
                &format!("{folder}/{}", entry.storage),
                MAX_TENSOR_BYTES,
            )?;
            storages.insert(name.as_str(), bytes);
        }
    }
    let names: BTreeSet<String> = entries.keys().cloned().collect();
    collect(&names, |name| {
        let tensor = entries.get(name).zip(storages.get(name));
        Ok(tensor.map(|(entry, bytes)| RawTensor {
            shape: entry.shape.clone(),
            dtype: entry.dtype.clone(),
            bytes,
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

fn entries(pickle: &[u8]) -> Result<BTreeMap<String, Entry>, WeightsError> {
    let mut stack = Stack::empty();
    stack.read_loop(&mut BufReader::new(pickle)).map_err(format)?;
    let Object::Dict(items) = stack.finalize().map_err(format)? else {
        return Err(WeightsError::StateDict(
            "it is not a dictionary of tensors".to_owned(),
        ));
    };
    items
        .into_iter()
        .map(|(name, value)| {
            let Object::Unicode(name) = name else {
                return Err(WeightsError::StateDict("a key is no text".to_owned()));
            };
            match entry(value) {
                Some(entry) => Ok((name, entry)),
                None => Err(WeightsError::StateDict(format!(
                    "{name} is not a contiguous tensor"
                ))),
            }
        })
        .collect()
}

/// `torch._utils._rebuild_tensor_v2(("storage", TYPE, KEY, DEVICE, SIZE), OFFSET, SHAPE, STRIDE, …)`
fn entry(value: Object) -> Option<Entry> {
    let Object::Reduce { callable, args } = value else {
        return None;
    };
    let (
        Object::Class {
            module_name,
            class_name,
        },
        Object::Tuple(arguments),
    ) = (*callable, *args)
    else {
        return None;
    };
    if (module_name.as_str(), class_name.as_str()) != ("torch._utils", "_rebuild_tensor_v2") {
        return None;
    }
    let [Object::PersistentLoad(storage), offset, shape, stride, ..] = arguments.as_slice() else {
        return None;
    };
    let Object::Tuple(storage) = storage.as_ref() else {
        return None;
    };
    let [_, Object::Class { class_name, .. }, Object::Unicode(key), ..] = storage.as_slice() else {
        return None;
    };
    let (shape, stride) = (numbers(shape)?, numbers(stride)?);
    if number(offset)? != 0 || stride != row_major(&shape)? {
        return None;
    }
    let dtype = if class_name == "FloatStorage" {
        "F32"
    } else {
        class_name
    };
    Some(Entry {
        storage: key.clone(),
        dtype: dtype.to_owned(),
        shape,
    })
}

fn number(object: &Object) -> Option<usize> {
    match object {
        Object::Int(number) => usize::try_from(*number).ok(),
        Object::Long(number) => usize::try_from(*number).ok(),
        _ => None,
    }
}

fn numbers(object: &Object) -> Option<Vec<usize>> {
    let Object::Tuple(objects) = object else {
        return None;
    };
    objects.iter().map(number).collect()
}

fn row_major(shape: &[usize]) -> Option<Vec<usize>> {
    let mut stride = vec![1_usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        stride[axis - 1] = stride[axis].checked_mul(shape[axis])?;
    }
    Some(stride)
}

fn format(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> WeightsError {
    WeightsError::Format(error.into())
}
