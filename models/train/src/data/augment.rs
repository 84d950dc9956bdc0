//! Given a picture, what else could it have looked like? Views of it: elsewhere
//! on another background, nearer, turned a little, mirrored, in another light.

use ekphrasis_embed::Pixels;
use rand::RngExt;
use rand_pcg::Pcg64;

use super::ContentHash;
use super::seeded::generator;

/// Part of every cached view's key: a view made by other rules is another view.
pub const AUGMENTATION_VERSION: u32 = 1;

/// How far a view may go from its picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augment {
    /// The least part of each side that is kept, 0.1..=1.
    pub crop: f32,
    /// The least size of the picture on its square, 0.1..=1 of the side.
    pub scale: f32,
    /// Turned by up to this many degrees either way, 0..=45.
    pub degrees: f32,
    /// Brightness, contrast and saturation each change by up to this factor, 0..=0.9.
    /// The hue stays: captions name colours.
    pub colour: f32,
    /// Chance of a mirrored view, 0..=1, where mirroring is allowed at all.
    pub mirror: f32,
}

impl Default for Augment {
    fn default() -> Self {
        Self { crop: 0.75, scale: 0.6, degrees: 12.0, colour: 0.25, mirror: 0.5 }
    }
}

/// Whether a picture with these words may be mirrored: not if they speak of
/// sides, turning, or of writing, which reads wrong in a mirror. Decided by the
/// words alone; writing that no word mentions is not noticed.
pub fn may_mirror<'a>(texts: impl IntoIterator<Item = &'a str>) -> bool {
    const NO: &str = "left right leftward rightward leftwards rightwards clockwise counterclockwise \
        anticlockwise east west arrow arrows letter letters alphabet text word words writing \
        written number numbers digit digits numeral keycap abc abcd latin hiragana katakana \
        kanji japanese chinese logo logos map clock watch calendar music flag";
    !texts.into_iter().any(|text| {
        let text = text.to_lowercase();
        let mut words = text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty());
        words.any(|w| {
            // A caption that is one sign, or quotes one, shows it: "button B", "plus 1".
            // "a" is an article far more often than a letter.
            let sign = w.chars().count() == 1 && !matches!(w, "a" | "s");
            sign || NO.split(' ').any(|no| no == w)
        })
    })
}

impl Augment {
    /// View number `view` of a picture: `side × side` pixels. A function of the
    /// picture, its content hash, the seed and the number alone.
    ///
    /// The border's colour, where most of the border has one, is taken for the
    /// background: in half of the views it is replaced by another colour.
    ///
    /// # Panics
    /// If `side` is 0 or over 4,096.
    pub fn view(
        &self,
        picture: &Pixels,
        side: u32,
        content: &ContentHash,
        view: u32,
        seed: u64,
        may_mirror: bool,
    ) -> Pixels {
        assert!((1..=4096).contains(&side), "a side of 1 to 4,096 pixels");
        let place = [&content.as_bytes()[..], &view.to_le_bytes()[..]];
        let mut rng = generator(seed, "view", &place);
        let plan = Plan::draw(self, picture, side, may_mirror, &mut rng);
        plan.render(picture, side)
    }

    /// What two settings must share for their views to be the same.
    pub(super) fn key(&self) -> String {
        format!("{AUGMENTATION_VERSION} {self:?}")
    }
}

/// All that is drawn for one view.
struct Plan {
    /// The kept part of the picture, in its pixels: left, top, width, height.
    crop: [f32; 4],
    /// The middle of the picture on the square, in the square's pixels.
    centre: [f32; 2],
    /// Pixels of the square a pixel of the picture.
    zoom: f32,
    radians: f32,
    mirrored: bool,
    background: [f32; 3],
    /// Whether the picture's own background is replaced.
    knock_out: bool,
    brightness: f32,
    contrast: f32,
    saturation: f32,
}

