//! Given a query, which rows are probably nearest, without looking at all?
//!
//! A [`Graph`] is a list of immutable [`Segment`]s that follow each other and cover
//! the rows that lived when they were built; newer rows are scanned beside it. When
//! there are many, they become a segment of their own, together with those at the end
//! of the list that are not much larger. So a store that grows is built over a few
//! times as a whole, and a search asks a few segments.
//!
//! All of it is a projection: files may be lost or damaged at no other cost than
//! building again, so anything odd in them is an error here and a rebuild for the caller.

mod build;
mod collapse;
mod grown;
mod layout;
mod named;
mod noted;
mod refine;
mod segment;
mod sketched;
mod trust;
mod walk;

use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use ekphrasis_embed::Space;

pub(crate) use self::segment::Ask;
use self::segment::Segment;
use self::trust::BLOCK;
pub(crate) use self::trust::Damaged;
use super::Rows;
use crate::Seq;
use crate::disk::Disk;
use crate::topk::{Sieve, TopK};

/// A segment is built anew with those behind it when they are more than one in so many of it.
const GROWN: u64 = 4;

/// Frozen graphs over the rows before [`Graph::covered`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    segments: Vec<Arc<Segment>>,
}

impl Graph {
    /// The graph of all living rows, in one segment. `None` if cancelled.
    #[cfg(test)]
    pub(crate) fn of(rows: &Rows, seq: Seq, threads: usize, cancel: &AtomicBool) -> Option<Self> {
        Self::default().grown(rows, seq, threads, cancel)
    }

    /// The graph with the rows that it does not cover yet, in one more segment; for that
    /// those are built over that are small beside what is behind them, or that lost much.
    /// `None` if cancelled, or if such vectors cannot be quantised.
    pub(crate) fn grown(
        &self,
        rows: &Rows,
        seq: Seq,
        threads: usize,
        cancel: &AtomicBool,
    ) -> Option<Self> {
        let kept = self.kept(rows);
        let first = self.segments[..kept].last().map_or(0, |s| s.end());
        let segment = Segment::build(rows, first, seq, threads, cancel)?;
        let mut segments = self.segments[..kept].to_vec();
        segments.push(Arc::new(segment));
        Some(Self { segments })
    }

    /// How many segments stay as they are when the graph grows.
    fn kept(&self, rows: &Rows) -> usize {
        let mut kept = self.segments.len();
        let mut behind = rows.living(self.covered(), rows.len());
        for (i, segment) in self.segments.iter().enumerate().rev() {
            let living = rows.living(segment.first(), segment.end());
            let dead = (segment.size() as u64).saturating_sub(living);
            if segment.is_damaged() || behind > living / GROWN || dead > living / GROWN {
                kept = i;
            }
            behind += living;
        }
        kept
    }

    /// Whether a good part of what a segment covers is dead by now, or damaged.
    pub(crate) fn is_worn(&self, rows: &Rows) -> bool {
        self.segments.iter().any(|segment| {
            let living = rows.living(segment.first(), segment.end());
            let dead = (segment.size() as u64).saturating_sub(living);
            segment.is_damaged() || dead > (segment.size() as u64 / GROWN).max(1)
        })
    }

    /// Rows from here on are not in the graph.
    pub(crate) fn covered(&self) -> u64 {
        self.segments.last().map_or(0, |s| s.end())
    }

    /// The newest commit it was built of.
    pub(crate) fn seq(&self) -> Seq {
        self.segments.iter().map(|s| s.seq()).max().unwrap_or(0)
    }

    /// Whether it was built of these very rows, at commit `seq` or before.
    pub(crate) fn fits(&self, rows: &Rows, seq: Seq) -> bool {
        self.segments.iter().all(|segment| segment.fits(rows, seq))
    }

    /// How many rows are in the graph.
    pub(crate) fn size(&self) -> usize {
        self.segments.iter().map(|s| s.size()).sum()
    }

    /// The segments, in the order of their rows.
    #[cfg(test)]
    pub(crate) fn segments(&self) -> &[Arc<Segment>] {
        &self.segments
    }

    /// Adds to `top` the best of `keep` rows of each segment and kind near the query that live
    /// and that may be found, or the best of those that a filter names. `None` if these are to be
    /// scanned.
    ///
    /// # Errors
    /// `Damaged` if something that was read is; it is not to be asked again.
    pub(crate) fn search(
        &self,
        ask: &Ask<'_>,
        keep: usize,
        mut top: TopK,
    ) -> Result<Option<TopK>, Damaged> {
        if ask.pass.named().is_some() {
            // All are asked, so that all make them.
            let mut sketched = true;
            let others = self.segments.iter().any(|segment| segment.has_sketches());
            for segment in &self.segments {
                sketched &= segment.is_sketched(others, ask.pass)?;
            }
            if !sketched {
                return Ok(None);
            }
        }
        for segment in &self.segments {
            if !segment.search(ask, keep, &mut top)? {
                return Ok(None);
            }
        }
        Ok(Some(top))
    }

