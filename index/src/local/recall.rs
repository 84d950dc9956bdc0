//! How many of the true nearest does the graph find on this very store, and how
//! widely must it search to find enough?
//!
//! Texts do not lie where pictures lie, and a graph of pictures is worse at finding
//! what is near a text than what is near a picture. So each kind of question is
//! measured on its own, against comparing with every vector, and the least width
//! (`ef`) at which all of them reach the target is kept with the store. Searches use
//! it from then on, those of other processes from their next opening.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, SystemTime};

use ekphrasis_embed::Embedding;
use serde_json::{Value, json};

use super::read::Wanted;
use super::{Inner, LocalStore, Snapshot};
use crate::catalogue::Catalogue;
use crate::filter::{Pass, Plan};
use crate::topk::Scored;
use crate::vector::Graph;
use crate::{ItemId, Kind, StoreError};

/// The setting of the catalogue that keeps what was measured.
pub(super) const SETTING: &str = "recall";
/// Neighbours of each query that have to be found.
const K: usize = 10;
/// Widths that are tried, in this order. Less than 32 is never kept for ten.
const EFS: [usize; 12] = [32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 2048];

/// The width that stands for comparing with every vector: the planner takes that to be less
/// work than keeping so many.
const ALL: usize = 1 << 20;

/// Queries that look for one kind of item.
#[derive(Clone, Debug)]
pub struct Probe {
    /// What the queries are made of.
    pub from: Kind,
    /// What they look for; `None`: any kind.
    pub to: Option<Kind>,
    /// The queries.
    pub queries: Vec<Embedding>,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Recall {
    /// What share of the true ten nearest was to be found, in 0..=1.
    pub target: f64,
    /// Candidates that the graph keeps in a search: the fewest that reach the target, or
    /// the most that were tried; 1,048,576 if comparing with every vector was faster than
    /// that, and is what searches do. `None` if there is no graph to ask.
    pub ef: Option<usize>,
    /// Whether every side reached the target.
    pub met: bool,
    /// Living vectors at the time.
    pub vectors: u64,
    /// Vectors in the graph at the time; 0 if there was none.
    pub graph: u64,
    /// When, seconds since 1970 UTC.
    pub at: i64,
    /// One for each probe.
    pub sides: Vec<Side>,
}

/// What one probe showed.
#[derive(Clone, Debug, PartialEq)]
pub struct Side {
    /// What the queries were made of.
    pub from: Kind,
    /// What they looked for; `None`: any kind.
    pub to: Option<Kind>,
    /// How many there were.
    pub queries: usize,
    /// Recall@10: the share of the true ten nearest that was found, or others as near. In 0..=1.
    pub recall: f64,
    /// Its standard error, from query to query.
    pub error: f64,
    /// Whether every vector was compared, because there are few of the kind.
    pub scanned: bool,
    /// Time of a search, on average.
    pub took: Duration,
    /// Time of comparing with every vector, on average.
    pub exact_took: Duration,
}

impl Recall {
    /// Whether every search compares with every vector, so that nothing can be missed: the
    /// store is small, or so many candidates are needed that this is as fast.
    pub fn is_exact(&self) -> bool {
        self.sides.iter().all(|side| side.scanned)
    }

    fn to_json(&self) -> Value {
        let sides = self.sides.iter().map(|s| {
            json!({
                "from": s.from.as_str(), "to": s.to.map(Kind::as_str), "queries": s.queries,
                "recall": s.recall, "error": s.error, "scanned": s.scanned,
                "ns": s.took.as_nanos() as u64, "exact_ns": s.exact_took.as_nanos() as u64,
            })
        });
        json!({
            "target": self.target, "ef": self.ef, "met": self.met, "vectors": self.vectors, "graph": self.graph,
            "at": self.at, "sides": sides.collect::<Vec<_>>(),
        })
    }

