//! The forward pass: any number of pictures in, their log-probabilities out.
//!
//! Deals the work out to threads: halves of pictures to the convolutions, hidden units to fc1, pictures to fc2.

use super::convolution::{ConvolveHalf, Features, PICTURE, POOLED, Scratch};
use super::cores::Cores;
use super::dense::{CLASSES, Classify, Fc1};
use super::lanes::{Channels64, ZERO64};
use super::layout::Network;

/// How many pictures share one pass. More would not be faster, and each takes 37 kB of features.
const PICTURES_AT_ONCE: usize = 128;

/// Buffers of the forward pass, kept from call to call.
pub(crate) struct Forward {
    /// One for each thread.
    scratches: Vec<Scratch>,
    features: Vec<Features>,
    hidden: [Vec<Channels64>; 2],
}

impl Forward {
    pub(crate) fn new(cores: &Cores) -> Self {
        Self {
            scratches: vec![Scratch::new(); cores.threads()],
            features: Vec::new(),
            hidden: [Vec::new(), Vec::new()],
        }
    }

    /// Ten log-probabilities for each picture of 784 bytes.
    pub(crate) fn run(&mut self, cores: &Cores, network: &Network, pixels: &[u8]) -> Vec<f32> {
        let mut answers = vec![0.0; pixels.len() / PICTURE * CLASSES];
        let passes = pixels
            .chunks(PICTURES_AT_ONCE * PICTURE)
            .zip(answers.chunks_mut(PICTURES_AT_ONCE * CLASSES));
        for (pixels, answers) in passes {
            let pictures = answers.len() / CLASSES;
            if self.features.len() < 2 * pictures {
                self.features.resize(2 * pictures, [ZERO64; POOLED + 1]);
                for panel in &mut self.hidden {
                    panel.resize(pictures, ZERO64);
                }
            }
            let features = &mut self.features[..2 * pictures];
            let mut hidden = self.hidden.each_mut().map(|panel| &mut panel[..pictures]);
            cores.enter(|| {
                convolve(cores, network, pixels, features, &mut self.scratches);
                fc1(cores, network, features, &mut hidden);
                classify(cores, network, &hidden, answers);
            });
        }
        answers
    }
}

/// The features of all pictures, two halves for each.
fn convolve(
    cores: &Cores,
    network: &Network,
    pixels: &[u8],
    features: &mut [Features],
    scratches: &mut [Scratch],
) {
    let share = features.len().div_ceil(cores.threads());
    let shares = features.chunks_mut(share).zip(scratches).enumerate();
    cores.for_each(shares, |(i, (features, scratch))| {
        for (half, features) in (i * share..).zip(features) {
            let picture = &pixels[half / 2 * PICTURE..][..PICTURE];
            cores.run(ConvolveHalf {
                network,
                picture,
                half: half % 2,
                scratch,
                features,
            });
        }
    });
}

/// fc1, without its ReLU, of all pictures: two halves of features in, a row of each panel out.
pub(crate) fn fc1(
    cores: &Cores,
    network: &Network,
    features: &[Features],
    hidden: &mut [&mut [Channels64]; 2],
) {
    let share = hidden[0].len().div_ceil(cores.threads().div_ceil(2));
    let shares = hidden.iter_mut().enumerate().flat_map(|(panel, hidden)| {
        hidden
            .chunks_mut(share)
            .zip(features.chunks(2 * share))
            .map(move |(hidden, features)| (panel, hidden, features))
    });
    cores.for_each(shares, |(panel, hidden, features)| {
        cores.run(Fc1 {
            network,
            panel,
            features,
            hidden,
        })
    });
}

fn classify(cores: &Cores, network: &Network, hidden: &[&mut [Channels64]; 2], answers: &mut [f32]) {
    let share = hidden[0].len().div_ceil(cores.threads());
    let shares = hidden[0]
        .chunks(share)
        .zip(hidden[1].chunks(share))
        .zip(answers.chunks_mut(share * CLASSES));
    cores.for_each(shares, |((first, second), answers)| {
        cores.run(Classify {
            network,
            hidden: [first, second],
            answers,
        });
    });
}
