//! A learner that keeps the data set on its device: the run is the same as when each batch is handed to it.

use std::path::Path;

use candle_core::Device;
use mnistq::model::device::DeviceName;
use mnistq::model::{ModelError, Place};
use mnistq::train::candle_learner::CandleLearner;
use mnistq::train::dataset::Dataset;
use mnistq::train::random::initial_parameters;
use mnistq::train::report::ReportError;
use mnistq::train::{
    Course, Dropout, End, Ended, Learner, LearnerState, Progress, Settings, Step, Tested, run,
};
use tokio_util::sync::CancellationToken;

use crate::harness::data::unpacked;
use crate::harness::process::folder;

/// The same learner, but that it must be handed everything.
struct Handed(CandleLearner);

impl Learner for Handed {
    fn device(&self) -> &str {
        self.0.device()
    }

    fn step(&mut self, pixels: &[u8], labels: &[u8], learning_rate: f32) -> Result<f32, ModelError> {
        self.0.step(pixels, labels, learning_rate)
    }

    fn predict(&mut self, pixels: &[u8]) -> Result<Vec<f32>, ModelError> {
        self.0.predict(pixels)
    }

    fn state(&mut self) -> Result<LearnerState, ModelError> {
        self.0.state()
    }
}

/// All that is told of a run.
#[derive(Default, PartialEq, Debug)]
struct Told(Vec<Step>);

impl Progress for Told {
    fn stepped(&mut self, step: &Step) {
        self.0.push(*step);
    }

    fn tested(&mut self, _tested: &Tested<'_>) -> Result<(), ReportError> {
        Ok(())
    }
}

#[test]
fn a_run_is_the_same_when_the_data_set_lies_on_the_device() {
    let folder = folder();
    let (kept, handed) = (folder.path().join("kept"), folder.path().join("handed"));
    let learner = || {
        let state = LearnerState::new(initial_parameters(1));
        CandleLearner::new(&state, Dropout::reference(1), "cpu".to_owned(), Device::Cpu).unwrap()
    };
    let of_kept = trained(&mut learner(), &kept);
    let of_handed = trained(&mut Handed(learner()), &handed);
    // 100 pictures in batches of 8, twice.
    assert_eq!(of_kept.0.len(), 26);
    assert_eq!(of_kept, of_handed);
    assert_eq!(std::fs::read(kept).unwrap(), std::fs::read(handed).unwrap());
}

fn trained(learner: &mut dyn Learner, out: &Path) -> Told {
    let pictures = Dataset::new(
        unpacked("golden/train640-images-idx3-ubyte.gz").split_off(16),
        unpacked("golden/train640-labels-idx1-ubyte.gz").split_off(8),
    );
    let (train, test) = pictures.unwrap().first(120).hold_out(20).unwrap();
    let settings = Settings {
        epochs: 2,
        batch_size: 8,
        ..Settings::default()
    };
    let course = Course {
        settings: &settings,
        train: &train,
        augmenter: None,
        test: &test,
        out,
        done: 0,
        mean: None,
        place: Place::new(DeviceName::Cpu, 1),
        best: None,
    };
    let mut told = Told::default();
    let ended = run(learner, &course, &mut told, &CancellationToken::new()).unwrap();
    let expected = Ended {
        end: End::Whole,
        epochs: 2,
        kept: Some(2),
    };
    assert_eq!(ended, expected);
    told
}
