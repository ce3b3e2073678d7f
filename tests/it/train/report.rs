//! What a run leaves to look at: the figures as JSON and for TensorBoard, and the page.

use serde_json::Value;

use super::looked_at::{events_file, figures, page, timeless_events, timeless_figures, timeless_page};
use super::runs::{content, train};
use super::{events, small_mnist};
use crate::harness::mnistq::Home;

#[tokio::test]
async fn figures_are_left_of_every_tenth_step_and_of_each_epoch() {
    let home = Home::new();
    small_mnist(&home);
    let output = train(
        &home,
        &["--epochs", "2", "--batch-size", "25", "--out", "w.safetensors"],
    )
    .await;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stderr.contains("w.run/report.html"), "{output:?}");
    let figures = figures(&home, "w.run");
    let steps: Vec<&Value> = figures.iter().map(|line| &line["step"]).collect();
    assert_eq!(steps, [1, 11, 21, 26, 27, 37, 47, 52]);
    let epochs: Vec<&Value> = figures.iter().map(|line| &line["epoch"]).collect();
    assert_eq!(epochs, [1, 1, 1, 1, 2, 2, 2, 2]);
    let mut seconds = 0.0;
    for line in &figures {
        assert!(line["seconds"].as_f64().unwrap() >= seconds, "{line}");
        seconds = line["seconds"].as_f64().unwrap();
        assert!(line["images_per_second"].as_f64().unwrap() > 0.0, "{line}");
        let (lr, epoch) = (line["learning_rate"].as_f64().unwrap(), &line["epoch"]);
        assert_eq!(lr, if *epoch == 1 { 1.0 } else { 0.7 }, "{line}");
        // Both kinds of lines in the output tell the same.
        let said = match line["test_accuracy"].as_f64() {
            None => format!("Loss: {:.6}", line["loss"].as_f64().unwrap() as f32),
            Some(share) => {
                let loss = line["test_loss"].as_f64().unwrap();
                format!("Average loss: {loss:.4}, Accuracy: {:.0}/1000", share * 1000.0)
            }
        };
        assert!(output.stdout.contains(&said), "{said}: {output:?}");
    }
}

#[tokio::test]
async fn tensorboard_is_told_the_same_in_records_that_are_sound() {
    let home = Home::new();
    small_mnist(&home);
    train(&home, &["--epochs", "2", "--out", "w"]).await;
    let told = events::scalars(&std::fs::read(events_file(&home, "w.run")).unwrap());
    let mut expected = Vec::new();
    for line in figures(&home, "w.run") {
        let tags: &[(&str, &str)] = match line.get("test_accuracy") {
            None => &[("loss/batch", "loss"), ("learning_rate", "learning_rate")],
            Some(_) => &[
                ("loss/train", "loss"),
                ("loss/test", "test_loss"),
                ("accuracy/test", "test_accuracy"),
                ("images_per_second", "images_per_second"),
            ],
        };
        for (tag, key) in tags {
            let number = line[key].as_f64().unwrap() as f32;
            expected.push((line["step"].as_u64().unwrap(), (*tag).to_owned(), number));
        }
    }
    assert_eq!(told, expected);
}

