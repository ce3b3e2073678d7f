//! Runs that end when they get no better, and what they keep.

use mnistq::train::Settings;
use mnistq::train::checkpoint::Checkpoint;

use super::looked_at::{timeless_events, timeless_figures, timeless_page};
use super::runs::{content, epochs_in, train};
use super::small_mnist;
use crate::harness::mnistq::{Home, Output};

/// After a few epochs the learning rate is next to nothing: then nothing gets better.
const SETTINGS: [&str; 4] = ["--gamma", "0.01", "--out", "w"];

#[tokio::test]
async fn a_run_that_gets_no_better_ends_and_keeps_its_best_weights() {
    let home = Home::new();
    small_mnist(&home);
    let output = patient(&home, &["--epochs", "30", "--patience", "2"]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let right = right_answers(&output);
    let most = right.iter().max().unwrap();
    let best = 1 + right.iter().position(|count| count == most).unwrap();
    assert_eq!(right.len(), best + 2, "{output:?}");
    assert!(
        best > 1,
        "the best is no first one, to be worth a test: {right:?}"
    );
    let said = format!(
        "ended after epoch {}: no better than epoch {best} for 2 epochs",
        best + 2
    );
    assert!(output.stderr.contains(&said), "{output:?}");
    let said = format!("wrote w with the weights of epoch {best}, the best, and w.run/report.html");
    assert!(output.stderr.contains(&said), "{output:?}");
    let page = String::from_utf8(content(&home, "w.run/report.html")).unwrap();
    let said = format!("ended early: epoch {} of 30, weights of epoch {best}", best + 2);
    assert!(page.contains(&said), "{said} is not in the page");
    assert!(
        page.contains(&format!(">{most} of 1,000 right<")),
        "another accuracy than the best"
    );
    train(
        &home,
        &["--gamma", "0.01", "--epochs", &best.to_string(), "--out", "same"],
    )
    .await;
    assert!(content(&home, "w") == content(&home, "same"));
}

#[tokio::test]
async fn a_resumed_run_waits_and_keeps_as_an_uninterrupted_one_does() {
    let (whole, parts) = (Home::new(), Home::new());
    small_mnist(&whole);
    small_mnist(&parts);
    let settings = ["--epochs", "30", "--patience", "2"];
    let ended = epochs_in(&patient(&whole, &settings).await.stdout);
    // The break lies between the best epoch and the end.
    let before = (ended - 1).to_string();
    let output = patient(&parts, &["--epochs", &before, "--patience", "2"]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let output = patient(&parts, &[&settings[..], &["--resume"]].concat()).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(epochs_in(&output.stdout), 1, "{output:?}");
    assert!(content(&whole, "w") == content(&parts, "w"));
    assert!(state(&whole) == state(&parts));
    assert_eq!(timeless_figures(&whole), timeless_figures(&parts));
    assert_eq!(timeless_events(&whole), timeless_events(&parts));
    assert_eq!(timeless_page(&whole), timeless_page(&parts));
    // What has ended is gone on with only by whoever is more patient, and then as if it had been so from the start.
    let output = patient(&parts, &[&settings[..], &["--resume"]].concat()).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        output.stderr.contains("ask for more with --patience"),
        "{output:?}"
    );
    patient(&parts, &["--epochs", "30", "--patience", "3", "--resume"]).await;
    patient(&whole, &["--epochs", "30", "--patience", "3"]).await;
    assert!(content(&whole, "w") == content(&parts, "w"));
    assert_eq!(timeless_page(&whole), timeless_page(&parts));
}

#[tokio::test]
async fn the_weights_that_a_run_keeps_are_in_its_state_too() {
    let home = Home::new();
    small_mnist(&home);
    let settings = ["--epochs", "30", "--patience", "2"];
    let ended = epochs_in(&patient(&home, &settings).await.stdout);
    let kept = content(&home, "w");
    let before = (ended - 1).to_string();
    for weights in [Some("others"), None] {
        patient(&home, &["--epochs", &before, "--patience", "2"]).await;
        match weights {
            Some(weights) => drop(home.write("w", weights)),
            None => std::fs::remove_file(home.path().join("w")).unwrap(),
        }
        let output = patient(&home, &[&settings[..], &["--resume"]].concat()).await;
        assert_eq!(output.code, Some(0), "{output:?}");
        assert!(content(&home, "w") == kept);
    }
}

async fn patient(home: &Home, arguments: &[&str]) -> Output {
    train(home, &[&SETTINGS[..], arguments].concat()).await
}

/// Where the next epoch would go on from.
fn state(home: &Home) -> Checkpoint {
    let settings = Settings {
        gamma: 0.01,
        patience: 2,
        ..Settings::default()
    };
    Checkpoint::read(&home.path().join("w.state.safetensors"), &settings).unwrap()
}

/// How many answers were right after each epoch.
fn right_answers(output: &Output) -> Vec<u32> {
    let tests = output.stdout.split("Accuracy: ").skip(1);
    tests
        .map(|test| test.split('/').next().unwrap().parse().unwrap())
        .collect()
}
