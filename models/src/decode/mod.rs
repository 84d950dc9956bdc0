//! Given the bytes of a file, what is the picture in it? [`decode`] gives
//! upright 8-bit RGB, or one clear sentence on why there is none.

mod avif;
mod blocks;
mod budget;
mod complete;
mod flatten;
mod heif;
mod ico;
mod jpeg;
mod jxl;
mod memory;
mod raw;
mod sniff;
mod svg;
mod tiff;

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ekphrasis_embed::{Pixels, PixelsError};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};

pub use blocks::{Blocks, blocks};
use budget::{Budget, Permit};
pub use jpeg::{Scaled, decode_scaled};
pub use sniff::looks_like_picture;
use sniff::{Codec, Kind};

/// What one picture may take while it is decoded, and what all that are being
/// decoded in this process may take together, unless told otherwise: 1.5 GiB. Every picture of 8 bits
/// a channel without losses has room in it up to the largest size.
const MEMORY: u64 = 3 << 29;

static BUDGET: Budget = Budget::new(MEMORY);

/// Changes how much memory pictures may take while they are decoded, in bytes, all in
/// this process together. 1.5 GiB if this is never called.
pub fn set_decode_memory(bytes: u64) {
    BUDGET.set_limit(bytes);
}

/// The memory for a picture of this size, when it is its turn; refused if it is more
/// than there is.
fn memory_for(width: u32, height: u32, needed: u64) -> Result<Permit<'static>, DecodeError> {
    let limit = BUDGET.limit();
    match needed > limit {
        true => Err(DecodeError::Memory { width, height, needed, limit }),
        false => Ok(BUDGET.take(needed)),
    }
}

/// A decoded picture.
///
/// It counts towards the memory that pictures may take together until it is
/// dropped, so drop it when done with it, or take the pixels out to keep them.
#[derive(Debug)]
#[non_exhaustive]
pub struct Decoded {
    /// Upright (EXIF orientation applied), transparency laid on white, 8 bits a channel.
    pub pixels: Pixels,
    /// The file format, such as `JPEG`; from the contents, whatever the name says.
    pub format: &'static str,
    _memory: Permit<'static>,
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
    /// A picture that a library decodes which is looked for when the program runs, and
    /// which is not there.
    #[error(
        "{format} pictures are read with {library}, which is not installed here: install {package}, then index again"
    )]
    Missing {
        /// The format.
        format: &'static str,
        /// The library.
        library: &'static str,
        /// The packages that have it.
        package: &'static str,
    },
    /// Larger than allowed, or of no size. Found before memory is taken.
    #[error("{0}")]
    Size(#[from] PixelsError),
    /// Not too many pixels, but too much memory for them. Found before it is taken.
    #[error(
        "the picture is {width} × {height} and takes {} MB of memory to decode, over the limit of {} MB",
        needed.div_ceil(1_000_000), limit / 1_000_000
    )]
    Memory {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
        /// Bytes.
        needed: u64,
        /// Bytes that may be taken.
        limit: u64,
    },
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
/// (first frame), WebP, BMP, TIFF, PNM, QOI, ICO (largest image), SVG and SVGZ
/// (rendered 1,024 pixels wide or high, without texts), AVIF, JPEG XL, HEIC (if
/// libheif is installed), and raw files of cameras (the largest JPEG within).
///
/// The format is told by the contents. 16-bit channels keep their upper 8 bits;
/// CMYK is converted without a colour profile, as browsers of old did it.
///
/// # Memory
/// Pictures that are decoded at the same time take at most 1.5 GiB together (or as
/// [`set_decode_memory`] says), by estimate: a call waits for its turn until there is room. A single picture
/// that would take more is refused; so is a header that claims far more pixels
/// than its bytes can hold. Pictures of 8 bits a channel are readable up to
/// [`MAX_PIXELS`](ekphrasis_embed::MAX_PIXELS) in most formats, 16-bit RGBA up
/// to half of that.
///
/// # Errors
/// Each variant of [`DecodeError`] as it says. A file that breaks off is an
/// error, never half a picture, even where an end marker was put behind the
/// half. Damage in the middle of a JPEG's data cannot be told from data, nor
/// the loss of its last row of blocks, nor of a progressive one's last details.
///
/// Never panics, whatever the bytes. A panic in a codec becomes
/// [`DecodeError::Broken`]; the process's panic hook has been called by then,
/// and the usual one writes a message to stderr.
pub fn decode(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let (codec, format) = match sniff::sniff(bytes)? {
        Kind::Readable(codec, format) => (codec, format),
        Kind::Unsupported(format) => return Err(DecodeError::Unsupported { format }),
    };
    // Codecs are other people's code on other people's bytes. Nothing outside
    // the closure is changed by it, so a panic leaves nothing half done.
    let decoded = AssertUnwindSafe(|| match codec {
        Codec::Image(ImageFormat::Ico) => match ico::png_within(bytes) {
            Some(png) => decode_as(ImageFormat::Png, format, png, None),
            None => decode_as(ImageFormat::Ico, format, bytes, None),
        },
        Codec::Image(codec) => decode_as(codec, format, bytes, None),
        Codec::Svg { packed } => svg::decode(bytes, packed),
        Codec::Jxl => jxl::decode(bytes),
        Codec::Avif => avif::decode(bytes),
        Codec::Heif => heif::decode(bytes, format),
        Codec::Raw(layout) => {
            let (jpeg, held) = raw::preview(bytes, layout).ok_or(DecodeError::Broken {
                format,
                detail: "there is no preview in it, and sensor data are not developed".into(),
            })?;
            decode_as(ImageFormat::Jpeg, format, jpeg, held.and_then(Orientation::from_exif))
        }
    });
    catch_unwind(decoded).unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().map(String::as_str);
        let said = said.or(panic.downcast_ref::<&str>().copied()).unwrap_or("no reason given");
        Err(DecodeError::Broken { format, detail: format!("the decoder gave up: {said}") })
    })
}

