//! Given a HEIC file, which pixels is it? HEVC is decoded by libheif, if it is
//! installed: it is looked for when the first such file comes, and never linked.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

use ekphrasis_embed::{Pixels, PixelsError};
use image::{DynamicImage, RgbImage, RgbaImage};
use libloading::Library;

use super::{DecodeError, Decoded, flatten, memory_for};

/// Names of the library by platform.
const NAMES: &[&str] = &["libheif.so.1", "libheif.1.dylib", "heif.dll"];
/// Bytes a pixel: planes of up to 16 bits as decoded, converted, and the result.
const BYTES: u64 = 6 + 8 + 4 + 3;

// Of libheif's public headers, `heif.h` and `heif_error.h`.
const COLORSPACE_RGB: c_int = 1;
const CHROMA_INTERLEAVED_RGB: c_int = 10;
const CHROMA_INTERLEAVED_RGBA: c_int = 11;
const CHANNEL_INTERLEAVED: c_int = 10;
/// `heif_suberror_End_of_data`.
const END_OF_DATA: c_int = 100;
/// `heif_suberror_Security_limit_exceeded`.
const OVER_LIMIT: c_int = 1000;
/// `heif_error_Unsupported_filetype`.
const UNKNOWN_FILE: c_int = 3;
/// `heif_error_Unsupported_feature`.
const UNKNOWN_FEATURE: c_int = 4;
/// `heif_error_Memory_allocation_error`.
const NO_MEMORY: c_int = 6;
/// What was too much for libheif may not be another time, or for another version.
const TOO_LARGE: DecodeError =
    DecodeError::Unsupported { format: "HEIC (too large for the libheif or the memory here)" };

#[repr(C)]
struct HeifError {
    code: c_int,
    subcode: c_int,
    message: *const c_char,
}

type Pointer = *mut c_void;

/// The functions that are used, out of the library that holds them.
struct Heif {
    context_alloc: unsafe extern "C" fn() -> Pointer,
    context_free: unsafe extern "C" fn(Pointer),
    read: unsafe extern "C" fn(Pointer, *const c_void, usize, *const c_void) -> HeifError,
    primary: unsafe extern "C" fn(Pointer, *mut Pointer) -> HeifError,
    handle_release: unsafe extern "C" fn(Pointer),
    handle_width: unsafe extern "C" fn(Pointer) -> c_int,
    handle_height: unsafe extern "C" fn(Pointer) -> c_int,
    has_alpha: unsafe extern "C" fn(Pointer) -> c_int,
    decode: unsafe extern "C" fn(Pointer, *mut Pointer, c_int, c_int, *const c_void) -> HeifError,
    image_release: unsafe extern "C" fn(Pointer),
    image_width: unsafe extern "C" fn(Pointer, c_int) -> c_int,
    image_height: unsafe extern "C" fn(Pointer, c_int) -> c_int,
    plane: unsafe extern "C" fn(Pointer, c_int, *mut c_int) -> *const u8,
    _library: Library,
}

fn library() -> Option<&'static Heif> {
    static LIBRARY: OnceLock<Option<Heif>> = OnceLock::new();
    LIBRARY.get_or_init(|| NAMES.iter().find_map(|name| Heif::open(name))).as_ref()
}

impl Heif {
    fn open(name: &str) -> Option<Self> {
        // SAFETY: a well-known system library, whose initialisers register its codecs.
        let library = unsafe { Library::new(name) }.ok()?;
        // SAFETY: the types are those of the public header, the same in all of version 1.
        unsafe {
            Some(Self {
                context_alloc: *library.get(b"heif_context_alloc\0").ok()?,
                context_free: *library.get(b"heif_context_free\0").ok()?,
                read: *library.get(b"heif_context_read_from_memory_without_copy\0").ok()?,
                primary: *library.get(b"heif_context_get_primary_image_handle\0").ok()?,
                handle_release: *library.get(b"heif_image_handle_release\0").ok()?,
                handle_width: *library.get(b"heif_image_handle_get_width\0").ok()?,
                handle_height: *library.get(b"heif_image_handle_get_height\0").ok()?,
                has_alpha: *library.get(b"heif_image_handle_has_alpha_channel\0").ok()?,
                decode: *library.get(b"heif_decode_image\0").ok()?,
                image_release: *library.get(b"heif_image_release\0").ok()?,
                image_width: *library.get(b"heif_image_get_width\0").ok()?,
                image_height: *library.get(b"heif_image_get_height\0").ok()?,
                plane: *library.get(b"heif_image_get_plane_readonly\0").ok()?,
                _library: library,
            })
        }
    }
}

/// Frees what a pointer owns when it goes out of scope.
struct Owned(Pointer, unsafe extern "C" fn(Pointer));

impl Drop for Owned {
    fn drop(&mut self) {
        // SAFETY: each pointer is given by the library together with this way to free it.
        unsafe { (self.1)(self.0) }
    }
}

pub(super) fn decode(bytes: &[u8], format: &'static str) -> Result<Decoded, DecodeError> {
    let heif = library().ok_or(DecodeError::Missing {
        format,
        library: "libheif",
        package: "libheif1 (Debian, Ubuntu), libheif (Fedora, Arch, Homebrew)",
    })?;
    decode_with(heif, bytes, format)
}

