//! Given an export whose weights are there in several precisions, which of them is to be
//! taken on this machine? Each is run beside the 32-bit form, and the fastest is taken that
//! says the same.

use std::path::Path;

use super::{GiveRuntime, ImportError, Library, Reference, at_source, same_inputs, staged};
use crate::golden::Golden;
use crate::import::{ImportOptions, Precision, Refusal, derive, has};
use crate::measured::Measured;
use crate::model::{MANIFEST_FILE, Model};
use crate::provider::ProviderChoice;
use crate::runtime::Runtime;
use crate::trial::Trial;

/// As fast as the fastest is whoever takes no more than this times as long: the clock does
/// not tell better, and of those the most precise one is to be taken.
const AS_FAST: f64 = 1.1;

/// One precision of a model.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Which.
    pub precision: Precision,
    /// The bytes of its graphs and weights.
    pub bytes: u64,
    /// What it does on this machine, or why it cannot be used.
    pub measured: Result<Measured, String>,
}

impl Variant {
    /// Whether it says what the 32-bit form says, as far as its precision allows.
    pub fn agrees(&self) -> bool {
        let least = self.precision.least_agreement();
        self.measured.as_ref().is_ok_and(|measured| measured.agreement.least() >= least)
    }

    /// The fastest variant that agrees, for a picture and a text together; of those that are
    /// as fast within a tenth the most precise one. `None` if none agrees.
    pub fn fastest(variants: &[Self]) -> Option<Precision> {
        let agreeing = || variants.iter().filter(|variant| variant.agrees());
        let time = |variant: &Self| variant.measured.as_ref().map(Measured::both).ok();
        let best = agreeing().filter_map(time).min()?;
        let fast = |variant: &&Self| time(variant).is_some_and(|t| t <= best.mul_f64(AS_FAST));
        let place = |variant: &&Self| Precision::ALL.iter().position(|p| *p == variant.precision);
        agreeing().filter(fast).min_by_key(place).map(|variant| variant.precision)
    }
}

impl Library {
    /// Runs every precision that the public export in `from` has, computed by what is wanted,
    /// and compares each with its 32-bit form: the one in the folder, or the imported model
    /// that the options name. Nothing comes in.
    ///
    /// # Errors
    /// As [`Library::import`] for the 32-bit form; `Refused` if there is none to compare with,
    /// or the folder is one of this program, which has one precision.
    pub fn measure(
        &self,
        from: &Path,
        options: &ImportOptions,
        choice: ProviderChoice,
        runtime: GiveRuntime<'_>,
    ) -> Result<Vec<Variant>, ImportError> {
        if from.join(MANIFEST_FILE).is_file() {
            let got = "a model.toml, which is of one";
            let next = "import it without --precision";
            let expected = "a public export in several precisions";
            return Err(Refusal::new(&from.join(MANIFEST_FILE), expected, got, next).into());
        }
        let there: Vec<Precision> = Precision::ALL.into_iter().filter(|p| has(from, *p)).collect();
        let of_name = options.variant_of.is_some();
        if !of_name && !there.is_empty() && !there.contains(&Precision::Fp32) {
            let names: Vec<_> = there.iter().map(|p| p.name()).collect();
            let expected = "the 32-bit form, to compare the others with";
            let next = "fetch it, too; or import it elsewhere first and name it by --variant-of; or choose by --precision";
            return Err(Refusal::new(from, expected, names.join(", "), next).into());
        }
        // Says what is wrong with a folder that is no export at all.
        let first = if of_name && !there.is_empty() { there[0] } else { Precision::Fp32 };
        let draft = derive(from, options, first)?;
        let reference = self.reference(from, options, first)?;
        let runtime = runtime()?;
        self.change(|partial| {
            let (whole, golden) = match reference {
                Reference::Imported(model, golden) => (model, golden),
                Reference::Own | Reference::Whole(_) => {
                    let model = staged(&draft, &partial.join("reference"), None)?;
                    let trial = Trial::of(&model, &runtime).map_err(|e| at_source(e, &draft))?;
                    (model, trial.golden)
                }
            };
            let variants = there.iter().map(|&precision| {
                let folder = partial.join(precision.name());
                let (mut bytes, mut found) = (0, Err(String::new()));
                match variant(from, options, precision, &folder, &whole) {
                    Ok(model) => {
                        bytes = weights(&model);
                        found = run(&model, &golden, choice, &runtime);
                    }
                    Err(e) => found = found.map_err(|_: String| e.to_string()),
                }
                // One after the other lies on the disk, since such folders are large.
                if folder.exists() {
                    fs_err::remove_dir_all(&folder)?;
                }
                Ok(Variant { precision, bytes, measured: found })
            });
            variants.collect()
        })
    }
}

/// One precision, where it can be run.
fn variant(
    from: &Path,
    options: &ImportOptions,
    precision: Precision,
    folder: &Path,
    whole: &Model,
) -> Result<Model, ImportError> {
    let draft = derive(from, options, precision)?;
    let model = staged(&draft, folder, Some(whole.space().id()))?;
    same_inputs(whole, &model, from)?;
    Ok(model)
}

fn run(
    model: &Model,
    golden: &Golden,
    choice: ProviderChoice,
    runtime: &Runtime,
) -> Result<Measured, String> {
    // Whether it is a model that can be trusted at all, by the processor.
    let trial = Trial::of(model, runtime).map_err(|e| e.to_string())?;
    drop(trial);
    let image = model.image_encoder_by(runtime, choice, 1).map_err(|e| e.to_string())?;
    let text = model.text_encoder_by(runtime, choice, 1).map_err(|e| e.to_string())?;
    Measured::of(golden, &*image.encoder, &*text.encoder).map_err(|e| e.to_string())
}

fn weights(model: &Model) -> u64 {
    let manifest = model.manifest();
    let tower = |file: &String, external: &[String]| {
        let files = std::iter::once(file).chain(external);
        files.map(|file| manifest.files()[file].bytes).sum::<u64>()
    };
    let (image, text) = (manifest.image(), manifest.text());
    tower(&image.file, &image.external) + tower(&text.file, &text.external)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::golden::Agreement;

    fn variant(precision: Precision, cosine: f32, millis: u64) -> Variant {
        let agreement = Agreement { pictures: 1.0, texts: cosine };
        let (picture, text) = (Duration::from_millis(millis), Duration::from_millis(1));
        let measured = Ok(Measured { agreement, together: agreement, picture, text });
        Variant { precision, bytes: 1, measured }
    }

    #[test]
    fn the_fastest_that_agrees_is_taken_and_precision_decides_what_is_even() {
        use Precision::{Fp16, Fp32, Int8, Q4, Uint8};
        let broken = Variant { precision: Q4, bytes: 1, measured: Err("truncated".into()) };
        let slow_half = variant(Fp16, 0.99999, 300);
        let all = [variant(Fp32, 1.0, 100), slow_half, variant(Int8, 0.995, 40), broken];
        assert_eq!(Variant::fastest(&all), Some(Int8));
        // Another that is a little faster is as fast, and comes later.
        let even = [all[0].clone(), all[2].clone(), variant(Uint8, 0.995, 38)];
        assert_eq!(Variant::fastest(&even), Some(Int8));
        // A half that agrees as 8 bits may, but not as halves must.
        let off = [all[0].clone(), variant(Fp16, 0.995, 10), variant(Int8, 0.98, 10)];
        assert_eq!(Variant::fastest(&off), Some(Fp32));
        assert_eq!(Variant::fastest(&off[1..]), None);
        assert_eq!(Variant::fastest(&[]), None);
    }
}
