//! Is everything there that is needed, and what exactly is in use?

use std::time::Instant;

use ekphrasis_embed::{ImageEncoder, Pixels, TextEncoder};
use ekphrasis_index::{Access, LocalStore};
use ekphrasis_models::{Library, Measured, Model, Precision, Provider, ProviderChoice, Runtime};

use crate::bridge;
use crate::generations::place;
use crate::{Computing, Config, OnnxTowers, Towers};

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub struct Check {
    /// What: `model`, `ONNX Runtime`, `store`…
    pub name: &'static str,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found, or what is wrong and what to do.
    pub detail: String,
}

fn check<T, E: std::fmt::Display>(
    checks: &mut Vec<Check>,
    name: &'static str,
    result: Result<T, E>,
    detail: impl FnOnce(&T) -> String,
) -> Option<T> {
    let (ok, detail) = match &result {
        Ok(value) => (true, detail(value)),
        Err(error) => (false, error.to_string()),
    };
    checks.push(Check { name, ok, detail });
    result.ok()
}

/// Looks at everything a search needs: the library, the model, the store. Loads
/// and runs both towers; fetches ONNX Runtime if it is not there yet.
pub fn diagnose(config: &Config, log: impl Fn(&str) + Send + Sync + 'static) -> Vec<Check> {
    let mut checks = vec![decoding()];
    let towers = check(&mut checks, "model", OnnxTowers::open(config, 1, log), |towers| {
        format!("{} in {}: {}", towers.name(), config.model.display(), towers.space())
    });
    if let Some(towers) = towers {
        let runtime = check(&mut checks, "ONNX Runtime", towers.runtime(), |runtime| {
            format!(
                "{}, {}, {}; it has {}",
                runtime.version(),
                runtime.origin(),
                runtime.path().display(),
                list(&runtime.offers())
            )
        });
        if let Some(runtime) = runtime {
            check_towers(&mut checks, &towers);
            checks.push(provider(config.provider, &towers));
            check_answers(&mut checks, config, &towers, &runtime);
        }
        check_bridges(&mut checks, config, &towers);
        check_store(&mut checks, config, &towers);
    }
    checks
}

/// Which way pictures are decoded.
fn decoding() -> Check {
    let detail = "JPEG by our own decoder, at 1/2, 1/4 or 1/8 where the model needs no more; \
                  the rest, and progressive or CMYK JPEG, whole";
    Check { name: "decoding", ok: true, detail: detail.into() }
}

