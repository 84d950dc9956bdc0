//! Are pictures decoded and prepared as Pillow and torchvision do it?

use ekphrasis_embed::Pixels;
use ekphrasis_models::decode;

use crate::support::{PICTURES, golden_pixels, picture, spec};

/// Mean absolute difference and 99th percentile, in grey levels.
fn difference(a: &Pixels, b: &Pixels) -> (f64, u8) {
    assert_eq!((a.width(), a.height()), (b.width(), b.height()));
    let mut diffs: Vec<u8> = a.rgb().iter().zip(b.rgb()).map(|(x, y)| x.abs_diff(*y)).collect();
    diffs.sort_unstable();
    let mean = diffs.iter().map(|&d| f64::from(d)).sum::<f64>() / diffs.len() as f64;
    (mean, diffs[diffs.len() * 99 / 100])
}

#[test]
fn pixels_agree_with_the_golden_ones() {
    let mut wrong = String::new();
    for name in PICTURES {
        let decoded = decode(&picture(name)).expect(name);
        for spec_name in ["clip_224", "siglip_224", "efficientnet_lite0_224"] {
            let got = spec(spec_name).pixels(&decoded.pixels).expect(name);
            let (mean, p99) = difference(&got, &golden_pixels(name, spec_name));
            println!("{name} {spec_name}: mean {mean:.3}, 99th percentile {p99}");
            if mean > 1.0 || p99 > 3 {
                wrong += &format!("{name} {spec_name}: mean {mean:.3}, 99th percentile {p99}\n");
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
