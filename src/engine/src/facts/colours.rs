//! Given a small picture, which colours would a person say it has?

use ekphrasis_embed::Pixels;
use ekphrasis_index::Colour;

/// The share of the pixels that makes a colour worth a word.
const SHARE: f32 = 0.12;
/// Strong colours are seen even where they are few.
const STRONG_SHARE: f32 = 0.05;
/// Words for one picture.
const MOST: usize = 4;

/// The colours that most of the picture has, the most frequent first.
pub(super) fn of(small: &Pixels) -> Vec<Colour> {
    let mut counts = [0u32; Colour::ALL.len()];
    for px in small.rgb().chunks_exact(3) {
        counts[named([px[0], px[1], px[2]]) as usize] += 1;
    }
    let all = (small.rgb().len() / 3) as f32;
    let enough = |colour: Colour, count: u32| {
        let quiet = matches!(colour, Colour::Black | Colour::White | Colour::Grey | Colour::Brown);
        count as f32 >= all * if quiet { SHARE } else { STRONG_SHARE }
    };
    let mut found: Vec<(u32, Colour)> =
        counts.into_iter().zip(Colour::ALL).filter(|&(count, c)| enough(c, count)).collect();
    found.sort_by_key(|&(count, colour)| (std::cmp::Reverse(count), colour));
    found.into_iter().take(MOST).map(|(_, colour)| colour).collect()
}

/// The word for one colour, by hue, saturation and brightness.
fn named(rgb: [u8; 3]) -> Colour {
    let [r, g, b] = rgb.map(f32::from);
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    let chroma = most - least;
    let light = (most + least) / 2.0;
    if most < 45.0 {
        return Colour::Black;
    }
    // What has little colour is told by its light; the lighter, the less it takes.
    if chroma < 28.0 || chroma / most < 0.16 {
        return match light {
            l if l < 60.0 => Colour::Black,
            l if l > 215.0 => Colour::White,
            _ => Colour::Grey,
        };
    }
    let sixth = match most {
        m if m == r => ((g - b) / chroma).rem_euclid(6.0),
        m if m == g => (b - r) / chroma + 2.0,
        _ => (r - g) / chroma + 4.0,
    };
    match sixth * 60.0 {
        h if !(15.0..345.0).contains(&h) => match () {
            () if light > 185.0 => Colour::Pink,
            () if most < 110.0 => Colour::Brown,
            () => Colour::Red,
        },
        h if h < 45.0 => match () {
            () if most < 175.0 || chroma < 90.0 => Colour::Brown,
            () => Colour::Orange,
        },
        h if h < 70.0 => match () {
            () if most < 120.0 => Colour::Brown,
            () => Colour::Yellow,
        },
        h if h < 165.0 => Colour::Green,
        h if h < 195.0 => Colour::Cyan,
        h if h < 255.0 => Colour::Blue,
        h if h < 300.0 => Colour::Purple,
        _ => match () {
            () if light > 130.0 => Colour::Pink,
            () => Colour::Purple,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Colours whose names nobody disputes (of CSS).
    #[test]
    fn plain_colours_have_their_names() {
        for (rgb, name) in [
            ([0, 0, 0], "black"),
            ([255, 255, 255], "white"),
            ([128, 128, 128], "grey"),
            ([255, 0, 0], "red"),
            ([178, 34, 34], "red"),
            ([255, 165, 0], "orange"),
            ([255, 140, 0], "orange"),
            ([255, 255, 0], "yellow"),
            ([255, 215, 0], "yellow"),
            ([0, 128, 0], "green"),
            ([50, 205, 50], "green"),
            ([0, 255, 255], "cyan"),
            ([64, 224, 208], "cyan"),
            ([0, 0, 255], "blue"),
            ([65, 105, 225], "blue"),
            ([135, 206, 235], "blue"),
            ([0, 0, 128], "blue"),
            ([128, 0, 128], "purple"),
            ([138, 43, 226], "purple"),
            ([255, 192, 203], "pink"),
            ([255, 105, 180], "pink"),
            ([139, 69, 19], "brown"),
            ([160, 82, 45], "brown"),
        ] {
            assert_eq!(named(rgb).as_str(), name, "{rgb:?}");
        }
    }

    #[test]
    fn what_little_of_the_picture_has_is_not_said() {
        let mut rgb = [30, 30, 220].repeat(80);
        rgb.extend([250, 250, 250].repeat(15));
        rgb.extend([230, 20, 20].repeat(3));
        rgb.extend([5, 5, 5].repeat(2));
        let picture = Pixels::new(10, 10, rgb).expect("valid");
        assert_eq!(of(&picture), [Colour::Blue, Colour::White]);
    }
}
