//! Given a seed and a place, which generator? Each place has its own, so that
//! no draw depends on how many were made before it, or on which thread.

use rand::SeedableRng;
use rand_pcg::Pcg64;

/// The generator for `what` at `place` under `seed`.
pub(super) fn generator(seed: u64, what: &str, place: &[&[u8]]) -> Pcg64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    for part in std::iter::once(what.as_bytes()).chain(place.iter().copied()) {
        // With lengths, so that ("ab", "c") is not ("a", "bc").
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    Pcg64::from_seed(*hasher.finalize().as_bytes())
}
