//! A small grey picture in characters, as bright on the terminal as it is to the model.
//!
//! In come a picture and what the terminal can show, out go lines. Each character stands for two pixels, one above the
//! other: characters are about twice as high as wide.

use crate::job::Picture;
use crate::terminal::Colours;

/// From background to ink, where there are no colours.
const RAMP: &[u8; 10] = b" .:-=+*#%@";
/// Puts the terminal back to its own colours.
const RESET: &str = "\x1b[0m";

/// The picture, from the top.
pub fn draw(picture: &Picture, colours: Colours) -> Vec<String> {
    let width = usize::from(picture.width()).max(1);
    let rows: Vec<&[u8]> = picture.pixels().chunks(width).collect();
    let background = vec![0; width];
    let pairs = rows.chunks(2).map(|pair| {
        let lower = pair.get(1).copied().unwrap_or(&background);
        line(pair[0], lower, colours)
    });
    pairs.collect()
}

fn line(upper: &[u8], lower: &[u8], colours: Colours) -> String {
    let mut line = String::new();
    let mut current = None;
    for (&upper, &lower) in upper.iter().zip(lower) {
        if colours == Colours::None {
            line.push(shade(upper, lower));
            continue;
        }
        if current.replace((upper, lower)) != Some((upper, lower)) {
            line.push_str(&paint(38, upper, colours));
            line.push_str(&paint(48, lower, colours));
        }
        line.push('▀');
    }
    if current.is_some() {
        line.push_str(RESET);
    }
    line
}

/// The sequence that sets a grey: 38 that of characters, 48 that behind them.
fn paint(what: u8, grey: u8, colours: Colours) -> String {
    match colours {
        Colours::All => format!("\x1b[{what};2;{grey};{grey};{grey}m"),
        _ => format!("\x1b[{what};5;{}m", grey_of_palette(grey)),
    }
}

/// Of the 256 colours, 232 to 255 are greys without black (16) and white (231).
fn grey_of_palette(grey: u8) -> u8 {
    const STEPS: u32 = 25;
    match (u32::from(grey) * STEPS + 127) / 255 {
        0 => 16,
        STEPS => 231,
        step => 231 + step as u8,
    }
}

fn shade(upper: u8, lower: u8) -> char {
    let both = usize::from(upper) + usize::from(lower);
    // To the nearest: ink is seldom all black.
    RAMP[(both * (RAMP.len() - 1) + 255) / 510].into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn without_colours_it_is_plain_characters() {
        let picture = Picture::new(3, 3, vec![0, 255, 0, 0, 255, 255, 255, 255, 0]).unwrap();
        assert_eq!(draw(&picture, Colours::None), [" @+", "++ "]);
    }

    #[test]
    fn with_colours_each_character_has_both_its_greys() {
        let picture = Picture::new(2, 2, vec![0, 0, 255, 255]).unwrap();
        let line = "\x1b[38;2;0;0;0m\x1b[48;2;255;255;255m▀▀\x1b[0m";
        assert_eq!(draw(&picture, Colours::All), [line]);
        let line = "\x1b[38;5;16m\x1b[48;5;231m▀▀\x1b[0m";
        assert_eq!(draw(&picture, Colours::Palette), [line]);
    }

    #[test]
    fn the_greys_of_the_palette_rise_from_black_to_white() {
        let shades: Vec<u8> = (0..=255).map(grey_of_palette).collect();
        assert_eq!((shades[0], shades[255]), (16, 231));
        assert_eq!((shades[10], shades[245]), (232, 255));
    }
}