    /// `None` if it is not as [`Recall::to_json`] writes it.
    fn from_json(value: &Value) -> Option<Self> {
        let kind =
            |value: &Value| [Kind::Image, Kind::Text].into_iter().find(|k| value == k.as_str());
        let count = |value: &Value| value.as_u64().and_then(|n| usize::try_from(n).ok());
        let time = |value: &Value| value.as_u64().map(Duration::from_nanos);
        let side = |s: &Value| {
            Some(Side {
                from: kind(&s["from"])?,
                to: match &s["to"] {
                    Value::Null => None,
                    to => Some(kind(to)?),
                },
                queries: count(&s["queries"])?,
                recall: s["recall"].as_f64()?,
                error: s["error"].as_f64()?,
                scanned: s["scanned"].as_bool()?,
                took: time(&s["ns"])?,
                exact_took: time(&s["exact_ns"])?,
            })
        };
        Some(Self {
            target: value["target"].as_f64()?,
            ef: match &value["ef"] {
                Value::Null => None,
                ef => Some(count(ef).filter(|ef| (1..=ALL).contains(ef))?),
            },
            met: value["met"].as_bool()?,
            vectors: value["vectors"].as_u64()?,
            graph: value["graph"].as_u64()?,
            at: value["at"].as_i64()?,
            sides: value["sides"].as_array()?.iter().map(side).collect::<Option<_>>()?,
        })
    }
}

impl LocalStore {
    /// Items of a kind, about `count` of them, spread evenly over the store in the
    /// order in which they came, with their vectors.
    ///
    /// # Errors
    /// As the catalogue cannot be read.
    pub fn sample(&self, kind: Kind, count: usize) -> Result<Vec<(ItemId, Embedding)>, StoreError> {
        self.refresh()?;
        let rows = &self.inner.snapshot().rows;
        let of_kind = rows.count(&Pass::new(Some(kind), None)) as usize;
        let count = count.min(of_kind);
        let (mut sample, mut seen) = (Vec::with_capacity(count), 0);
        for row in 0..rows.len() {
            let Some((id, _)) = rows.live(row).filter(|(_, of)| *of == kind) else { continue };
            // The next one is due when the share of them that was taken falls behind.
            if (sample.len() * of_kind) <= seen * count
                && sample.len() < count
                && let Some(vector) = rows.vector(row)
                && let Ok(embedding) = Embedding::new(&self.inner.space, vector.to_vec())
            {
                sample.push((id, embedding));
            }
            seen += 1;
        }
        Ok(sample)
    }

    /// Queries that lie as items of a kind do and are none of the store: about `count` of
    /// them, spread as a [`sample`](LocalStore::sample) is. What is in a graph is found
    /// more easily by it than what is not, and would flatter it.
    ///
    /// Each is the middle between an item and its tenth neighbour of the kind.
    ///
    /// # Errors
    /// As the catalogue cannot be read.
    pub fn unseen(&self, kind: Kind, count: usize) -> Result<Vec<Embedding>, StoreError> {
        let (snapshot, pass) = (self.inner.snapshot(), Pass::new(Some(kind), None));
        // It lends its codes; without it they would be made for all rows.
        let graph = self.inner.graph_of(&snapshot);
        let middle = |(_, item): (ItemId, Embedding)| {
            let wanted = Wanted { vector: item.values(), count: K + 1, ef: None, pass: &pass };
            let nearest = self.inner.nearest_by(graph.as_deref(), &snapshot, &wanted);
            let other = snapshot.rows.vector(nearest.last()?.row)?;
            let sums = item.values().iter().zip(other).map(|(a, b)| a + b).collect();
            // Two that are opposite have no middle.
            Embedding::new(&self.inner.space, sums).ok()
        };
        Ok(self.sample(kind, count)?.into_iter().filter_map(middle).collect())
    }

    /// Measures the share of the true ten nearest that searches find, by comparing with
    /// all vectors, and finds the least `ef` at which every probe reaches `target`.
    /// Changes nothing.
    ///
    /// # Errors
    /// As the catalogue cannot be read.
    pub fn measure_recall(&self, probes: &[Probe], target: f64) -> Result<Recall, StoreError> {
        loop {
            self.refresh()?;
            let (inner, snapshot) = (&*self.inner, self.inner.snapshot());
            let graph = inner.graph_of(&snapshot);
            let (recall, stands) = Measure { inner, snapshot, graph }.recall(probes, target);
            // If the graph was lost or replaced meanwhile, that one was measured in vain.
            if stands {
                return Ok(recall);
            }
        }
    }

