//! New weights while it runs: taken over without a gap when they are good, and left alone when they are not.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use mnistq::model::parameters::Parameters;
use mnistq::model::weights::Weights;
use tokio::task::JoinHandle;

use crate::harness::client::{Client, picture};
use crate::harness::eventually;
use crate::harness::mnistq::{Home, Mnistq};

/// Good weights, the `number`th of many.
fn good(number: u8) -> Weights {
    let mut parameters = Weights::embedded().unwrap().parameters;
    parameters.arrays_mut()[7][0] += f32::from(number) * 1e-4;
    Weights::new(parameters).unwrap()
}

/// What takes everything for the same.
fn ignorant() -> Weights {
    Weights::new(Parameters::zeros()).unwrap()
}

/// What answers with no number.
fn numberless() -> Weights {
    let mut parameters = Weights::embedded().unwrap().parameters;
    parameters.arrays_mut()[7][0] = f32::NAN;
    Weights::new(parameters).unwrap()
}

/// Uploads that go on until they are told to end, each of which must be answered rightly.
struct Stream {
    end: Arc<AtomicBool>,
    uploads: Vec<JoinHandle<BTreeMap<String, usize>>>,
}

impl Stream {
    fn begin(client: &Client) -> Self {
        let end = Arc::new(AtomicBool::new(false));
        let upload = |_| {
            let (client, end) = (client.clone(), Arc::clone(&end));
            tokio::spawn(async move {
                let mut answers = BTreeMap::new();
                while !end.load(Ordering::Relaxed) {
                    *answers.entry(sha256_of_an_answer(&client).await).or_default() += 1;
                }
                answers
            })
        };
        let uploads = (0..4).map(upload).collect();
        Self { end, uploads }
    }

    /// How many answers came by which weights.
    async fn end(self) -> BTreeMap<String, usize> {
        self.end.store(true, Ordering::Relaxed);
        let mut all = BTreeMap::new();
        for upload in self.uploads {
            for (sha256, count) in upload.await.unwrap() {
                *all.entry(sha256).or_default() += count;
            }
        }
        all
    }
}

async fn sha256_of_an_answer(client: &Client) -> String {
    let answer = client.post_and_wait(picture("three.jpg")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["predicted_class"], 3, "{answer:?}");
    answer.body["model"]["weights_sha256"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn answers_by(client: &Client, weights: &Weights) {
    eventually("answers come from the new weights", async || {
        sha256_of_an_answer(client).await == weights.sha256
    })
    .await;
}

/// Changes the content of a file, but nothing else that can be seen of it from outside.
fn overwrite_unseen(file: &Path, weights: &Weights) {
    let before = std::fs::metadata(file).unwrap();
    let other = file.with_extension("other");
    weights.write(&other).unwrap();
    std::fs::write(file, std::fs::read(other).unwrap()).unwrap();
    let opened = File::options().append(true).open(file).unwrap();
    opened.set_modified(before.modified().unwrap()).unwrap();
    assert_eq!(std::fs::metadata(file).unwrap().len(), before.len());
}

#[tokio::test]
async fn a_front_end_takes_new_weights_over_under_load_and_loses_nothing() {
    let home = Home::new();
    let file = home.path().join("mine.safetensors");
    let (first, second, third) = (good(1), good(2), good(3));
    first.write(&file).unwrap();
    let mut front_end = home
        .serve(&["--weights", "mine.safetensors", "--workers", "2"])
        .await;
    let client = Client::new(front_end.url());
    answers_by(&client, &first).await;

    let stream = Stream::begin(&client);
    // A file in the place of another.
    second.write(&file).unwrap();
    answers_by(&client, &second).await;
    let told = format!(
        "the weight file has changed: the weights {} are in use now, no longer {}",
        second.sha256, first.sha256
    );
    front_end.logs(&told).await;
    // What no look at the file can tell.
    overwrite_unseen(&file, &third);
    front_end.signal("HUP");
    answers_by(&client, &third).await;
    front_end
        .logs(&format!("SIGHUP: the weights {} are in use now", third.sha256))
        .await;

    let answers = stream.end().await;
    let known = [&first, &second, &third].map(|weights| weights.sha256.as_str());
    for (sha256, count) in &answers {
        assert!(known.contains(&sha256.as_str()), "{count} answers by {sha256}");
    }
    // The last word of both workers.
    for _ in 0..20 {
        assert_eq!(sha256_of_an_answer(&client).await, third.sha256);
    }
    assert_eq!(front_end.stop().await.code, Some(0));
}

#[tokio::test]
async fn a_worker_of_its_own_takes_new_weights_over() {
    let home = Home::new();
    let file = home.path().join("mine.safetensors");
    good(1).write(&file).unwrap();
    let mut front_end = home.serve(&["--workers", "0"]).await;
    let worker = home.start(&["work", "--weights", "mine.safetensors"]);
    let client = Client::new(front_end.url());
    answers_by(&client, &good(1)).await;
    good(2).write(&file).unwrap();
    answers_by(&client, &good(2)).await;
    good(3).write(&file).unwrap();
    worker.signal("HUP");
    answers_by(&client, &good(3)).await;
    front_end.signal("HUP");
    front_end.logs("SIGHUP: no worker is in this process").await;
    stops(worker).await;
}

#[tokio::test]
async fn what_is_no_good_leaves_the_old_weights_in_use() {
    let home = Home::new();
    let file = home.path().join("mine.safetensors");
    good(1).write(&file).unwrap();
    let mut front_end = home.serve(&["--weights", "mine.safetensors"]).await;
    let client = Client::new(front_end.url());
    let whole = std::fs::read(&file).unwrap();
    let bad: [(Vec<u8>, &str); 3] = [
        (
            whole[..whole.len() / 2].to_vec(),
            "neither a safetensors file nor",
        ),
        (
            bytes_of(&ignorant(), &home),
            "well-known pictures for something else",
        ),
        (bytes_of(&numberless(), &home), "no log-probabilities"),
    ];
    for (content, reason) in bad {
        // Also a file that is being written is such a file for a while.
        std::fs::write(&file, content).unwrap();
        front_end.logs(reason).await;
        assert_eq!(sha256_of_an_answer(&client).await, good(1).sha256, "{reason}");
    }
    std::fs::remove_file(&file).unwrap();
    front_end.logs("the weights can't be read").await;
    assert_eq!(sha256_of_an_answer(&client).await, good(1).sha256);
    let log = front_end.log();
    let kept = "the new weights are not taken, the old ones stay in use: ";
    assert_eq!(log.matches(kept).count(), 4, "{log}");

    good(2).write(&file).unwrap();
    answers_by(&client, &good(2)).await;
    // Nothing new.
    front_end.signal("HUP");
    front_end
        .logs(&format!("SIGHUP: the weights are the same, {}", good(2).sha256))
        .await;
    stops(front_end).await;
}

#[tokio::test]
async fn without_a_file_there_is_nothing_to_reload() {
    let home = Home::new();
    let mut front_end = home.serve(&[]).await;
    front_end.signal("HUP");
    front_end
        .logs("SIGHUP: the weights are those in the executable")
        .await;
    sha256_of_an_answer(&Client::new(front_end.url())).await;
    stops(front_end).await;
}

fn bytes_of(weights: &Weights, home: &Home) -> Vec<u8> {
    let file = home.path().join("other.safetensors");
    weights.write(&file).unwrap();
    std::fs::read(file).unwrap()
}

async fn stops(process: Mnistq) {
    let output = process.stop().await;
    assert_eq!(output.code, Some(0), "{output:?}");
}