    /// The graph in `dir` as far as its files follow each other; empty if there is none.
    /// Files that are no segments are passed over.
    pub(crate) fn open(dir: &Path, space: &Space, generation: u32) -> Self {
        let mut graph = Self::default();
        loop {
            let first = graph.covered();
            match Segment::open(&dir.join(Segment::name(generation, first)), space, generation) {
                Ok(segment) if segment.first() == first && segment.end() > first => {
                    graph.segments.push(Arc::new(segment));
                }
                _ => return graph,
            }
        }
    }

    /// The generation of the graph's file `name`, finished or not, of any version.
    pub(crate) fn generation_of(name: &str) -> Option<u32> {
        let name = name.strip_suffix(".new").unwrap_or(name);
        let numbers = name.strip_prefix("graph-")?.strip_suffix(".ekg")?;
        let (generation, first) = match numbers.split_once('-') {
            Some((generation, first)) => (generation, first),
            None => (numbers, "0000000000"),
        };
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        let number = generation.parse().ok().filter(|_| digits(generation))?;
        // As it would be written, and no other way.
        let ours = format!("{number:04}") == generation && first.len() == 10 && digits(first);
        ours.then_some(number)
    }

    /// Saves the segments that have no file yet and removes the files of this generation
    /// that belong to none of them.
    pub(crate) fn save(
        &mut self,
        disk: &dyn Disk,
        dir: &Path,
        space: &Space,
        generation: u32,
    ) -> std::io::Result<()> {
        for segment in &mut self.segments {
            if segment.has_file() {
                continue;
            }
            segment.save(disk, dir, space, generation)?;
            // From here on it is the file's memory, which the system can take back.
            let path = dir.join(Segment::name(generation, segment.first()));
            if let Ok(opened) = Segment::open(&path, space, generation) {
                *segment = Arc::new(opened);
            }
        }
        self.tidy(disk, dir, generation)
    }

    /// Removes the files of graphs of this generation that are not of this graph.
    pub(crate) fn tidy(&self, disk: &dyn Disk, dir: &Path, generation: u32) -> std::io::Result<()> {
        let ours: Vec<String> =
            self.segments.iter().map(|s| Segment::name(generation, s.first())).collect();
        for entry in fs_err::read_dir(dir)? {
            let name = entry?.file_name();
            let Some(name) = name.to_str() else { continue };
            if Self::generation_of(name) == Some(generation) && !ours.iter().any(|o| o == name) {
                segment::remove(disk, &dir.join(name))?;
            }
        }
        Ok(())
    }

    /// What is wrong with the files of the graph in `dir`, a sentence each. Reads them all.
    pub(crate) fn problems(
        dir: &Path,
        space: &Space,
        generation: u32,
    ) -> std::io::Result<Vec<String>> {
        let mut problems = vec![];
        for entry in fs_err::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|n| n.ends_with(".ekg")) else { continue };
            if Self::generation_of(name) != Some(generation) {
                continue;
            }
            let mut start = vec![];
            match fs_err::File::open(entry.path()) {
                Ok(file) => file.take(BLOCK as u64).read_to_end(&mut start)?,
                // A writer has just put another one in its place.
                Err(e) if e.kind() == ErrorKind::NotFound => continue,
                Err(e) => return Err(e),
            };
            if layout::is_version_1(&start) {
                continue;
            }
            let wrong = match Segment::open(&entry.path(), space, generation) {
                Ok(segment) if segment.verify().is_err() => "a checksum in it is wrong".into(),
                Ok(_) => continue,
                Err(_) if !fs_err::exists(entry.path())? => continue,
                Err(what) => what,
            };
            problems.push(format!("the graph's file {name} is damaged ({wrong})"));
        }
        Ok(problems)
    }

    /// How many nodes there are to [`Graph::sift`] in all segments.
    pub(crate) fn nodes(&self) -> usize {
        self.segments.iter().map(|s| s.nodes()).sum()
    }

    /// Offers `sieve` those of nodes `from..to`, counted through all segments, whose rows
    /// live, may be found and may be of interest, but for rows in `without`.
    ///
    /// # Errors
    /// `Damaged` if something that was read is.
    pub(crate) fn sift(
        &self,
        ask: &Ask<'_>,
        (from, to): (usize, usize),
        without: &[u64],
        sieve: &mut Sieve,
    ) -> Result<(), Damaged> {
        let mut before = 0;
        for segment in &self.segments {
            let range = (from.saturating_sub(before), to.saturating_sub(before));
            segment.sift(ask, range, without, sieve)?;
            before += segment.nodes();
        }
        Ok(())
    }

    /// As [`Graph::sift`], of the rows in `range` that are named by what is asked.
    ///
    /// # Errors
    /// `Damaged` if something that was read is.
    pub(crate) fn sift_named(
        &self,
        ask: &Ask<'_>,
        range: std::ops::Range<u64>,
        without: &[u64],
        sieve: &mut Sieve,
    ) -> Result<(), Damaged> {
        for segment in &self.segments {
            let inside = range.start.max(segment.first())..range.end.min(segment.end());
            segment.sift_named(ask, inside, without, sieve)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
