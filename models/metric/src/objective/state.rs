//! What of an objective outlives the process? Everything but its options, as bytes.

use super::Objective;
use super::magnet_index::{Cluster, MagnetIndex, Seen};
use crate::LossError;
use crate::memory::{Held, Memory};

/// Version of the layout.
const VERSION: u32 = 2;

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn number(&mut self, v: u32) {
        self.0.extend(v.to_le_bytes());
    }
    fn ids(&mut self, ids: &[u32]) {
        self.number(ids.len() as u32);
        ids.iter().for_each(|id| self.number(*id));
    }
    fn reals(&mut self, reals: &[f32]) {
        self.number(reals.len() as u32);
        reals.iter().for_each(|v| self.number(v.to_bits()));
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Option<u32> {
        let (head, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*head))
    }
    fn ids(&mut self) -> Option<Vec<u32>> {
        let length = self.number()? as usize;
        (length <= self.0.len() / 4).then(|| (0..length).map_while(|_| self.number()).collect())
    }
    fn reals(&mut self) -> Option<Vec<f32>> {
        Some(self.ids()?.into_iter().map(f32::from_bits).collect())
    }
}

impl Objective {
    /// Parameters, queues and clusters: all that [`step`](Self::step) depends on
    /// beside its arguments.
    pub fn export(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.number(VERSION);
        out.reals(&self.scalar);
        out.number(self.classifiers.len() as u32);
        self.classifiers.iter().for_each(|c| out.reals(c));
        for memory in [&self.images, &self.texts] {
            let Held { next, groups, texts, rows } = memory.export();
            out.number(next as u32);
            out.ids(&groups);
            out.ids(&texts);
            out.reals(&rows);
        }
        out.number(self.index.since as u32);
        out.number(self.index.clusters.len() as u32);
        for (id, cluster) in &self.index.clusters {
            out.ids(&[*id, cluster.class]);
            out.reals(&cluster.centre);
        }
        out.number(self.index.rows.len() as u32);
        for (id, seen) in &self.index.rows {
            out.ids(&[*id, seen.class]);
            out.reals(&[seen.loss]);
            out.reals(&seen.embedding);
        }
        out.0
    }

    /// Takes up what [`export`](Self::export) gave.
    ///
    /// # Errors
    /// `State` if the bytes are not those of an objective of these options; then
    /// nothing is changed.
    pub fn import(&mut self, bytes: &[u8]) -> Result<(), LossError> {
        let wrong = |what, expected: String, got: String| LossError::State { what, expected, got };
        let cut =
            || wrong("its length", "the whole state".into(), format!("{} bytes", bytes.len()));
        let mut from = Reader(bytes);
        let version = from.number().ok_or_else(cut)?;
        if version != VERSION {
            return Err(wrong("its version", VERSION.to_string(), version.to_string()));
        }
        let scalar = from.reals().ok_or_else(cut)?;
        let count = from.number().ok_or_else(cut)? as usize;
        let lengths: Vec<usize> = self.classifiers.iter().map(Vec::len).collect();
        if scalar.len() != self.scalar.len() || count != lengths.len() {
            let (expected, got) = (
                format!("{} learned scalars, {} classifiers", self.scalar.len(), lengths.len()),
                format!("{} and {count}", scalar.len()),
            );
            return Err(wrong("its parameters", expected, got));
        }
        let mut classifiers = Vec::new();
        for length in lengths {
            let weights = from.reals().ok_or_else(cut)?;
            if weights.len() != length {
                return Err(wrong("a classifier", length.to_string(), weights.len().to_string()));
            }
            classifiers.push(weights);
        }
        let size = self.options.memory.map_or(0, |m| m.size);
        let mut memories = Vec::new();
        for _ in 0..2 {
            let next = from.number().ok_or_else(cut)? as usize;
            let (groups, texts) = (from.ids().ok_or_else(cut)?, from.ids().ok_or_else(cut)?);
            let count = groups.len();
            let held = Held { next, groups, texts, rows: from.reals().ok_or_else(cut)? };
            let memory = Memory::import(size, held).ok_or_else(|| {
                wrong("a memory", format!("at most {size} rows"), count.to_string())
            })?;
            memories.push(memory);
        }
        let index = Self::read_index(&mut from).ok_or_else(cut)?;
        if !from.0.is_empty() {
            return Err(wrong(
                "its length",
                "an end".into(),
                format!("{} bytes more", from.0.len()),
            ));
        }
        self.scalar = scalar;
        self.classifiers = classifiers;
        (self.texts, self.images) = (memories.remove(1), memories.remove(0));
        self.index = index;
        Ok(())
    }

    fn read_index(from: &mut Reader<'_>) -> Option<MagnetIndex> {
        let mut index = MagnetIndex { since: u64::from(from.number()?), ..MagnetIndex::default() };
        for _ in 0..from.number()? {
            let ids = from.ids()?;
            let (&id, &class) = (ids.first()?, ids.get(1)?);
            index.clusters.insert(id, Cluster { class, centre: from.reals()? });
        }
        for _ in 0..from.number()? {
            let ids = from.ids()?;
            let (&id, &class) = (ids.first()?, ids.get(1)?);
            let loss = *from.reals()?.first()?;
            index.rows.insert(id, Seen { class, loss, embedding: from.reals()? });
        }
        Some(index)
    }
}
