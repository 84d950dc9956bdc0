//! Given a set and its stamp, is what pictures are compared with there already? As long as
//! the set did not change, and it was among the last ones that were asked.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use super::LabelVectors;

/// Sets whose vectors are kept. Each label of one has its scores with the model's background:
/// 8 KiB, or 16 MiB for the largest set.
const KNOWN_SETS: usize = 4;

/// What was compared with for the sets that were used last, with their stamps.
#[derive(Default)]
pub(crate) struct SetVectors(Mutex<VecDeque<(String, i64, Arc<LabelVectors>)>>);

impl SetVectors {
    pub(super) fn get(&self, set: &str, stamp: i64) -> Option<Arc<LabelVectors>> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.iter().find(|(name, at, _)| name == set && *at == stamp);
        found.map(|(_, _, vectors)| vectors.clone())
    }

    pub(super) fn put(&self, set: &str, stamp: i64, vectors: Arc<LabelVectors>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|(name, _, _)| name != set);
        known.truncate(KNOWN_SETS - 1);
        known.push_front((set.into(), stamp, vectors));
    }
}

#[cfg(test)]
mod tests {
    use ekphrasis_embed::testing::ColourEncoder;
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64;

    use super::*;
    use crate::GivenTowers;

    /// Against a plain list of all that was ever put.
    #[test]
    fn what_is_kept_of_a_set_is_that_of_its_stamp_and_of_the_last_few_sets() {
        let encoder = Arc::new(ColourEncoder::default());
        let towers = GivenTowers::new("colours", encoder.clone(), encoder).expect("one");
        let kept = SetVectors::default();
        let seed = 3;
        eprintln!("seed {seed}");
        let mut rng = Pcg64::seed_from_u64(seed);
        let mut all: Vec<(String, i64, Arc<LabelVectors>)> = vec![];
        let (mut found, mut missed) = (0, 0);
        for _ in 0..2_000 {
            let (set, stamp) =
                (format!("set {}", rng.random_range(0..7)), rng.random_range(0..3i64));
            if rng.random_range(0..3) == 0 {
                let vectors = LabelVectors::of_words(&towers, &[], vec![]).expect("made");
                let vectors = Arc::new(vectors);
                kept.put(&set, stamp, vectors.clone());
                all.push((set, stamp, vectors));
                continue;
            }
            // The last of each set, the latest sets only.
            let mut last: Vec<&(String, i64, Arc<LabelVectors>)> = vec![];
            for put in all.iter().rev() {
                if last.iter().all(|known| known.0 != put.0) {
                    last.push(put);
                }
            }
            let of = |put: &&(String, i64, Arc<LabelVectors>)| put.0 == set && put.1 == stamp;
            let expected = last.into_iter().take(KNOWN_SETS).find(of).map(|put| &put.2);
            let got = kept.get(&set, stamp);
            assert_eq!(got.as_ref().map(Arc::as_ptr), expected.map(Arc::as_ptr), "{set} {stamp}");
            *(if got.is_some() { &mut found } else { &mut missed }) += 1;
        }
        assert!(found > 100 && missed > 100, "{found} {missed}");
    }
}