#[tokio::test]
async fn the_page_has_everything_in_itself() {
    let home = Home::new();
    small_mnist(&home);
    let out = "<b>&.safetensors";
    let output = train(
        &home,
        &[
            "--epochs",
            "1",
            "--seed",
            "77",
            "--out",
            out,
            "--run",
            "seen/here",
        ],
    )
    .await;
    assert_eq!(output.code, Some(0), "{output:?}");
    let page = page(&home, "seen/here");
    let table = home
        .run(&["evaluate", "--data", "mnist", "--weights", out, "--json"])
        .await;
    let table: Value = serde_json::from_str(&table.stdout).unwrap();
    for said in [
        "Training of &lt;b&gt;&amp;.safetensors".to_owned(),
        table["weights_sha256"].as_str().unwrap().to_owned(),
        format!("{} of 1,000 right", table["correct"]),
        format!(
            "{:.2}\u{a0}%",
            table["classes"][8]["precision"].as_f64().unwrap() * 100.0
        ),
        "<dd>77</dd>".to_owned(),
        "prefers-color-scheme: dark".to_owned(),
    ] {
        assert!(page.contains(&said), "{said} is not in the page");
    }
    let cells: Vec<&str> = page.split("--depth:").skip(1).collect();
    let counts: Vec<u64> = cells.iter().map(|cell| text_in(cell).parse().unwrap()).collect();
    let confusion: Vec<Vec<u64>> = serde_json::from_value(table["confusion"].clone()).unwrap();
    assert_eq!(counts, confusion.concat());
    // One epoch of 640 pictures leaves more mistakes than are shown.
    assert_eq!(page.matches("<img src=\"data:image/png;base64,").count(), 24);
    assert_eq!(page.matches("<svg ").count(), 2);
    for outside in ["http:", "https:", "<script", "<link", "@import", "url("] {
        assert!(!page.contains(outside), "{outside} is in the page");
    }
}

#[tokio::test]
async fn a_resumed_run_leaves_the_files_of_an_uninterrupted_one_apart_from_times() {
    let (whole, parts) = (Home::new(), Home::new());
    for (home, arguments) in [
        (&whole, &["--epochs", "3"][..]),
        (&parts, &["--epochs", "1"]),
        (&parts, &["--epochs", "3", "--resume"]),
    ] {
        small_mnist(home);
        let output = train(home, &[arguments, &["--batch-size", "25", "--out", "w"]].concat()).await;
        assert_eq!(output.code, Some(0), "{output:?}");
    }
    assert_eq!(timeless_figures(&whole), timeless_figures(&parts));
    assert_eq!(timeless_events(&whole), timeless_events(&parts));
    assert_eq!(timeless_page(&whole), timeless_page(&parts));
    let seconds: Vec<f64> = figures(&parts, "w.run")
        .iter()
        .map(|line| line["seconds"].as_f64().unwrap())
        .collect();
    assert!(seconds.is_sorted(), "{seconds:?}");
}

