//! What of an objective outlives the process? Everything but its options, as bytes.

use super::Objective;
use super::magnet_index::{Cluster, MagnetIndex, Seen};
use crate::LossError;
use crate::bytes::{Reader, Writer};
use crate::memory::{Held, Memory};

/// Version of the layout.
const VERSION: u32 = 3;

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
            out.ids(&[*id, seen.class, seen.cluster]);
            out.reals(seen.loss.as_slice());
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
            let &[id, class] = from.ids()?.as_slice() else { return None };
            index.clusters.insert(id, Cluster { class, centre: from.reals()? });
        }
        for _ in 0..from.number()? {
            let &[id, class, cluster] = from.ids()?.as_slice() else { return None };
            let loss = from.reals()?.first().copied();
            index.rows.insert(id, Seen { class, cluster, loss });
        }
        Some(index)
    }
}