fn list(providers: &[Provider]) -> String {
    providers.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Who computes. Not as it should be if somebody was named and does not.
fn provider(choice: ProviderChoice, towers: &OnnxTowers) -> Check {
    let Computing { image, text } = towers.computing();
    let name = |p: Option<Provider>| p.map_or_else(|| "nobody".into(), |p| p.to_string());
    let mut detail = match image == text {
        true => format!("{} computes", name(image)),
        false => format!("{} computes pictures, {} texts", name(image), name(text)),
    };
    detail.push_str(&format!(" ({choice} wanted)"));
    for line in towers.told_of_providers() {
        detail.push_str("; ");
        detail.push_str(&line);
    }
    let as_wanted = |p: Option<Provider>| match (choice, p) {
        (ProviderChoice::Only(wanted), Some(is)) => wanted == is,
        // What cannot be loaded at all has a line of its own.
        (ProviderChoice::Auto, _) | (_, None) => true,
    };
    Check { name: "provider", ok: as_wanted(image) && as_wanted(text), detail }
}

fn check_towers(checks: &mut Vec<Check>, towers: &OnnxTowers) {
    let start = Instant::now();
    let loaded = towers.text();
    let loading = start.elapsed();
    let start = Instant::now();
    let ran = loaded.and_then(|text| Ok(text.embed_texts(&["a photo of a cat"])?));
    check(checks, "text tower", ran, |_| {
        format!("loads in {loading:.0?}, encodes a phrase in {:.0?}", start.elapsed())
    });
    let start = Instant::now();
    let loaded = towers.image();
    let loading = start.elapsed();
    let start = Instant::now();
    let ran = loaded.and_then(|image| {
        let grey = Pixels::new(64, 64, vec![128; 64 * 64 * 3]).expect("64 × 64 RGB");
        let tensor = image.preprocess().tensor(&grey).map_err(|source| {
            crate::EngineError::Preprocess { what: "a grey square".into(), sent_as: None, source }
        })?;
        Ok(image.embed_images(&[tensor])?)
    });
    check(checks, "image tower", ran, |_| {
        format!("loads in {loading:.0?}, encodes a picture in {:.0?}", start.elapsed())
    });
}

/// The folder of the store that serves, if that can be found out.
fn check_pointer(checks: &mut Vec<Check>, config: &Config) -> Option<std::path::PathBuf> {
    match place::serving(&config.data) {
        Ok((_, dir)) => Some(dir),
        Err(error) => {
            checks.push(Check { name: "store", ok: false, detail: error.to_string() });
            None
        }
    }
}

/// Compares what the model in use says with its reference answers, and what other models of
/// its space say, too: whoever searches with one finds what another filed.
fn check_answers(checks: &mut Vec<Check>, config: &Config, towers: &OnnxTowers, runtime: &Runtime) {
    let model = towers.model();
    let golden = match model.golden() {
        Ok(Some(golden)) => golden,
        Ok(None) => {
            let detail = "none are recorded for this model; `ek model import` records them";
            checks.push(Check { name: "answers", ok: true, detail: detail.into() });
            return;
        }
        Err(e) => {
            checks.push(Check { name: "answers", ok: false, detail: e.to_string() });
            return;
        }
    };
    let judge = |model: &Model, image: &dyn ImageEncoder, text: &dyn TextEncoder, by: &str| {
        let precision = model.manifest().precision();
        let least = precision.unwrap_or_default().least_agreement();
        let form = precision.map_or("as shipped", Precision::name);
        let measured = Measured::of(&golden, image, text).map_err(|e| e.to_string())?;
        let agreement = measured.agreement;
        let told = format!(
            "{form} on the {by} provider: pictures {:.6}, texts {:.6} to the reference answers ({}), at least {least} expected; alone and in a batch {:.6}; a picture in {:.1?}, a text in {:.1?}",
            agreement.pictures,
            agreement.texts,
            golden.about(),
            measured.together.least(),
            measured.picture,
            measured.text
        );
        if measured.together.least() < least {
            return Err(format!(
                "{told}; what it says of an input depends on what is beside it here, so that it files by chance: use another precision, provider or ONNX Runtime"
            ));
        }
        if agreement.least() >= least {
            return Ok(told);
        }
        Err(format!(
            "{told}; it files and finds other things here than where it was imported: use another precision or ONNX Runtime"
        ))
    };
    let both = towers.image().and_then(|image| Ok((image, towers.text()?)));
    let Computing { image: by_image, text: by_text } = towers.computing();
    let mut by: Vec<Provider> = [by_image, by_text].into_iter().flatten().collect();
    by.dedup();
    let by = list(&by);
    let own = both.map_err(|e| e.to_string()).and_then(|(i, t)| judge(model, &*i, &*t, &by));
    check(checks, "answers", own, Clone::clone);
    let Ok(others) = Library::at(config.models.clone()).models() else { return };
    for (name, other) in others {
        let Ok(other) = other else { continue };
        if other.space() != model.space() || other.dir() == model.dir() {
            continue;
        }
        let loaded =
            other.image_encoder(runtime, 1).and_then(|i| Ok((i, other.text_encoder(runtime, 1)?)));
        let by = runtime.provider().to_string();
        let judged = loaded.map_err(|e| e.to_string());
        let judged = judged.and_then(|(i, t)| judge(&other, &*i, &*t, &by));
        check(checks, "variant", judged.map_err(|e| format!("{name}, {e}")), |told| {
            format!("{name}, of the same space, {told}")
        });
    }
}

/// Whether what stands behind each bridge is what it was made of.
fn check_bridges(checks: &mut Vec<Check>, config: &Config, towers: &OnnxTowers) {
    for (name, read) in bridge::bridges(&config.data) {
        let of_use = read.map_err(bridge::refused).map(|bridge| bridge.to == *towers.space());
        let judged = match of_use {
            Err(e) => Err(e),
            Ok(false) => Ok("leads into the space of another store, and is of no use now".into()),
            Ok(true) => towers.through(&name).map(|through| through.note),
        };
        let judged = judged.map_err(|e| format!("{name}: {e}"));
        check(checks, "bridge", judged, |told: &String| format!("{name}: {told}"));
    }
}

fn check_store(checks: &mut Vec<Check>, config: &Config, towers: &OnnxTowers) {
    let Some(dir) = check_pointer(checks, config) else { return };
    let there = LocalStore::space_of(&dir);
    if let Ok(None) = there {
        let detail = format!("none yet in {}; `ek index DIR` makes one", config.data.display());
        checks.push(Check { name: "store", ok: true, detail });
        return;
    }
    let verified =
        LocalStore::open(&dir, towers.space(), Access::Read).and_then(|store| store.verify());
    let sound = verified.as_ref().is_ok_and(ekphrasis_index::Report::is_sound);
    check(checks, "store", verified, |report| {
        let mut text = format!(
            "{}: {} vectors checked, {} damaged",
            dir.display(),
            report.checked,
            report.bad_vectors.len()
        );
        for problem in &report.problems {
            text.push_str("; ");
            text.push_str(problem);
        }
        text
    });
    if let Some(last) = checks.last_mut() {
        last.ok = sound;
    }
}
