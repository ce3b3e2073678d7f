//! `mnistq train` and `mnistq evaluate` on a small MNIST.

use mnistq::model::weights::Weights;
use serde_json::Value;

use super::small_mnist;
use crate::harness::data::{committed, unpacked};
use crate::harness::eventually;
use crate::harness::mnistq::{Home, Output};

#[tokio::test]
async fn the_shipped_weights_know_pictures_that_no_training_saw() {
    let folder = committed("held_back").display().to_string();
    let output = Home::new().run(&["evaluate", "--data", &folder, "--json"]).await;
    let figures: Value = serde_json::from_str(&output.stdout).unwrap();
    assert_eq!(figures["total"], 1000, "{figures}");
    // What PyTorch's example reaches on all 10,000 is 98.87 %: these thousand are a little harder.
    assert!(figures["accuracy"].as_f64().unwrap() >= 0.985, "{figures}");
    let confusion = figures["confusion"].as_array().unwrap();
    let right: u64 = (0..10)
        .map(|digit| confusion[digit][digit].as_u64().unwrap())
        .sum();
    assert_eq!(figures["correct"], right, "{figures}");
}

#[tokio::test]
async fn training_tells_how_far_it_is_and_leaves_the_weights_that_it_tested() {
    let home = Home::new();
    small_mnist(&home);
    let output = train(&home, &["--epochs", "2", "--out", "w.safetensors"]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert!(
        lines[0].starts_with("Train Epoch: 1 [0/640 (0%)]  Loss: "),
        "{output:?}"
    );
    let last = lines.last().unwrap();
    let (_, accuracy) = last.split_once("Accuracy: ").expect("the last line is a test");
    assert!(last.starts_with("Test set: Average loss: "), "{output:?}");
    let table = home
        .run(&[
            "evaluate",
            "--data",
            "mnist",
            "--weights",
            "w.safetensors",
            "--json",
        ])
        .await;
    let figures: Value = serde_json::from_str(&table.stdout).unwrap();
    let correct = accuracy.split('/').next().unwrap();
    assert_eq!(figures["correct"].to_string(), correct, "{last}");
    assert!(
        figures["accuracy"].as_f64().unwrap() > 0.5,
        "it learned nothing: {figures}"
    );
}

#[tokio::test]
async fn the_same_seed_gives_the_same_weights_and_another_one_others() {
    let home = Home::new();
    small_mnist(&home);
    for (seed, out) in [("5", "one"), ("5", "same"), ("6", "other")] {
        let output = train(&home, &["--epochs", "1", "--seed", seed, "--out", out]).await;
        assert_eq!(output.code, Some(0), "{output:?}");
    }
    assert!(content(&home, "one") == content(&home, "same"));
    assert!(content(&home, "one") != content(&home, "other"));
}

#[tokio::test]
async fn a_resumed_run_ends_where_an_uninterrupted_one_does() {
    let home = Home::new();
    small_mnist(&home);
    for arguments in [
        &["--epochs", "3", "--out", "whole"][..],
        &["--epochs", "1", "--out", "parts"],
        &["--epochs", "3", "--out", "parts", "--resume"],
    ] {
        let output = train(&home, arguments).await;
        assert_eq!(output.code, Some(0), "{output:?}");
    }
    assert!(content(&home, "whole") == content(&home, "parts"));
}

#[tokio::test]
async fn distorted_pictures_are_those_of_the_seed_also_after_a_break() {
    let home = Home::new();
    small_mnist(&home);
    for arguments in [
        &["--augment", "--epochs", "2", "--out", "whole", "--threads", "1"][..],
        &["--augment", "--epochs", "1", "--out", "parts", "--threads", "2"],
        &["--augment", "--epochs", "2", "--out", "parts", "--resume"],
        &["--epochs", "2", "--out", "plain"],
    ] {
        let output = train(&home, arguments).await;
        assert_eq!(output.code, Some(0), "{output:?}");
    }
    assert!(content(&home, "whole") == content(&home, "parts"));
    assert!(content(&home, "whole") != content(&home, "plain"));
}

#[tokio::test]
async fn averaged_weights_are_the_mean_of_those_of_each_epoch_also_after_a_break() {
    let home = Home::new();
    small_mnist(&home);
    for arguments in [
        // A learning rate that does not fall, but for its first step.
        &["--lr-floor", "1", "--epochs", "1", "--out", "1"][..],
        &["--lr-floor", "1", "--epochs", "2", "--out", "2"],
        &["--lr-floor", "1", "--epochs", "3", "--out", "3"],
        &[
            "--lr-floor",
            "1",
            "--average-from",
            "2",
            "--epochs",
            "3",
            "--out",
            "mean",
        ],
        &[
            "--lr-floor",
            "1",
            "--average-from",
            "2",
            "--epochs",
            "2",
            "--out",
            "parts",
        ],
        &[
            "--lr-floor",
            "1",
            "--average-from",
            "2",
            "--epochs",
            "3",
            "--out",
            "parts",
            "--resume",
        ],
    ] {
        let output = train(&home, arguments).await;
        assert_eq!(output.code, Some(0), "{output:?}");
    }
    assert!(content(&home, "mean") == content(&home, "parts"));
    let weights = |name: &str| Weights::read(&home.path().join(name)).unwrap().parameters;
    let (second, third, mean) = (weights("2"), weights("3"), weights("mean"));
    for ((second, third), mean) in second.arrays().iter().zip(third.arrays()).zip(mean.arrays()) {
        for ((second, third), mean) in second.iter().zip(third).zip(mean) {
            assert!((f32::midpoint(*second, *third) - mean).abs() <= 1e-6 * mean.abs().max(1e-3));
        }
    }
    // Without its floor the learning rate falls.
    let output = train(&home, &["--epochs", "2", "--out", "fallen"]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(content(&home, "fallen") != content(&home, "2"));
}

#[tokio::test]
async fn pictures_are_distorted_until_they_are_to_be_plain() {
    let home = Home::new();
    small_mnist(&home);
    for arguments in [
        &["--epochs", "1", "--out", "plain"][..],
        &[
            "--epochs",
            "1",
            "--augment",
            "--plain-from",
            "1",
            "--out",
            "from-1",
        ],
        &[
            "--epochs",
            "1",
            "--augment",
            "--plain-from",
            "2",
            "--out",
            "from-2",
        ],
        &["--epochs", "1", "--augment", "--out", "distorted"],
        &["--epochs", "2", "--augment", "--out", "both-distorted"],
        &[
            "--epochs",
            "2",
            "--augment",
            "--plain-from",
            "2",
            "--out",
            "second-plain",
        ],
    ] {
        let output = train(&home, arguments).await;
        assert_eq!(output.code, Some(0), "{output:?}");
    }
    assert!(content(&home, "plain") == content(&home, "from-1"));
    assert!(content(&home, "distorted") == content(&home, "from-2"));
    assert!(content(&home, "plain") != content(&home, "distorted"));
    assert!(content(&home, "both-distorted") != content(&home, "second-plain"));
}

#[tokio::test]
async fn pictures_that_are_held_back_are_tested_with_and_not_learned() {
    let home = Home::new();
    let folder = small_mnist(&home);
    let output = train(&home, &["--epochs", "1", "--hold-out", "140", "--out", "w"]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.contains("[0/500 (0%)]"), "{output:?}");
    assert!(output.stdout.contains("/140 ("), "{output:?}");
    // The test pictures are not even looked at.
    std::fs::remove_file(folder.join("t10k-labels-idx1-ubyte.gz")).unwrap();
    let labels = unpacked("golden/train640-labels-idx1-ubyte.gz");
    let mut others = labels.clone();
    others[8 + 500..].fill(0);
    home.write("mnist/train-labels-idx1-ubyte", others);
    std::fs::remove_file(folder.join("train-labels-idx1-ubyte.gz")).unwrap();
    let output = train(&home, &["--epochs", "1", "--hold-out", "140", "--out", "same"]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(content(&home, "w") == content(&home, "same"));
    let output = train(&home, &["--hold-out", "640"]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("--hold-out"), "{output:?}");
}

#[tokio::test]
async fn a_run_is_resumed_only_as_it_began() {
    let home = Home::new();
    small_mnist(&home);
    train(&home, &["--epochs", "1", "--out", "w"]).await;
    for (changed, named) in [
        (["--lr", "0.5"], "lr"),
        (["--seed", "9"], "seed"),
        (["--batch-size", "32"], "batch_size"),
        (["--gamma", "0.9"], "gamma"),
        (["--hold-out", "9"], "hold_out"),
        (["--lr-floor", "0.1"], "lr_floor"),
        (["--average-from", "1"], "average_from"),
        (["--plain-from", "1"], "plain_from"),
        (["--patience", "2"], "patience off instead of on"),
        (["--augment", "--epochs=9"], "augment"),
        (["--epochs", "1"], "--epochs"),
    ] {
        let output = train(&home, &[&["--out", "w", "--resume"], &changed[..]].concat()).await;
        assert_eq!(output.code, Some(1), "{changed:?}: {output:?}");
        assert!(output.stderr.contains(named), "{changed:?}: {output:?}");
    }
    let output = train(&home, &["--out", "elsewhere", "--resume"]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("elsewhere"), "{output:?}");
}

#[tokio::test]
async fn ctrl_c_leaves_the_weights_of_the_last_whole_epoch() {
    let home = Home::new();
    small_mnist(&home);
    let training = home.start(&["train", "--data", "mnist", "--epochs", "5000", "--out", "w"]);
    eventually("two epochs are done", async || {
        epochs_in(&training.printed()) >= 2
    })
    .await;
    training.signal("INT");
    let output = training.output().await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("--resume"), "{output:?}");
    let epochs = epochs_in(&output.stdout).to_string();
    train(&home, &["--epochs", &epochs, "--out", "same"]).await;
    assert!(content(&home, "w") == content(&home, "same"));
}

#[tokio::test]
async fn ctrl_c_in_the_first_epoch_leaves_the_weights_of_an_earlier_run_alone() {
    let home = Home::new();
    let folder = small_mnist(&home);
    // Long enough that the signal comes before the end of the first epoch.
    let (images, labels) = (
        unpacked("golden/train640-images-idx3-ubyte.gz"),
        unpacked("golden/train640-labels-idx1-ubyte.gz"),
    );
    let repeats = 200_u32;
    let count = (640 * repeats).to_be_bytes();
    for (name, file, header) in [("images-idx3", images, 16), ("labels-idx1", labels, 8)] {
        let mut long = file[..header].to_vec();
        long[4..8].copy_from_slice(&count);
        long.extend(file[header..].repeat(repeats as usize));
        std::fs::write(folder.join(format!("train-{name}-ubyte")), long).unwrap();
    }
    home.write("w", "weights of yesterday");
    home.write("w.run/metrics.jsonl", "figures of yesterday");
    let training = home.start(&["train", "--data", "mnist", "--out", "w"]);
    eventually("the first epoch runs", async || {
        training.printed().contains("Train Epoch: 1")
    })
    .await;
    training.signal("INT");
    let output = training.output().await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("nothing was written"), "{output:?}");
    assert_eq!(content(&home, "w"), b"weights of yesterday");
    assert_eq!(content(&home, "w.run/metrics.jsonl"), b"figures of yesterday");
}

/// Runs `mnistq train` to its end.
pub async fn train(home: &Home, arguments: &[&str]) -> Output {
    home.run(&[&["train", "--data", "mnist"], arguments].concat())
        .await
}

/// How many epochs a run tells of.
pub fn epochs_in(printed: &str) -> usize {
    printed.matches("Test set: ").count()
}

/// What a file below a home holds.
pub fn content(home: &Home, name: &str) -> Vec<u8> {
    std::fs::read(home.path().join(name)).unwrap()
}
