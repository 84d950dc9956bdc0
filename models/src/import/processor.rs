//! Given the configuration of an image processor, what lies between a picture and the
//! graph? Every step that a processor may take is either known here or refused.

use std::path::Path;

use ekphrasis_embed::{ChannelOrder, Interpolation, Preprocess, Resize};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::refusal::{Refusal, json};

/// `preprocessor_config.json` of transformers.
#[derive(Deserialize)]
struct Processor {
    image_processor_type: Option<String>,
    feature_extractor_type: Option<String>,
    do_resize: Option<bool>,
    size: Option<Size>,
    resample: Option<i64>,
    do_center_crop: Option<bool>,
    crop_size: Option<Size>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    do_normalize: Option<bool>,
    image_mean: Option<[f64; 3]>,
    image_std: Option<[f64; 3]>,
    do_flip_channel_order: Option<bool>,
    default_to_square: Option<bool>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Size {
    One(u32),
    Named {
        shortest_edge: Option<u32>,
        longest_edge: Option<u32>,
        height: Option<u32>,
        width: Option<u32>,
    },
}

/// Settings that are read here.
const READ: [&str; 14] = [
    "image_processor_type",
    "feature_extractor_type",
    "do_resize",
    "size",
    "resample",
    "default_to_square",
    "do_center_crop",
    "crop_size",
    "do_rescale",
    "rescale_factor",
    "do_normalize",
    "image_mean",
    "image_std",
    "do_flip_channel_order",
];

/// Settings that change nothing about what is decoded here: all is RGB, and what is not
/// padded needs no size to be padded to.
const HARMLESS: [&str; 22] = [
    "_commit_hash",
    "_name_or_path",
    "_processor_class",
    "_valid_processor_keys",
    "auto_map",
    "device",
    "disable_grouping",
    "do_convert_rgb",
    "do_reduce_labels",
    "dtype",
    "image_seq_length",
    "input_data_format",
    "model_input_names",
    "name_or_path",
    "num_channels",
    "pad_size",
    "processor_class",
    "reduce_labels",
    "return_tensors",
    "torch_dtype",
    "transformers_version",
    "use_fast",
];

/// The image processors whose steps are those that are done here, in that order.
const FAMILIES: [&str; 9] =
    ["Beit", "Bit", "Blip", "CLIP", "ChineseCLIP", "DeiT", "MobileViT", "Siglip", "ViT"];

/// Those of them to which one number as size is the shorter side, as `default_to_square = False`
/// has it in their code; to the others it is both sides.
const SHORTER_SIDE: [&str; 4] = ["Bit", "CLIP", "ChineseCLIP", "MobileViT"];

/// What of the settings could make other pixels and is not known here, as `key = value`.
fn unknown(map: &Map<String, Value>) -> Option<String> {
    let off = |value: &Value| matches!(value, Value::Null | Value::Bool(false));
    let as_fed = |key: &str, value: &Value| key == "data_format" && *value == "channels_first";
    let known = |key: &str| READ.contains(&key) || HARMLESS.contains(&key);
    let found = map.iter().find(|(key, value)| !(known(key) || off(value) || as_fed(key, value)));
    let kind = ["image_processor_type", "feature_extractor_type"].iter().find_map(|key| {
        let kind = map.get(*key)?.as_str()?;
        (!is_known_kind(kind)).then(|| format!("{key} = {kind:?}"))
    });
    kind.or_else(|| {
        let (key, value) = found?;
        let mut value = value.to_string();
        if value.chars().count() > 60 {
            value = value.chars().take(60).chain("…".chars()).collect();
        }
        Some(format!("{key} = {value}"))
    })
}

fn is_known_kind(kind: &str) -> bool {
    let kind = kind.strip_suffix("Fast").unwrap_or(kind);
    let family =
        kind.strip_suffix("ImageProcessor").or_else(|| kind.strip_suffix("FeatureExtractor"));
    family.is_some_and(|family| FAMILIES.contains(&family))
}

/// Reads `preprocessor_config.json`, or the image processor in a `processor_config.json`.
pub(super) fn transformers(path: &Path) -> Result<Preprocess, Refusal> {
    let mut map: Map<String, Value> = json(path, "how pictures are prepared")?;
    if let Some(Value::Object(inner)) = map.remove("image_processor") {
        map = inner;
    }
    if let Some(got) = unknown(&map) {
        let expected = format!(
            "what is known here (resize, centre crop, rescale, normalise, channel order, as the \
             image processors of {} do them)",
            FAMILIES.join(", ")
        );
        let next = "pictures would be prepared in another way than in training; write a model.toml if it changes nothing";
        return Err(Refusal::new(path, expected, got, next));
    }
    let processor = Processor::deserialize(Value::Object(map)).map_err(|e| {
        let next = "fetch the file that belongs to the graphs";
        Refusal::new(path, "an image processor's settings", e.to_string(), next)
    })?;
    processor.check(path)
}

impl Processor {
    fn check(self, path: &Path) -> Result<Preprocess, Refusal> {
        let wrong = |expected: &str, got: String| {
            let next =
                "such a preparation is not known here; write a model.toml that says what is right";
            Refusal::new(path, expected, got, next)
        };
        if self.do_resize == Some(false) {
            return Err(wrong("do_resize = true", "false".into()));
        }
        let size = self.size.ok_or_else(|| wrong("a size", "none".into()))?;
        let crop = self.do_center_crop.unwrap_or(self.crop_size.is_some());
        let crop = match (crop, self.crop_size) {
            (false, _) => None,
            (true, None) => return Err(wrong("a crop_size with do_center_crop", "none".into())),
            (true, Some(Size::One(side))) => Some(side),
            (true, Some(other)) => Some(other.square(path, "crop_size")?),
        };
        let size = match (size, self.both_sides(), crop) {
            (Size::One(side), Some(true), _) => Size::square_of(side),
            // Nothing is cut off, and the graph takes squares.
            (Size::One(side), None, None) => Size::square_of(side),
            (Size::One(_), None, Some(_)) => {
                let expected = "an image_processor_type or default_to_square, since one number as \
                                size is the shorter side for some processors, and both for others";
                return Err(wrong(expected, size.words()));
            }
            (size, ..) => size,
        };
        let (side, resize) = match (size, crop) {
            (Size::One(edge), crop)
            | (
                Size::Named {
                    shortest_edge: Some(edge),
                    longest_edge: None,
                    height: None,
                    width: None,
                },
                crop @ Some(_),
            ) => (crop.unwrap_or(edge), Resize::ShortestEdge(edge)),
            (Size::Named { shortest_edge: None, longest_edge: None, .. }, crop) => {
                let side = size.square(path, "size")?;
                if crop.is_some_and(|crop| crop != side) {
                    let got = format!("{side}, then a crop to {}", crop.unwrap_or_default());
                    return Err(wrong("an exact size that is the crop's, too", got));
                }
                (side, Resize::Exact)
            }
            (other, _) => {
                let expected = "a size of height and width, or a shortest_edge with a centre crop";
                return Err(wrong(expected, other.words()));
            }
        };
        let interpolation = self.interpolation(path)?;
        // Both steps are one multiplication and one addition a channel.
        let factor = match self.do_rescale {
            Some(false) => 1.0,
            _ => self.rescale_factor.unwrap_or(1.0 / 255.0),
        };
        let (mean, std) = match self.do_normalize {
            Some(false) => ([0.0; 3], [1.0; 3]),
            _ => match (self.image_mean, self.image_std) {
                (Some(mean), Some(std)) => (mean, std),
                _ => return Err(wrong("image_mean and image_std of three numbers", "none".into())),
            },
        };
        if !(factor.is_finite() && factor > 0.0) {
            return Err(wrong("a rescale_factor over 0", factor.to_string()));
        }
        let scaled = |values: [f64; 3]| values.map(|v| (v / (255.0 * factor)) as f32);
        let order = match self.do_flip_channel_order {
            Some(true) => ChannelOrder::Bgr,
            _ => ChannelOrder::Rgb,
        };
        let made = Preprocess::new(side, resize, interpolation, scaled(mean), scaled(std));
        made.map(|p| p.in_order(order))
            .map_err(|e| wrong("a preparation that can be done", e.to_string()))
    }

