//! The same figures of PyTorch, if Python has it: eagerly, compiled, and compiled with CUDA graphs.
//!
//! In comes the name of a Python, out go figures by the words of `peer.py`, which that runs. What it can't do is missing.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::{Check, LEARNED_AT_ONCE};
use crate::model::device::DeviceName;

/// What Python runs: one JSON object in, one out.
const PROGRAM: &str = include_str!("peer.py");
/// The three ways, by the words of the program.
const WAYS: [&str; 3] = ["eager", "compiled", "graphs"];

/// What PyTorch has measured.
pub struct PyTorch {
    /// Its version and device.
    pub name: String,
    figures: Value,
}

impl PyTorch {
    /// Has it measure.
    pub fn find(python: &str, check: &Check) -> anyhow::Result<Self> {
        let device = match check.place.device {
            DeviceName::Cpu | DeviceName::Auto => "cpu".to_owned(),
            DeviceName::Cuda(number) => format!("cuda:{number}"),
        };
        let asked = json!({
            "device": device,
            "batches": check.batches,
            "seconds": check.duration.as_secs_f64(),
            "learned_at_once": LEARNED_AT_ONCE,
            "epochs": check.epochs,
            "train": check.train.len(),
            "test": check.test.len(),
        });
        let mut child = Command::new(python)
            .args(["-c", PROGRAM])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("--python {python}"))?;
        if let Some(mut input) = child.stdin.take() {
            let mut line = asked.to_string();
            line.push('\n');
            let parts = [
                line.as_bytes(),
                check.train.images(),
                check.train.labels(),
                check.test.images(),
                check.test.labels(),
            ];
            for part in parts {
                // One without PyTorch reads nothing.
                if input.write_all(part).is_err() {
                    break;
                }
            }
        }
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("{python} has no PyTorch, or it failed");
        }
        let figures: Value = serde_json::from_slice(&output.stdout).context("it answers with no JSON")?;
        let name = figures["name"].as_str().context("it has no name")?.to_owned();
        Ok(Self { name, figures })
    }

    /// Images a second from bytes.
    pub fn inference(&self, batch: usize) -> [Option<f64>; 3] {
        WAYS.map(|way| self.figures[way]["inference"][batch.to_string()].as_f64())
    }

    /// Seconds for one image from bytes.
    pub fn alone(&self) -> [Option<f64>; 3] {
        self.inference(1).map(|rate| rate.map(|rate| 1.0 / rate))
    }

    /// Seconds an epoch, and the accuracy after all of them.
    pub fn training(&self, batch_size: usize) -> [Option<(f64, f64)>; 3] {
        WAYS.map(|way| {
            let figures = &self.figures[way]["training"][batch_size.to_string()];
            Some((figures["seconds"].as_f64()?, figures["accuracy"].as_f64()?))
        })
    }
}
