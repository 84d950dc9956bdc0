//! Given a picture of any size, what exactly does the model see? [`Preprocess`] says.

use crate::planes::{self, Channel};
use crate::scale::{crop_centre, pad_centre, scale};
use crate::{Interpolation, Pixels, PixelsError, View};

/// How a picture is brought to the model's input size. All sizes in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// The shorter side becomes `0`, the longer one follows; then the centre square is cut out.
    ShortestEdge(u32),
    /// Both sides become the input size; the aspect ratio is lost.
    Exact,
    /// The longer side becomes the input size; the rest is filled with this colour.
    Pad {
        /// Red, green, blue.
        fill: [u8; 3],
    },
}

impl Resize {
    /// What manifests call it: `pad`, `shortest-edge` or `exact`, whatever its number is.
    pub fn name(self) -> &'static str {
        match self {
            Self::ShortestEdge(_) => "shortest-edge",
            Self::Exact => "exact",
            Self::Pad { .. } => "pad",
        }
    }

    /// What manifests say beside the name: the colour that is filled with, and the edge in
    /// pixels, where there is one.
    pub fn fill_and_edge(self) -> (Option<[u8; 3]>, Option<u32>) {
        match self {
            Self::Pad { fill } => (Some(fill), None),
            Self::ShortestEdge(edge) => (None, Some(edge)),
            Self::Exact => (None, None),
        }
    }
}

/// The order in which a model wants the three channels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelOrder {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red.
    Bgr,
}

impl ChannelOrder {
    /// What manifests call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rgb => "rgb",
            Self::Bgr => "bgr",
        }
    }
}

/// Everything that lies between [`Pixels`] and a model's input tensor.
///
/// The result is `(pixel / 255 − mean) / std`, channels first, in the model's order.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocess {
    size: u32,
    resize: Resize,
    interpolation: Interpolation,
    mean: [f32; 3],
    std: [f32; 3],
    channels: ChannelOrder,
}

/// Why a preprocessing cannot be, or could not be done.
#[derive(Debug, thiserror::Error, PartialEq)]
#[non_exhaustive]
pub enum PreprocessError {
    /// Input size out of range.
    #[error("the input size is 1 to 4,096 pixels, got {0}")]
    Size(u32),
    /// The centre square would not fit.
    #[error("the shortest edge ({edge}) is smaller than the input size ({size})")]
    Crop {
        /// Shortest edge after resizing.
        edge: u32,
        /// Input size.
        size: u32,
    },
    /// A mean or a deviation nothing can be normalised by.
    #[error("mean and std must be finite and std over zero, got mean {mean:?}, std {std:?}")]
    Normalisation {
        /// Per channel.
        mean: [f32; 3],
        /// Per channel.
        std: [f32; 3],
    },
    /// The picture, blown up to the input size, would be too large (a 1 × 100,000 line).
    #[error("a {width} × {height} picture cannot be brought to the model's input size")]
    Shape {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
        /// What stood in the way.
        #[source]
        source: PixelsError,
    },
}

/// A model's input for one picture: `3 × size × size` numbers, channels first, normalised.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageTensor {
    size: u32,
    data: Vec<f32>,
}

impl ImageTensor {
    /// Height and width in pixels.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// `3 × size × size` numbers in the order channel, row, column.
    pub fn data(&self) -> &[f32] {
        &self.data
    }
}

impl Preprocess {
    /// Checks and keeps a preprocessing. `size` is the model's input side in pixels.
    ///
    /// # Errors
    /// `Size` outside 1..=4096, `Crop` if `ShortestEdge` is below `size`,
    /// `Normalisation` for a mean or std that is not finite or a std not over 0.
    pub fn new(
        size: u32,
        resize: Resize,
        interpolation: Interpolation,
        mean: [f32; 3],
        std: [f32; 3],
    ) -> Result<Self, PreprocessError> {
        if !(1..=4096).contains(&size) {
            return Err(PreprocessError::Size(size));
        }
        if let Resize::ShortestEdge(edge) = resize
            && edge < size
        {
            return Err(PreprocessError::Crop { edge, size });
        }
        let fine = mean.iter().chain(&std).all(|v| v.is_finite()) && std.iter().all(|&s| s > 0.0);
        if !fine {
            return Err(PreprocessError::Normalisation { mean, std });
        }
        Ok(Self { size, resize, interpolation, mean, std, channels: ChannelOrder::Rgb })
    }

