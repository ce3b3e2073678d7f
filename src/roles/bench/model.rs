//! `mnistq bench model`: images a second from bytes to log-probabilities, by batch size.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde_json::{Map, Value, json};

use super::check;
use crate::cli;
use crate::config::Config;
use crate::model::kernels::{CpuNet, Level};
use crate::model::{self, Model};
use crate::roles::seams;

/// Calls before the clock starts.
const WARM_UP: usize = 3;

/// Measures each batch size in turn and prints a table, or one JSON object.
pub async fn run(flags: &cli::BenchModel, mut config: Config) -> anyhow::Result<ExitCode> {
    ensure!(!flags.batches.contains(&0), "--batches: at least 1 each");
    config.apply_model(flags.device.as_deref(), None, flags.threads)?;
    config.apply_dtype(flags.dtype.as_deref())?;
    let place = config.place()?;
    if flags.check {
        return check::run(flags, &config).await;
    }
    let weights = seams::weights(&config)?;
    let mut model: Box<dyn Model> = match &flags.instructions {
        None => model::open(&weights, place)?,
        Some(name) => {
            let level = Level::named(name)
                .with_context(|| format!("--instructions {name}: this CPU has {:?}", Level::available()))?;
            let threads = model::threads(config.model.threads);
            Box::new(CpuNet::at_level(
                level,
                &weights.parameters,
                weights.sha256,
                threads,
            )?)
        }
    };
    let threads = model::threads(config.model.threads);
    let duration = Duration::from_secs_f64(flags.seconds.max(0.0));

    let mut rates = Map::new();
    if !flags.json {
        println!(
            "{} on {}, {threads} threads",
            model.card().name,
            model.card().device
        );
        println!("{:>8} {:>12} {:>12}", "batch", "images/s", "ms/batch");
    }
    for &batch in &flags.batches {
        let rate = measure(model.as_mut(), batch, duration)?;
        if !flags.json {
            println!("{batch:>8} {rate:>12.0} {:>12.3}", batch as f64 / rate * 1e3);
        }
        rates.insert(batch.to_string(), json!(rate.round()));
    }
    if flags.json {
        let device = &model.card().device;
        println!(
            "{}",
            json!({ "device": device, "threads": threads, "images_per_second": Value::Object(rates) })
        );
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(model: &mut dyn Model, batch: usize, duration: Duration) -> anyhow::Result<f64> {
    let size = usize::from(model.card().width) * usize::from(model.card().height);
    // Any pixels will do: the time does not depend on them.
    let pixels: Vec<u8> = (0..batch * size).map(|index| (index * 31 % 251) as u8).collect();
    for _ in 0..WARM_UP {
        model.predict(&pixels)?;
    }
    let started = Instant::now();
    let mut calls = 0;
    while calls == 0 || started.elapsed() < duration {
        model.predict(&pixels)?;
        calls += 1;
    }
    Ok((calls * batch) as f64 / started.elapsed().as_secs_f64())
}
