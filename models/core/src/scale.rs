//! A picture at another size: the filters, what is in view, and cutting or padding to a square.

use fast_image_resize as fr;
use fr::images::{TypedImage, TypedImageRef};
use fr::pixels::U8x3;

use crate::{Pixels, PixelsError};

/// The resampling filter, antialiased when shrinking (but for the nearest), as Pillow
/// does it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    /// The one pixel that lies there.
    Nearest,
    /// The mean of the pixels that lie there.
    Box,
    /// Half a raised cosine.
    Hamming,
    /// Triangle filter.
    Bilinear,
    /// Catmull-Rom (a = −0.5), what Pillow calls BICUBIC.
    Bicubic,
    /// Lanczos with 3 lobes.
    Lanczos3,
}

impl Interpolation {
    /// All, the simplest first.
    pub const ALL: [Self; 6] =
        [Self::Nearest, Self::Box, Self::Hamming, Self::Bilinear, Self::Bicubic, Self::Lanczos3];

    /// What manifests call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nearest => "nearest",
            Self::Box => "box",
            Self::Hamming => "hamming",
            Self::Bilinear => "bilinear",
            Self::Bicubic => "bicubic",
            Self::Lanczos3 => "lanczos3",
        }
    }

    /// The one that manifests call so.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|filter| filter.name() == name)
    }
}

/// Which part of some pixels is the picture, and how large that is where it comes
/// from: a decoder may give it smaller, and a little more than it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct View {
    /// The picture's own width in pixels, at least 1.
    pub width: u32,
    /// Its own height, at least 1.
    pub height: u32,
    /// Where it begins in the pixels that were given, from the left.
    pub left: f64,
    /// The same from the top.
    pub top: f64,
    /// How much of the width it takes there.
    pub across: f64,
    /// How much of the height.
    pub down: f64,
}

impl View {
    /// Of all of a picture as it is.
    pub fn of(picture: &Pixels) -> Self {
        let (width, height) = (picture.width(), picture.height());
        let (across, down) = (width.into(), height.into());
        Self { width, height, left: 0.0, top: 0.0, across, down }
    }
}

/// What is in view, at another size.
pub(crate) fn scale(
    picture: &Pixels,
    view: &View,
    width: u32,
    height: u32,
    interpolation: Interpolation,
) -> Result<Pixels, PixelsError> {
    Pixels::check_size(width, height)?;
    if (picture.width(), picture.height()) == (width, height) && *view == View::of(picture) {
        return Ok(picture.clone());
    }
    let by = fr::ResizeAlg::Convolution;
    let algorithm = match interpolation {
        Interpolation::Nearest => fr::ResizeAlg::Nearest,
        Interpolation::Box => by(fr::FilterType::Box),
        Interpolation::Hamming => by(fr::FilterType::Hamming),
        Interpolation::Bilinear => by(fr::FilterType::Bilinear),
        Interpolation::Bicubic => by(fr::FilterType::CatmullRom),
        Interpolation::Lanczos3 => by(fr::FilterType::Lanczos3),
    };
    // Across first and then down, each rounded, as Pillow does it; the resizer alone would
    // go down first. Not where that would take much more memory than the picture.
    let (w, h) = (picture.width(), picture.height());
    let between = u64::from(width) * u64::from(h);
    let in_two = algorithm != fr::ResizeAlg::Nearest
        && between <= (u64::from(w) * u64::from(h)).max(TWO_STEPS);
    if in_two {
        let across = View { top: 0.0, down: h.into(), ..*view };
        let between = resized(picture, &across, width, h, algorithm)?;
        let down = View { left: 0.0, across: width.into(), ..*view };
        return resized(&between, &down, width, height, algorithm);
    }
    resized(picture, view, width, height, algorithm)
}

/// So many pixels may always lie between two steps of resizing.
const TWO_STEPS: u64 = 1 << 22;

fn resized(
    picture: &Pixels,
    view: &View,
    width: u32,
    height: u32,
    algorithm: fr::ResizeAlg,
) -> Result<Pixels, PixelsError> {
    let options = fr::ResizeOptions::new().resize_alg(algorithm).crop(
        view.left,
        view.top,
        view.across,
        view.down,
    );
    // Typed: the untyped call would compile the resizer for every kind of pixel.
    let source =
        TypedImageRef::<U8x3>::from_buffer(picture.width(), picture.height(), picture.rgb())
            .expect("Pixels holds exactly width × height × 3 bytes");
    let mut resized = vec![0; width as usize * height as usize * 3];
    let mut target = TypedImage::<U8x3>::from_buffer(width, height, &mut resized)
        .expect("as many bytes as the size says");
    fr::Resizer::new()
        .resize_typed(&source, &mut target, &options)
        .expect("the view lies within the picture");
    Pixels::new(width, height, resized)
}

impl Pixels {
    /// The picture with its longer side at most `longest` (at least one) pixels,
    /// the aspect ratio kept; a smaller picture stays as it is.
    #[must_use]
    pub fn fit_within(&self, longest: u32) -> Self {
        let Some((width, height)) = self.size_within(longest) else { return self.clone() };
        scale(self, &View::of(self), width, height, Interpolation::Bicubic)
            .expect("smaller than a picture that was not too large")
    }

    /// As [`fit_within`](Self::fit_within), each pixel the mean of those that lie there: in
    /// less than half of the time, for those who count pixels and do not look at them.
    #[must_use]
    pub fn mean_within(&self, longest: u32) -> Self {
        let Some((width, height)) = self.size_within(longest) else { return self.clone() };
        let mean = fr::ResizeAlg::Convolution(fr::FilterType::Box);
        resized(self, &View::of(self), width, height, mean)
            .expect("smaller than a picture that was not too large")
    }

    /// Width and height with the longer side at most `longest`; `None` if they are.
    fn size_within(&self, longest: u32) -> Option<(u32, u32)> {
        let (w, h) = (self.width(), self.height());
        let (long, longest) = (w.max(h), longest.max(1));
        let fit = |side: u32| {
            let ratio = f64::from(longest) / f64::from(long);
            ((f64::from(side) * ratio).round() as u32).max(1)
        };
        (long > longest).then(|| (fit(w), fit(h)))
    }
}

/// The centre `size × size` of a picture that is at least as large.
pub(crate) fn crop_centre(picture: &Pixels, size: u32) -> Pixels {
    // torchvision rounds half to even: round((h − size) / 2.0).
    let offset = |side: u32| (f64::from(side - size) / 2.0).round_ties_even() as usize;
    let (left, top) = (offset(picture.width()), offset(picture.height()));
    let row = picture.width() as usize * 3;
    let cut = size as usize * 3;
    let rgb = picture
        .rgb()
        .chunks_exact(row)
        .skip(top)
        .take(size as usize)
        .flat_map(|line| &line[left * 3..left * 3 + cut])
        .copied()
        .collect();
    Pixels::new(size, size, rgb).expect("the square lies inside the picture")
}

/// The picture in the middle of a `size × size` square of `fill`.
pub(crate) fn pad_centre(picture: &Pixels, size: u32, fill: [u8; 3]) -> Pixels {
    let mut rgb = fill.repeat(size as usize * size as usize);
    let left = (size - picture.width()) as usize / 2;
    let top = (size - picture.height()) as usize / 2;
    let width = picture.width() as usize * 3;
    for (y, line) in picture.rgb().chunks_exact(width).enumerate() {
        let start = ((top + y) * size as usize + left) * 3;
        rgb[start..start + width].copy_from_slice(line);
    }
    Pixels::new(size, size, rgb).expect("a square of the input size")
}
