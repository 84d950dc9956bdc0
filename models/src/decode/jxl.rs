//! Given a JPEG XL file, which pixels is it? Decoded by `jxl-oxide`, whose
//! allocations are counted against what the picture may take.

use ekphrasis_embed::{Pixels, PixelsError};
use image::{DynamicImage, GrayImage, RgbImage};
use jxl_oxide::{
    AllocTracker, EnumColourEncoding, InitializeResult, JxlImage, JxlThreadPool, PixelFormat,
    RenderingIntent,
};

use super::{BUDGET, DecodeError, Decoded, flatten};

const FORMAT: &str = "JXL";
/// Bytes a pixel and channel that the decoder takes at most by what was seen:
/// 32-bit samples, in up to four stages.
const BYTES: u64 = 16;

pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, DecodeError> {
    let broken = |detail: String| DecodeError::Broken { format: FORMAT, detail };
    let cut = |detail: &str| DecodeError::Truncated { format: FORMAT, detail: detail.into() };
    let tracker = AllocTracker::with_limit(16 << 20);
    let mut image = JxlImage::builder()
        .pool(JxlThreadPool::none())
        .alloc_tracker(tracker.clone())
        .build_uninit();
    // The header alone first: it says how much memory the rest takes.
    let (mut fed, mut window) = (0, 4096);
    let mut image = loop {
        let next = bytes.len().min(fed + window);
        let used = image.feed_bytes(&bytes[fed..next]).map_err(|e| broken(e.to_string()))?;
        fed += used;
        match image.try_init().map_err(|e| broken(e.to_string()))? {
            InitializeResult::Initialized(ready) => break ready,
            InitializeResult::NeedMoreData(_) if next == bytes.len() => {
                return Err(cut("its header breaks off"));
            }
            InitializeResult::NeedMoreData(more) => image = more,
        }
        if used == 0 {
            window *= 2;
        }
    };
    let (width, height) = (image.width(), image.height());
    Pixels::check_size(width, height)?;
    let format = image.pixel_format();
    if format.has_black() {
        return Err(broken("its colours are those of printing inks (CMYK)".into()));
    }
    let pixels = u64::from(width) * u64::from(height);
    let extra = image.image_header().metadata.ec_info.len() as u64;
    let wanted = pixels * ((3 + extra) * BYTES + 8) + (16 << 20);
    let limit = BUDGET.limit();
    let mut memory = BUDGET.take(wanted);
    // What the decoder has besides its result, and not more than there is.
    let allowed = wanted.min(limit).saturating_sub(pixels * 8);
    tracker.expand_limit(usize::try_from(allowed).unwrap_or(usize::MAX));
    let explain = |e: Box<dyn std::error::Error + Send + Sync>| {
        let text = e.to_string();
        if text.contains("out of memory") || text.contains("allocate") {
            return DecodeError::Memory { width, height, needed: wanted.max(limit + 1), limit };
        }
        broken(text)
    };
    while fed < bytes.len() {
        let used = image.feed_bytes(&bytes[fed..]).map_err(explain)?;
        if used == 0 {
            break;
        }
        fed += used;
    }
    // What is not written as a profile is shown as screens expect it.
    if image.image_header().metadata.xyb_encoded || image.original_icc().is_none() {
        let srgb = match image.image_header().metadata.grayscale() {
            true => EnumColourEncoding::gray_srgb(RenderingIntent::Relative),
            false => EnumColourEncoding::srgb(RenderingIntent::Relative),
        };
        image.request_color_encoding(srgb);
    }
    if !image.is_loading_done() || image.num_loaded_keyframes() == 0 {
        return Err(cut("data is missing at its end"));
    }
    let render = image.render_frame(0).map_err(explain)?;
    let mut stream = render.stream();
    let (width, height) = (stream.width(), stream.height());
    let count = stream.channels() as usize * width as usize * height as usize;
    let mut samples = vec![0u8; count];
    stream.write_to_buffer(&mut samples);
    drop((render, image));
    let picture = match format {
        PixelFormat::Gray => GrayImage::from_raw(width, height, samples).map(DynamicImage::from),
        PixelFormat::Graya => {
            image::ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageLumaA8)
        }
        PixelFormat::Rgba => {
            image::ImageBuffer::from_raw(width, height, samples).map(DynamicImage::ImageRgba8)
        }
        _ => RgbImage::from_raw(width, height, samples).map(DynamicImage::from),
    };
    let (expected, got) = (3 * pixels, count as u64);
    let picture = picture.ok_or(PixelsError::Length { width, height, expected, got })?;
    let rgb = flatten::rgb8(picture);
    memory.shrink(rgb.len() as u64);
    Ok(Decoded { pixels: Pixels::new(width, height, rgb)?, format: FORMAT, _memory: memory })
}
