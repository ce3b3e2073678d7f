//! safetensors, in and out.

use std::fs::{self, File};

use mnistq::model::parameters::{Parameters, TENSORS};
use mnistq::model::weights::Weights;
use safetensors::tensor::{Dtype, TensorView};

use super::refusal;
use crate::harness::mnistq::Home;
use mnistq::train::golden::start as formula;

#[test]
fn the_executable_carries_the_file_that_is_shipped() {
    let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/weights/mnist.safetensors");
    assert_eq!(
        Weights::read(shipped.as_ref()).unwrap(),
        Weights::embedded().unwrap()
    );
}

#[test]
fn what_was_written_is_read_again_under_the_same_name() {
    let home = Home::new();
    let written = Weights::new(formula()).unwrap();
    let path = home.write("w.safetensors", "weights of yesterday");
    written.write(&path).unwrap();
    assert_eq!(Weights::read(&path).unwrap(), written);
    assert_eq!(
        fs::read_dir(home.path()).unwrap().count(),
        1,
        "something else is left"
    );
}

#[test]
fn a_tensor_that_is_missing_strange_or_wrong_is_named() {
    let zeros = vec![0; 4 * 9216 * 128];
    let tensor = |dtype: Dtype, shape: &[usize]| {
        let bytes = dtype.bitsize() / 8 * shape.iter().product::<usize>();
        TensorView::new(dtype, shape.to_vec(), &zeros[..bytes]).unwrap()
    };
    let sound = || {
        TENSORS
            .map(|(name, shape)| (name, tensor(Dtype::F32, shape)))
            .to_vec()
    };
    let file = |tensors: Vec<(&str, TensorView<'_>)>| safetensors::serialize(tensors, None).unwrap();
    assert_eq!(
        Weights::parse(&file(sound())).unwrap().parameters,
        Parameters::zeros()
    );

    let mut missing = sound();
    missing.remove(3);
    assert_eq!(refusal(&file(missing)), "the tensor conv2.bias is missing");

    let mut stranger = sound();
    stranger.push(("conv3.weight", tensor(Dtype::F32, &[1])));
    assert_eq!(
        refusal(&file(stranger)),
        "the tensor conv3.weight is none of MNISTNet's"
    );

    let mut turned = sound();
    turned[4].1 = tensor(Dtype::F32, &[9216, 128]);
    assert_eq!(
        refusal(&file(turned)),
        "the tensor fc1.weight has the shape [9216, 128] instead of [128, 9216]"
    );

    let mut half = sound();
    half[7].1 = tensor(Dtype::F16, &[10]);
    assert_eq!(
        refusal(&file(half)),
        "the tensor fc2.bias holds F16 numbers instead of F32"
    );
}

#[test]
fn a_damaged_file_is_refused() {
    let home = Home::new();
    let path = home.path().join("w.safetensors");
    Weights::embedded().unwrap().write(&path).unwrap();
    let whole = fs::read(&path).unwrap();
    for length in [0, 1, 7, 8, 9, 200, whole.len() / 2, whole.len() - 1] {
        refusal(&whole[..length]);
    }
    let mut lies = whole.clone();
    lies[..8].fill(0xff);
    refusal(&lies);
    refusal(b"\x89PNG\r\n\x1a\n, and no weights at all");
}

#[test]
fn a_file_much_too_large_is_not_even_read() {
    let home = Home::new();
    let path = home.path().join("w.safetensors");
    // A file with a hole: it takes no room.
    File::create(&path).unwrap().set_len(1 << 40).unwrap();
    let error = Weights::read(&path).unwrap_err().to_string();
    assert_eq!(error, "the file has 1099511627776 bytes: no weights of MNISTNet");
}
