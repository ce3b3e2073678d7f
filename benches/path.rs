//! What one job costs on its way, piece by piece: reading an upload, the wire form, the stored form, the model.
//!
//! ```text
//! cargo bench
//! ```

use std::hint::black_box;
use std::time::{Duration, SystemTime};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mnistq::digit::{DigitReader, Reader};
use mnistq::job::{Job, JobId, ModelName, Outcome, Picture, Prediction, Timings};
use mnistq::model::Model;
use mnistq::model::kernels::{CpuNet, Level};
use mnistq::model::weights::Weights;

const DIGIT: &[u8] = include_bytes!("../src/roles/bench/seven.png");
const PHOTO: &[u8] = include_bytes!("../examples/pictures/photo.jpg");
/// The same photo, as a camera of a third of a megapixel would have taken it.
const SMALL_PHOTO: &[u8] = include_bytes!("photo-640x480.jpg");

fn reading(criterion: &mut Criterion) {
    let reader = DigitReader::new(&Default::default());
    let mut group = criterion.benchmark_group("read");
    for (name, upload) in [
        ("png of 28×28", DIGIT),
        ("jpeg of 640×480", SMALL_PHOTO),
        ("jpeg of 900×1200", PHOTO),
    ] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| reader.read(black_box(upload)).expect("a digit"));
        });
    }
    group.finish();
}

fn wire_form(criterion: &mut Criterion) {
    let job = Job {
        id: JobId::issue(),
        picture: Picture::new(28, 28, vec![7; 784]).expect("28×28 bytes"),
        result_ttl: Duration::from_secs(3600),
        accepted_at: SystemTime::now(),
        reading: Duration::from_micros(300),
        trace: None,
    };
    let wire = job.encode();
    let outcome = Outcome::Succeeded(Prediction {
        predicted_class: 7,
        probabilities: vec![0.1; 10],
        model: ModelName {
            name: "MNISTNet".to_owned(),
            weights_sha256: "0".repeat(64),
        },
        worker: "work-1".to_owned(),
        device: "cpu".to_owned(),
        batch_size: 64,
        timings: Timings::default(),
    });
    let stored = outcome.encode();
    let mut group = criterion.benchmark_group("form");
    group.bench_function("encode a job", |bencher| {
        bencher.iter(|| black_box(&job).encode())
    });
    group.bench_function("decode a job", |bencher| {
        bencher.iter(|| Job::decode(black_box(&wire)).expect("a job"));
    });
    group.bench_function("encode an outcome", |bencher| {
        bencher.iter(|| black_box(&outcome).encode())
    });
    group.bench_function("decode an outcome", |bencher| {
        bencher.iter(|| Outcome::decode(black_box(&stored)).expect("an outcome"));
    });
    group.finish();
}

fn model(criterion: &mut Criterion) {
    let weights = Weights::embedded().expect("the shipped weights");
    for level in Level::available() {
        let mut group = criterion.benchmark_group(format!("model, {level:?}, one thread"));
        let mut net = CpuNet::at_level(level, &weights.parameters, String::new(), 1).expect("a thread");
        for batch in [1, 8, 64] {
            let pixels: Vec<u8> = (0..batch * 784).map(|index| (index * 31 % 251) as u8).collect();
            group.throughput(Throughput::Elements(batch as u64));
            group.bench_function(format!("batch of {batch}"), |bencher| {
                bencher.iter(|| net.predict(black_box(&pixels)).expect("an answer"));
            });
        }
        group.finish();
    }
}

criterion_group!(path, reading, wire_form, model);
criterion_main!(path);
