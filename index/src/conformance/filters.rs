//! Random facts of items, and random filters about them that let some through.

use super::{Random, WORDS};
use crate::{Colour, Exposure, Expr, Facts, Place, Taken};

const CAMERAS: [(&str, &str); 4] =
    [("Google", "Pixel 7"), ("Canon", "Canon EOS 5D"), ("", "Pixel 70"), ("Añejo", "Ünit [x]")];
const LENSES: [&str; 3] = ["EF 50mm f/1.8", "50 mm", "Zoom*?"];

/// Some second from 2017 to 2021.
pub(super) fn second(random: &mut Random) -> i64 {
    1_483_228_800 + random.below(5 * 365 * 86_400) as i64
}

/// A date from 2017 to 2021, known more or less well.
fn date(random: &mut Random, known: usize) -> String {
    let mut number = |from: usize, to: usize| from + random.below(to - from + 1);
    let parts = [
        format!("{:04}", number(2017, 2021)),
        format!("-{:02}", number(1, 12)),
        format!("-{:02}", number(1, 28)),
        format!("T{:02}", number(0, 23)),
        format!(":{:02}", number(0, 59)),
        format!(":{:02}", number(0, 59)),
    ];
    parts[..known].concat()
}

/// Near Berlin, or anywhere.
fn place(random: &mut Random) -> Place {
    let mut number = |from: f64, to: f64| from + random.below(10_001) as f64 * (to - from) / 1e4;
    let near = (number(52.0, 53.0), number(13.0, 14.0));
    let far = (number(-90.0, 90.0), number(-180.0, 180.0));
    let (latitude, longitude) = if number(0.0, 1.0) < 0.7 { near } else { far };
    Place::new(latitude, longitude).expect("on the Earth")
}

/// What a file may tell.
pub(super) fn facts(random: &mut Random) -> Option<Facts> {
    let mut some = |of: usize| random.below(of) > 0;
    let [told, taken, camera, lens, placed] = [some(6), some(5), some(4), some(2), some(3)];
    let (make, model) = CAMERAS[random.below(CAMERAS.len())];
    let known = [1, 2, 3, 5, 6, 6, 6, 6][random.below(8)];
    let offset_minutes = [None, Some(60), Some(-210)][random.below(3)];
    let date = date(random, known).parse().expect("a date");
    let lens_name = LENSES[random.below(LENSES.len())];
    let place = place(random);
    let exposure = Exposure {
        iso: camera.then_some(100 << random.below(5)),
        aperture_hundredths: lens.then_some(140 + 70 * random.below(5) as u32),
        time_us: taken.then_some(1_000_000 / (1 + random.below(300) as u64)),
        focal_hundredths: lens.then_some(2_400 + 650 * random.below(6) as u32),
    };
    let mut words = |most: usize| -> Vec<String> {
        (0..random.below(most)).map(|_| WORDS[random.below(WORDS.len())].into()).collect()
    };
    let (texts, keywords) = (words(2), words(3));
    let mut colours: Vec<Colour> =
        (0..random.below(3)).map(|_| Colour::ALL[random.below(5)]).collect();
    colours.dedup();
    told.then(|| Facts {
        taken: taken.then_some(Taken { date, offset_minutes }),
        make: (camera && !make.is_empty()).then(|| make.into()),
        model: camera.then(|| model.into()),
        lens: lens.then(|| lens_name.into()),
        place: placed.then_some(place),
        exposure,
        texts,
        keywords,
        colours,
        look: None,
        beside: None,
        version: Facts::VERSION,
    })
}

/// A filter about what [`record`](super::record) makes: one to eight conditions.
pub fn expression(random: &mut Random) -> Expr {
    let mut expr = condition(random);
    for _ in 0..random.below(4) {
        let mut other = condition(random);
        if random.below(3) == 0 {
            other = other.or(condition(random));
        }
        expr = if random.below(2) == 0 { expr.and(other) } else { expr.or(other) };
        if random.below(4) == 0 {
            expr = !expr;
        }
    }
    expr
}

fn condition(random: &mut Random) -> Expr {
    let text = condition_text(random);
    let expr: Expr = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
    if random.below(4) == 0 { !expr } else { expr }
}

