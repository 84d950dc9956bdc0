//! Given a drawing and an attribute, what does the drawing with that attribute
//! look like? A hue moved, or another manner of drawing.

use image::{Rgb, RgbImage, Rgba, RgbaImage};

/// A colour or a manner that a drawing can be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attribute {
    /// The main colour moved to this hue, in degrees.
    Colour(&'static str, u16),
    BlackAndWhite,
    Pixelated,
    Lines,
}

pub(super) const ATTRIBUTES: [Attribute; 9] = [
    Attribute::Colour("red", 0),
    Attribute::Colour("orange", 28),
    Attribute::Colour("yellow", 54),
    Attribute::Colour("green", 120),
    Attribute::Colour("blue", 222),
    Attribute::Colour("purple", 280),
    Attribute::BlackAndWhite,
    Attribute::Pixelated,
    Attribute::Lines,
];

/// The least share of a drawing that must have its main hue for a colour to be its colour.
const LEAST_COVERAGE: f64 = 0.3;

/// Hues this near to the main one move with it, in degrees.
const NEAR: f32 = 40.0;

impl Attribute {
    /// A phrase for a thing with this attribute.
    pub(super) fn phrase(self, object: &str) -> String {
        match self {
            Self::Colour(name, _) => format!("{name} {object}"),
            Self::BlackAndWhite => format!("black and white {object}"),
            Self::Pixelated => format!("pixelated {object}"),
            Self::Lines => format!("line drawing of {object}"),
        }
    }

    /// The drawing with this attribute, on white. `None` for a colour if the
    /// drawing has no main colour.
    pub(super) fn apply(self, drawing: &RgbaImage) -> Option<RgbImage> {
        Some(match self {
            Self::Colour(_, hue) => {
                let main = main_hue(drawing)?;
                let mut moved = drawing.clone();
                moved.pixels_mut().for_each(|p| *p = move_hue(*p, main, f32::from(hue)));
                on_white(&moved)
            }
            Self::BlackAndWhite => {
                let mut flat = on_white(drawing);
                flat.pixels_mut().for_each(|p| *p = Rgb([luma(*p); 3]));
                flat
            }
            Self::Pixelated => pixelated(&on_white(drawing)),
            Self::Lines => lines(&on_white(drawing)),
        })
    }
}

/// The hue of most of the drawing, in degrees; `None` if no hue has
/// [`LEAST_COVERAGE`] of what is drawn.
pub(super) fn main_hue(drawing: &RgbaImage) -> Option<f32> {
    let mut bins = [0f64; 36];
    let mut drawn = 0f64;
    let hues: Vec<f32> = drawing
        .pixels()
        .filter(|p| p.0[3] >= 128)
        .inspect(|_| drawn += 1.0)
        .filter_map(|p| {
            let [h, s, v] = hsv(*p);
            (s >= 0.35 && v >= 0.35).then_some(h)
        })
        .collect();
    hues.iter().for_each(|h| bins[(h / 10.0) as usize % 36] += 1.0);
    // Three bins together, so that no border between bins matters.
    let sum = |i: usize| bins[(i + 35) % 36] + bins[i] + bins[(i + 1) % 36];
    let best = (0..36).max_by(|&a, &b| sum(a).total_cmp(&sum(b)))?;
    if drawn == 0.0 || sum(best) / drawn < LEAST_COVERAGE {
        return None;
    }
    let centre = best as f32 * 10.0 + 5.0;
    let near: Vec<f32> =
        hues.iter().map(|h| turn(h - centre)).filter(|d| d.abs() <= 15.0).collect();
    Some((centre + near.iter().sum::<f32>() / near.len() as f32).rem_euclid(360.0))
}

/// The way from one hue to another, in −180..180 degrees.
fn turn(difference: f32) -> f32 {
    (difference + 180.0).rem_euclid(360.0) - 180.0
}

fn move_hue(pixel: Rgba<u8>, main: f32, to: f32) -> Rgba<u8> {
    let [h, s, v] = hsv(pixel);
    let off = turn(h - main);
    if s < 0.15 || off.abs() > NEAR {
        return pixel;
    }
    // Dark yellow and dark orange are called olive and brown.
    let v = if (15.0..75.0).contains(&to) { v.powf(0.5) } else { v };
    // Shades keep their order, but stay within the colour's name.
    let [r, g, b] = rgb([(to + off * 0.25).rem_euclid(360.0), s, v]);
    Rgba([r, g, b, pixel.0[3]])
}

/// Hue in degrees, saturation and value in 0..=1.
fn hsv(pixel: Rgba<u8>) -> [f32; 3] {
    let [r, g, b] = [0, 1, 2].map(|i| f32::from(pixel.0[i]) / 255.0);
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    let range = most - least;
    if range == 0.0 {
        return [0.0, 0.0, most];
    }
    let sixth = if most == r {
        ((g - b) / range).rem_euclid(6.0)
    } else if most == g {
        (b - r) / range + 2.0
    } else {
        (r - g) / range + 4.0
    };
    [sixth * 60.0, range / most, most]
}

fn rgb([h, s, v]: [f32; 3]) -> [u8; 3] {
    let channel = |n: f32| {
        let k = (n + h / 60.0).rem_euclid(6.0);
        let value = v - v * s * k.min(4.0 - k).clamp(0.0, 1.0);
        (value * 255.0).round() as u8
    };
    [channel(5.0), channel(3.0), channel(1.0)]
}