impl Plan {
    fn draw(a: &Augment, picture: &Pixels, side: u32, may_mirror: bool, rng: &mut Pcg64) -> Self {
        let (w, h) = (picture.width() as f32, picture.height() as f32);
        let mut between = |least: f32, most: f32| least + (most - least) * rng.random::<f32>();
        let crop = a.crop.clamp(0.1, 1.0);
        let (cw, ch) = (w * between(crop, 1.0), h * between(crop, 1.0));
        let (left, top) = (between(0.0, w - cw), between(0.0, h - ch));
        let size = side as f32 * between(a.scale.clamp(0.1, 1.0), 1.0);
        let zoom = size / cw.max(ch);
        let slack = [side as f32 - cw * zoom, side as f32 - ch * zoom].map(|s| s.max(0.0) / 2.0);
        let middle = side as f32 / 2.0;
        let centre = [middle + between(-slack[0], slack[0]), middle + between(-slack[1], slack[1])];
        let degrees = a.degrees.clamp(0.0, 45.0);
        let radians = between(-degrees, degrees).to_radians();
        let colour = a.colour.clamp(0.0, 0.9);
        let [brightness, contrast, saturation] =
            [0, 1, 2].map(|_| between(1.0 - colour, 1.0 + colour));
        // Drawn in any case, so that a word more or less changes nothing else.
        let mirrored = between(0.0, 1.0) < a.mirror && may_mirror;
        // White as drawings lie on, a grey, or a pale or full colour.
        let kind = between(0.0, 1.0);
        let (low, high) = if kind < 0.5 { (170.0, 255.0) } else { (0.0, 255.0) };
        let drawn = [0, 1, 2].map(|_| between(low, high));
        let other = between(0.0, 1.0) < 0.5;
        let own = border_colour(picture);
        let (background, knock_out) = match own {
            Some(own) if !other => (own.map(f32::from), false),
            Some(_) => (drawn, true),
            None => (drawn, false),
        };
        Self {
            crop: [left, top, cw, ch],
            centre,
            zoom,
            radians,
            mirrored,
            background,
            knock_out,
            brightness,
            contrast,
            saturation,
        }
    }

    fn render(&self, picture: &Pixels, side: u32) -> Pixels {
        // Shrunk by a good filter first; what is left to do is near to 1 : 1,
        // where bilinear sampling does no harm.
        let longest = picture.width().max(picture.height());
        let small = picture.fit_within(((longest as f32 * self.zoom).ceil() as u32).max(1));
        let shrink = small.width().max(small.height()) as f32 / longest as f32;
        let clear = if self.knock_out { background_of(&small) } else { Vec::new() };
        let [left, top, width, height] = self.crop.map(|v| v * shrink);
        let zoom = self.zoom / shrink;
        let (sin, cos) = self.radians.sin_cos();
        let flip = if self.mirrored { -1.0 } else { 1.0 };
        let mut rgb = Vec::with_capacity((side * side * 3) as usize);
        for y in 0..side {
            for x in 0..side {
                let dx = x as f32 + 0.5 - self.centre[0];
                let dy = y as f32 + 0.5 - self.centre[1];
                let u = (dx * cos + dy * sin) / zoom * flip;
                let v = (dy * cos - dx * sin) / zoom;
                let inside = u.abs() <= width / 2.0 && v.abs() <= height / 2.0;
                let pixel = if inside {
                    let at = [left + width / 2.0 + u, top + height / 2.0 + v];
                    self.sample(&small, &clear, at)
                } else {
                    self.background
                };
                rgb.extend(self.light(pixel));
            }
        }
        Pixels::new(side, side, rgb).expect("a square of the side that was checked")
    }

    /// The four pixels around a place, weighted; cleared ones are background.
    fn sample(&self, picture: &Pixels, clear: &[bool], at: [f32; 2]) -> [f32; 3] {
        let (w, h) = (picture.width() as usize, picture.height() as usize);
        let [x, y] = [at[0] - 0.5, at[1] - 0.5];
        let (x0, y0) = (x.floor(), y.floor());
        let mut sum = [0f32; 3];
        for (sx, sy) in [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)] {
            let weight = (1.0 - (x - x0 - sx).abs()) * (1.0 - (y - y0 - sy).abs());
            let px = ((x0 + sx).max(0.0) as usize).min(w - 1);
            let py = ((y0 + sy).max(0.0) as usize).min(h - 1);
            let at = py * w + px;
            for (i, s) in sum.iter_mut().enumerate() {
                *s += weight
                    * if clear.get(at) == Some(&true) {
                        self.background[i]
                    } else {
                        f32::from(picture.rgb()[at * 3 + i])
                    };
            }
        }
        sum
    }

    fn light(&self, pixel: [f32; 3]) -> [u8; 3] {
        let grey = 0.299 * pixel[0] + 0.587 * pixel[1] + 0.114 * pixel[2];
        pixel.map(|v| {
            let v = grey + (v - grey) * self.saturation;
            let v = 128.0 + (v - 128.0) * self.contrast;
            (v * self.brightness).round().clamp(0.0, 255.0) as u8
        })
    }
}

