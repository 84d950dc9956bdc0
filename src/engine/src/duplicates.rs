//! Given a store's pictures, which are copies of one another, and which copy is
//! the best? Identical files by their hash; the rest if model and fingerprint
//! both say so: the model alone takes two pictures of one kind of thing for the
//! same, the fingerprint alone two drawings on much white.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use ekphrasis_embed::Embedding;
use ekphrasis_index::{Colour, Filter, Item, ItemId, Kind, Query, Seq, StoreRead};

use crate::{Engine, EngineError};

/// The least cosine of near copies, by the model.
const COSINE: f32 = 0.94;
/// The most of 64 bits in which fingerprints of near copies differ.
const BITS: u32 = 9;
/// Neighbours of a picture that are looked at; larger groups come together link by link.
const NEIGHBOURS: usize = 24;
/// Identical files beside which near copies are looked for, at most.
const CROWD: usize = 1000;
/// Items read at once.
const BATCH: usize = 512;

/// Pictures that are copies of one another.
#[derive(Clone, Debug)]
pub struct DuplicateGroup {
    /// Whether all files are identical.
    pub identical: bool,
    /// The best first, then by path. At least two.
    pub copies: Vec<Duplicate>,
    /// Why the first is the best, in a few words.
    pub why: &'static str,
}

/// One of several copies.
#[derive(Clone, Debug)]
pub struct Duplicate {
    /// The picture.
    pub item: Item,
    /// Cosine to the best; 1 for an identical file.
    pub similarity: f32,
}

/// The copies in a store.
#[derive(Clone, Debug, Default)]
pub struct DuplicateReport {
    /// Those that take the most bytes beside the best first.
    pub groups: Vec<DuplicateGroup>,
    /// Pictures that were compared.
    pub pictures: u64,
    /// Copies beside the best of each group.
    pub copies: u64,
    /// Bytes of those.
    pub bytes: u64,
}

/// What is compared of a picture.
struct Known {
    id: ItemId,
    content: [u8; 32],
    /// The fingerprint and the colours; `None` if nobody looked.
    look: Option<(u64, Vec<Colour>)>,
}

impl Known {
    fn of(item: &Item) -> Option<Self> {
        let content = item.file.as_ref()?.content;
        let look = item.facts.as_ref().and_then(|f| Some((f.look?, f.colours.clone())));
        Some(Self { id: item.id, content, look })
    }

    /// Whether both show the same, by fingerprint and colours: surfaces without
    /// anything on them have one fingerprint, whatever their colour.
    fn looks_like(&self, other: &Self) -> bool {
        let (Some((a, colours)), Some((b, others))) = (&self.look, &other.look) else {
            return false;
        };
        let has = |list: &[Colour], first: Option<&Colour>| first.is_none_or(|c| list.contains(c));
        (a ^ b).count_ones() <= BITS && has(colours, others.first()) && has(others, colours.first())
    }
}

impl Engine {
    /// The pictures that are copies of one another, among those that the filter lets
    /// through; only identical files if `identical` says so. What was found last is
    /// kept as long as the store does not change, so that one can page through it.
    ///
    /// # Errors
    /// `Busy` while somebody else has them looked for, which takes a search a picture;
    /// and if the store cannot be read.
    pub fn duplicates(
        &self,
        identical: bool,
        filter: &Filter,
    ) -> Result<Arc<DuplicateReport>, EngineError> {
        let Ok(mut kept) = self.copies.try_lock() else {
            return Err(EngineError::Busy("copies are being looked for already; try again soon"));
        };
        let asked = Asked { seq: self.fresh()?.seq(), identical, filter: filter.clone() };
        if let Some((_, report)) = kept.as_ref().filter(|(of, _)| *of == asked) {
            return Ok(Arc::clone(report));
        }
        let report = Arc::new(self.find_duplicates(identical, filter)?);
        *kept = Some((asked, Arc::clone(&report)));
        Ok(report)
    }

