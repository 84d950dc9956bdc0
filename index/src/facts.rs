//! What does a picture's file tell of how the picture came about?

use crate::{Date, Place};

/// What a camera or a program noted in a picture's file. Nothing here is proven:
/// clocks go wrong and places are set by hand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// When it was taken.
    pub taken: Option<Taken>,
    /// The camera's maker, as written: `Google`.
    pub make: Option<String>,
    /// The camera's model, as written: `Pixel 7`.
    pub model: Option<String>,
    /// The lens, as written.
    pub lens: Option<String>,
    /// Where the camera was.
    pub place: Option<Place>,
    /// How the picture was exposed.
    pub exposure: Exposure,
    /// Titles and descriptions that people wrote into the file or beside it, each
    /// once. Searched as words.
    pub texts: Vec<String>,
    /// Keywords that people wrote into the file or beside it. Searched as words, and
    /// filtered as tags.
    pub keywords: Vec<String>,
    /// The colours that most of the picture has, the most frequent first.
    pub colours: Vec<Colour>,
    /// What it looks like in 64 bits: pictures of the same thing differ in few.
    pub look: Option<u64>,
    /// Which files lay beside the picture that may say something of it, and how they were;
    /// another number when one came, went or changed.
    pub beside: Option<u64>,
    /// Which way of looking found this: [`Facts::VERSION`] now, 0 the first.
    pub version: u32,
}

/// A colour as people name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum Colour {
    Black,
    White,
    Grey,
    Red,
    Orange,
    Yellow,
    Green,
    Cyan,
    Blue,
    Purple,
    Pink,
    Brown,
}

impl Colour {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Black,
        Self::White,
        Self::Grey,
        Self::Red,
        Self::Orange,
        Self::Yellow,
        Self::Green,
        Self::Cyan,
        Self::Blue,
        Self::Purple,
        Self::Pink,
        Self::Brown,
    ];

    /// The English word, in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Black => "black",
            Self::White => "white",
            Self::Grey => "grey",
            Self::Red => "red",
            Self::Orange => "orange",
            Self::Yellow => "yellow",
            Self::Green => "green",
            Self::Cyan => "cyan",
            Self::Blue => "blue",
            Self::Purple => "purple",
            Self::Pink => "pink",
            Self::Brown => "brown",
        }
    }

    /// The colour of a word, whatever its case; some have two.
    pub fn named(word: &str) -> Option<Self> {
        let word = word.to_lowercase();
        let word = match &word[..] {
            "gray" => "grey",
            "turquoise" | "teal" => "cyan",
            "violet" => "purple",
            word => word,
        };
        Self::ALL.into_iter().find(|colour| colour.as_str() == word)
    }
}

/// When a picture was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// What the camera's clock showed, as far as it is known. Cameras note no time
    /// zone, and a person asks for the day it was *there*; so this, and no instant
    /// in UTC, is what `taken:` compares.
    pub date: Date,
    /// How far the clock was ahead of UTC, in minutes, if that was noted.
    pub offset_minutes: Option<i16>,
}

/// How a picture was exposed, as far as it was noted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exposure {
    /// Exposure time in microseconds.
    pub time_us: Option<u64>,
    /// The f-number in hundredths: 280 for f/2.8.
    pub aperture_hundredths: Option<u32>,
    /// ISO speed.
    pub iso: Option<u32>,
    /// Focal length in hundredths of a millimetre, not scaled to any film.
    pub focal_hundredths: Option<u32>,
}

impl Facts {
    /// The present way of looking. Higher when it finds more: pictures that were
    /// looked at in a former way are looked at once more.
    pub const VERSION: u32 = 2;

    /// Maker and model in one; a maker that the model begins with is not repeated.
    pub fn camera(&self) -> Option<String> {
        let [make, model] = [&self.make, &self.model].map(|text| text.as_deref().map(str::trim));
        match (make.filter(|m| !m.is_empty()), model.filter(|m| !m.is_empty())) {
            (Some(make), Some(model)) => {
                let first = |text: &str| text.split_whitespace().next().map(str::to_lowercase);
                let repeated = first(make) == first(model);
                Some(if repeated { model.into() } else { format!("{make} {model}") })
            }
            (one, other) => one.or(other).map(str::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_is_named_once() {
        for (make, model, camera) in [
            (Some("Google"), Some("Pixel 7"), Some("Google Pixel 7")),
            (Some("Canon"), Some("Canon EOS 5D"), Some("Canon EOS 5D")),
            (Some("NIKON CORPORATION"), Some("NIKON D70"), Some("NIKON D70")),
            (Some(" "), Some("X100 "), Some("X100")),
            (Some("Leica"), None, Some("Leica")),
            (None, None, None),
        ] {
            let [make, model] = [make, model].map(|text| text.map(str::to_owned));
            let facts = Facts { make, model, ..Facts::default() };
            assert_eq!(facts.camera().as_deref(), camera);
        }
    }
}
