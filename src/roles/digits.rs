//! Ten handwritten digits that every good model of MNIST reads: what new weights are asked about.

use crate::digit::{DigitReader, Reader, Settings};
use crate::http::DIGITS;
use crate::worker::canary::KnownPicture;

/// One of each, as a model takes them.
pub fn known() -> Vec<KnownPicture> {
    let reader = DigitReader::new(&Settings::default());
    let known = DIGITS.iter().enumerate().filter_map(|(class, file)| {
        let picture = reader.read(file).ok()?;
        Some(KnownPicture { picture, class })
    });
    known.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::device::DeviceName;
    use crate::model::{self, Place, weights::Weights};

    #[test]
    fn the_weights_in_the_executable_read_all_ten() {
        let mut model = model::open(&Weights::embedded().unwrap(), Place::new(DeviceName::Cpu, 1)).unwrap();
        let known = known();
        assert_eq!(known.len(), DIGITS.len());
        for KnownPicture { picture, class } in known {
            let answer = model.predict(picture.pixels()).unwrap();
            assert!(answer[class] > 0.99_f32.ln(), "{class}: {answer:?}");
        }
    }
}
