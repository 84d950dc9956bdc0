//! Searches that only some rows may answer, against a scan of those rows and against the
//! same search without a filter. Ours alone: the peers filter in ways of their own.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use cpu_time::ProcessTime;
use ekphrasis_embed::Embedding;
use ekphrasis_index::{Access, Expr, Filter, Hit, ItemId, LocalStore, Options, Query, StoreRead};
use serde_json::{Value, json};

use crate::Result;
use crate::data::{CLUSTERS, DIM};
use crate::ours::{K, numbers, space};

/// Queries of either kind that are asked.
const ASKED: usize = 500;
/// One in so many rows passes.
const SHARES: [usize; 4] = [2, 10, 100, 1000];
/// Best of so many rounds.
const ROUNDS: usize = 3;

/// How the rows that pass lie to the query.
const TIES: [&str; 3] = ["uncorrelated", "correlated", "anti-correlated"];

/// The filter for a query from `cluster`. A row's `width` is its cluster, from 1 on, and its
/// `height` is by chance 1 to 1000. Clusters lie by chance, so a range of them is some
/// clusters: with the query's own, its neighbours pass; without, none of them does.
fn filter(tie: &str, share: usize, cluster: usize) -> String {
    if tie == "uncorrelated" {
        return format!("height:1..{}", 1000 / share);
    }
    let (wide, half) =
        if share > CLUSTERS { (1, " height:1..500") } else { (CLUSTERS / share, "") };
    let groups = CLUSTERS / wide;
    let away = if tie == "correlated" { 0 } else { groups / 2 };
    let first = (cluster / wide + away) % groups * wide;
    format!("width:{}..{}{half}", first + 1, first + wide)
}

/// Measures all shares and ties, with all options as they are by default.
pub(crate) fn search(dir: &Path) -> Result<Value> {
    let space = space();
    let store = LocalStore::open_with(&dir.join("ours"), &space, Access::Read, Options::default())?;
    let clusters: Vec<u32> = numbers(dir, "clusters")?;
    let rows = store.count(&Filter::default())? as usize;
    let mut measured = vec![];
    // The first filter has a thread compare what filters are answered from with all items.
    store.count(&filter(TIES[0], SHARES[0], 0).parse::<Expr>()?.into())?;
    std::thread::sleep(Duration::from_secs(10));
    // Checksums are checked by the first searches, each some blocks: before anything is timed.
    for query in numbers::<f32>(dir, "near")?.chunks(DIM).cycle().take(rows / 100) {
        let vector = Some(Embedding::new(&space, query.to_vec())?);
        store.search(&Query { vector, k: K, ..Query::default() })?;
    }
    for (side, first) in [("near", rows), ("far", 0)] {
        let queries: Vec<Embedding> = numbers(dir, side)?
            .chunks(DIM)
            .take(ASKED)
            .map(|q| Embedding::new(&space, q.to_vec()))
            .collect::<std::result::Result<_, _>>()?;
        // A far query is the text of the row of its number, near ones follow the rows.
        let of = |i: usize| clusters[first + i] as usize;
        for tie in TIES {
            for share in SHARES {
                let mut by_filter: BTreeMap<String, Vec<&Embedding>> = BTreeMap::new();
                for (i, query) in queries.iter().enumerate() {
                    by_filter.entry(filter(tie, share, of(i))).or_default().push(query);
                }
                let mut sums = Sums::default();
                for (text, queries) in by_filter {
                    sums.add(&store, &text.parse::<Expr>()?.into(), &queries)?;
                }
                measured.push(json!({
                    "side": side, "tie": tie, "share": share,
                    "recall": sums.hits as f64 / sums.right as f64,
                    "us": sums.us(0), "scan_us": sums.us(1), "all_us": sums.us(2),
                }));
            }
        }
    }
    Ok(measured.into())
}

#[derive(Default)]
struct Sums {
    asked: usize,
    hits: usize,
    right: usize,
    /// Seconds of the processor: filtered, by a scan of what passes, without a filter.
    seconds: [f64; 3],
}

impl Sums {
    fn us(&self, i: usize) -> f64 {
        self.seconds[i] / self.asked as f64 * 1e6
    }

    fn add(&mut self, store: &LocalStore, filter: &Filter, queries: &[&Embedding]) -> Result<()> {
        let ask = |exact: bool, filter: &Filter| -> Result<(f64, Vec<Vec<ItemId>>)> {
            let (mut best, mut found) = (f64::MAX, vec![]);
            // Once more than is timed: the first asks the catalogue which rows pass.
            for round in 0..=ROUNDS {
                let queries = queries.iter().map(|q| Query {
                    vector: Some((*q).clone()),
                    k: K,
                    filter: filter.clone(),
                    exact,
                    ..Query::default()
                });
                let queries: Vec<Query> = queries.collect();
                let cpu = ProcessTime::now();
                let hits: Vec<Vec<Hit>> = queries
                    .iter()
                    .map(|q| store.search(q))
                    .collect::<std::result::Result<_, _>>()?;
                if round > 0 {
                    best = best.min(cpu.elapsed().as_secs_f64());
                }
                let ids = |hits: &Vec<Hit>| hits.iter().map(|hit| hit.id).collect();
                found = hits.iter().map(ids).collect();
            }
            Ok((best, found))
        };
        let (filtered, found) = ask(false, filter)?;
        let (scan, right) = ask(true, filter)?;
        let (all, _) = ask(false, &Filter::default())?;
        for (sum, seconds) in self.seconds.iter_mut().zip([filtered, scan, all]) {
            *sum += seconds;
        }
        self.asked += queries.len();
        for (found, right) in found.iter().zip(&right) {
            self.right += right.len();
            self.hits += right.iter().filter(|id| found.contains(id)).count();
        }
        Ok(())
    }
}