    fn find_duplicates(
        &self,
        identical: bool,
        filter: &Filter,
    ) -> Result<DuplicateReport, EngineError> {
        let store = self.fresh()?;
        let filter = Filter { kind: Some(Kind::Image), ..filter.clone() };
        let (mut known, mut after) = (vec![], None);
        loop {
            let items = store.scan(after, BATCH, &filter)?;
            let Some(last) = items.last() else { break };
            after = Some(last.id);
            known.extend(items.iter().filter_map(Known::of));
        }
        let mut sets = Sets::new(known.len());
        // The first of each content, and how many there are.
        let mut first: HashMap<[u8; 32], (usize, usize)> = HashMap::new();
        for (i, one) in known.iter().enumerate() {
            let (of, count) = first.entry(one.content).or_insert((i, 0));
            *count += 1;
            sets.join(*of, i);
        }
        if !identical {
            let mut firsts: Vec<(usize, usize)> = first.into_values().collect();
            firsts.sort_unstable();
            self.join_near(&known, &firsts, &filter, &mut sets)?;
        }
        let mut groups = vec![];
        for members in sets.groups() {
            let ids: Vec<ItemId> = members.iter().map(|&i| known[i].id).collect();
            groups.extend(self.groups(&ids)?);
        }
        let spare = |group: &DuplicateGroup| -> u64 {
            group.copies[1..].iter().filter_map(|c| Some(c.item.file.as_ref()?.size)).sum()
        };
        groups.sort_by_key(|group| (Reverse(spare(group)), group.copies[0].item.id));
        Ok(DuplicateReport {
            pictures: known.len() as u64,
            copies: groups.iter().map(|group| group.copies.len() as u64 - 1).sum(),
            bytes: groups.iter().map(spare).sum(),
            groups,
        })
    }

    /// Joins each picture with those of its nearest that look the same.
    fn join_near(
        &self,
        known: &[Known],
        firsts: &[(usize, usize)],
        filter: &Filter,
        sets: &mut Sets,
    ) -> Result<(), EngineError> {
        let by_id: HashMap<ItemId, usize> =
            known.iter().enumerate().map(|(i, one)| (one.id, i)).collect();
        for batch in firsts.chunks(BATCH) {
            let ids: Vec<ItemId> = batch.iter().map(|&(i, _)| known[i].id).collect();
            for (&(i, same), embedding) in batch.iter().zip(self.store.embeddings(&ids)?) {
                let Some(embedding) = embedding.filter(|_| known[i].look.is_some()) else {
                    continue;
                };
                let query = Query {
                    vector: Some(embedding),
                    // Those that are identical must not hide the others.
                    k: NEIGHBOURS + same.min(CROWD),
                    filter: filter.clone(),
                    ..Query::default()
                };
                for hit in self.store.search(&query)? {
                    let Some(&other) = by_id.get(&hit.id) else { continue };
                    let near = hit.cosine.is_some_and(|cosine| cosine >= COSINE)
                        && known[i].looks_like(&known[other]);
                    if near {
                        sets.join(i, other);
                    }
                }
            }
        }
        Ok(())
    }

    /// The items of a set that came together link by link, in groups of copies of the
    /// best of each: the first and the last of a series may have nothing in common.
    fn groups(&self, ids: &[ItemId]) -> Result<Vec<DuplicateGroup>, EngineError> {
        let items = self.store.items(ids)?;
        let embeddings = self.store.embeddings(ids)?;
        let mut left: Vec<(Item, Option<Embedding>)> =
            items.into_iter().zip(embeddings).filter_map(|(item, e)| Some((item?, e))).collect();
        left.sort_by_cached_key(|(item, _)| (Reverse(Worth::of(item)), item.path.clone()));
        let mut groups = vec![];
        while !left.is_empty() {
            let mut rest = left.split_off(1);
            let Some(best) = left.pop() else { break };
            let copies = rest
                .extract_if(.., |(item, embedding)| {
                    are_copies((&best.0, best.1.as_ref()), (item, embedding.as_ref()))
                })
                .collect();
            groups.extend(group(best, copies));
            left = rest;
        }
        Ok(groups)
    }
}

/// What two questions have to have in common to have one answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    seq: Seq,
    identical: bool,
    filter: Filter,
}

/// The best and its copies, which are in the order of their worth; `None` without any.
fn group(
    (best, embedding): (Item, Option<Embedding>),
    copies: Vec<(Item, Option<Embedding>)>,
) -> Option<DuplicateGroup> {
    let why = Worth::of(&best).over(&Worth::of(&copies.first()?.0));
    let content = |item: &Item| item.file.as_ref().map(|file| file.content);
    let same = |item: &Item| content(item) == content(&best);
    let similarity = |(item, other): &(Item, Option<Embedding>)| match same(item) {
        true => 1.0,
        false => {
            let cosine = embedding.as_ref().zip(other.as_ref()).map(|(a, b)| a.cosine(b));
            cosine.and_then(Result::ok).unwrap_or_default()
        }
    };
    let identical = copies.iter().all(|(item, _)| same(item));
    let others: Vec<Duplicate> = copies
        .into_iter()
        .map(|copy| Duplicate { similarity: similarity(&copy), item: copy.0 })
        .collect();
    let first = Duplicate { item: best, similarity: 1.0 };
    let copies = std::iter::once(first).chain(others).collect();
    Some(DuplicateGroup { identical, copies, why })
}