    /// Keeps what was measured with the store; searches use its `ef` from now on.
    ///
    /// # Errors
    /// `ReadOnly`, or as writing the catalogue fails.
    pub fn keep_recall(&self, recall: &Recall) -> Result<(), StoreError> {
        self.set_setting(SETTING, Some(&recall.to_json().to_string()))?;
        self.inner.set_ef(Some(recall));
        Ok(())
    }

    /// What was last measured and kept, if anything.
    ///
    /// # Errors
    /// As reading the catalogue fails.
    pub fn recall(&self) -> Result<Option<Recall>, StoreError> {
        self.inner.read(kept)
    }

    /// Whether a graph is asked that was not measured yet, or has since grown or
    /// shrunk by more than a quarter.
    ///
    /// # Errors
    /// As reading the catalogue fails.
    pub fn is_recall_due(&self) -> Result<bool, StoreError> {
        let snapshot = self.inner.snapshot();
        let live = snapshot.rows.count(&Pass::default());
        if live < self.inner.options.graph_from as u64 || self.inner.graph_of(&snapshot).is_none() {
            return Ok(false);
        }
        let measured = self.recall()?.filter(|recall| recall.graph > 0);
        Ok(measured.is_none_or(|recall| live.abs_diff(recall.vectors) > recall.vectors / 4))
    }
}

/// What is kept in the catalogue; what cannot be read there is measured again.
pub(super) fn kept(catalogue: &Catalogue) -> Result<Option<Recall>, StoreError> {
    let text = catalogue.setting(SETTING)?;
    Ok(text.and_then(|text| Recall::from_json(&serde_json::from_str(&text).ok()?)))
}

impl Inner {
    /// Candidates that the graph keeps in a search.
    pub(super) fn ef(&self) -> usize {
        match self.ef.load(Ordering::Relaxed) {
            0 => self.options.graph_ef,
            measured => measured,
        }
    }

    pub(super) fn set_ef(&self, recall: Option<&Recall>) {
        self.ef.store(recall.and_then(|recall| recall.ef).unwrap_or(0), Ordering::Relaxed);
    }
}

/// What is measured: one state and its graph, whatever happens to the store meanwhile.
struct Measure<'a> {
    inner: &'a Inner,
    snapshot: Arc<Snapshot>,
    graph: Option<Arc<Graph>>,
}

/// The true neighbours of a probe's queries.
struct Truth<'a> {
    probe: &'a Probe,
    pass: Pass,
    /// The score of the last of the ten, and how many there are, for each query.
    tenth: Vec<(f32, usize)>,
    took: Duration,
}

