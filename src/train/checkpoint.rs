//! The state of a training run between two epochs: enough to go on as if it had never stopped.
//!
//! One safetensors file beside the weights. Knows no arithmetic.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use super::kept::Kept;
use super::{LearnerState, Settings};
use crate::model::parameters::{Parameters, TENSORS};
use crate::model::weights::{Weights, replace};

/// The three arrays that each parameter has, by the prefix of their names.
const PARTS: [&str; 3] = ["parameter", "square_average", "accumulated_update"];

/// Names of notes.
const PATIENCE: &str = "patience";
/// See [`PATIENCE`].
const KEPT_EPOCH: &str = "kept_epoch";
/// What the note on patience says of a run that has none.
const NO_PATIENCE: &str = "off";
/// What older versions did not know, and so did not do.
const OLD: [(&str, &str); 4] = [
    (PATIENCE, NO_PATIENCE),
    ("lr_floor", "0"),
    ("average_from", "0"),
    ("plain_from", "0"),
];
/// The prefix of the names of the parameters' mean.
const MEAN: &str = "mean";
/// The prefix of the names of the parameters that are kept, if they are not those of the learner.
const KEPT: &str = "kept";

/// Where a run is.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// What the learner has become.
    pub learner: LearnerState,
    /// Whole epochs behind it.
    pub epochs: u32,
    /// The mean of its parameters after those epochs that are averaged.
    pub mean: Option<Parameters>,
    /// The one whose weights are kept; none before the first, and in files of older versions.
    pub kept: Option<Kept>,
}

/// Why a checkpoint can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file can't be read or written.
    #[error("the state file {} can't be used", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is none of ours, or damaged.
    #[error("{} is no state of a training run", path.display())]
    Format {
        /// Which.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The run that wrote it had other settings, and would end elsewhere.
    #[error(
        "the run to resume had {setting} {found} instead of {asked}: give it the same, or start a new one"
    )]
    Settings {
        /// Which.
        setting: &'static str,
        /// In the file.
        found: String,
        /// Now.
        asked: String,
    },
}

/// The state file that belongs to a weight file.
#[must_use]
pub fn path(weights: &Path) -> PathBuf {
    weights.with_extension("state.safetensors")
}