/// Transparency laid on white.
fn on_white(drawing: &RgbaImage) -> RgbImage {
    let mut flat = RgbImage::new(drawing.width(), drawing.height());
    for (to, from) in flat.pixels_mut().zip(drawing.pixels()) {
        let alpha = u32::from(from.0[3]);
        *to = Rgb([0, 1, 2]
            .map(|i| ((u32::from(from.0[i]) * alpha + 255 * (255 - alpha) + 127) / 255) as u8));
    }
    flat
}

fn luma(pixel: Rgb<u8>) -> u8 {
    let [r, g, b] = pixel.0.map(u32::from);
    ((299 * r + 587 * g + 114 * b + 500) / 1000) as u8
}

/// Twelve squares across, each its own mean.
fn pixelated(picture: &RgbImage) -> RgbImage {
    let side = picture.width().max(picture.height()).div_ceil(12).max(1);
    let mut out = picture.clone();
    for top in (0..picture.height()).step_by(side as usize) {
        for left in (0..picture.width()).step_by(side as usize) {
            let area = || {
                let down = top..(top + side).min(picture.height());
                down.flat_map(|y| (left..(left + side).min(picture.width())).map(move |x| (x, y)))
            };
            let mut sum = [0u32; 3];
            let mut count = 0;
            for (x, y) in area() {
                let pixel = picture.get_pixel(x, y);
                (0..3).for_each(|i| sum[i] += u32::from(pixel.0[i]));
                count += 1;
            }
            let mean = Rgb(sum.map(|s| (s / count) as u8));
            area().for_each(|(x, y)| out.put_pixel(x, y, mean));
        }
    }
    out
}

/// Dark lines on white where neighbours differ.
fn lines(picture: &RgbImage) -> RgbImage {
    let (w, h) = picture.dimensions();
    let at =
        |x: u32, y: u32, i: usize| i32::from(picture.get_pixel(x.min(w - 1), y.min(h - 1)).0[i]);
    RgbImage::from_fn(w, h, |x, y| {
        let step = (0..3)
            .map(|i| {
                let across = at(x + 1, y, i) - at(x.saturating_sub(1), y, i);
                let down = at(x, y + 1, i) - at(x, y.saturating_sub(1), i);
                across.abs().max(down.abs())
            })
            .max()
            .unwrap_or(0);
        Rgb([(255 - (step * 3).min(255)) as u8; 3])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_there_and_back() {
        for r in (0..=255).step_by(15) {
            for g in (0..=255).step_by(51) {
                for b in (0..=255).step_by(17) {
                    let pixel = Rgba([r, g, b, 255]);
                    let back = rgb(hsv(pixel));
                    for (got, want) in back.iter().zip([r, g, b]) {
                        assert!(got.abs_diff(want) <= 1, "{pixel:?} → {back:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn the_main_colour_becomes_the_asked_one_and_the_rest_stays() {
        // Two thirds red, one third blue, in all colours in turn.
        let drawing = RgbaImage::from_fn(9, 9, |x, _| {
            if x < 6 { Rgba([210, 30, 40, 255]) } else { Rgba([20, 40, 220, 255]) }
        });
        for attribute in ATTRIBUTES {
            let Attribute::Colour(name, hue) = attribute else { continue };
            let out = attribute.apply(&drawing).expect("it has a main colour");
            let [r, g, b] = out.get_pixel(0, 0).0;
            let got = hsv(Rgba([r, g, b, 255]))[0];
            assert!(turn(got - f32::from(hue)).abs() < 3.0, "{name}: {got}");
            assert_eq!(out.get_pixel(8, 8).0, [20, 40, 220], "{name}");
        }
    }

    #[test]
    fn a_grey_drawing_has_no_colour_and_clear_parts_do_not_count() {
        let grey = RgbaImage::from_pixel(8, 8, Rgba([90, 90, 92, 255]));
        assert_eq!(main_hue(&grey), None);
        assert_eq!(ATTRIBUTES[0].apply(&grey), None);
        assert_eq!(main_hue(&RgbaImage::new(4, 4)), None, "nothing drawn");
        let clear = RgbaImage::from_fn(8, 8, |x, _| Rgba([250, 0, 0, if x < 2 { 255 } else { 0 }]));
        assert!(turn(main_hue(&clear).expect("red")).abs() < 1.0);
    }

    #[test]
    fn manners_keep_the_size_and_drop_the_colour() {
        let drawing =
            RgbaImage::from_fn(25, 13, |x, y| Rgba([(x * 9) as u8, 200, (y * 5) as u8, 255]));
        for attribute in [Attribute::BlackAndWhite, Attribute::Lines, Attribute::Pixelated] {
            let out = attribute.apply(&drawing).expect("needs no colour");
            assert_eq!(out.dimensions(), (25, 13));
            if attribute != Attribute::Pixelated {
                assert!(out.pixels().all(|p| p.0[0] == p.0[1] && p.0[1] == p.0[2]));
            }
        }
        // A flat picture has no lines in it.
        let flat = RgbaImage::from_pixel(6, 6, Rgba([9, 99, 9, 255]));
        assert!(lines(&on_white(&flat)).pixels().all(|p| p.0 == [255; 3]));
    }
}