    /// Whether one number as size is that of both sides, and not of the shorter one; `None` if that
    /// hangs on the processor, and the file does not say which one it is.
    fn both_sides(&self) -> Option<bool> {
        let kind = self.image_processor_type.as_deref().or(self.feature_extractor_type.as_deref());
        let shorter = |kind: &str| SHORTER_SIDE.iter().any(|family| kind.starts_with(family));
        self.default_to_square.or_else(|| kind.map(|kind| !shorter(kind)))
    }

    fn interpolation(&self, path: &Path) -> Result<Interpolation, Refusal> {
        let kind = self.image_processor_type.as_deref().or(self.feature_extractor_type.as_deref());
        let code = self.resample.or_else(|| {
            // What these processors take if the file does not say.
            let kind = kind?;
            (kind.contains("CLIP") || kind.starts_with("Siglip")).then_some(3)
        });
        // The numbers of Pillow's filters.
        match code {
            Some(0) => Ok(Interpolation::Nearest),
            Some(1) => Ok(Interpolation::Lanczos3),
            Some(2) => Ok(Interpolation::Bilinear),
            Some(3) => Ok(Interpolation::Bicubic),
            Some(4) => Ok(Interpolation::Box),
            Some(5) => Ok(Interpolation::Hamming),
            other => {
                let got = other.map_or_else(|| "none".into(), |code| code.to_string());
                let expected = "resample as one of Pillow's filters, 0 to 5";
                let next = "add it to the file as the model's processor has it";
                Err(Refusal::new(path, expected, got, next))
            }
        }
    }
}

impl Size {
    /// This on both sides.
    fn square_of(side: u32) -> Self {
        let side = Some(side);
        Self::Named { shortest_edge: None, longest_edge: None, height: side, width: side }
    }

