//! Given what was measured of a model, from which score on is it the same thing? At the
//! rate that is wanted, if that can be stated, or at a threshold that somebody gives.

use ekphrasis_models::{AcceptRate, Verification};

use crate::EngineError;

/// What is to count as the same thing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Accepting {
    /// What is usual: one false accept in a hundred comparisons, and in a search no more
    /// than one stranger in ten who gets some name.
    #[default]
    Usual,
    /// At most this share of false accepts: of comparisons, or, in a search, of strangers.
    Rate(f64),
    /// This score or more.
    Threshold(f64),
}

/// The threshold in use.
#[derive(Clone, Debug, PartialEq)]
pub struct Operating {
    /// From this cosine on it is the same thing.
    pub threshold: f64,
    /// What that does to single comparisons; `None` for a threshold that was given.
    pub rate: Option<AcceptRate>,
    /// On which pictures that was measured; others may differ.
    pub about: Option<String>,
}

/// Of comparisons.
const USUAL: f64 = 0.01;
/// Of strangers in a search.
const USUAL_IN_SEARCH: f64 = 0.1;

impl Operating {
    /// For one comparison.
    ///
    /// # Errors
    /// `Invalid` for a rate that cannot be stated, or figures out of range.
    pub(crate) fn for_comparison(
        known: Option<&Verification>,
        accepting: Accepting,
    ) -> Result<Self, EngineError> {
        let wanted = match accepting {
            Accepting::Threshold(threshold) => return Self::given(threshold),
            Accepting::Rate(rate) => share(rate)?,
            Accepting::Usual => USUAL,
        };
        let known = measured(known)?;
        match (at_most(known, wanted), known.rates.last()) {
            (Some(rate), _) => Ok(Self::of(known, rate)),
            // Nobody asked for the usual one: the next best is told with the answer.
            (None, Some(smallest)) if accepting == Accepting::Usual => {
                Ok(Self::of(known, *smallest))
            }
            _ => Err(cannot_state(known, wanted)),
        }
    }

    /// For a search among `enrolled`: each of them is a comparison that may go wrong, so
    /// the rate that is wanted is shared out among them.
    ///
    /// # Errors
    /// As [`for_comparison`](Self::for_comparison).
    pub(crate) fn for_search(
        known: Option<&Verification>,
        accepting: Accepting,
        enrolled: usize,
    ) -> Result<Self, EngineError> {
        let wanted = match accepting {
            Accepting::Threshold(threshold) => return Self::given(threshold),
            Accepting::Rate(rate) => share(rate)?,
            Accepting::Usual => USUAL_IN_SEARCH,
        };
        let known = measured(known)?;
        let each = wanted / enrolled.max(1) as f64;
        // With few enrolled a search is no laxer than a comparison.
        let each = if accepting == Accepting::Usual { each.min(USUAL) } else { each };
        match (at_most(known, each), known.rates.last()) {
            (Some(rate), _) => Ok(Self::of(known, rate)),
            // The strictest there is; what it comes to is told with the answer.
            (None, Some(smallest)) if accepting == Accepting::Usual => {
                Ok(Self::of(known, *smallest))
            }
            (None, Some(smallest)) => {
                let allow = rounded_up(smallest.false_accept * enrolled as f64)
                    .map_or_else(String::new, |rate| format!("allow {rate} or more, or "));
                Err(EngineError::of_field(
                    "false_accept_rate",
                    format!(
                        "with {enrolled} enrolled, a rate of {wanted} of strangers needs a rate of at \
                     most {each:.2e} of single comparisons, and the smallest one that can be stated \
                     is {}; {allow}give a threshold",
                        smallest.false_accept,
                    ),
                ))
            }
            (None, None) => Err(cannot_state(known, each)),
        }
    }

    fn of(known: &Verification, rate: AcceptRate) -> Self {
        Self { threshold: rate.threshold, rate: Some(rate), about: Some(known.about.clone()) }
    }

    fn given(threshold: f64) -> Result<Self, EngineError> {
        if !(-1.0..=1.0).contains(&threshold) {
            return Err(EngineError::of_field(
                "threshold",
                format!("a threshold is a cosine from -1 to 1, got {threshold}"),
            ));
        }
        Ok(Self { threshold, rate: None, about: None })
    }

