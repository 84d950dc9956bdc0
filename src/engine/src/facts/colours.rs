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

/// The word for one colour, by hue, saturation and brightness. In whole numbers, since it is
/// asked of each pixel: what would be a quotient is compared by its parts.
fn named(rgb: [u8; 3]) -> Colour {
    let [r, g, b] = rgb.map(i32::from);
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    // The second is twice the light.
    let (chroma, light) = (most - least, most + least);
    if most < 45 {
        return Colour::Black;
    }
    // What has little colour is told by its light; the lighter, the less it takes.
    if chroma < 28 || 100 * chroma < 16 * most {
        return match light {
            l if l < 120 => Colour::Black,
            l if l > 430 => Colour::White,
            _ => Colour::Grey,
        };
    }
    // Hue is 60 degrees for each `chroma` that one of the lesser channels is over the other,
    // before or behind the greatest, which is at 0 (red), 120 (green) or 240 (blue).
    if most == r {
        match g - b {
            x if 4 * x < -chroma && light > 260 => Colour::Pink,
            x if 4 * x < -chroma => Colour::Purple,
            // From 345 to 15 degrees.
            x if 4 * x < chroma && light > 370 => Colour::Pink,
            x if 4 * x < chroma && most < 110 => Colour::Brown,
            x if 4 * x < chroma => Colour::Red,
            // To 45.
            x if 4 * x < 3 * chroma && (most < 175 || chroma < 90) => Colour::Brown,
            x if 4 * x < 3 * chroma => Colour::Orange,
            _ => yellow(most),
        }
    } else if most == g {
        match b - r {
            // To 70 degrees.
            x if 6 * x < -5 * chroma => yellow(most),
            // To 165.
            x if 4 * x < 3 * chroma => Colour::Green,
            _ => Colour::Cyan,
        }
    } else {
        match r - g {
            // To 195 degrees.
            x if 4 * x < -3 * chroma => Colour::Cyan,
            // To 255.
            x if 4 * x < chroma => Colour::Blue,
            _ => Colour::Purple,
        }
    }
}

fn yellow(most: i32) -> Colour {
    if most < 120 { Colour::Brown } else { Colour::Yellow }
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
