//! Vectors that tests and their stores are made of.

use std::path::Path;

use ekphrasis_embed::Space;

use super::{Added, Rows, VectorFile};
use crate::disk::OsDisk;
use crate::{ItemId, Kind};

/// A small deterministic generator (SplitMix64), so that seeds can be printed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// About normal, mean 0.
    pub(crate) fn normal(&mut self) -> f32 {
        (0..4).map(|_| (self.next() >> 40) as f32 / (1u64 << 24) as f32 - 0.5).sum()
    }

    /// A unit vector around `centre`.
    pub(crate) fn vector(&mut self, centre: &[f32], spread: f32) -> Vec<f32> {
        let v: Vec<f32> = centre.iter().map(|c| c + spread * self.normal()).collect();
        let norm = ekphrasis_embed::dot(&v, &v).sqrt();
        v.iter().map(|x| x / norm).collect()
    }
}

/// The id of row `i` in tests.
pub(crate) fn id(i: u64) -> ItemId {
    ItemId::for_text(&i.to_string())
}

/// A vector file in `dir` and what it is of.
pub(crate) struct Store {
    pub(crate) space: Space,
    pub(crate) file: VectorFile,
    pub(crate) rows: Rows,
}

impl Store {
    /// An empty one.
    pub(crate) fn new(dir: &Path, dim: usize) -> Self {
        let space = Space::new("toy", dim).expect("valid");
        VectorFile::create(&OsDisk, dir, &space, 1).expect("created");
        let file = VectorFile::open(&OsDisk, dir, &space, 1, true).expect("opened");
        Self { space, file, rows: Rows::empty() }
    }

    /// Adds rows; `kind` tells a row's by its number. `dead` are rows that die.
    pub(crate) fn add(&mut self, vectors: &[Vec<f32>], kind: impl Fn(u64) -> Kind, dead: &[u64]) {
        self.append(vectors);
        self.publish(vectors.len(), kind, dead);
    }

    /// Writes rows that are not yet published.
    pub(crate) fn append(&mut self, vectors: &[Vec<f32>]) {
        let first = self.rows.len();
        let rows = (first..).zip(vectors).map(|(i, v)| (id(i), &v[..]));
        self.file.append(first, rows).expect("appended");
    }

    /// Publishes `count` rows that were written.
    pub(crate) fn publish(&mut self, count: usize, kind: impl Fn(u64) -> Kind, dead: &[u64]) {
        let first = self.rows.len();
        let len = first + count as u64;
        let added: Vec<Added> =
            (first..len).map(|row| Added { row, id: id(row), kind: kind(row) }).collect();
        self.rows = self.rows.next(&self.file, len, &added, dead).expect("mapped");
    }
}