    /// At most that share of strangers gets some name, among `enrolled`: no more than all
    /// comparisons together go wrong, however they hang together; each by the upper end of
    /// its rate's interval. `None` where the rate of one is not known, or the bound says
    /// nothing.
    pub(crate) fn strangers_named(&self, enrolled: usize) -> Option<f64> {
        let bound = self.rate?.high * enrolled as f64;
        (bound < 1.0).then_some(bound)
    }

    /// The share of strangers that is aimed at where nobody says another, if single comparisons
    /// among `enrolled` would have to be stricter for it than was measured.
    pub(crate) fn aim_missed(&self, accepting: Accepting, enrolled: usize) -> Option<f64> {
        let usual = accepting == Accepting::Usual;
        let together = self.rate?.false_accept * enrolled as f64;
        (usual && together > USUAL_IN_SEARCH * (1.0 + 1e-9)).then_some(USUAL_IN_SEARCH)
    }

    /// Whether a score is enough.
    pub(crate) fn accepts(&self, score: f32) -> bool {
        f64::from(score) >= self.threshold
    }
}

/// The largest rate that is at most `wanted`, which accepts most.
fn at_most(known: &Verification, wanted: f64) -> Option<AcceptRate> {
    known.rates.iter().find(|rate| rate.false_accept <= wanted * (1.0 + 1e-9)).copied()
}

/// Two significant digits, never less than the value; `None` where no rate is so large.
fn rounded_up(value: f64) -> Option<String> {
    if !(value > 0.0 && value < 1.0) {
        return None;
    }
    let places = 1 - value.log10().floor() as i32;
    let scale = 10f64.powi(places);
    // What 0.1 and the like lack in binary is no reason to go up.
    let rounded = (value * scale - 1e-9).ceil() / scale;
    let places = usize::try_from(places).unwrap_or(0);
    (rounded < 1.0).then(|| format!("{rounded:.places$}"))
}

fn share(rate: f64) -> Result<f64, EngineError> {
    if rate > 0.0 && rate < 1.0 {
        return Ok(rate);
    }
    Err(EngineError::of_field(
        "false_accept_rate",
        format!("a false accept rate is over 0 and under 1, got {rate}"),
    ))
}

fn measured(known: Option<&Verification>) -> Result<&Verification, EngineError> {
    known.ok_or_else(|| {
        EngineError::of_field("threshold", 
            "nobody has measured from which score on this model's pictures show the same thing, so \
             no false accept rate can be stated: give a threshold of your own (a cosine from -1 to \
             1), or measure it with `ek model calibrate`"
                .into(),
        )
    })
}

fn cannot_state(known: &Verification, wanted: f64) -> EngineError {
    // The largest first: of those that would keep the one that is wanted, the easiest to
    // state; for what is smaller than all that were tried, the smallest.
    let keeps = |why: &&String| refused_rate(why).is_some_and(|r| r <= wanted * (1.0 + 1e-9));
    let why = known.refused.iter().find(keeps).or(known.refused.last());
    let why = why.map_or("it was not measured", String::as_str);
    let stated: Vec<String> = known.rates.iter().map(|r| r.false_accept.to_string()).collect();
    let stated = match stated.is_empty() {
        true => "no rate can be stated for this model".into(),
        false => format!("the rates that can be stated are {}", stated.join(", ")),
    };
    EngineError::of_field(
        "false_accept_rate",
        format!(
            "a false accept rate of {wanted} cannot be stated; {stated} ({why}); give a threshold \
         instead, or measure on more things with `ek model calibrate`"
        ),
    )
}

