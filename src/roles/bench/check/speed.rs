//! How fast a device answers: from bytes, and without what comes and goes; and whether that takes more and more memory.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::Check;
use super::pytorch::PyTorch;
use super::table::Table;
use crate::model::candle_net::CandleNet;
use crate::model::limits::Limits;
use crate::model::{self, Model};
use crate::train::dataset::PICTURE;

/// What MNISTNet computes for a picture: 24 million multiplications and additions.
const OPERATIONS: f64 = 24e6;
/// Pictures in the batch that is asked about again and again.
const REPEATED: usize = 16;
/// How often it is, before memory is looked at.
const SETTLED: usize = 100;
/// What may come and go by the way in which memory is handed out.
const SLACK: u64 = 16 << 20;

/// Measures each size of batch.
pub fn inference(
    check: &Check,
    limits: &Limits,
    peer: Option<&PyTorch>,
    table: &mut Table,
) -> anyhow::Result<()> {
    let largest = check.batches.iter().copied().max().unwrap_or(1);
    let mut device = model::open_by_candle(&check.weights, check.place)?;
    device.warm_up(largest)?;
    for &batch in &check.batches {
        let pixels = pictures(check, batch);
        let rate = from_bytes(&mut device, &pixels, check.duration)?;
        let alone = one_at_a_time(&mut device, &pixels, check.duration)?;
        let forward = forward_only(&mut device, batch, check.duration)?;
        println!(
            "batch {batch:>4}: {forward:.0} images/s forward only, {:.3} ms a batch from bytes when it is alone; \
             of the limits {:.1} % of arithmetic, {:.1} % of transfers",
            alone * 1e3,
            rate * OPERATIONS / limits.operations * 100.0,
            rate * PICTURE as f64 / limits.uploaded_bytes * 100.0,
        );
        let others = peer.map(|peer| peer.inference(batch)).unwrap_or_default();
        let figure = format!("images/s from bytes (forward only), {batch}");
        table.measure(
            figure,
            format!("{rate:.0} ({forward:.0})"),
            others.map(|rate| rate.map(|rate| format!("{rate:.0}"))),
        );
        if batch == 1 {
            let others = peer.map(|peer| peer.alone()).unwrap_or_default();
            let others = others.map(|seconds| seconds.map(|seconds| format!("{:.3}", seconds * 1e3)));
            table.measure(
                "ms for one image from bytes",
                format!("{:.3}", alone * 1e3),
                others,
            );
        }
    }
    Ok(())
}

/// So many of the test pictures, one after the other, and again from the first.
fn pictures(check: &Check, count: usize) -> Vec<u8> {
    let pixels = check.test.images().iter().copied().cycle();
    pixels.take(count * PICTURE).collect()
}

/// Images a second with as many batches in flight as the device can have.
fn from_bytes(device: &mut CandleNet, pixels: &[u8], duration: Duration) -> anyhow::Result<f64> {
    let mut flying = VecDeque::new();
    let (started, mut ended) = (Instant::now(), 0);
    while ended == 0 || started.elapsed() < duration {
        while flying.len() < device.depth() {
            flying.push_back(device.begin(pixels)?);
        }
        device.end(flying.pop_front().context("nothing is in flight")?)?;
        ended += 1;
    }
    for pass in flying {
        device.end(pass)?;
        ended += 1;
    }
    Ok((ended * pixels.len() / PICTURE) as f64 / started.elapsed().as_secs_f64())
}

/// Seconds a batch, one after the other.
fn one_at_a_time(device: &mut CandleNet, pixels: &[u8], duration: Duration) -> anyhow::Result<f64> {
    let (started, mut ended) = (Instant::now(), 0);
    while ended == 0 || started.elapsed() < duration {
        device.predict(pixels)?;
        ended += 1;
    }
    Ok(started.elapsed().as_secs_f64() / f64::from(ended))
}

/// Images a second of the same pictures again and again, without transfers.
fn forward_only(device: &mut CandleNet, batch: usize, duration: Duration) -> anyhow::Result<f64> {
    let once = device.run_again(batch, 1)?;
    let times = (duration.as_secs_f64() / once.as_secs_f64()).clamp(1.0, 1e5) as u32;
    let took = device.run_again(batch, times)?;
    Ok(batch as f64 * f64::from(times) / took.as_secs_f64())
}

/// Asks about a batch again and again.
pub fn memory(check: &Check, table: &mut Table) -> anyhow::Result<()> {
    let mut device = model::open_by_candle(&check.weights, check.place)?;
    device.warm_up(REPEATED)?;
    let pixels = pictures(check, REPEATED);
    let mut ask = |times: usize| -> anyhow::Result<[Option<u64>; 2]> {
        for _ in 0..times {
            device.predict(&pixels)?;
        }
        Ok([device.memory().map(|memory| memory.used), resident()])
    };
    let before = ask(check.repeated.min(SETTLED))?;
    let after = ask(check.repeated)?;
    for (of, (before, after)) in ["of the device", "of this process"]
        .into_iter()
        .zip(before.into_iter().zip(after))
    {
        let (Some(before), Some(after)) = (before, after) else {
            continue;
        };
        let grown = after.saturating_sub(before);
        let figure = format!("memory {of} grown in {} batches", check.repeated);
        table.judge(
            figure,
            format!("{:.1} MB", grown as f64 / 1e6),
            "none",
            grown <= SLACK,
        );
    }
    Ok(())
}

/// The memory of this process, if the system tells.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some(kilobytes * 1024)
}
