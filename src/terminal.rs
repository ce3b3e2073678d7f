//! Who reads what is printed: a person at a terminal, with or without colours, or a program.
//!
//! In come a stream and the environment, out goes what the stream can show. Prints nothing.

use std::env;
use std::io::IsTerminal;

/// What a stream can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colours {
    /// Plain characters alone: a file, a pipe, a terminal that can do no more, or a person who wants no more.
    None,
    /// The 256 colours that nearly every terminal has.
    Palette,
    /// Any mixture of red, green and blue.
    All,
}

/// Which colours `stream` takes. `NO_COLOR` (<https://no-color.org>) means none.
#[must_use]
pub fn colours(stream: &impl IsTerminal) -> Colours {
    if !is_interactive(stream) {
        return Colours::None;
    }
    wanted(
        &env::var("NO_COLOR").unwrap_or_default(),
        &env::var("COLORTERM").unwrap_or_default(),
    )
}

/// Whether a person looks at `stream`, on a terminal on which a line can be drawn anew.
#[must_use]
pub fn is_interactive(stream: &impl IsTerminal) -> bool {
    stream.is_terminal() && env::var_os("TERM").is_none_or(|name| name != "dumb")
}

fn wanted(no_color: &str, color_term: &str) -> Colours {
    match (no_color, color_term) {
        ("", "truecolor" | "24bit") => Colours::All,
        ("", _) => Colours::Palette,
        _ => Colours::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_has_the_colours_that_it_names_and_none_if_none_are_wanted() {
        assert_eq!(wanted("", "truecolor"), Colours::All);
        assert_eq!(wanted("", "24bit"), Colours::All);
        assert_eq!(wanted("", ""), Colours::Palette);
        assert_eq!(wanted("1", "truecolor"), Colours::None);
    }
}