/// Channels this near to the background's belong to it.
const TOLERANCE: u8 = 12;

/// The colour of the border, if six in ten of its pixels have it: drawings are cut
/// out tightly, so what is drawn touches the border too.
fn border_colour(picture: &Pixels) -> Option<[u8; 3]> {
    let (w, h) = (picture.width() as usize, picture.height() as usize);
    let pixel = |x: usize, y: usize| {
        let at = (y * w + x) * 3;
        [picture.rgb()[at], picture.rgb()[at + 1], picture.rgb()[at + 2]]
    };
    let border: Vec<[u8; 3]> = (0..w)
        .flat_map(|x| [pixel(x, 0), pixel(x, h - 1)])
        .chain((0..h).flat_map(|y| [pixel(0, y), pixel(w - 1, y)]))
        .collect();
    let median = [0, 1, 2].map(|i| {
        let mut values: Vec<u8> = border.iter().map(|p| p[i]).collect();
        values.sort_unstable();
        values[values.len() / 2]
    });
    let near = border.iter().filter(|p| is_near(**p, median)).count();
    (near * 10 >= border.len() * 6).then_some(median)
}

fn is_near(a: [u8; 3], b: [u8; 3]) -> bool {
    a.iter().zip(b).all(|(a, b)| a.abs_diff(b) <= TOLERANCE)
}