/// What must be the same for a resumed run to end where an uninterrupted one ends.
fn identity(settings: &Settings) -> [(&'static str, String); 10] {
    // More or less of it changes when a run ends; without any, the weight file has other weights.
    let patience = if settings.patience == 0 { NO_PATIENCE } else { "on" };
    [
        ("batch_size", settings.batch_size.to_string()),
        ("lr", settings.lr.to_string()),
        ("gamma", settings.gamma.to_string()),
        ("seed", settings.seed.to_string()),
        ("augment", settings.augment.to_string()),
        ("hold_out", settings.hold_out.to_string()),
        (PATIENCE, patience.to_owned()),
        ("lr_floor", settings.lr_floor.to_string()),
        ("average_from", settings.average_from.to_string()),
        ("plain_from", settings.plain_from.to_string()),
    ]
}

impl Checkpoint {
    /// Writes it, complete or not at all.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn write(&self, path: &Path, settings: &Settings) -> Result<(), CheckpointError> {
        let format = |error| CheckpointError::Format {
            path: path.to_owned(),
            source: Box::new(error),
        };
        let mut notes: HashMap<String, String> = identity(settings)
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        notes.insert("epochs".to_owned(), self.epochs.to_string());
        notes.insert("steps".to_owned(), self.learner.steps.to_string());
        if let Some(kept) = &self.kept {
            notes.insert(KEPT_EPOCH.to_owned(), kept.epoch.to_string());
        }
        let LearnerState {
            parameters,
            square_average,
            accumulated_update,
            ..
        } = &self.learner;
        let mut parts: Vec<_> = PARTS
            .into_iter()
            .zip([parameters, square_average, accumulated_update])
            .collect();
        // So that the weight file can be restored, whatever happens to it.
        let better = self.kept.iter().filter(|kept| kept.epoch < self.epochs);
        parts.extend(better.map(|kept| (KEPT, &kept.weights.parameters)));
        parts.extend(self.mean.iter().map(|mean| (MEAN, mean)));
        let mut arrays = Vec::new();
        for (part, values) in parts {
            for ((name, shape), array) in TENSORS.iter().zip(values.arrays()) {
                let bytes: Vec<u8> = array.iter().flat_map(|number| number.to_le_bytes()).collect();
                arrays.push((format!("{part}.{name}"), shape.to_vec(), bytes));
            }
        }
        let views = arrays.iter().map(|(name, shape, bytes)| {
            Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes)?))
        });
        let views = views
            .collect::<Result<Vec<_>, SafeTensorError>>()
            .map_err(format)?;
        let content = safetensors::serialize(views, Some(notes)).map_err(format)?;
        replace(path, &content).map_err(|source| CheckpointError::File {
            path: path.to_owned(),
            source,
        })
    }

    /// Reads what a run with the same settings has written.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn read(path: &Path, settings: &Settings) -> Result<Self, CheckpointError> {
        let content = fs::read(path).map_err(|source| CheckpointError::File {
            path: path.to_owned(),
            source,
        })?;
        let format = |source: Box<dyn std::error::Error + Send + Sync>| CheckpointError::Format {
            path: path.to_owned(),
            source,
        };
        let (_, metadata) = SafeTensors::read_metadata(&content).map_err(|error| format(Box::new(error)))?;
        let mut notes = metadata.metadata().clone().unwrap_or_default();
        for (name, value) in OLD {
            notes.entry(name.to_owned()).or_insert_with(|| value.to_owned());
        }
        let note = |name: &str| notes.get(name).cloned().unwrap_or_default();
        for (setting, asked) in identity(settings) {
            let found = note(setting);
            if found != asked {
                return Err(CheckpointError::Settings {
                    setting,
                    found,
                    asked,
                });
            }
        }
        let tensors = SafeTensors::deserialize(&content).map_err(|error| format(Box::new(error)))?;
        let [parameters, square_average, accumulated_update] =
            PARTS.map(|part| read_part(&tensors, part).map_err(format));
        let learner = LearnerState {
            parameters: parameters?,
            square_average: square_average?,
            accumulated_update: accumulated_update?,
            steps: note("steps").parse().map_err(|error| format(Box::new(error)))?,
        };
        let number = |name| note(name).parse().map_err(|error| format(Box::new(error)));
        let epochs = number("epochs")?;
        let mean = match settings.averaged(epochs) {
            0 => None,
            _ => Some(read_part(&tensors, MEAN).map_err(format)?),
        };
        let kept = match notes.get(KEPT_EPOCH) {
            None => None,
            Some(_) => {
                let epoch = number(KEPT_EPOCH)?;
                let parameters = if epoch < epochs {
                    read_part(&tensors, KEPT).map_err(format)?
                } else {
                    mean.as_ref().unwrap_or(&learner.parameters).clone()
                };
                let weights = Weights::new(parameters).map_err(|error| format(Box::new(error)))?;
                Some(Kept { epoch, weights })
            }
        };
        Ok(Self {
            learner,
            epochs,
            mean,
            kept,
        })
    }
}

fn read_part(
    tensors: &SafeTensors<'_>,
    part: &str,
) -> Result<Parameters, Box<dyn std::error::Error + Send + Sync>> {
    let mut parameters = Parameters::zeros();
    for ((name, _), array) in TENSORS.iter().zip(parameters.arrays_mut()) {
        let view = tensors.tensor(&format!("{part}.{name}"))?;
        if view.dtype() != Dtype::F32 || view.data().len() != size_of_val(array) {
            return Err(format!("the tensor {part}.{name} has another shape or dtype").into());
        }
        for (number, bytes) in array.iter_mut().zip(view.data().as_chunks().0) {
            *number = f32::from_le_bytes(*bytes);
        }
    }
    Ok(parameters)
}
