//! `mnistq evaluate`: how good weights are on MNIST's test pictures.

use std::path::Path;
use std::time::Instant;

use serde_json::json;

use super::{mnist, seams};
use crate::cli;
use crate::config::Config;
use crate::model::{self, Model};
use crate::train::dataset::{Dataset, Split};
use crate::train::evaluation::{CLASSES, Evaluation};
use crate::train::report::{Page, Speed};

/// Asks about all test pictures and prints the figures.
pub async fn run(flags: &cli::Evaluate, mut config: Config) -> anyhow::Result<()> {
    config.apply_model(flags.device.as_deref(), flags.weights.as_ref(), flags.threads)?;
    config.apply_dtype(flags.dtype.as_deref())?;
    let place = config.place()?;
    let folder = mnist::folder(flags.data.as_deref(), &config.train.mirrors).await?;
    let dataset = Dataset::read(&folder, Split::Test)?;
    let weights = seams::weights(&config)?;
    let mut model = model::open(&weights, place)?;
    let began = Instant::now();
    let evaluation = Evaluation::of(&dataset, |pixels| model.predict(pixels))?;
    let speed = Speed::of("answered", dataset.len(), began.elapsed());
    if flags.json {
        println!("{}", as_json(&evaluation, model.as_ref()));
    } else {
        print_table(&evaluation, model.as_ref(), config.model.weights.as_deref());
    }
    if let Some(report) = &flags.report {
        let card = model.card();
        let page = Page {
            title: "Evaluation of ".to_owned() + &name(config.model.weights.as_deref()),
            summary: format!("MNIST's test pictures on {}", card.device),
            evaluation: &evaluation,
            pictures: &dataset,
            history: &[],
            kept: None,
            speed,
            settings: vec![
                ("Network", card.name.clone()),
                ("Device", card.device.clone()),
                ("mnistq", env!("CARGO_PKG_VERSION").to_owned()),
                ("SHA-256 of the weights", card.weights_sha256.clone()),
            ],
        };
        page.write(report)?;
        eprintln!("wrote {}", report.display());
    }
    Ok(())
}

fn name(weights: Option<&Path>) -> String {
    weights.map_or("the executable's weights".to_owned(), |path| {
        path.display().to_string()
    })
}

fn as_json(evaluation: &Evaluation, model: &dyn Model) -> serde_json::Value {
    let classes = (0..CLASSES).map(|class| {
        json!({
            "class": class,
            "precision": evaluation.precision(class),
            "recall": evaluation.recall(class),
        })
    });
    json!({
        "accuracy": evaluation.accuracy(),
        "correct": evaluation.correct(),
        "total": evaluation.total(),
        "loss": evaluation.loss,
        "classes": classes.collect::<Vec<_>>(),
        "confusion": evaluation.confusion,
        "weights_sha256": model.card().weights_sha256,
    })
}

fn print_table(evaluation: &Evaluation, model: &dyn Model, weights: Option<&Path>) {
    let card = model.card();
    let name = name(weights);
    println!(
        "{} with {name} ({:.12}) on {}",
        card.name, card.weights_sha256, card.device
    );
    println!(
        "accuracy {:.2} % ({} of {}), loss {:.4}",
        evaluation.accuracy() * 100.0,
        evaluation.correct(),
        evaluation.total(),
        evaluation.loss
    );
    let header: String = (0..CLASSES).map(|class| format!("{class:>6}")).collect();
    println!(
        "\n{:>5} {:>10} {:>8}   answered as\n{:27}{header}",
        "digit", "precision", "recall", ""
    );
    for (class, row) in evaluation.confusion.iter().enumerate() {
        let counts: String = row.iter().map(|count| format!("{count:>6}")).collect();
        let (precision, recall) = (
            evaluation.precision(class) * 100.0,
            evaluation.recall(class) * 100.0,
        );
        println!("{class:>5} {precision:>8.2} % {recall:>6.2} % {counts}");
    }
}