    /// The same with the channels in another order. Mean and std are given in that
    /// order, too.
    #[must_use]
    pub fn in_order(self, channels: ChannelOrder) -> Self {
        Self { channels, ..self }
    }

    /// The order of the channels.
    pub fn channels(&self) -> ChannelOrder {
        self.channels
    }

    /// The model's input side in pixels.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// How the input size is reached.
    pub fn resize(&self) -> Resize {
        self.resize
    }

    /// The resampling filter.
    pub fn interpolation(&self) -> Interpolation {
        self.interpolation
    }

    /// What is subtracted from each channel, on a scale of 0 to 1.
    pub fn mean(&self) -> [f32; 3] {
        self.mean
    }

    /// What each channel is divided by afterwards, on the same scale.
    pub fn std(&self) -> [f32; 3] {
        self.std
    }

    /// By how much the sides of a picture may be divided that is still at least twice as
    /// large as the model will see it: a decoder that is faster for it need not give
    /// more. Below 1 if the picture is smaller than that.
    pub fn spare(&self, width: u32, height: u32) -> f64 {
        let (short, long) = (f64::from(width.min(height)), f64::from(width.max(height)));
        match self.resize {
            Resize::Exact => short / f64::from(self.size) / 2.0,
            Resize::ShortestEdge(edge) => short / f64::from(edge) / 2.0,
            Resize::Pad { .. } => long / f64::from(self.size) / 2.0,
        }
    }

    /// The pixels the model will see, before normalisation: `size × size`.
    ///
    /// # Errors
    /// `Shape` if an extreme aspect ratio would need too large an intermediate.
    pub fn pixels(&self, picture: &Pixels) -> Result<Pixels, PreprocessError> {
        self.pixels_of(picture, &View::of(picture))
    }

    fn pixels_of(&self, picture: &Pixels, view: &View) -> Result<Pixels, PreprocessError> {
        let fitted = self.fitted(picture, view)?;
        Ok(match self.resize {
            Resize::Pad { fill } => pad_centre(&fitted, self.size, fill),
            Resize::Exact | Resize::ShortestEdge(_) => fitted,
        })
    }

    /// What the model will see, without what is filled up.
    fn fitted(&self, picture: &Pixels, view: &View) -> Result<Pixels, PreprocessError> {
        // By its own size, so that what is rounded does not depend on the decoder.
        let (w, h) = (view.width, view.height);
        let shape = |source| PreprocessError::Shape { width: w, height: h, source };
        let size = self.size;
        match self.resize {
            Resize::Exact => self.scale(picture, view, size, size).map_err(shape),
            Resize::ShortestEdge(edge) => {
                // torchvision: the long side is truncated, not rounded.
                let long = |short: u32, long: u32| {
                    u32::try_from(u64::from(edge) * u64::from(long) / u64::from(short))
                        .unwrap_or(u32::MAX)
                };
                let (nw, nh) = if w <= h { (edge, long(w, h)) } else { (long(h, w), edge) };
                let scaled = self.scale(picture, view, nw, nh).map_err(shape)?;
                Ok(crop_centre(&scaled, size))
            }
            Resize::Pad { .. } => {
                let fit = |side: u32| {
                    let ratio = f64::from(side) / f64::from(w.max(h));
                    ((f64::from(size) * ratio).round() as u32).max(1)
                };
                self.scale(picture, view, fit(w), fit(h)).map_err(shape)
            }
        }
    }

    /// The model's input for a picture.
    ///
    /// # Errors
    /// As [`Preprocess::pixels`].
    pub fn tensor(&self, picture: &Pixels) -> Result<ImageTensor, PreprocessError> {
        self.tensor_of(picture, &View::of(picture))
    }

    /// The model's input for a picture that was decoded smaller than it is. The view
    /// has to lie within the pixels.
    ///
    /// # Errors
    /// As [`Preprocess::pixels`].
    pub fn tensor_of(&self, picture: &Pixels, view: &View) -> Result<ImageTensor, PreprocessError> {
        Ok(self.normalise(&self.fitted(picture, view)?))
    }

