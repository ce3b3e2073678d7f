//! The mean of the weights of many epochs: it answers better than any one of them, and costs nothing to learn (Izmailov
//! and others: Averaging Weights Leads to Wider Optima and Better Generalization, 2018).
//!
//! In come parameters after each epoch, out go their means. Knows no network.

use crate::model::parameters::Parameters;

/// Takes the parameters of one more epoch into the mean of those before it, which are none in the first.
#[must_use]
pub fn averaged(mean: Option<Parameters>, parameters: &Parameters, epochs: u32) -> Parameters {
    let Some(mut mean) = mean else {
        return parameters.clone();
    };
    let share = epochs as f32;
    for (mean, new) in mean.arrays_mut().into_iter().zip(parameters.arrays()) {
        for (mean, new) in mean.iter_mut().zip(new) {
            *mean += (new - *mean) / share;
        }
    }
    mean
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn all(number: f32) -> Parameters {
        let mut parameters = Parameters::zeros();
        for array in parameters.arrays_mut() {
            array.fill(number);
        }
        parameters
    }

    #[test]
    fn the_mean_of_three_epochs_is_their_mean() {
        let mut mean = None;
        for (epochs, number) in (1..).zip([3.0, 5.0, 10.0]) {
            mean = Some(averaged(mean, &all(number), epochs));
        }
        assert_eq!(mean.unwrap(), all(6.0));
    }
}
