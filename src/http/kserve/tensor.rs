//! Tensors of the Open Inference Protocol: pictures out of a request's, answers into a response's.

use actix_web::web::Bytes;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Offer;
use super::elements::{Element, Elements};
use crate::job::{Picture, Prediction};

/// The one input.
const IMAGE: &str = "image";
/// The two outputs.
const CLASS: &str = "class";
const PROBABILITIES: &str = "probabilities";

/// What a tensor looks like; -1 is any number.
#[derive(Serialize, ToSchema)]
#[schema(as = TensorDescription)]
pub struct Description {
    name: &'static str,
    datatype: &'static str,
    shape: Vec<i64>,
}

/// What the model takes.
pub fn input(offer: &Offer) -> Description {
    Description {
        name: IMAGE,
        datatype: "UINT8",
        shape: vec![-1, offer.height.into(), offer.width.into()],
    }
}

/// What the model answers.
pub fn outputs(offer: &Offer) -> [Description; 2] {
    let output = |name, datatype, shape| Description {
        name,
        datatype,
        shape,
    };
    [
        output(CLASS, "INT64", vec![-1]),
        output(PROBABILITIES, "FP32", vec![-1, offer.classes.into()]),
    ]
}

/// A tensor of a request.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = InputTensor)]
pub struct Tensor {
    #[schema(pattern = "^image$", example = "image")]
    name: String,
    /// [n, 28, 28], [n, 1, 28, 28] or [n, 784] of numbers, [n] of files.
    shape: Vec<usize>,
    #[schema(pattern = "^(UINT8|FP32|FP64|BYTES)$", example = "UINT8")]
    /// UINT8 (ink from 0 to 255), FP32 or FP64 (from 0 to 1), or BYTES (image files in base64).
    datatype: String,
    /// Flat, or nested as the shape is.
    #[schema(value_type = Vec<Value>)]
    data: Elements,
}

/// One picture of a request.
#[derive(Debug)]
pub enum Image {
    /// As the model sees it.
    Pixels(Picture),
    /// A file, still to be read.
    File(Bytes),
}

impl Tensor {
    /// The pictures in it, or what is wrong with it.
    pub fn images(self, offer: &Offer) -> Result<Vec<Image>, String> {
        if self.name != IMAGE {
            return Err(format!(
                "the model has no input `{}`: it takes `{IMAGE}`",
                self.name
            ));
        }
        let elements = self.data.0;
        let expected = self
            .shape
            .iter()
            .try_fold(1_usize, |product, side| product.checked_mul(*side));
        if expected != Some(elements.len()) {
            return Err(format!(
                "the shape {:?} does not have the {} elements of `data`",
                self.shape,
                elements.len()
            ));
        }
        let scale = match self.datatype.as_str() {
            "BYTES" => return files(elements),
            "UINT8" => 1.0,
            "FP32" | "FP64" => 255.0,
            other => {
                return Err(format!(
                    "the datatype is UINT8, FP32, FP64 or BYTES here, and not {other}"
                ));
            }
        };
        let (height, width) = (usize::from(offer.height), usize::from(offer.width));
        let whole = matches!(self.shape[..], [_, rows, columns] | [_, 1, rows, columns] if (rows, columns) == (height, width))
            || matches!(self.shape[..], [_, pixels] if pixels == height * width);
        if !whole {
            return Err(format!(
                "the shape {:?} is none of [n, {height}, {width}], [n, 1, {height}, {width}] and [n, {}]",
                self.shape,
                height * width
            ));
        }
        let pixels: Vec<u8> = elements
            .into_iter()
            .map(|element| element.pixel(scale))
            .collect::<Result<_, _>>()?;
        let pictures = pixels
            .chunks(height * width)
            .filter_map(|pixels| Picture::new(offer.width, offer.height, pixels.to_vec()));
        Ok(pictures.map(Image::Pixels).collect())
    }
}

fn files(elements: Vec<Element>) -> Result<Vec<Image>, String> {
    let file = |element| match element {
        Element::Text(text) => BASE64_STANDARD
            .decode(text)
            .map(|bytes| Image::File(bytes.into()))
            .map_err(|error| format!("an element of BYTES is an image file in base64: {error}")),
        Element::Number(_) => Err("an element of BYTES is an image file in base64, and no number".to_owned()),
    };
    elements.into_iter().map(file).collect()
}

/// An output that a request asks for; none: both.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = WantedOutput)]
pub struct Wanted {
    #[schema(pattern = "^(class|probabilities)$", example = "class")]
    name: String,
}

/// A tensor of a response.
#[derive(Serialize, ToSchema)]
#[schema(as = OutputTensor)]
pub struct Output {
    name: &'static str,
    datatype: &'static str,
    shape: Vec<usize>,
    #[schema(value_type = Vec<f64>)]
    data: Numbers,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Numbers {
    Whole(Vec<i64>),
    Real(Vec<f32>),
}

/// The outputs that a request wants, by name and in its order, or which of them there is not.
pub fn names(wanted: Option<Vec<Wanted>>) -> Result<Vec<&'static str>, String> {
    let known = [CLASS, PROBABILITIES];
    let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else {
        return Ok(known.to_vec());
    };
    let named = |wanted: Wanted| {
        let found = known.into_iter().find(|name| *name == wanted.name);
        found.ok_or_else(|| {
            format!(
                "the model has no output `{}`: it has {}",
                wanted.name,
                known.join(" and ")
            )
        })
    };
    wanted.into_iter().map(named).collect()
}

/// Predictions as tensors of these names.
pub fn answers(names: &[&'static str], predictions: &[Prediction]) -> Vec<Output> {
    let count = predictions.len();
    let answer = |name: &&'static str| match *name {
        CLASS => Output {
            name: CLASS,
            datatype: "INT64",
            shape: vec![count],
            data: Numbers::Whole(predictions.iter().map(|one| one.predicted_class.into()).collect()),
        },
        _ => {
            let all: Vec<f32> = predictions
                .iter()
                .flat_map(|one| one.probabilities.clone())
                .collect();
            Output {
                name: PROBABILITIES,
                datatype: "FP32",
                shape: vec![count, all.len() / count.max(1)],
                data: Numbers::Real(all),
            }
        }
    };
    names.iter().map(answer).collect()
}