impl Measure<'_> {
    /// What was measured, and whether the graph is still the store's and sound.
    fn recall(&self, probes: &[Probe], target: f64) -> (Recall, bool) {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let truths: Vec<Truth<'_>> = probes.iter().map(|probe| self.truth(probe)).collect();
        let sides = |ef| truths.iter().map(|truth| self.side(truth, ef)).collect::<Vec<_>>();
        let mut recall = Recall {
            target,
            ef: None,
            met: true,
            vectors: self.snapshot.rows.count(&Pass::default()),
            graph: self.graph.as_ref().map_or(0, |graph| graph.size() as u64),
            at: now.as_secs() as i64,
            sides: vec![],
        };
        for ef in EFS {
            recall.sides = sides(ef);
            // Not even the narrowest search asks a graph: there is no width to choose.
            if ef == EFS[0] && recall.is_exact() {
                break;
            }
            recall.ef = Some(ef);
            recall.met = recall.sides.iter().all(|side| side.recall >= target);
            if recall.met {
                break;
            }
        }
        // Where the graph's work counts as nothing, it is asked in any case.
        let may_scan = recall.ef.is_some() && self.inner.options.graph_work > 0;
        if may_scan && scan_is_faster(&recall.sides) {
            (recall.ef, recall.sides) = (Some(ALL), sides(ALL));
            recall.met = recall.sides.iter().all(|side| side.recall >= target);
        }
        let now = self.inner.graph_of(&self.inner.snapshot());
        (recall, now.as_ref().map(Arc::as_ptr) == self.graph.as_ref().map(Arc::as_ptr))
    }

    fn nearest(&self, query: &Embedding, ef: Option<usize>, pass: &Pass) -> Vec<Scored> {
        let wanted = Wanted { vector: query.values(), count: K, ef, pass };
        self.inner.nearest_by(self.graph.as_deref(), &self.snapshot, &wanted)
    }

    fn truth<'p>(&self, probe: &'p Probe) -> Truth<'p> {
        let pass = Pass::new(probe.to, None);
        let start = Instant::now();
        let one = |query: &Embedding| {
            let ranking = self.nearest(query, None, &pass);
            (ranking.last().map_or(f32::MIN, |s| s.score), ranking.len())
        };
        let tenth: Vec<_> = probe.queries.iter().map(one).collect();
        let took = start.elapsed() / (tenth.len().max(1) as u32);
        Truth { probe, pass, tenth, took }
    }

    fn side(&self, truth: &Truth<'_>, ef: usize) -> Side {
        let Probe { from, to, queries } = truth.probe;
        let scanned = self.graph.as_ref().is_none_or(|graph| {
            self.inner.plan(graph, &self.snapshot.rows, &truth.pass, K, ef) == Plan::Scan
        });
        let start = Instant::now();
        let one = |(query, (tenth, count)): (&Embedding, &(f32, usize))| {
            let ranking = self.nearest(query, Some(ef), &truth.pass);
            // Others that are as near are as good: of equals, which are the ten is chance.
            let found = ranking.iter().filter(|s| s.score >= *tenth).count();
            if *count == 0 { 1.0 } else { found.min(*count) as f64 / *count as f64 }
        };
        let each: Vec<f64> = queries.iter().zip(&truth.tenth).map(one).collect();
        let took = start.elapsed() / (each.len().max(1) as u32);
        let n = each.len().max(1) as f64;
        let recall = if each.is_empty() { 1.0 } else { each.iter().sum::<f64>() / n };
        let variance = each.iter().map(|r| (r - recall).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
        Side {
            from: *from,
            to: *to,
            queries: each.len(),
            recall,
            error: (variance / n).sqrt(),
            scanned,
            took,
            exact_took: truth.took,
        }
    }
}

/// Whether the graph, as wide as it has to be, costs more than comparing with every vector:
/// so it is where queries lie far from all items, as those of a model for other pictures do.
fn scan_is_faster(sides: &[Side]) -> bool {
    let asked: Vec<_> = sides.iter().filter(|side| !side.scanned).collect();
    let sum = |of: fn(&Side) -> Duration| asked.iter().map(|side| of(side)).sum::<Duration>();
    sum(|side| side.took) > sum(|side| side.exact_took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_that_is_slower_than_a_scan_is_not_asked() {
        let side = |took, exact, scanned| Side {
            from: Kind::Text,
            to: None,
            queries: 10,
            recall: 1.0,
            error: 0.0,
            scanned,
            took: Duration::from_micros(took),
            exact_took: Duration::from_micros(exact),
        };
        assert!(scan_is_faster(&[side(1_260, 910, false)]));
        assert!(!scan_is_faster(&[side(150, 910, false)]));
        // One kind of query may be slower if the others win more by it.
        assert!(!scan_is_faster(&[side(1_260, 910, false), side(150, 910, false)]));
        // What is scanned anyway says nothing about the graph.
        assert!(!scan_is_faster(&[side(910, 905, true), side(150, 910, false)]));
        assert!(!scan_is_faster(&[side(910, 905, true)]));
    }

    #[test]
    fn what_was_measured_comes_back() {
        let side = Side {
            from: Kind::Text,
            to: Some(Kind::Image),
            queries: 200,
            recall: 0.9915,
            error: 0.001_25,
            scanned: false,
            took: Duration::from_micros(210),
            exact_took: Duration::from_micros(4_321),
        };
        let recall = Recall {
            target: 0.99,
            ef: Some(96),
            met: true,
            vectors: 123_456,
            graph: 120_000,
            at: 1_800_000_000,
            sides: vec![side],
        };
        assert_eq!(Recall::from_json(&recall.to_json()), Some(recall.clone()));
        for (field, bad) in
            [("ef", json!(0)), ("ef", json!("96")), ("sides", json!([{}])), ("target", json!("x"))]
        {
            let mut value = recall.to_json();
            value[field] = bad;
            assert_eq!(Recall::from_json(&value), None, "{field}");
        }
    }
}
