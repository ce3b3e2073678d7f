//! The end of the network in training, forward and back: from the sums of fc1 to the loss, and to their gradient.
//!
//! ```text
//! sums ─ReLU, dropout─► units ─fc2─► logits ─log-softmax, mean negative log-likelihood─► loss
//! ```
//!
//! The gradient of the loss by the logits is (softmax − one-hot label) / pictures. Knows neither threads nor
//! what fc1 reads.

use crate::model::kernels::dense::{CLASSES, fc2, log_softmax};
use crate::model::kernels::dispatch::{Instructions, Kernel};
use crate::model::kernels::lanes::{
    Channels16, Channels64, LANES, Lanes, ZERO, ZERO16, ZERO64, add, add_scaled,
};
use crate::model::kernels::layout::Network;
use crate::train::Dropout;
use crate::train::dropout::Layer;

/// How many pictures one row of [`HeadGradients::by_unit`] holds.
pub(super) const PICTURES_BY_UNIT: usize = 64;

/// One batch through the end of the network.
pub(super) struct Head<'a> {
    pub(super) network: &'a Network,
    pub(super) labels: &'a [u8],
    pub(super) dropout: Dropout,
    pub(super) steps: u64,
    /// fc1's sums, a row for each picture; becomes their gradient.
    pub(super) hidden: &'a mut [Vec<Channels64>; 2],
    pub(super) gradients: &'a mut HeadGradients,
}

/// What comes out of [`Head`] besides the gradient of fc1's sums.
pub(super) struct HeadGradients {
    /// Sum of the pictures' negative log-likelihoods.
    pub(super) loss: f64,
    pub(super) fc2: Vec<Channels16>,
    pub(super) fc2_bias: Channels16,
    pub(super) fc1_bias: [Channels64; 2],
    /// The gradient of fc1's sums once more, turned: `[blocks of 64 pictures][128 units]` of 64 pictures. Pictures
    /// that the last block lacks are zero.
    pub(super) by_unit: Vec<Channels64>,
}

impl HeadGradients {
    pub(super) fn new() -> Self {
        Self {
            loss: 0.0,
            fc2: vec![ZERO16; 128],
            fc2_bias: ZERO16,
            fc1_bias: [ZERO64; 2],
            by_unit: Vec::new(),
        }
    }

    fn clear(&mut self, pictures: usize) {
        self.loss = 0.0;
        self.fc2.fill(ZERO16);
        self.fc2_bias = ZERO16;
        self.fc1_bias = [ZERO64; 2];
        self.by_unit.clear();
        self.by_unit
            .resize(pictures.div_ceil(PICTURES_BY_UNIT) * 128, ZERO64);
    }
}

impl Kernel for Head<'_> {
    #[inline(always)]
    fn run<I: Instructions>(self) {
        let pictures = self.labels.len();
        self.gradients.clear(pictures);
        let weights_by_class = by_class(&self.network.fc2);
        for picture in 0..pictures {
            let mask = self.dropout.mask(Layer::Hidden, self.steps, picture);
            // What ReLU and dropout multiply each sum with, and so its gradient.
            let (mut slopes, mut units) = ([0.0; 128], [0.0; 128]);
            for unit in 0..128 {
                let sum = self.hidden[unit / 64][picture].as_flattened()[unit % 64];
                slopes[unit] = if sum > 0.0 { mask.factor(unit as u32) } else { 0.0 };
                units[unit] = sum * slopes[unit];
            }

            let answer = log_softmax(&fc2::<I>(self.network, &units));
            let label = usize::from(self.labels[picture]);
            self.gradients.loss -= f64::from(answer[label]);
            let mut logits = ZERO;
            for class in 0..CLASSES {
                let target = if class == label { 1.0 } else { 0.0 };
                logits[class] = (answer[class].exp() - target) / pictures as f32;
            }

            self.gradients.fc2_bias[0] = add(self.gradients.fc2_bias[0], &logits);
            for unit in 0..128 {
                self.gradients.fc2[unit][0] =
                    add_scaled::<I>(self.gradients.fc2[unit][0], units[unit], &logits);
            }
            for panel in 0..2 {
                for v in 0..4 {
                    let mut sums = ZERO;
                    for class in 0..CLASSES {
                        sums = add_scaled::<I>(sums, logits[class], &weights_by_class[class][panel * 4 + v]);
                    }
                    for lane in 0..LANES {
                        let unit = (panel * 4 + v) * LANES + lane;
                        let gradient = sums[lane] * slopes[unit];
                        self.hidden[panel][picture][v][lane] = gradient;
                        self.gradients.fc1_bias[panel][v][lane] += gradient;
                        let row = &mut self.gradients.by_unit[picture / PICTURES_BY_UNIT * 128 + unit];
                        row[picture % PICTURES_BY_UNIT / LANES][picture % LANES] = gradient;
                    }
                }
            }
        }
    }
}

/// fc2's weights with the 128 units as neighbours.
fn by_class(fc2: &[Channels16]) -> [[Lanes; 8]; CLASSES] {
    let mut turned = [[ZERO; 8]; CLASSES];
    for (unit, [weights]) in fc2.iter().enumerate() {
        for class in 0..CLASSES {
            turned[class][unit / LANES][unit % LANES] = weights[class];
        }
    }
    turned
}
