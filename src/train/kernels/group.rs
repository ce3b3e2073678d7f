//! Groups of pictures: what the threads that work on the convolutions need, and the sum of what they find.
//!
//! Knows no picture.

use std::slice::from_mut;

use crate::model::kernels::convolution::{CONV1_ROWS, CONV1_SIDE, Scratch};
use crate::model::kernels::cores::Cores;
use crate::model::kernels::lanes::{Channels32, Channels64, Lanes, ZERO32, ZERO64, add};
use crate::model::kernels::winograd::{POSITIONS, TILE};

/// Some pictures of a batch, worked on by one thread after the other.
#[derive(Clone)]
pub(super) struct Group {
    pub(super) scratch: Scratch,
    /// The gradient of conv1's output for a half, 14×26.
    pub(super) conv1_gradient: Vec<Channels32>,
    pub(super) gradients: Gradients,
}

impl Group {
    pub(super) fn new() -> Self {
        Self {
            scratch: Scratch::new(),
            conv1_gradient: vec![ZERO32; CONV1_ROWS * CONV1_SIDE],
            gradients: Gradients::zeros(),
        }
    }
}

/// Sums over a group's pictures of the convolutions' gradients.
#[derive(Clone)]
pub(super) struct Gradients {
    pub(super) conv1: [Channels32; 9],
    pub(super) conv1_bias: Channels32,
    /// By U, conv2's weights in the Winograd domain.
    pub(super) conv2_winograd: Vec<Channels64>,
    pub(super) conv2_bias: Channels64,
}

impl Gradients {
    fn zeros() -> Self {
        Self {
            conv1: [ZERO32; 9],
            conv1_bias: ZERO32,
            conv2_winograd: vec![ZERO64; POSITIONS * 32],
            conv2_bias: ZERO64,
        }
    }

    pub(super) fn clear(&mut self) {
        self.conv1 = [ZERO32; 9];
        self.conv1_bias = ZERO32;
        self.conv2_winograd.fill(ZERO64);
        self.conv2_bias = ZERO64;
    }
}

/// Sums the gradients of all groups, in their order, into those of the first.
pub(super) fn sum(cores: &Cores, groups: &mut [Group]) {
    let Some((first, others)) = groups.split_first_mut() else {
        return;
    };
    for other in others.iter() {
        add_onto(&mut first.gradients.conv1, &other.gradients.conv1);
        add_onto(
            from_mut(&mut first.gradients.conv1_bias),
            &[other.gradients.conv1_bias],
        );
        add_onto(
            from_mut(&mut first.gradients.conv2_bias),
            &[other.gradients.conv2_bias],
        );
    }
    let rows = first.gradients.conv2_winograd.chunks_mut(TILE * 32).enumerate();
    cores.for_each(rows, |(row, sums)| {
        for other in others.iter() {
            add_onto(
                sums,
                &other.gradients.conv2_winograd[row * TILE * 32..][..TILE * 32],
            );
        }
    });
}

fn add_onto<const WIDTH: usize>(sums: &mut [[Lanes; WIDTH]], others: &[[Lanes; WIDTH]]) {
    for (sum, other) in sums.as_flattened_mut().iter_mut().zip(others.as_flattened()) {
        *sum = add(*sum, other);
    }
}
