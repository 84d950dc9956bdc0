//! Given a decoded picture, what may the rest of the program assume? See [`Pixels`].

use std::fmt;

/// The most pixels a picture may have: 16,384 × 16,384, enough for any camera
/// and small enough (805 MB of RGB) to refuse a decompression bomb in time. A
/// decoder may refuse less for the memory that it would take itself.
pub const MAX_PIXELS: u64 = 1 << 28;

/// An upright RGB picture, 8 bits a channel, rows from the top, no padding,
/// neither empty nor larger than [`MAX_PIXELS`].
#[derive(Clone, PartialEq, Eq)]
pub struct Pixels {
    width: u32,
    height: u32,
    rgb: Vec<u8>,
}

/// Why a buffer is no picture.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum PixelsError {
    /// A side is zero.
    #[error("the picture is {width} × {height}: there is nothing in it")]
    Empty {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
    },
    /// Over [`MAX_PIXELS`].
    #[error("the picture is {width} × {height}, over the limit of {MAX_PIXELS} pixels")]
    TooLarge {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
    },
    /// The buffer does not fit the size.
    #[error("{width} × {height} RGB needs {expected} bytes, got {got}")]
    Length {
        /// In pixels.
        width: u32,
        /// In pixels.
        height: u32,
        /// Bytes needed.
        expected: u64,
        /// Bytes there.
        got: u64,
    },
}

impl Pixels {
    /// Checks a size as a header gives it, before anything is allocated for it.
    ///
    /// # Errors
    /// `Empty` or `TooLarge`.
    pub fn check_size(width: u32, height: u32) -> Result<(), PixelsError> {
        let count = u64::from(width) * u64::from(height);
        match count {
            0 => Err(PixelsError::Empty { width, height }),
            _ if count > MAX_PIXELS => Err(PixelsError::TooLarge { width, height }),
            _ => Ok(()),
        }
    }

    /// Takes `rgb` as a picture; the caller has turned it upright.
    ///
    /// # Errors
    /// As [`Pixels::check_size`], and `Length` if the buffer is not `width × height × 3` bytes.
    pub fn new(width: u32, height: u32, rgb: Vec<u8>) -> Result<Self, PixelsError> {
        Self::check_size(width, height)?;
        let expected = u64::from(width) * u64::from(height) * 3;
        let got = rgb.len() as u64;
        if expected != got {
            return Err(PixelsError::Length { width, height, expected, got });
        }
        Ok(Self { width, height, rgb })
    }

    /// Width in pixels, at least 1.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels, at least 1.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The bytes: red, green, blue; row by row from the top left.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// The bytes, without copying.
    pub fn into_rgb(self) -> Vec<u8> {
        self.rgb
    }
}

impl fmt::Debug for Pixels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pixels({} × {})", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_checked_before_memory_is() {
        assert!(matches!(Pixels::new(0, 5, vec![]), Err(PixelsError::Empty { .. })));
        assert!(matches!(Pixels::new(30_000, 30_000, vec![]), Err(PixelsError::TooLarge { .. })));
        assert!(matches!(
            Pixels::new(u32::MAX, u32::MAX, vec![]),
            Err(PixelsError::TooLarge { .. })
        ));
        assert!(matches!(
            Pixels::new(2, 2, vec![0; 11]),
            Err(PixelsError::Length { expected: 12, got: 11, .. })
        ));
        assert!(Pixels::new(2, 2, vec![0; 12]).is_ok());
    }
}
