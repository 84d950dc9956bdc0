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
