//! A tensor's elements: numbers or texts, which the protocol lets come nested or flat.
//!
//! In comes JSON, out go elements row by row, so many at most. Knows no shape.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};

/// Elements of one tensor: what a thousand pictures take.
const MOST_ELEMENTS: usize = 1 << 20;

/// One element of a tensor.
#[derive(Debug)]
pub enum Element {
    Number(f64),
    Text(String),
}

impl Element {
    /// Ink from 0 to 255, of an element from 0 to 255 / `scale`.
    pub fn pixel(self, scale: f64) -> Result<u8, String> {
        match self {
            Self::Number(number) if (0.0..=255.0).contains(&(number * scale)) => {
                Ok((number * scale).round() as u8)
            }
            Self::Number(number) => Err(format!(
                "ink goes from 0 to {}, and {number} is beyond",
                255.0 / scale
            )),
            Self::Text(_) => Err("a pixel is a number".to_owned()),
        }
    }
}

/// A tensor's elements, row by row: the protocol lets them come nested or flat.
#[derive(Debug, Default)]
pub struct Elements(pub Vec<Element>);

impl<'de> Deserialize<'de> for Elements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut flat = Self::default();
        deserializer.deserialize_seq(Filling(&mut flat.0))?;
        Ok(flat)
    }
}

/// Puts what it meets at the end of the elements.
struct Filling<'a>(&'a mut Vec<Element>);

impl Filling<'_> {
    fn push<E: Error>(self, element: Element) -> Result<(), E> {
        if self.0.len() == MOST_ELEMENTS {
            return Err(E::custom(format_args!(
                "a tensor has at most {MOST_ELEMENTS} elements here"
            )));
        }
        self.0.push(element);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Filling<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Filling<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("numbers or texts, in any arrays")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while elements.next_element_seed(Filling(&mut *self.0))?.is_some() {}
        Ok(())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<(), E> {
        self.push(Element::Number(number as f64))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<(), E> {
        self.push(Element::Number(number as f64))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<(), E> {
        self.push(Element::Number(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<(), E> {
        self.push(Element::Text(text.to_owned()))
    }
}
