//! Given pictures, which make up each batch of an epoch? A function of seed and
//! epoch, so that a run which was killed goes on with the same batches.

use std::collections::BTreeMap;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;

use super::seeded::generator;

/// Why there are no batches.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// A batch of nothing.
    #[error("a batch needs at least 2 groups with at least 2 pictures each; asked for {p} × {k}")]
    Size {
        /// Groups a batch.
        p: usize,
        /// Pictures a group.
        k: usize,
    },
    /// No two groups with two pictures.
    #[error(
        "batches by group need at least 2 groups with at least 2 pictures each, found {usable} among {groups} groups; add pictures, or train on captions instead"
    )]
    Groups {
        /// Groups with two pictures.
        usable: usize,
        /// All.
        groups: usize,
    },
}

/// Every one of `pictures` once, in an order of `seed` and `epoch`, cut into
/// batches of `batch` (at least 1); the last may be smaller. A last batch of a
/// single picture, or of less than an eighth of the others, joins the one before it:
/// it has no negatives, or may well have none.
pub fn shuffled(pictures: &[usize], batch: usize, seed: u64, epoch: u64) -> Vec<Vec<usize>> {
    let mut order = pictures.to_vec();
    order.shuffle(&mut generator(seed, "shuffled", &[&epoch.to_le_bytes()]));
    let mut batches: Vec<Vec<usize>> = order.chunks(batch.max(1)).map(<[_]>::to_vec).collect();
    if batch > 1
        && batches.len() > 1
        && let Some(rest) = batches.pop_if(|last| last.len() == 1 || 8 * last.len() < batch)
        && let Some(last) = batches.last_mut()
    {
        last.extend(rest);
    }
    batches
}

/// Batches of up to `p` groups with up to `k` pictures of each: what losses
/// that compare pictures with pictures need. Nothing is twice in a batch, a
/// group comes at most once in a batch, each with at least two pictures, and
/// every batch has at least two groups.
///
/// `groups[i]` is the group of `pictures[i]`. Every picture of a group with two
/// or more pictures comes at least once an epoch (a second time only to fill up
/// a group's last share, or for company where all other groups are used up);
/// pictures that are alone in their group do not come.
///
/// # Errors
/// `Size` for `p` or `k` under 2, `Groups` without two usable groups.
///
/// # Panics
/// If the two slices differ in length.
pub fn by_group(
    pictures: &[usize],
    groups: &[u32],
    (p, k): (usize, usize),
    seed: u64,
    epoch: u64,
) -> Result<Vec<Vec<usize>>, SampleError> {
    assert_eq!(pictures.len(), groups.len(), "one group a picture");
    if p < 2 || k < 2 {
        return Err(SampleError::Size { p, k });
    }
    let mut members: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    pictures.iter().zip(groups).for_each(|(&i, &g)| members.entry(g).or_default().push(i));
    let all = members.len();
    let members: Vec<Vec<usize>> = members.into_values().filter(|m| m.len() > 1).collect();
    if members.len() < 2 {
        return Err(SampleError::Groups { usable: members.len(), groups: all });
    }
    let mut rng = generator(seed, "by group", &[&epoch.to_le_bytes()]);
    let mut shares: Vec<Vec<Vec<usize>>> =
        members.iter().map(|m| cut(m.clone(), k, &mut rng)).collect();
    let mut batches = Vec::new();
    loop {
        let mut open: Vec<usize> = (0..shares.len()).filter(|&g| !shares[g].is_empty()).collect();
        if open.is_empty() {
            break;
        }
        // The groups with most left first, so that none is left over alone;
        // among equals by chance.
        open.shuffle(&mut rng);
        open.sort_by_key(|&g| std::cmp::Reverse(shares[g].len()));
        open.truncate(p);
        let mut batch: Vec<usize> = open.iter().flat_map(|&g| shares[g].pop()).flatten().collect();
        if let [only] = open[..] {
            // One large group is left: others keep it company, for negatives.
            let mut company: Vec<usize> = (0..members.len()).filter(|&g| g != only).collect();
            company.shuffle(&mut rng);
            for g in company.into_iter().take(p - 1) {
                let mut some = members[g].clone();
                some.shuffle(&mut rng);
                batch.extend(some.into_iter().take(k));
            }
        }
        batches.push(batch);
    }
    batches.shuffle(&mut rng);
    Ok(batches)
}