    fn square(self, path: &Path, key: &str) -> Result<u32, Refusal> {
        match self {
            Self::One(side) => Ok(side),
            Self::Named { height: Some(h), width: Some(w), .. } if h == w => Ok(h),
            other => {
                let next = "only square inputs are supported so far";
                Err(Refusal::new(path, format!("a square {key}"), other.words(), next))
            }
        }
    }

    fn words(self) -> String {
        match self {
            Self::One(side) => side.to_string(),
            Self::Named { shortest_edge, longest_edge, height, width } => {
                let named = [
                    ("shortest_edge", shortest_edge),
                    ("longest_edge", longest_edge),
                    ("height", height),
                    ("width", width),
                ];
                let there = named.iter().filter_map(|(key, v)| Some(format!("{key} {}", (*v)?)));
                let there: Vec<_> = there.collect();
                if there.is_empty() { "nothing of it".into() } else { there.join(", ") }
            }
        }
    }
}

/// `preprocess_cfg.json`, as open_clip has it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenClip {
    size: OpenSize,
    mode: Option<String>,
    mean: [f32; 3],
    std: [f32; 3],
    interpolation: String,
    resize_mode: Option<String>,
    fill_color: Option<u8>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OpenSize {
    One(u32),
    Two([u32; 2]),
}

/// Reads a `preprocess_cfg.json`.
pub(super) fn open_clip(path: &Path) -> Result<Preprocess, Refusal> {
    let cfg: OpenClip = json(path, "how pictures are prepared")?;
    let wrong = |expected: &str, got: String| {
        let next =
            "such a preparation is not known here; write a model.toml that says what is right";
        Refusal::new(path, expected, got, next)
    };
    let side = match cfg.size {
        OpenSize::One(side) => side,
        OpenSize::Two([a, b]) if a == b => a,
        OpenSize::Two([a, b]) => return Err(wrong("a square size", format!("{a} × {b}"))),
    };
    if let Some(mode) = cfg.mode.filter(|mode| mode != "RGB") {
        return Err(wrong("pictures of mode RGB", mode));
    }
    let resize = match cfg.resize_mode.as_deref() {
        None | Some("shortest") => Resize::ShortestEdge(side),
        Some("longest") => Resize::Pad { fill: [cfg.fill_color.unwrap_or(0); 3] },
        Some("squash") => Resize::Exact,
        Some(other) => {
            return Err(wrong("a resize_mode of shortest, longest or squash", other.into()));
        }
    };
    let interpolation = match cfg.interpolation.as_str() {
        "bicubic" => Interpolation::Bicubic,
        "bilinear" => Interpolation::Bilinear,
        "lanczos" => Interpolation::Lanczos3,
        "nearest" => Interpolation::Nearest,
        other => {
            return Err(wrong(
                "an interpolation of bicubic, bilinear, lanczos or nearest",
                other.into(),
            ));
        }
    };
    Preprocess::new(side, resize, interpolation, cfg.mean, cfg.std)
        .map_err(|e| wrong("a preparation that can be done", e.to_string()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// How sides are brought to the input's, given what differs from a usual file.
    fn resized(more: Value) -> Result<(u32, Resize), String> {
        let mut settings = json!({
            "do_resize": true, "resample": 3, "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
        });
        let object = settings.as_object_mut().expect("settings");
        object.extend(more.as_object().expect("settings").clone());
        let processor = Processor::deserialize(settings).expect("settings");
        let made = processor.check(Path::new("preprocessor_config.json"));
        made.map(|made| (made.size(), made.resize())).map_err(|e| e.to_string())
    }

    /// As `get_size_dict` of transformers has it, by the `default_to_square` of each processor.
    #[test]
    fn one_number_is_both_sides_or_the_shorter_one_as_the_processor_has_it() {
        let cropped = |kind: &str, size: u32| {
            resized(json!({
                "image_processor_type": kind, "size": size, "do_center_crop": true, "crop_size": 224,
            }))
        };
        for family in ["Bit", "CLIP", "ChineseCLIP", "MobileViT"] {
            for end in ["ImageProcessor", "FeatureExtractor", "ImageProcessorFast"] {
                let made = cropped(&format!("{family}{end}"), 256);
                assert_eq!(made, Ok((224, Resize::ShortestEdge(256))), "{family}{end}");
            }
        }
        for family in ["Beit", "Blip", "DeiT", "Siglip", "ViT"] {
            for end in ["ImageProcessor", "FeatureExtractor", "ImageProcessorFast"] {
                let kind = format!("{family}{end}");
                // That there is no such step here is told, not another one taken.
                let refused = cropped(&kind, 256).expect_err(&kind);
                assert!(refused.contains("256, then a crop to 224"), "{kind}: {refused}");
                assert_eq!(cropped(&kind, 224), Ok((224, Resize::Exact)), "{kind}");
                let plain = resized(json!({"image_processor_type": kind, "size": 224}));
                assert_eq!(plain, Ok((224, Resize::Exact)), "{kind}");
            }
        }
        // What the file says itself comes first.
        for (square, expected) in [(true, None), (false, Some((224, Resize::ShortestEdge(256))))] {
            for kind in ["CLIPImageProcessor", "DeiTImageProcessor"] {
                let made = resized(json!({
                    "image_processor_type": kind, "default_to_square": square, "size": 256,
                    "crop_size": 224,
                }));
                assert_eq!(made.ok(), expected, "{kind} {square}");
            }
        }
        assert_eq!(resized(json!({"size": 224})), Ok((224, Resize::Exact)));
        let told = resized(json!({"size": 256, "crop_size": 224})).expect_err("nobody knows");
        assert!(told.contains("default_to_square") && told.contains("256"), "{told}");
    }
}