    /// The input for pixels that are at most as large, in its middle.
    fn normalise(&self, pixels: &Pixels) -> ImageTensor {
        let fill = match self.resize {
            Resize::Pad { fill } => fill,
            // They are exactly as large.
            Resize::Exact | Resize::ShortestEdge(_) => [0; 3],
        };
        let channels = std::array::from_fn(|channel| {
            let source = match self.channels {
                ChannelOrder::Rgb => channel,
                ChannelOrder::Bgr => 2 - channel,
            };
            let scale = 1.0 / (255.0 * self.std[channel]);
            let shift = self.mean[channel] / self.std[channel];
            Channel { source, scale, shift, fill: fill[source] }
        });
        ImageTensor { size: self.size, data: planes::of(pixels, self.size, channels) }
    }

    fn scale(
        &self,
        picture: &Pixels,
        view: &View,
        width: u32,
        height: u32,
    ) -> Result<Pixels, PixelsError> {
        scale(picture, view, width, height, self.interpolation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_found_by_their_names() {
        for filter in Interpolation::ALL {
            assert_eq!(Interpolation::named(filter.name()), Some(filter));
        }
        assert_eq!(Interpolation::named("Bicubic"), None);
    }

    use proptest::prelude::*;

    fn preprocess(size: u32, resize: Resize) -> Preprocess {
        Preprocess::new(size, resize, Interpolation::Bicubic, [0.5; 3], [0.25; 3]).expect("valid")
    }

    fn flat(w: u32, h: u32, colour: [u8; 3]) -> Pixels {
        Pixels::new(w, h, colour.repeat((w * h) as usize)).expect("valid")
    }

    #[test]
    fn normalises_channels_first() {
        let p = preprocess(2, Resize::Exact);
        let t = p.tensor(&flat(2, 2, [0, 255, 51])).expect("valid");
        assert_eq!(t.size(), 2);
        let expected = [[-2.0; 4], [2.0; 4], [-1.2; 4]].concat();
        for (got, want) in t.data().iter().zip(expected) {
            assert!((got - want).abs() < 1e-6, "{:?}", t.data());
        }
    }

    #[test]
    fn channels_come_in_the_models_order() {
        let p = preprocess(2, Resize::Exact).in_order(ChannelOrder::Bgr);
        let t = p.tensor(&flat(2, 2, [0, 255, 51])).expect("valid");
        let firsts: Vec<f32> = t.data().iter().step_by(4).copied().collect();
        for (got, want) in firsts.iter().zip([-1.2, 2.0, -2.0]) {
            assert!((got - want).abs() < 1e-6, "{firsts:?}");
        }
    }

    #[test]
    fn what_is_spared_leaves_twice_the_size() {
        assert_eq!(preprocess(224, Resize::Exact).spare(4000, 896), 2.0);
        assert_eq!(preprocess(224, Resize::ShortestEdge(256)).spare(4000, 1024), 2.0);
        assert_eq!(preprocess(224, Resize::Pad { fill: [0; 3] }).spare(3000, 3584), 8.0);
        assert!(preprocess(224, Resize::Exact).spare(300, 300) < 1.0);
    }

    #[test]
    fn padding_keeps_the_whole_picture() {
        let p = preprocess(8, Resize::Pad { fill: [255, 255, 255] });
        let out = p.pixels(&flat(20, 10, [9, 9, 9])).expect("valid");
        let dark = out.rgb().chunks(3).filter(|px| px[0] == 9).count();
        assert_eq!(dark, 8 * 4, "the middle half of the rows");
        assert_eq!(&out.rgb()[..3], [255, 255, 255]);
    }

    /// What is filled up, and which part of the input is the picture, is said in one place for
    /// pixels and in another for numbers.
    #[test]
    fn numbers_are_those_of_the_pixels() {
        let fill = [9, 200, 77];
        for (w, h) in [(20, 10), (7, 30), (5, 5), (1, 90), (45, 44)] {
            let rgb = (0..w * h * 3).map(|i| (i * 37 % 251) as u8).collect();
            let picture = Pixels::new(w, h, rgb).expect("valid");
            for resize in [Resize::Pad { fill }, Resize::Exact, Resize::ShortestEdge(35)] {
                for order in [ChannelOrder::Rgb, ChannelOrder::Bgr] {
                    let p = preprocess(33, resize).in_order(order);
                    let seen = p.pixels(&picture).expect("small");
                    let expected: Vec<f32> = (0..3)
                        .flat_map(|channel| {
                            let source =
                                if order == ChannelOrder::Bgr { 2 - channel } else { channel };
                            let levels = seen.rgb().chunks(3).map(move |px| px[source]);
                            levels.map(|level| f32::from(level) * (1.0 / (255.0 * 0.25)) - 2.0)
                        })
                        .collect();
                    assert_eq!(p.tensor(&picture).expect("small").data(), expected, "{w} × {h}");
                }
            }
        }
    }

    #[test]
    fn cropping_keeps_the_middle() {
        let mut rgb = vec![0u8; 6 * 2 * 3];
        rgb[2 * 3..4 * 3].fill(200);
        rgb[8 * 3..10 * 3].fill(200);
        let picture = Pixels::new(6, 2, rgb).expect("valid");
        let out = preprocess(2, Resize::ShortestEdge(2)).pixels(&picture).expect("valid");
        assert!(out.rgb().iter().all(|&v| v == 200), "{:?}", out.rgb());
    }

    #[test]
    fn a_line_that_cannot_be_cropped_is_an_error_not_a_bomb() {
        let p = preprocess(224, Resize::ShortestEdge(256));
        let line = flat(1, 5_000_000, [1, 2, 3]);
        assert!(matches!(p.tensor(&line), Err(PreprocessError::Shape { .. })));
        let padded = preprocess(224, Resize::Pad { fill: [0; 3] });
        assert!(padded.tensor(&line).is_ok());
    }

    #[test]
    fn nonsense_is_refused() {
        let make = |size, resize, std| {
            Preprocess::new(size, resize, Interpolation::Bicubic, [0.0; 3], std)
        };
        assert_eq!(make(0, Resize::Exact, [1.0; 3]), Err(PreprocessError::Size(0)));
        assert!(matches!(
            make(224, Resize::ShortestEdge(200), [1.0; 3]),
            Err(PreprocessError::Crop { .. })
        ));
        assert!(matches!(
            make(224, Resize::Exact, [0.0; 3]),
            Err(PreprocessError::Normalisation { .. })
        ));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn fitting_keeps_shape_and_never_enlarges(
            w in 1u32..400, h in 1u32..400, longest in 0u32..300
        ) {
            let small = flat(w, h, [3, 4, 5]).fit_within(longest);
            let long = small.width().max(small.height());
            prop_assert_eq!(long, w.max(h).min(longest.max(1)));
            // Within half a pixel of the exact ratio, and never nothing.
            let exact = f64::from(long) * f64::from(w.min(h)) / f64::from(w.max(h));
            let short = f64::from(small.width().min(small.height()));
            prop_assert!((short - exact.max(1.0)).abs() <= 0.51, "{short} for {exact}");
            prop_assert!(small.rgb().chunks(3).all(|px| px == [3, 4, 5]));
            prop_assert_eq!(flat(w, h, [3, 4, 5]).mean_within(longest), small);
        }

        #[test]
        fn every_shape_comes_out_square(
            w in 1u32..300, h in 1u32..300, size in 1u32..64, extra in 0u32..20, kind in 0..3
        ) {
            let resize = match kind {
                0 => Resize::Exact,
                1 => Resize::ShortestEdge(size + extra),
                _ => Resize::Pad { fill: [7, 8, 9] },
            };
            let out = preprocess(size, resize).pixels(&flat(w, h, [120, 50, 10])).expect("small");
            prop_assert_eq!((out.width(), out.height()), (size, size));
            // A flat picture stays flat: no filter, crop or pad may invent other colours.
            for px in out.rgb().chunks(3) {
                prop_assert!(px == [120, 50, 10] || (kind == 2 && px == [7, 8, 9]));
            }
        }
    }
}
