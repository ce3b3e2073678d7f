//! Ten handwritten digits, one of each: what every good model of MNIST reads. From MNIST's test images.

use crate::digit::{DigitReader, Reader, Settings};
use crate::worker::canary::KnownPicture;

/// In order: the first shows a zero.
const DIGITS: [&[u8]; 10] = [
    include_bytes!("digits/0.png"),
    include_bytes!("digits/1.png"),
    include_bytes!("digits/2.png"),
    include_bytes!("digits/3.png"),
    include_bytes!("digits/4.png"),
    include_bytes!("digits/5.png"),
    include_bytes!("digits/6.png"),
    include_bytes!("digits/7.png"),
    include_bytes!("digits/8.png"),
    include_bytes!("digits/9.png"),
];

/// A seven, as a file.
pub const SEVEN: &[u8] = DIGITS[7];

/// All ten, as a model takes them.
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
    use crate::model::{self, weights::Weights};

    #[test]
    fn the_weights_in_the_executable_read_all_ten() {
        let mut model = model::open(&Weights::embedded().unwrap(), DeviceName::Cpu, 1).unwrap();
        let known = known();
        assert_eq!(known.len(), DIGITS.len());
        for KnownPicture { picture, class } in known {
            let answer = model.predict(picture.pixels()).unwrap();
            assert!(answer[class] > 0.99_f32.ln(), "{class}: {answer:?}");
        }
    }
}
