//! Given the bytes of a file, what is the picture in it? [`decode`] gives
//! upright 8-bit RGB, or one clear sentence on why there is none.

mod complete;
mod flatten;
mod ico;
mod sniff;

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ekphrasis_embed::{MAX_PIXELS, Pixels, PixelsError};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits};

use sniff::Kind;

/// What a decoder may allocate: 16-bit RGBA at the largest size takes less.
const MAX_ALLOC: u64 = MAX_PIXELS * 8 + (64 << 20);

/// A decoded picture.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Decoded {
    /// Upright (EXIF orientation applied), transparency laid on white, 8 bits a channel.
    pub pixels: Pixels,
    /// The file format, such as `JPEG`; from the contents, whatever the name says.
    pub format: &'static str,
}

/// Why there is no picture. Each is one sentence that does not name the file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// No bytes.
    #[error("the file is empty")]
    Empty,
    /// Something else than a picture, as far as that can be told.
    #[error("this is {what}, not a picture")]
    NotAPicture {
        /// Such as `an HTML page`.
        what: &'static str,
    },
    /// Nothing that is known here.
    #[error("this is no picture in a known format (it starts with {start})")]
    Unknown {
        /// The first bytes in hexadecimal.
        start: String,
    },
    /// A picture in a format that is not read (yet).
    #[error("{format} pictures are not supported yet")]
    Unsupported {
        /// The format.
        format: &'static str,
    },
    /// Larger than allowed, or of no size. Found before memory is taken.
    #[error("{0}")]
    Size(#[from] PixelsError),
    /// The end is missing.
    #[error("the {format} file is cut short: {detail}")]
    Truncated {
        /// The format.
        format: &'static str,
        /// What is missing.
        detail: String,
    },
    /// Damaged, or of a kind the decoder does not know.
    #[error("the {format} file cannot be decoded: {detail}")]
    Broken {
        /// The format.
        format: &'static str,
        /// The decoder's words.
        detail: String,
    },
}

/// Decodes a picture of any supported format: JPEG, PNG, GIF and animated WebP
/// (first frame), WebP, BMP, TIFF, PNM, QOI, ICO (largest image).
///
/// The format is told by the contents. 16-bit channels keep their upper 8 bits;
/// CMYK is converted without a colour profile, as browsers of old did it.
///
/// # Errors
/// Each variant of [`DecodeError`] as it says. A truncated file is an error,
/// never half a picture. Never panics, whatever the bytes.
pub fn decode(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let (codec, format) = match sniff::sniff(bytes)? {
        Kind::Readable(codec, format) => (codec, format),
        Kind::Unsupported(format) => return Err(DecodeError::Unsupported { format }),
    };
    let (bytes, codec) = match codec {
        ImageFormat::Ico => {
            ico::png_within(bytes).map_or((bytes, codec), |png| (png, ImageFormat::Png))
        }
        _ => (bytes, codec),
    };
    complete::check(codec, bytes)
        .map_err(|detail| DecodeError::Truncated { format, detail: detail.into() })?;
    // Codecs are other people's code on other people's bytes. Nothing outside
    // the closure is changed by it, so a panic leaves nothing half done.
    let pixels = catch_unwind(AssertUnwindSafe(|| pixels(bytes, codec, format))).unwrap_or_else(
        |panic| {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
            Err(DecodeError::Broken { format, detail: format!("the decoder gave up: {said}") })
        },
    )?;
    Ok(Decoded { pixels, format })
}

fn pixels(bytes: &[u8], codec: ImageFormat, format: &'static str) -> Result<Pixels, DecodeError> {
    let fail = |e: ImageError| explain(e, format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_ALLOC);
    let mut reader = ImageReader::with_format(Cursor::new(bytes), codec);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(fail)?;
    let (width, height) = decoder.dimensions();
    Pixels::check_size(width, height)?;
    // Unreadable EXIF is no reason to refuse the picture.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder).map_err(fail)?;
    image.apply_orientation(orientation);
    let (width, height) = (image.width(), image.height());
    Ok(Pixels::new(width, height, flatten::rgb8(image))?)
}

/// The codec's error in one sentence.
fn explain(error: ImageError, format: &'static str) -> DecodeError {
    let mut detail = match &error {
        ImageError::Decoding(e) => {
            std::error::Error::source(e).map_or_else(|| e.to_string(), ToString::to_string)
        }
        ImageError::IoError(e) => e.to_string(),
        other => other.to_string(),
    };
    let short = matches!(&error, ImageError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof)
        || ["unexpected eof", "unexpected end", "failed to fill whole buffer", "exhausted data"]
            .iter()
            .any(|words| detail.to_lowercase().contains(words));
    detail.truncate(detail.find('\n').unwrap_or(detail.len()));
    if short {
        DecodeError::Truncated { format, detail: "data is missing at its end".into() }
    } else {
        DecodeError::Broken { format, detail }
    }
}