/// `value`, `>value`, `value..` and so on.
fn span(random: &mut Random, value: impl Fn(&mut Random) -> String) -> String {
    let one = value(random);
    match random.below(8) {
        0 => one,
        1 => format!(">{one}"),
        2 => format!(">={one}"),
        3 => format!("<{one}"),
        4 => format!("<={one}"),
        5 => format!("{one}.."),
        6 => format!("..{one}"),
        _ => format!("{one}..{one}"),
    }
}

fn condition_text(random: &mut Random) -> String {
    let word = WORDS[random.below(WORDS.len())];
    let one = |random: &mut Random, of: &[&str]| of[random.below(of.len())].to_owned();
    match random.below(21) {
        0 => one(random, &["kind:image", "kind:text"]),
        1 => {
            let patterns = [
                format!("/pictures/{word}"),
                format!("{word}/**"),
                format!("pictures/*/img{}*.jpg", random.below(10)),
                "/pictures".into(),
                "/".into(),
                "*.png".into(),
                format!("/**/img{}?.jpg", random.below(6)),
                format!("/pictures/{}*", &word[..1]),
                format!("/pictures/{word}/img{}.jpg", 2 * random.below(30)),
                format!("img{}.JPG", 2 * random.below(30)),
            ];
            format!("path:{}", patterns[random.below(patterns.len())])
        }
        2 => format!("folder:{}", one(random, &[word, "PICTURES", "*o*", "s??"])),
        3 => format!("name:{}", one(random, &["1", "IMG2", "img?.jpg", "*4.jpg", "[x]", "img1*"])),
        4 => format!("format:{}", one(random, &["jpg", "png", "*", "gif"])),
        5 => format!("size:{}", span(random, |r| format!("{}kb", r.below(60)))),
        6 => format!("width:{}", span(random, |r| (3 * r.below(6)).to_string())),
        7 => format!("height:{}", span(random, |r| (4 * r.below(6)).to_string())),
        8 => {
            let size = |r: &mut Random| format!("{}x{}", 3 * r.below(5), 4 * r.below(5));
            format!("dimensions:{}", span(random, size))
        }
        9 | 10 => {
            let field = one(random, &["taken", "modified"]);
            let (a, b) = (random.below(3) + 1, random.below(6) + 1);
            let [from, to] = [date(random, a), date(random, b)];
            if from[..4] < to[..4] && random.below(2) == 0 {
                return format!("{field}:{from}..{to}");
            }
            format!("{field}:{}", span(random, |_| from.clone()))
        }
        11 => {
            let cameras =
                ["\"Pixel 7\"", "canon", "*eos*", "anejo", "\"unit [x]\"", "google", "ixel"];
            format!("camera:{}", one(random, &cameras))
        }
        12 => format!("lens:{}", one(random, &["50mm", "\"50 mm\"", "zoom*", "EF", "*", "f/1.8"])),
        13 => format!("tag:{}", one(random, &[word, "cafe", "*o*", "SNOW", "nothing"])),
        14 => format!("label:{}", one(random, &[word, "*", "MOUNTAIN?", "run*"])),
        16 => format!("iso:{}", span(random, |r| (100 << r.below(5)).to_string())),
        17 => format!("aperture:{}", span(random, |r| ["1.4", "2.1", "f/2.8"][r.below(3)].into())),
        18 => format!("exposure:{}", span(random, |r| format!("1/{}", 1 + r.below(200)))),
        19 => format!("focal:{}", span(random, |r| ["24mm", "30.5", "43"][r.below(3)].into())),
        15 => format!("color:{}", one(random, &["black", "White", "gray", "red", "pink"])),
        _ => {
            let radius = one(random, &["500m", "10km", "40km", "100mi", "9000km", "30000km"]);
            format!("near:{},{radius}", place(random))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance::record;

    /// Filters that let everyone or nobody through would show little.
    #[test]
    fn filters_divide() {
        let mut random = Random(12);
        let items: Vec<_> = (0..200).map(|name| record(&mut random, name).item).collect();
        let divides = |random: &mut Random| {
            let expr = expression(random);
            let passing = items.iter().filter(|item| expr.accepts(item)).count();
            (1..items.len()).contains(&passing)
        };
        let dividing = (0..500).filter(|_| divides(&mut random)).count();
        println!("{dividing} of 500");
        assert!(dividing > 350, "{dividing} of 500");
    }
}