#[tokio::test]
async fn a_new_run_takes_the_place_of_an_earlier_one() {
    let home = Home::new();
    small_mnist(&home);
    for (epochs, seed) in [("2", "1"), ("1", "2")] {
        let arguments = ["--epochs", epochs, "--seed", seed, "--out", "w"];
        assert_eq!(train(&home, &arguments).await.code, Some(0));
        // What others put there stays.
        home.write("w.run/events.out.tfevents.1.other", "");
    }
    assert_eq!(figures(&home, "w.run").len(), 2);
    let ours = events_file(&home, "w.run");
    let told = events::scalars(&std::fs::read(ours).unwrap());
    assert!(told.iter().all(|(step, ..)| *step <= 10), "{told:?}");
    let mut files: Vec<String> = std::fs::read_dir(home.path().join("w.run"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".mnistq"))
        .collect();
    files.sort();
    assert_eq!(
        files,
        ["events.out.tfevents.1.other", "metrics.jsonl", "report.html"]
    );
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_to_is_told_before_the_training() {
    let home = Home::new();
    small_mnist(&home);
    home.write("file", "no folder");
    for run in ["file", "file/below", "w"] {
        let output = train(&home, &["--epochs", "1", "--out", "w", "--run", run]).await;
        assert_eq!((output.code, output.stdout.as_str()), (Some(1), ""), "{output:?}");
        assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
        assert!(output.stderr.contains(run), "{output:?}");
    }
    assert!(!home.path().join("w").exists());
}

#[tokio::test]
async fn a_file_that_cannot_be_written_costs_no_weights() {
    let home = Home::new();
    small_mnist(&home);
    for name in ["metrics.jsonl", "report.html"] {
        let out = format!("without-{name}");
        let blocked = home.path().join("run").join(name);
        std::fs::create_dir_all(&blocked).unwrap();
        let output = train(&home, &["--epochs", "1", "--out", &out, "--run", "run"]).await;
        assert_eq!(output.code, Some(1), "{output:?}");
        assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
        let said = format!("run/{name} can't be written");
        assert!(output.stderr.contains(&said), "{output:?}");
        std::fs::remove_dir(&blocked).unwrap();
        train(&home, &["--epochs", "1", "--out", "sound"]).await;
        assert!(content(&home, &out) == content(&home, "sound"));
    }
}

#[tokio::test]
async fn a_run_that_learns_nothing_can_be_looked_at_and_resumed() {
    let home = Home::new();
    small_mnist(&home);
    let arguments = ["--lr", "1e30", "--out", "w"];
    for more in [&["--epochs", "1"][..], &["--epochs", "2", "--resume"]] {
        let output = train(&home, &[&arguments[..], more].concat()).await;
        assert_eq!(output.code, Some(0), "{output:?}");
    }
    let figures = figures(&home, "w.run");
    assert_eq!(figures.len(), 4);
    assert!(
        figures[3]["loss"].is_null(),
        "it was meant to diverge: {}",
        figures[3]
    );
    events::scalars(&std::fs::read(events_file(&home, "w.run")).unwrap());
    assert!(!page(&home, "w.run").contains("NaN"));
}

#[tokio::test]
async fn figures_that_are_none_stop_a_resumed_run_before_it_learns() {
    let home = Home::new();
    small_mnist(&home);
    train(&home, &["--epochs", "1", "--out", "w"]).await;
    let before = content(&home, "w");
    let figures = String::from_utf8(content(&home, "w.run/metrics.jsonl")).unwrap();
    home.write("w.run/metrics.jsonl", format!("{figures}other\n"));
    let output = train(&home, &["--epochs", "2", "--out", "w", "--resume"]).await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        output.stderr.contains("w.run/metrics.jsonl, line 3"),
        "{output:?}"
    );
    assert!(content(&home, "w") == before);
    // Without any it goes on, and its curves begin where it goes on.
    std::fs::remove_dir_all(home.path().join("w.run")).unwrap();
    let output = train(&home, &["--epochs", "2", "--out", "w", "--resume"]).await;
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[tokio::test]
async fn an_evaluation_leaves_a_page_of_the_weights_that_were_asked() {
    let home = Home::new();
    small_mnist(&home);
    let arguments = ["evaluate", "--data", "mnist", "--json", "--report", "<page>.html"];
    let output = home.run(&arguments).await;
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stderr.contains("wrote <page>.html"), "{output:?}");
    let table: Value = serde_json::from_str(&output.stdout).unwrap();
    let page = String::from_utf8(content(&home, "<page>.html")).unwrap();
    for said in [
        "Evaluation of the executable&#39;s weights".to_owned(),
        table["weights_sha256"].as_str().unwrap().to_owned(),
        format!("{} of 1,000 right", table["correct"]),
    ] {
        assert!(page.contains(&said), "{said} is not in the page");
    }
    let wrong = 1000 - table["correct"].as_u64().unwrap();
    let shown = page.matches("<img src=\"data:image/png;base64,").count() as u64;
    assert_eq!(shown, wrong.min(24), "{table}");
    assert!(!page.contains("<svg"), "there was no training");
    let output = home
        .run(&["evaluate", "--data", "mnist", "--report", "nowhere/page.html"])
        .await;
    assert_eq!(output.code, Some(1), "{output:?}");
    assert_eq!(output.stderr.lines().count(), 1, "{output:?}");
    assert!(output.stderr.contains("nowhere/page.html"), "{output:?}");
    assert!(output.stdout.contains("accuracy"), "{output:?}");
}

/// What stands between the next `>` and `<`.
fn text_in(markup: &str) -> &str {
    let (_, rest) = markup.split_once('>').unwrap();
    rest.split('<').next().unwrap()
}