/// A group's pictures in shares of `k`, the last filled up from the others; a
/// group smaller than `k` is one share.
fn cut(mut members: Vec<usize>, k: usize, rng: &mut Pcg64) -> Vec<Vec<usize>> {
    members.shuffle(rng);
    let mut shares: Vec<Vec<usize>> = members.chunks(k).map(<[_]>::to_vec).collect();
    if members.len() > k
        && let Some(last) = shares.last_mut()
    {
        let start = members.len() - last.len();
        while last.len() < k {
            let again = members[rng.random_range(0..start)];
            if !last.contains(&again) {
                last.push(again);
            }
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn an_epoch_has_every_picture_once(
            count in 0usize..500, batch in 1usize..70, seed in 0u64..99, epoch in 0u64..9,
        ) {
            let pictures: Vec<usize> = (0..count).map(|i| i * 3 + 1).collect();
            let batches = shuffled(&pictures, batch, seed, epoch);
            prop_assert_eq!(&batches, &shuffled(&pictures, batch, seed, epoch));
            let mut all = batches.concat();
            all.sort_unstable();
            prop_assert_eq!(all, pictures);
            for (i, b) in batches.iter().enumerate() {
                let last = i + 1 == batches.len();
                prop_assert!(last || b.len() == batch);
                prop_assert!(!b.is_empty() && b.len() < batch + batch.div_ceil(8).max(2));
                prop_assert!(
                    batches.len() == 1 || batch == 1 || (b.len() > 1 && 8 * b.len() >= batch),
                    "{} of {} is too small for negatives", b.len(), batch
                );
            }
        }

        #[test]
        fn batches_by_group_hold_what_they_promise(
            sizes in proptest::collection::vec(1usize..30, 2..40),
            p in 2usize..9, k in 2usize..6, seed in 0u64..99, epoch in 0u64..9,
        ) {
            let groups: Vec<u32> = sizes
                .iter()
                .enumerate()
                .flat_map(|(g, &n)| std::iter::repeat_n(g as u32, n))
                .collect();
            let pictures: Vec<usize> = (0..groups.len()).collect();
            let usable = sizes.iter().filter(|&&n| n > 1).count();
            let batches = match by_group(&pictures, &groups, (p, k), seed, epoch) {
                Ok(batches) => batches,
                Err(e) => {
                    prop_assert_eq!(e, SampleError::Groups { usable, groups: sizes.len() });
                    prop_assert!(usable < 2);
                    return Ok(());
                }
            };
            prop_assert_eq!(&batches, &by_group(&pictures, &groups, (p, k), seed, epoch).expect("ok"));
            let mut seen = HashSet::new();
            for batch in &batches {
                let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
                let distinct: HashSet<_> = batch.iter().collect();
                prop_assert_eq!(distinct.len(), batch.len(), "twice in a batch");
                batch.iter().for_each(|&i| *counts.entry(groups[i]).or_default() += 1);
                prop_assert!((2..=p).contains(&counts.len()), "{} groups", counts.len());
                prop_assert!(counts.values().all(|&n| (2..=k).contains(&n)), "{counts:?}");
                seen.extend(batch.iter().copied());
            }
            let want = pictures.iter().filter(|&&i| sizes[groups[i] as usize] > 1).count();
            prop_assert_eq!(seen.len(), want, "every picture that has a fellow comes");
        }
    }

    #[test]
    fn a_small_rest_joins_the_last_batch() {
        // Two of five classes alone would have no negatives every fifth time.
        let pictures: Vec<usize> = (0..130).collect();
        let sizes: Vec<usize> = shuffled(&pictures, 64, 1, 0).iter().map(Vec::len).collect();
        assert_eq!(sizes, [64, 66]);
        let sizes: Vec<usize> = shuffled(&pictures[..72], 64, 1, 0).iter().map(Vec::len).collect();
        assert_eq!(sizes, [64, 8], "an eighth is a batch");
    }

    #[test]
    fn epochs_and_seeds_differ() {
        let pictures: Vec<usize> = (0..50).collect();
        let first = shuffled(&pictures, 8, 1, 0);
        assert_ne!(first, shuffled(&pictures, 8, 1, 1));
        assert_ne!(first, shuffled(&pictures, 8, 2, 0));
    }

    #[test]
    fn too_small_is_refused() {
        assert_eq!(by_group(&[0, 1], &[0, 0], (1, 2), 0, 0), Err(SampleError::Size { p: 1, k: 2 }));
        let error = by_group(&[0, 1, 2], &[0, 0, 1], (2, 2), 0, 0).expect_err("one usable group");
        assert!(error.to_string().contains("found 1 among 2"), "{error}");
    }
}
