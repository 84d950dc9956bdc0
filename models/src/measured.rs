//! How fast is a model here, and does it say what it has to? Both by the reference inputs.

use std::time::{Duration, Instant};

use ekphrasis_embed::{Embedding, EncodeError, ImageEncoder, TextEncoder, dot};

use crate::golden::{Agreement, Golden, GoldenError, TEXTS, sample_tensors};

/// Rounds over the reference inputs, of which the fastest counts.
const ROUNDS: usize = 3;
/// No further round is begun after that.
const LONGEST: Duration = Duration::from_secs(2);

/// What two towers do on this machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// How well they agree with the reference answers.
    pub agreement: Agreement,
    /// How well an input alone agrees with the same in a batch, where texts of other lengths
    /// are beside it: the least cosines.
    pub together: Agreement,
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
        let together = beside_others(image, text)?;
        let tensors = sample_tensors(image)?;
        let picture = each(tensors.len(), |i| image.embed_images(&tensors[i..=i]).map(drop));
        let texts = golden.texts();
        let text = each(texts.len(), |i| text.embed_texts(&texts[i..=i]).map(drop));
        Ok(Self {
            agreement,
            together,
            picture: picture.map_err(GoldenError::Image)?,
            text: text.map_err(GoldenError::Text)?,
        })
    }

    /// A picture and a text.
    pub(crate) fn both(&self) -> Duration {
        self.picture + self.text
    }
}

/// How well each reference input alone agrees with the same beside all others: the least
/// cosines. Texts are of very different lengths, so that padding would be heard.
pub(crate) fn beside_others(
    image: &dyn ImageEncoder,
    text: &dyn TextEncoder,
) -> Result<Agreement, GoldenError> {
    let alone = |i: usize| text.embed_texts(&[TEXTS[i]]);
    let texts = text.embed_texts(&TEXTS).and_then(|together| least(&together, alone));
    let tensors = sample_tensors(image)?;
    let alone = |i: usize| image.embed_images(std::slice::from_ref(&tensors[i]));
    let pictures = image.embed_images(&tensors).and_then(|together| least(&together, alone));
    Ok(Agreement {
        pictures: pictures.map_err(GoldenError::Image)?,
        texts: texts.map_err(GoldenError::Text)?,
    })
}

/// The least cosine between embeddings made together and each made alone.
fn least(
    together: &[Embedding],
    alone: impl Fn(usize) -> Result<Vec<Embedding>, EncodeError>,
) -> Result<f32, EncodeError> {
    let mut least = 1f32;
    for (i, beside) in together.iter().enumerate() {
        for by_itself in alone(i)? {
            least = least.min(dot(beside.values(), by_itself.values()));
        }
    }
    Ok(least)
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
        assert!(measured.together.least() > 0.999_999, "{measured:?}");
        assert!(measured.both() > Duration::ZERO && measured.both() < LONGEST, "{measured:?}");
    }

    /// A text tower that hears what is beside a text.
    struct Hears(ColourEncoder);

    impl TextEncoder for Hears {
        fn space(&self) -> &ekphrasis_embed::Space {
            TextEncoder::space(&self.0)
        }

        fn unknown_share(&self, text: &str) -> Result<f64, EncodeError> {
            self.0.unknown_share(text)
        }

        fn embed_texts(&self, batch: &[&str]) -> Result<Vec<Embedding>, EncodeError> {
            let longest = batch.iter().max_by_key(|text| text.len()).copied().unwrap_or_default();
            let heard: Vec<String> = batch.iter().map(|text| format!("{text} {longest}")).collect();
            let heard: Vec<&str> = heard.iter().map(String::as_str).collect();
            self.0.embed_texts(&heard)
        }
    }

    #[test]
    fn a_text_that_depends_on_what_is_beside_it_is_noticed() {
        let encoder = ColourEncoder::default();
        let found = beside_others(&encoder, &Hears(ColourEncoder::default())).expect("answers");
        assert!(found.pictures > 0.999_999 && found.texts < 0.99, "{found:?}");
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
