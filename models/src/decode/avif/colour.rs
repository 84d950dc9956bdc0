//! Given the planes of a decoded frame, what are its red, green and blue?

use re_rav1d::dav1d::pixel::{MatrixCoefficients, YUVRange};
use re_rav1d::dav1d::{Picture, PixelLayout, PlanarImageComponent as Component, Plane};

use super::Canvas;

/// What the container says of colours; it counts more than what the frame says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Colours {
    pub(super) matrix: u16,
    pub(super) full_range: bool,
}

/// The samples of a plane, of 8 bits in a byte, of more in two.
struct Samples {
    plane: Plane,
    stride: usize,
    wide: bool,
}

impl Samples {
    fn of(picture: &Picture, component: Component) -> Self {
        let stride = picture.stride(component) as usize;
        let wide = picture.bit_depth() > 8;
        Self { plane: picture.plane(component), stride, wide }
    }

    fn at(&self, x: u32, y: u32) -> f32 {
        let (row, x) = (y as usize * self.stride, x as usize);
        if !self.wide {
            return self.plane.get(row + x).map_or(0.0, |&v| f32::from(v));
        }
        match self.plane.get(row + 2 * x..row + 2 * x + 2) {
            Some(&[low, high]) => f32::from(u16::from_ne_bytes([low, high])),
            _ => 0.0,
        }
    }
}

/// How far a sample is from none to full, and where none is.
struct Scale {
    luma: (f32, f32),
    chroma: (f32, f32),
}

impl Scale {
    fn of(bits: u32, full_range: bool) -> Self {
        let one = f32::from(1u16 << (bits - 8).min(8));
        let most = f32::from(((1u32 << bits) - 1) as u16);
        let middle = 128.0 * one;
        match full_range {
            true => Self { luma: (0.0, most), chroma: (middle, most) },
            false => Self { luma: (16.0 * one, 219.0 * one), chroma: (middle, 224.0 * one) },
        }
    }
}

fn bits(picture: &Picture) -> Result<u32, &'static str> {
    let bits = picture.bits_per_component().map(|bits| bits.0 as u32);
    bits.filter(|bits| (8..=12).contains(bits)).ok_or("its depth is unknown")
}

/// The shares of red and blue in brightness; `None` where the planes are colours.
fn shares(matrix: u16) -> Result<Option<(f32, f32)>, &'static str> {
    Ok(Some(match matrix {
        0 => return Ok(None),
        1 => (0.2126, 0.0722),
        4 => (0.30, 0.11),
        // What is not said is taken as JPEG has it.
        2 | 3 | 5 | 6 => (0.299, 0.114),
        7 => (0.212, 0.087),
        9 | 10 => (0.2627, 0.0593),
        _ => return Err("its colours are of a kind that is not read"),
    }))
}

fn byte(value: f32) -> u8 {
    (value * 255.0).round().clamp(0.0, 255.0) as u8
}

impl Canvas {
    /// The pixels of a picture at `corner` that lie on the canvas, row by row.
    fn overlap(&self, picture: &Picture, (left, top): (u32, u32)) -> (u32, u32) {
        let across = picture.width().min(self.width.saturating_sub(left));
        let down = picture.height().min(self.height.saturating_sub(top));
        (across, down)
    }

    fn index(&self, x: u32, y: u32) -> usize {
        3 * (y as usize * self.width as usize + x as usize)
    }

    pub(super) fn draw(
        &mut self,
        picture: &Picture,
        corner: (u32, u32),
        colours: Option<Colours>,
    ) -> Result<(), &'static str> {
        let colours = colours.unwrap_or(Colours {
            matrix: match picture.matrix_coefficients() {
                MatrixCoefficients::Identity => 0,
                MatrixCoefficients::BT709 => 1,
                MatrixCoefficients::BT2020NonConstantLuminance => 9,
                MatrixCoefficients::ST240M => 7,
                MatrixCoefficients::BT470M => 4,
                MatrixCoefficients::Unspecified | MatrixCoefficients::BT470BG => 6,
                _ => 255,
            },
            full_range: picture.color_range() == YUVRange::Full,
        });
        let scale = Scale::of(bits(picture)?, colours.full_range);
        let luma = Samples::of(picture, Component::Y);
        let grey = picture.pixel_layout() == PixelLayout::I400;
        let chroma =
            (!grey).then(|| [Component::U, Component::V].map(|plane| Samples::of(picture, plane)));
        let (halve_x, halve_y) = match picture.pixel_layout() {
            PixelLayout::I420 => (1, 1),
            PixelLayout::I422 => (1, 0),
            PixelLayout::I400 | PixelLayout::I444 => (0, 0),
        };
        let shares = shares(colours.matrix)?;
        let (across, down) = self.overlap(picture, corner);
        for y in 0..down {
            for x in 0..across {
                let light = (luma.at(x, y) - scale.luma.0) / scale.luma.1;
                let rgb = match (&chroma, shares) {
                    (None, _) => [light; 3],
                    (Some([u, v]), None) => {
                        let other = |plane: &Samples| {
                            (plane.at(x >> halve_x, y >> halve_y) - scale.luma.0) / scale.luma.1
                        };
                        [other(v), light, other(u)]
                    }
                    (Some([u, v]), Some((red, blue))) => {
                        let other = |plane: &Samples| {
                            (plane.at(x >> halve_x, y >> halve_y) - scale.chroma.0) / scale.chroma.1
                        };
                        let r = light + other(v) * 2.0 * (1.0 - red);
                        let b = light + other(u) * 2.0 * (1.0 - blue);
                        let g = (light - red * r - blue * b) / (1.0 - red - blue);
                        [r, g, b]
                    }
                };
                let at = self.index(corner.0 + x, corner.1 + y);
                self.rgb[at..at + 3].copy_from_slice(&rgb.map(byte));
            }
        }
        Ok(())
    }

    /// Takes the picture for transparency.
    pub(super) fn lay_on_white(
        &mut self,
        picture: &Picture,
        corner: (u32, u32),
        colours: Option<Colours>,
    ) -> Result<(), &'static str> {
        let full = colours.map_or(picture.color_range() == YUVRange::Full, |c| c.full_range);
        let scale = Scale::of(bits(picture)?, full);
        let plane = Samples::of(picture, Component::Y);
        let (across, down) = self.overlap(picture, corner);
        for y in 0..down {
            for x in 0..across {
                let alpha = byte((plane.at(x, y) - scale.luma.0) / scale.luma.1);
                let at = self.index(corner.0 + x, corner.1 + y);
                for value in &mut self.rgb[at..at + 3] {
                    *value = super::super::flatten::on_white(*value, alpha);
                }
            }
        }
        Ok(())
    }
}