fn decode_with(heif: &Heif, bytes: &[u8], format: &'static str) -> Result<Decoded, DecodeError> {
    let broken = |detail: &str| DecodeError::Broken { format, detail: detail.into() };
    let check = |error: HeifError| match error.code {
        0 => Ok(()),
        _ => Err(explain(&error, format)),
    };
    // SAFETY: takes nothing; what it gives is checked.
    let context = unsafe { (heif.context_alloc)() };
    if context.is_null() {
        return Err(TOO_LARGE);
    }
    let context = Owned(context, heif.context_free);
    // SAFETY: `bytes` outlive the context, which is dropped at the end of this function.
    check(unsafe { (heif.read)(context.0, bytes.as_ptr().cast(), bytes.len(), ptr::null()) })?;
    let mut handle = ptr::null_mut();
    // SAFETY: the context is read; `handle` is a place for one pointer.
    check(unsafe { (heif.primary)(context.0, &raw mut handle) })?;
    let handle = Owned(handle, heif.handle_release);
    // SAFETY: the handle was given by a call that succeeded.
    let (width, height, alpha) = unsafe {
        ((heif.handle_width)(handle.0), (heif.handle_height)(handle.0), (heif.has_alpha)(handle.0))
    };
    let side = |n: c_int| u32::try_from(n).unwrap_or(0);
    let (width, height) = (side(width), side(height));
    Pixels::check_size(width, height)?;
    let needed = u64::from(width) * u64::from(height) * BYTES;
    let mut memory = memory_for(width, height, needed)?;
    let (chroma, channels) =
        if alpha != 0 { (CHROMA_INTERLEAVED_RGBA, 4) } else { (CHROMA_INTERLEAVED_RGB, 3) };
    let mut image = ptr::null_mut();
    // SAFETY: as above; without options it turns the picture upright itself.
    check(unsafe { (heif.decode)(handle.0, &raw mut image, COLORSPACE_RGB, chroma, ptr::null()) })?;
    let image = Owned(image, heif.image_release);
    // SAFETY: the image was given by a call that succeeded.
    let (got_width, got_height) = unsafe {
        (
            (heif.image_width)(image.0, CHANNEL_INTERLEAVED),
            (heif.image_height)(image.0, CHANNEL_INTERLEAVED),
        )
    };
    let (width, height) = (side(got_width), side(got_height));
    Pixels::check_size(width, height)?;
    let mut stride = 0;
    // SAFETY: `stride` is a place for one number.
    let plane = unsafe { (heif.plane)(image.0, CHANNEL_INTERLEAVED, &raw mut stride) };
    let (row, stride) = (channels * width as usize, usize::try_from(stride).unwrap_or(0));
    if plane.is_null() || stride < row {
        return Err(broken("libheif gave no pixels"));
    }
    let mut samples = Vec::with_capacity(row * height as usize);
    for y in 0..height as usize {
        // SAFETY: the plane has `height` rows of `stride` bytes, and `row` is no more.
        samples
            .extend_from_slice(unsafe { std::slice::from_raw_parts(plane.add(y * stride), row) });
    }
    let (expected, got) = ((row * height as usize) as u64, samples.len() as u64);
    let picture = match channels {
        4 => RgbaImage::from_raw(width, height, samples).map(DynamicImage::from),
        _ => RgbImage::from_raw(width, height, samples).map(DynamicImage::from),
    };
    let picture = picture.ok_or(PixelsError::Length { width, height, expected, got })?;
    let rgb = flatten::rgb8(picture);
    memory.shrink(rgb.len() as u64);
    Ok(Decoded { pixels: Pixels::new(width, height, rgb)?, format, _memory: memory })
}

fn explain(error: &HeifError, format: &'static str) -> DecodeError {
    let said = if error.message.is_null() {
        "no reason given".into()
    } else {
        // SAFETY: a text with a zero at its end, which lives as long as the context.
        unsafe { CStr::from_ptr(error.message) }.to_string_lossy()
    };
    let detail = said.lines().next().unwrap_or_default().to_owned();
    if error.subcode == END_OF_DATA {
        return DecodeError::Truncated { format, detail: "data is missing at its end".into() };
    }
    // Plug-ins are packages of their own in some distributions.
    if said.contains("nsupported codec") || said.contains("No decoding plugin") {
        return DecodeError::Missing {
            format,
            library: "a decoder for libheif",
            package: "libheif-plugin-libde265 (Debian, Ubuntu)",
        };
    }
    match (error.code, error.subcode) {
        (NO_MEMORY, _) | (_, OVER_LIMIT) => TOO_LARGE,
        // Other versions know more.
        (UNKNOWN_FILE | UNKNOWN_FEATURE, _) => DecodeError::Missing {
            format,
            library: "a libheif that knows their kind",
            package: "a newer libheif",
        },
        _ => DecodeError::Broken { format, detail },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libheif_cannot_do_is_no_damage() {
        let explain = |code, subcode| {
            explain(
                &HeifError { code, subcode, message: c"in its words\nat length".as_ptr() },
                "HEIC",
            )
        };
        for (code, subcode) in [(6, 0), (6, 1000), (2, 1000), (6, 1001)] {
            let error = explain(code, subcode);
            assert!(matches!(error, DecodeError::Unsupported { .. }), "{code}, {subcode}: {error}");
        }
        for code in [3, 4] {
            let error = explain(code, 0);
            assert!(matches!(error, DecodeError::Missing { .. }), "{code}: {error}");
        }
        let error = explain(2, 0);
        assert!(
            matches!(&error, DecodeError::Broken { detail, .. } if detail == "in its words"),
            "{error}"
        );
        assert!(matches!(explain(2, 100), DecodeError::Truncated { .. }));
    }
}