/// The rate that a reason is about: the first number in it.
fn refused_rate(why: &str) -> Option<f64> {
    why.split_whitespace().find_map(|word| word.trim_end_matches([':', ',']).parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known() -> Verification {
        let rate = |false_accept, threshold| AcceptRate {
            false_accept,
            low: false_accept / 2.0,
            high: false_accept * 1.5,
            threshold,
            true_accept: 0.9,
        };
        Verification {
            space: "a-1".into(),
            about: "some drawings".into(),
            refused: vec!["0.0001 needs more".into()],
            rates: vec![rate(0.1, 0.3), rate(0.01, 0.5), rate(0.001, 0.7)],
        }
    }

    fn threshold(found: Result<Operating, EngineError>) -> f64 {
        found.expect("an operating point").threshold
    }

    #[test]
    fn a_rate_is_kept_or_refused_and_never_guessed() {
        let known = known();
        let at = |accepting| Operating::for_comparison(Some(&known), accepting);
        assert_eq!(threshold(at(Accepting::Usual)), 0.5);
        assert_eq!(threshold(at(Accepting::Rate(0.1))), 0.3);
        // Between two, the stricter keeps the promise.
        assert_eq!(threshold(at(Accepting::Rate(0.05))), 0.5);
        assert_eq!(at(Accepting::Threshold(0.4)).expect("given").rate, None);
        let error = at(Accepting::Rate(1e-4)).expect_err("not measured").to_string();
        assert!(error.contains("0.1, 0.01, 0.001") && error.contains("needs more"), "{error}");
        // The reason is that of the rate that was asked for.
        let reasons = [
            "a false accept rate of 0.0005 is not known well enough",
            "no threshold keeps a false accept rate of 0.0002: too many pairs",
            "a false accept rate of 0.0001 needs more",
        ];
        let several =
            Verification { refused: Vec::from(reasons.map(str::to_owned)), ..known.clone() };
        for (rate, reason) in [(5e-4, 0), (3e-4, 1), (2e-4, 1), (1e-4, 2), (1e-7, 2)] {
            let error = Operating::for_comparison(Some(&several), Accepting::Rate(rate));
            let error = error.expect_err("not stated").to_string();
            assert!(error.contains(reasons[reason]), "{rate}: {error}");
        }
        for bad in [Accepting::Rate(0.0), Accepting::Rate(f64::NAN), Accepting::Threshold(2.0)] {
            at(bad).expect_err("out of range");
        }
        let error = Operating::for_comparison(None, Accepting::Usual).expect_err("unmeasured");
        assert!(error.to_string().contains("ek model calibrate"), "{error}");
        assert!(Operating::for_comparison(None, Accepting::Threshold(0.2)).is_ok());
        let none = Verification { rates: vec![], ..known.clone() };
        let error = Operating::for_comparison(Some(&none), Accepting::Usual).expect_err("none");
        assert!(error.to_string().contains("no rate can be stated"), "{error}");
    }

    #[test]
    fn the_more_are_enrolled_the_stricter_is_each_comparison() {
        let known = known();
        let at = |enrolled| Operating::for_search(Some(&known), Accepting::Usual, enrolled);
        assert_eq!([1, 10, 11, 100].map(|n| threshold(at(n))), [0.5, 0.5, 0.7, 0.7]);
        // At most: by the upper ends of the intervals.
        assert_eq!(at(10).expect("found").strangers_named(10), Some(0.15));
        assert_eq!(at(1).expect("found").strangers_named(1), Some(0.015));
        // Beyond what was measured: the strictest, and what can be said of it.
        let many = at(500).expect("found");
        assert_eq!((many.threshold, many.strangers_named(500)), (0.7, Some(0.75)));
        assert_eq!(many.strangers_named(1000), None);
        let rate = |r, n| Operating::for_search(Some(&known), Accepting::Rate(r), n);
        assert_eq!(threshold(rate(0.5, 500)), 0.7);
        let error = rate(0.1, 500).expect_err("cannot be kept").to_string();
        assert!(error.contains("allow 0.50 or more"), "{error}");
        // What is advised is taken, and nothing is advised that is no rate.
        for enrolled in [201, 333, 457, 989] {
            let error = rate(0.1, enrolled).expect_err("cannot be kept").to_string();
            let (_, advice) = error.split_once("allow ").expect("advice");
            let advice = advice.split(' ').next().expect("a word");
            let advice = advice.parse::<f64>().expect("a number");
            assert_eq!(threshold(rate(advice, enrolled)), 0.7, "{error}");
        }
        for enrolled in [995, 1000, 5000] {
            let error = rate(0.1, enrolled).expect_err("cannot be kept").to_string();
            assert!(!error.contains("allow") && error.contains("give a threshold"), "{error}");
        }
        assert_eq!(rounded_up(0.000_041).as_deref(), Some("0.000041"));
        assert_eq!(rounded_up(0.001_21).as_deref(), Some("0.0013"));
        assert_eq!(rounded_up(0.1).as_deref(), Some("0.10"));
    }
}