fn decode_as(
    codec: ImageFormat,
    format: &'static str,
    bytes: &[u8],
    // How the camera was held, if the file itself does not say it.
    held: Option<Orientation>,
) -> Result<Decoded, DecodeError> {
    let fail = |e: ImageError| explain(e, format);
    let cut = |detail: &str| DecodeError::Truncated { format, detail: detail.into() };
    let jpeg = match codec {
        ImageFormat::Jpeg => Some(complete::check(bytes).map_err(cut)?),
        _ => None,
    };
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(BUDGET.limit());
    let mut reader = ImageReader::with_format(Cursor::new(bytes), codec);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(fail)?;
    let (width, height) = decoder.dimensions();
    Pixels::check_size(width, height)?;
    memory::plausible(codec, bytes, width, height).map_err(|detail| cut(&detail))?;
    // Unreadable EXIF is no reason to refuse the picture.
    let mut orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    if let Some(held) = held {
        let own = decoder.exif_metadata().ok().flatten();
        orientation = own.and_then(|own| Orientation::from_exif_chunk(&own)).unwrap_or(held);
    }
    let needed = memory::estimate(codec, bytes, &decoder, orientation)
        + jpeg.as_ref().map_or(0, |jpeg| bytes.len() as u64 + jpeg.coefficients(width, height));
    let mut memory = memory_for(width, height, needed)?;
    let strict = jpeg.and_then(|jpeg| complete::decode(&jpeg, bytes, decoder.color_type()));
    let image = match strict.transpose().map_err(cut)? {
        Some(image) => image,
        None => DynamicImage::from_decoder(decoder).map_err(fail)?,
    };
    // Turned last, when it is smallest: a quarter turn needs a copy.
    let rgb = flatten::rgb8(image);
    let got = rgb.len() as u64;
    let expected = u64::from(width) * u64::from(height) * 3;
    let mut image =
        DynamicImage::from(RgbImage::from_raw(width, height, rgb).ok_or(PixelsError::Length {
            width,
            height,
            expected,
            got,
        })?);
    image.apply_orientation(orientation);
    let image = image.into_rgb8();
    memory.shrink(expected);
    let pixels = Pixels::new(image.width(), image.height(), image.into_raw())?;
    Ok(Decoded { pixels, format, _memory: memory })
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
