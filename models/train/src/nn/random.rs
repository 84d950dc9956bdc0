//! Where does randomness come from? From the seed and a place in the run, never
//! from a generator that has to be saved: a resumed run draws the same numbers.

use rand::SeedableRng;
use rand_pcg::Pcg64;

/// What numbers are drawn for; each purpose has a stream of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// First values of parameters.
    Initial,
    /// Which examples go together in an epoch.
    Order,
    /// Views and captions of a step.
    Sample,
    /// What is dropped in a step of the image tower.
    DropImages,
    /// What is dropped in a step of the text tower.
    DropTexts,
    /// What a loss or a selection draws in a step.
    Objective,
    /// Which pictures a loss takes next.
    Choice,
    /// Which queries a report shows.
    Examples,
}

/// The generator for one purpose at one place (an epoch or a step).
pub fn rng_for(seed: u64, purpose: Purpose, place: u64) -> Pcg64 {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..16].copy_from_slice(&place.to_le_bytes());
    bytes[16] = purpose as u8;
    // Neighbouring places must not give neighbouring states.
    Pcg64::from_seed(*blake3::hash(&bytes).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn streams_repeat_and_differ() {
        let draw = |seed, purpose, place| rng_for(seed, purpose, place).random::<u64>();
        assert_eq!(draw(1, Purpose::Sample, 2), draw(1, Purpose::Sample, 2));
        let all = [
            draw(1, Purpose::Sample, 2),
            draw(2, Purpose::Sample, 2),
            draw(1, Purpose::Order, 2),
            draw(1, Purpose::Sample, 3),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b));
        }
    }
}
