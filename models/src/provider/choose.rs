//! Given what is wanted and what the library has, who computes a tower? Whoever is tried
//! has to answer the reference inputs as they were answered before; whoever does not is left
//! out with a sentence, and the processor computes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::{Provider, ProviderChoice};

/// The longest reason that is told, in letters: libraries write pages.
const LONGEST: usize = 400;
/// What ONNX Runtime begins its own words with; where in its source it is comes before.
const MARK: &str = "[ONNXRuntimeError] : ";

/// A tower by a provider that was tried.
pub(super) struct Tried<E> {
    pub(super) encoder: E,
    /// The least cosine to the reference answers.
    pub(super) cosine: f32,
    /// How long the reference inputs took, once everything was loaded.
    pub(super) took: Duration,
}

/// A tower, by whom it is computed, and why by nobody else: a sentence each.
pub(super) struct Chosen<E> {
    pub(super) encoder: E,
    pub(super) provider: Provider,
    pub(super) told: Vec<String>,
}

/// What a choice is made among.
pub(super) struct Case<'a> {
    pub(super) choice: ProviderChoice,
    /// What the library was built with.
    pub(super) offered: &'a [Provider],
    /// Names the library in a sentence.
    pub(super) library: &'a str,
    /// Names the tower in a sentence.
    pub(super) tower: &'a str,
    /// The least cosine to the reference answers.
    pub(super) least: f32,
}

impl Case<'_> {
    /// Tries whom it takes to know. `plain` makes the tower by the processor, untried.
    ///
    /// # Errors
    /// Those of `plain` only.
    pub(super) fn choose<E, P>(
        &self,
        try_by: &dyn Fn(Provider) -> Result<Tried<E>, String>,
        plain: impl FnOnce() -> Result<E, P>,
    ) -> Result<Chosen<E>, P> {
        let by_cpu = |told| Ok(Chosen { encoder: plain()?, provider: Provider::Cpu, told });
        match self.choice {
            ProviderChoice::Only(Provider::Cpu) => by_cpu(vec![]),
            ProviderChoice::Only(provider) if !self.offered.contains(&provider) => {
                by_cpu(vec![self.not_offered(provider)])
            }
            ProviderChoice::Only(provider) => match self.attempt(provider, try_by) {
                Ok(tried) => Ok(Chosen { encoder: tried.encoder, provider, told: vec![] }),
                Err(why) => by_cpu(vec![why]),
            },
            ProviderChoice::Auto => {
                let candidates = Provider::AUTO.into_iter().filter(|p| self.offered.contains(p));
                let (mut tried, mut told) = (Vec::new(), Vec::new());
                for provider in candidates {
                    match self.attempt(provider, try_by) {
                        Ok(one) => tried.push((provider, one)),
                        Err(why) => told.push(why),
                    }
                }
                if tried.is_empty() {
                    return by_cpu(told);
                }
                // Whether it answers as it should is not asked of the processor: there is
                // nobody else then.
                if let Ok(Ok(one)) = catch_unwind(AssertUnwindSafe(|| try_by(Provider::Cpu))) {
                    tried.push((Provider::Cpu, one));
                }
                tried.sort_by_key(|(_, one)| one.took);
                let times: Vec<_> = tried
                    .iter()
                    .map(|(provider, one)| format!("{provider} {:.1?}", one.took))
                    .collect();
                told.push(format!(
                    "the {} is computed by the fastest: {}",
                    self.tower,
                    times.join(", ")
                ));
                let (provider, one) = tried.swap_remove(0);
                Ok(Chosen { encoder: one.encoder, provider, told })
            }
        }
    }

    fn attempt<E>(
        &self,
        provider: Provider,
        try_by: &dyn Fn(Provider) -> Result<Tried<E>, String>,
    ) -> Result<Tried<E>, String> {
        let why = match catch_unwind(AssertUnwindSafe(|| try_by(provider))) {
            Ok(Ok(tried)) if tried.cosine >= self.least => return Ok(tried),
            Ok(Ok(tried)) => format!(
                "its answers to the reference inputs are off, a cosine of {:.6} where {} is the least",
                tried.cosine, self.least
            ),
            Ok(Err(why)) => one_line(&why),
            Err(_) => "it panicked".into(),
        };
        Err(format!("{provider} is not used for the {}, the CPU is: {why}", self.tower))
    }

    fn not_offered(&self, provider: Provider) -> String {
        let there: Vec<_> = self.offered.iter().map(ToString::to_string).collect();
        format!(
            "{provider} is not used, the CPU is: {} was built without it (it has {}); --onnxruntime \
             or ORT_DYLIB_PATH names another library",
            self.library,
            there.join(", ")
        )
    }
}