/// Which pixels are background: of the border's colour, and connected with it.
fn background_of(picture: &Pixels) -> Vec<bool> {
    let (w, h) = (picture.width() as usize, picture.height() as usize);
    let mut clear = vec![false; w * h];
    let Some(colour) = border_colour(picture) else { return clear };
    let fits = |at: usize| {
        let p = &picture.rgb()[at * 3..at * 3 + 3];
        is_near([p[0], p[1], p[2]], colour)
    };
    let border = (0..w)
        .flat_map(|x| [x, (h - 1) * w + x])
        .chain((0..h).flat_map(|y| [y * w, y * w + w - 1]));
    let mut open: Vec<usize> = Vec::new();
    for at in border {
        if !clear[at] && fits(at) {
            clear[at] = true;
            open.push(at);
        }
    }
    while let Some(at) = open.pop() {
        let (x, y) = (at % w, at / w);
        let neighbours = [
            (x > 0).then(|| at - 1),
            (x + 1 < w).then_some(at + 1),
            (y > 0).then(|| at - w),
            (y + 1 < h).then_some(at + w),
        ];
        for next in neighbours.into_iter().flatten() {
            if !clear[next] && fits(next) {
                clear[next] = true;
                open.push(next);
            }
        }
    }
    clear
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A red disc on white, left of the middle.
    fn disc(w: u32, h: u32) -> Pixels {
        let (cx, cy, r) = (w as f32 * 0.4, h as f32 * 0.5, w.min(h) as f32 * 0.3);
        let rgb = (0..h)
            .flat_map(|y| (0..w).map(move |x| (x as f32, y as f32)))
            .flat_map(|(x, y)| {
                let inside = (x - cx).powi(2) + (y - cy).powi(2) < r * r;
                if inside { [220u8, 20, 30] } else { [255, 255, 255] }
            })
            .collect();
        Pixels::new(w, h, rgb).expect("valid")
    }

    fn reddish(p: &[u8]) -> bool {
        i32::from(p[0]) - i32::from(p[1]).max(i32::from(p[2])) > 60
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn any_shape_gives_a_square_and_the_same_twice(
            w in 1u32..90, h in 1u32..90, side in 1u32..64, view in 1u32..9, seed in 0u64..99,
            mirror: bool,
        ) {
            let picture = disc(w, h);
            let content = ContentHash::of(&seed.to_le_bytes());
            let make = || Augment::default().view(&picture, side, &content, view, seed, mirror);
            let out = make();
            prop_assert_eq!((out.width(), out.height()), (side, side));
            prop_assert_eq!(&out, &make());
        }
    }

    #[test]
    fn views_differ_by_number_seed_and_content_and_keep_the_thing() {
        let picture = disc(80, 60);
        let (a, b) = (ContentHash::of(b"a"), ContentHash::of(b"b"));
        let view = |content, number, seed| {
            Augment::default().view(&picture, 64, content, number, seed, true)
        };
        let first = view(&a, 1, 0);
        for other in [view(&a, 2, 0), view(&a, 1, 1), view(&b, 1, 0)] {
            assert_ne!(first, other);
        }
        for number in 0..40 {
            let out = view(&a, number, 7);
            let red = out.rgb().chunks(3).filter(|p| reddish(p)).count();
            // The disc has a fifth of the picture; no view makes it vanish or fill all.
            assert!(red > 64 * 64 / 40, "view {number}: {red} red");
            let background_is_red =
                reddish(&out.rgb()[..3]) && reddish(&out.rgb()[64 * 64 * 3 - 3..]);
            assert!(background_is_red || red < 64 * 64 * 9 / 10, "view {number}: {red} red");
        }
    }

    #[test]
    fn nothing_changes_if_nothing_may() {
        let still = Augment { crop: 1.0, scale: 1.0, degrees: 0.0, colour: 0.0, mirror: 0.0 };
        let picture = disc(64, 64);
        let content = ContentHash::of(b"x");
        let views: Vec<Pixels> =
            (0..20).map(|v| still.view(&picture, 64, &content, v, 0, true)).collect();
        // All but the background is as it was.
        for view in &views {
            for (got, was) in view.rgb().chunks(3).zip(picture.rgb().chunks(3)) {
                assert!(!reddish(was) || got == was, "{got:?} for {was:?}");
            }
        }
        assert!(views.contains(&picture), "half keep their own background");
        assert!(views.iter().any(|v| *v != picture), "half get another");
    }

    #[test]
    fn mirroring_mirrors_and_only_where_it_may() {
        let always = Augment { crop: 1.0, scale: 1.0, degrees: 0.0, colour: 0.0, mirror: 1.0 };
        let picture = disc(64, 64);
        let content = ContentHash::of(b"x");
        let left = |p: &Pixels| {
            let x = p.rgb().chunks(3).enumerate().filter(|(_, px)| reddish(px));
            let (sum, count) = x.fold((0, 0), |(s, c), (i, _)| (s + i % 64, c + 1));
            sum / count < 32
        };
        assert!(left(&picture));
        assert!(!left(&always.view(&picture, 64, &content, 1, 0, true)));
        assert!(left(&always.view(&picture, 64, &content, 1, 0, false)));
    }

    #[test]
    fn words_say_what_may_be_mirrored() {
        for yes in ["a cat", "bright day", "children's book", "house with a garden"] {
            assert!(may_mirror([yes]), "{yes}");
        }
        for no in ["Left arrow", "keycap: 7", "B button (blood type)", "twelve o’clock", "text"] {
            assert!(!may_mirror(["cat", no]), "{no}");
        }
    }

    #[test]
    fn only_connected_background_is_cleared() {
        // A white hole inside a dark ring stays.
        let rgb: Vec<u8> = (0..81)
            .flat_map(|i| {
                let (x, y) = (i % 9, i / 9);
                let ring = (2..7).contains(&x) && (2..7).contains(&y) && (x, y) != (4, 4);
                [if ring { 0 } else { 255 }; 3]
            })
            .collect();
        let clear = background_of(&Pixels::new(9, 9, rgb).expect("valid"));
        assert!(clear[0] && clear[80] && !clear[4 * 9 + 4] && !clear[2 * 9 + 2]);
        assert_eq!(clear.iter().filter(|c| **c).count(), 81 - 25);
    }
}