/// Whether two pictures are copies, as far as their files and vectors say.
pub(crate) fn are_copies(a: (&Item, Option<&Embedding>), b: (&Item, Option<&Embedding>)) -> bool {
    let (Some(one), Some(other)) = (Known::of(a.0), Known::of(b.0)) else { return false };
    let near = || {
        let cosine = a.1.zip(b.1).and_then(|(a, b)| a.cosine(b).ok());
        one.looks_like(&other) && cosine.is_some_and(|cosine| cosine >= COSINE)
    };
    one.content == other.content || near()
}

/// What a copy is worth: compared from the first on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Worth {
    /// The camera's own file.
    raw: bool,
    /// Pixels, in steps of some percent: a row more or less is no merit.
    pixels: u32,
    /// What the camera noted.
    facts: u32,
    /// Bytes: of equal pixels, the less compressed.
    bytes: u64,
    /// The older, in nanoseconds before 1970.
    older: i64,
}

impl Worth {
    fn of(item: &Item) -> Self {
        const RAW: [&str; 12] =
            ["cr2", "cr3", "nef", "arw", "dng", "orf", "rw2", "raf", "pef", "srw", "3fr", "raw"];
        let file = item.file.as_ref();
        let pixels = file.map_or(0.0, |f| f64::from(f.width) * f64::from(f.height));
        let facts = item.facts.as_ref().map_or(0, |facts| {
            u32::from(facts.taken.is_some())
                + u32::from(facts.camera().is_some())
                + u32::from(facts.place.is_some())
        });
        Self {
            raw: file.is_some_and(|f| RAW.contains(&f.format.as_str())),
            pixels: (pixels.max(1.0).ln() * 25.0) as u32,
            facts,
            bytes: file.map_or(0, |f| f.size),
            older: file.map_or(i64::MIN, |f| f.mtime_ns.saturating_neg()),
        }
    }

    /// Why this is worth more than another, which is next.
    fn over(&self, next: &Self) -> &'static str {
        match () {
            () if self.raw != next.raw => "the camera's own file",
            () if self.pixels != next.pixels => "most pixels",
            () if self.facts != next.facts => "keeps what the camera noted",
            () if self.bytes != next.bytes => "least compressed",
            () if self.older != next.older => "oldest",
            () => "first by name",
        }
    }
}

/// Disjoint sets of numbers.
struct Sets(Vec<usize>);

impl Sets {
    fn new(count: usize) -> Self {
        Self((0..count).collect())
    }

    fn root(&mut self, mut i: usize) -> usize {
        while self.0[i] != i {
            self.0[i] = self.0[self.0[i]];
            i = self.0[i];
        }
        i
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        self.0[a.max(b)] = a.min(b);
    }

    /// Sets of two or more, each in ascending order.
    fn groups(mut self) -> Vec<Vec<usize>> {
        let mut groups: HashMap<usize, Vec<usize>> = HashMap::new();
        for i in 0..self.0.len() {
            groups.entry(self.root(i)).or_default().push(i);
        }
        groups.into_values().filter(|group| group.len() > 1).collect()
    }
}

#[cfg(test)]
mod tests {
    use ekphrasis_index::{Facts, FileFacts};

    use super::*;

    fn copy(width: u32, size: u64, mtime_ns: i64, format: &str, model: Option<&str>) -> Item {
        let format = format.into();
        let file = FileFacts { size, mtime_ns, content: [1; 32], width, height: width, format };
        let mut item = Item::of_picture("/a.jpg".into(), file);
        item.facts = Some(Facts { model: model.map(Into::into), ..Facts::default() });
        item
    }

    #[test]
    fn the_best_copy_is_the_one_a_person_would_keep() {
        // Each is better than the one after it, for the reason that stands there.
        let ranked = [
            (copy(160, 900, 50, "nef", None), "the camera's own file"),
            (copy(4000, 900, 50, "jpeg", None), "most pixels"),
            (copy(2000, 100, 50, "jpeg", Some("X100")), "keeps what the camera noted"),
            (copy(1999, 500, 50, "jpeg", None), "least compressed"),
            (copy(2000, 300, 40, "jpeg", None), "oldest"),
            (copy(2000, 300, 50, "jpeg", None), ""),
        ];
        for pair in ranked.windows(2) {
            let [a, b] = [Worth::of(&pair[0].0), Worth::of(&pair[1].0)];
            assert!(a > b, "{a:?} {b:?}");
            assert_eq!(a.over(&b), pair[0].1);
        }
    }

    #[test]
    fn sets_join() {
        let mut sets = Sets::new(7);
        for (a, b) in [(5, 3), (1, 1), (3, 6), (0, 2)] {
            sets.join(a, b);
        }
        let mut groups = sets.groups();
        groups.sort();
        assert_eq!(groups, [vec![0, 2], vec![3, 5, 6]]);
    }
}