/// What a library says, as the end of a sentence.
fn one_line(text: &str) -> String {
    // Behind the mark come a number, its name and the words.
    let own = text.split_once(MARK).and_then(|(_, rest)| rest.splitn(3, " : ").nth(2));
    let words: Vec<&str> = own.unwrap_or(text).split_whitespace().collect();
    let line = words.join(" ");
    let line = line.trim_end_matches('.');
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::convert::Infallible;

    use super::*;

    const ALL: [Provider; 4] =
        [Provider::Cpu, Provider::Cuda, Provider::TensorRt, Provider::OpenVino];

    fn case(choice: ProviderChoice, offered: &[Provider]) -> Case<'_> {
        Case { choice, offered, library: "ONNX Runtime 1.99", tower: "text tower", least: 0.9999 }
    }

    /// A machine on which each provider does something else.
    fn machine(provider: Provider) -> Result<Tried<&'static str>, String> {
        let tried = |encoder, cosine, millis| {
            Ok(Tried { encoder, cosine, took: Duration::from_millis(millis) })
        };
        match provider {
            Provider::Cpu => tried("processor", 1.0, 30),
            Provider::Cuda => Err("CUDA failure 35: the driver\n  is too old.\n".into()),
            Provider::TensorRt => panic!("on purpose"),
            Provider::CoreMl => tried("drifting", 0.97, 1),
            Provider::DirectMl => tried("slow", 1.0, 90),
            Provider::OpenVino => tried("fast", 0.999_95, 10),
        }
    }

    fn chosen(case: &Case<'_>) -> Chosen<&'static str> {
        let plain = || Ok::<_, Infallible>("plain");
        match case.choose(&machine, plain) {
            Ok(chosen) => chosen,
            Err(never) => match never {},
        }
    }

    #[test]
    fn who_is_named_and_fails_leaves_it_to_the_processor_with_one_sentence() {
        for (provider, word) in [
            (Provider::Cuda, "CUDA failure 35: the driver is too old"),
            (Provider::TensorRt, "it panicked"),
            (Provider::CoreMl, "a cosine of 0.970000 where 0.9999 is the least"),
        ] {
            let offered = [Provider::Cpu, provider];
            let chosen = chosen(&case(ProviderChoice::Only(provider), &offered));
            assert_eq!((chosen.encoder, chosen.provider), ("plain", Provider::Cpu));
            let [told] = &chosen.told[..] else { panic!("one sentence: {:?}", chosen.told) };
            assert!(told.contains(word) && told.contains("the CPU is"), "{told}");
            assert!(!told.contains('\n') && told.starts_with(&provider.to_string()), "{told}");
        }
    }

    #[test]
    fn who_is_not_in_the_library_is_not_tried() {
        let never = |_| -> Result<Tried<&str>, String> { panic!("nobody is to be tried") };
        for provider in Provider::ALL.into_iter().skip(1) {
            let case = case(ProviderChoice::Only(provider), &[Provider::Cpu]);
            let chosen = match case.choose(&never, || Ok::<_, Infallible>("plain")) {
                Ok(chosen) => chosen,
                Err(e) => match e {},
            };
            assert_eq!(chosen.provider, Provider::Cpu);
            let told = chosen.told.join("|");
            let expected =
                format!("{provider} is not used, the CPU is: ONNX Runtime 1.99 was built without");
            assert!(told.starts_with(&expected) && told.contains("(it has CPU)"), "{told}");
        }
        for choice in [ProviderChoice::Only(Provider::Cpu), ProviderChoice::Auto] {
            let case = case(choice, &[Provider::Cpu, Provider::TensorRt]);
            let chosen = match case.choose(&never, || Ok::<_, Infallible>("plain")) {
                Ok(chosen) => chosen,
                Err(e) => match e {},
            };
            assert_eq!((chosen.provider, chosen.told.len()), (Provider::Cpu, 0));
        }
    }

    #[test]
    fn who_works_computes() {
        let one = chosen(&case(ProviderChoice::Only(Provider::OpenVino), &ALL));
        assert_eq!((one.encoder, one.provider, one.told.len()), ("fast", Provider::OpenVino, 0));
    }

    #[test]
    fn the_fastest_that_is_right_is_taken_and_the_others_are_told() {
        let all = Provider::ALL;
        let chosen = chosen(&case(ProviderChoice::Auto, &all));
        assert_eq!((chosen.encoder, chosen.provider), ("fast", Provider::OpenVino));
        let told = chosen.told.join("|");
        for word in ["CUDA is not used", "CoreML is not used", "OpenVINO 10.0ms, CPU 30.0ms"] {
            assert!(told.contains(word), "{word}: {told}");
        }
        assert!(!told.contains("TensorRT"), "not tried: {told}");

        let asked = RefCell::new(Vec::new());
        let slow = |provider| {
            asked.borrow_mut().push(provider);
            machine(provider)
        };
        let offered = [Provider::Cpu, Provider::DirectMl];
        let case = case(ProviderChoice::Auto, &offered);
        let chosen = match case.choose(&slow, || Ok::<_, Infallible>("plain")) {
            Ok(chosen) => chosen,
            Err(e) => match e {},
        };
        assert_eq!((chosen.encoder, chosen.provider), ("processor", Provider::Cpu));
        assert_eq!(*asked.borrow(), [Provider::DirectMl, Provider::Cpu]);
    }

    #[test]
    fn if_the_processor_fails_too_that_is_an_error() {
        let fails = |_| Err::<Tried<&str>, _>("no".to_owned());
        let case = case(ProviderChoice::Auto, &ALL);
        assert_eq!(case.choose(&fails, || Err("no memory")).err(), Some("no memory"));
    }

    #[test]
    fn reasons_are_short() {
        let long = one_line(&"é word ".repeat(200));
        assert!(long.chars().count() <= LONGEST + 2 && long.ends_with('…'), "{long}");
        assert_eq!(one_line(" a\n b. "), "a b");
        let cuda = "/m/text.onnx: /src/bridge.cc:1952 Get() [ONNXRuntimeError] : 1 : FAIL : Failed \
                    to load libx.so with error: liby.so.12: no such file\n";
        let expected = "Failed to load libx.so with error: liby.so.12: no such file";
        assert_eq!(one_line(cuda), expected);
    }
}
