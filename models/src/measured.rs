//! How fast is a model here, and does it say what it has to? Both by the reference inputs.

use std::time::{Duration, Instant};

use ekphrasis_embed::{EncodeError, ImageEncoder, TextEncoder};

use crate::golden::{Agreement, Golden, GoldenError, sample_tensors};

/// Rounds over the reference inputs, of which the fastest counts.
const ROUNDS: usize = 3;
/// No further round is begun after that.
const LONGEST: Duration = Duration::from_secs(2);

/// What two towers do on this machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// How well they agree with the reference answers.
    pub agreement: Agreement,
    /// How long a picture takes from prepared pixels, one at a time.
    pub picture: Duration,
    /// How long a text takes, cut into tokens as well, one at a time.
    pub text: Duration,
}

impl Measured {
    /// Runs both towers on the reference inputs: once to compare, which also loads what is
    /// loaded late, then up to three times by the clock.
    ///
    /// # Errors
    /// If one fails on an ordinary input.
    pub fn of(
        golden: &Golden,
        image: &dyn ImageEncoder,
        text: &dyn TextEncoder,
    ) -> Result<Self, GoldenError> {
        let agreement = golden.compare(image, text)?;
        let tensors = sample_tensors(image)?;
        let picture = each(tensors.len(), |i| image.embed_images(&tensors[i..=i]).map(drop));
        let texts = golden.texts();
        let text = each(texts.len(), |i| text.embed_texts(&texts[i..=i]).map(drop));
        Ok(Self {
            agreement,
            picture: picture.map_err(GoldenError::Image)?,
            text: text.map_err(GoldenError::Text)?,
        })
    }

    /// A picture and a text.
    pub(crate) fn both(&self) -> Duration {
        self.picture + self.text
    }
}

/// The mean time of one of `n` inputs in the fastest round.
fn each(n: usize, run: impl Fn(usize) -> Result<(), EncodeError>) -> Result<Duration, EncodeError> {
    let begun = Instant::now();
    let mut best = Duration::MAX;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        (0..n).try_for_each(&run)?;
        best = best.min(start.elapsed());
        if begun.elapsed() > LONGEST {
            break;
        }
    }
    Ok(best / (n.max(1) as u32))
}

#[cfg(test)]
mod tests {
    use ekphrasis_embed::testing::ColourEncoder;

    use super::*;

    #[test]
    fn a_tower_agrees_with_itself_and_takes_some_time() {
        let encoder = ColourEncoder::default();
        let golden = Golden::of(&encoder, &encoder, "a test").expect("answers");
        let measured = Measured::of(&golden, &encoder, &encoder).expect("answers");
        assert!(measured.agreement.least() > 0.999_999, "{measured:?}");
        assert!(measured.both() > Duration::ZERO && measured.both() < LONGEST, "{measured:?}");
    }

    #[test]
    fn the_fastest_round_counts_and_a_slow_tower_has_one_only() {
        let rounds = std::cell::Cell::new(0u32);
        let time = each(2, |i| {
            rounds.set(rounds.get() + u32::from(i == 0));
            std::thread::sleep(Duration::from_millis(if rounds.get() == 1 { 30 } else { 3 }));
            Ok(())
        });
        let time = time.expect("no error");
        assert!((3..25).contains(&time.as_millis()), "{time:?}");
        assert_eq!(rounds.get() as usize, ROUNDS);
        assert!(each(1, |_| Err(EncodeError::Runtime { what: "no".into() })).is_err());
    }
}
