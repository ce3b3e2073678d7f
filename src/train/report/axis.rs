//! The axes of a chart: from which number to which, and the round numbers that are written beside them.
//!
//! In come numbers that were measured, whatever they are, out go places between 0 and 1. Draws nothing.

use std::ops::RangeInclusive;

/// Gaps between the lines behind the curves, at most.
const GAPS: f64 = 5.0;

/// What is written of each power of ten, by how many there are.
const NARROW: &[f64] = &[1.0, 1.2, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
/// See [`NARROW`].
const USUAL: &[f64] = &[1.0, 2.0, 5.0];
/// See [`NARROW`].
const WIDE: &[f64] = &[1.0];

/// From what to what, and where its labels are.
pub(super) struct Axis {
    /// What is counted or measured along it.
    pub(super) name: &'static str,
    /// Numbers that have labels.
    pub(super) ticks: Vec<f64>,
    /// How they are written.
    pub(super) label: fn(f64) -> String,
    least: f64,
    most: f64,
    scale: Scale,
}

#[derive(Clone, Copy, PartialEq)]
enum Scale {
    Linear,
    Logarithmic,
}

impl Axis {
    /// Whole numbers from 0 to `most`.
    pub(super) fn counted(name: &'static str, most: u32) -> Self {
        let most = f64::from(most.max(1));
        let step = pleasant(most / 8.0).max(1.0);
        Self {
            name,
            least: 0.0,
            most,
            scale: Scale::Linear,
            ticks: multiples(step, 0.0, most),
            label: |number| number.to_string(),
        }
    }

    /// Shares from a round number below the least to a round number above the largest, at most 1.
    pub(super) fn shares(name: &'static str, shares: impl Iterator<Item = f64>) -> Self {
        let (least, most) = shares.fold((1.0_f64, 0.0_f64), |(least, most), share| {
            (least.min(share), most.max(share))
        });
        let step = pleasant((most - least).max(0.004) / (GAPS - 1.0));
        let (below, above) = ((least / step + 1e-9).floor(), (most / step - 1e-9).ceil());
        let most = (above * step).min(1.0);
        // Equal shares need some room, too.
        let least = (below * step).min(most - 2.0 * step).max(0.0);
        let most = most.max(least + 2.0 * step);
        Self {
            name,
            least,
            most,
            scale: Scale::Linear,
            ticks: multiples(step, least, most),
            label: |share| format!("{}\u{a0}%", (share * 10_000.0).round() / 100.0),
        }
    }

    /// Positive numbers of different magnitude.
    pub(super) fn magnitudes(name: &'static str, numbers: impl Iterator<Item = f64>) -> Self {
        let (least, most) = numbers
            .filter(|number| *number > 0.0)
            .fold((f64::MAX, f64::MIN_POSITIVE), |(least, most), number| {
                (least.min(number), most.max(number))
            });
        let (least, most) = if least > most { (0.1, 1.0) } else { (least, most) };
        let factors = match most / least {
            ratio if ratio < 5.0 => NARROW,
            ratio if ratio < 1000.0 => USUAL,
            _ => WIDE,
        };
        let (least, most) = (least / 1.15, most * 1.15);
        let every = decades(least, most).count().div_ceil(8);
        let ticks = decades(least, most)
            .step_by(every)
            .flat_map(|power| factors.iter().map(move |factor| factor * 10_f64.powi(power)));
        Self {
            name,
            least,
            most,
            scale: Scale::Logarithmic,
            ticks: ticks.filter(|tick| (least..=most).contains(tick)).collect(),
            label: short,
        }
    }

    /// Where a number is between the ends, 0 to 1.
    pub(super) fn place(&self, number: f64) -> f64 {
        let at = |number: f64| match self.scale {
            Scale::Linear => number,
            Scale::Logarithmic => number.max(self.least).log10(),
        };
        (at(number) - at(self.least)) / (at(self.most) - at(self.least))
    }
}

/// The powers of ten around these numbers.
fn decades(least: f64, most: f64) -> RangeInclusive<i32> {
    least.log10().floor() as i32..=most.log10().ceil() as i32
}

/// Two digits that count: 0.05, 1.5, 20, or 5e-7.
fn short(number: f64) -> String {
    if !(1e-4..1e5).contains(&number) {
        return format!("{number:.0e}");
    }
    let places = 1 - number.log10().floor() as i32;
    match usize::try_from(places) {
        Ok(places) if places > 0 => {
            let written = format!("{number:.places$}");
            written.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => format!("{number:.0}"),
    }
}

/// The smallest of 1, 2 and 5 times a power of ten that is not less.
fn pleasant(step: f64) -> f64 {
    let power = 10_f64.powf(step.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    factors
        .into_iter()
        .find(|pleasant| *pleasant >= step * 0.999)
        .unwrap_or(step)
}

fn multiples(step: f64, least: f64, most: f64) -> Vec<f64> {
    let first = (least / step).ceil() as u32;
    (first..)
        .map(|count| f64::from(count) * step)
        .take_while(|multiple| *multiple <= most + step * 1e-6)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<String> {
        axis.ticks.iter().map(|tick| (axis.label)(*tick)).collect()
    }

    #[test]
    fn labels_are_round_numbers() {
        assert_eq!(labels(&Axis::counted("epoch", 3)), ["0", "1", "2", "3"]);
        assert_eq!(
            labels(&Axis::counted("epoch", 14)).last().map(String::as_str),
            Some("14")
        );
        assert_eq!(labels(&Axis::counted("epoch", 100)).len(), 6);
        let shares = Axis::shares("accuracy", [0.9784, 0.9892].into_iter());
        assert_eq!(
            labels(&shares),
            ["97.5\u{a0}%", "98\u{a0}%", "98.5\u{a0}%", "99\u{a0}%"]
        );
        let magnitudes = Axis::magnitudes("loss", [0.03, 2.3].into_iter());
        assert_eq!(labels(&magnitudes), ["0.05", "0.1", "0.2", "0.5", "1", "2"]);
        let narrow = Axis::magnitudes("loss", [0.24, 0.4].into_iter());
        assert_eq!(labels(&narrow), ["0.3", "0.4"]);
    }

    #[test]
    fn everything_lies_on_its_axes_whatever_was_measured() {
        for shares in [vec![], vec![0.0], vec![1.0], vec![0.1, 1.0], vec![0.5; 3]] {
            let axis = Axis::shares("accuracy", shares.iter().copied());
            assert!(
                (2..10).contains(&axis.ticks.len()),
                "{shares:?}: {:?}",
                axis.ticks
            );
            for share in shares {
                assert!((0.0..=1.0).contains(&axis.place(share)), "{share}");
            }
        }
        for losses in [vec![], vec![0.0], vec![1e-30, 1e30], vec![0.5], vec![2.3, 0.01]] {
            let axis = Axis::magnitudes("loss", losses.iter().copied());
            assert!(axis.ticks.len() < 12, "{losses:?}: {:?}", axis.ticks);
            for loss in losses {
                assert!(
                    (0.0..=1.0).contains(&axis.place(loss)),
                    "{loss}: {}",
                    axis.place(loss)
                );
            }
        }
    }
}
