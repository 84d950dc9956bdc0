//! This crate's own store, measured as the peers are: in a process of its own, through
//! the interface everyone uses.

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use cpu_time::ProcessTime;
use ekphrasis_embed::{Embedding, Space};
use ekphrasis_index::conformance::Random;
use ekphrasis_index::{
    Access, FileFacts, Filter, Holder, Item, ItemId, Kind, LocalStore, Options, Query, Record,
    StoreRead, StoreWrite,
};
use serde_json::{Value, json};

use crate::data::{DIM, path};

pub(crate) const K: usize = 10;
/// Of fewer the best of 10 are not asked for.
const EFS: [usize; 12] = [32, 40, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024];

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

pub(crate) fn space() -> Space {
    Space::new("bench", DIM).expect("a valid name")
}

fn id(row: usize) -> ItemId {
    ItemId::for_content(&row.to_le_bytes())
}

fn options(graph_from: usize, ef: usize) -> Options {
    let mut options = Options::default();
    options.graph_from = graph_from;
    options.graph_threads = rayon::current_num_threads();
    options.graph_ef = ef;
    options
}

/// What filters ask for: a row's cluster, from 1 on, and 1 to 1000 by chance.
fn facts(row: usize, clusters: &[u32]) -> FileFacts {
    let height = 1 + Random(row as u64).below(1000) as u32;
    let (width, content) = (1 + clusters[row], [0; 32]);
    FileFacts { size: 1, mtime_ns: 0, content, width, height, format: "jpeg".into() }
}

/// Fills a store and builds its graph.
pub(crate) fn build(dir: &Path) -> Result<Value> {
    let store_dir = dir.join("ours");
    if store_dir.exists() {
        fs_err::remove_dir_all(&store_dir)?;
    }
    let space = space();
    let base: Vec<f32> = numbers(dir, "base")?;
    let writing = || Access::Write(Holder::default());
    let store = LocalStore::open_with(&store_dir, &space, writing(), options(usize::MAX, 64))?;
    let clusters: Vec<u32> = numbers(dir, "clusters")?;
    let rows: Vec<&[f32]> = base.chunks(DIM).collect();
    for (batch, rows) in rows.chunks(2000).enumerate() {
        let record = |(i, row): (usize, &&[f32])| -> Result<Record> {
            let item = Item {
                id: id(batch * 2000 + i),
                kind: Kind::Image,
                path: None,
                text: None,
                tags: vec![],
                labels: vec![],
                file: Some(facts(batch * 2000 + i, &clusters)),
                facts: None,
            };
            Ok(Record { item, embedding: Embedding::new(&space, row.to_vec())? })
        };
        let records = rows.iter().enumerate().map(record).collect::<Result<Vec<_>>>()?;
        store.upsert(&records)?;
    }
    drop(store);
    drop(base);
    let (cpu, wall) = (ProcessTime::now(), Instant::now());
    let store = LocalStore::open_with(&store_dir, &space, writing(), options(1, 64))?;
    store.settle();
    let (cpu, wall) = (cpu.elapsed(), wall.elapsed());
    drop(store);
    let mut file = 0;
    for entry in fs_err::read_dir(&store_dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with("graph-") {
            file += entry.metadata()?.len();
        }
    }
    Ok(json!({
        "build_cpu_s": cpu.as_secs_f64(), "build_wall_s": wall.as_secs_f64(), "file": file,
        "threads": rayon::current_num_threads(),
    }))
}

/// Asks all queries at several widths of search; `exact` instead scans.
pub(crate) fn search(dir: &Path, exact: bool) -> Result<Value> {
    let (store_dir, space) = (dir.join("ours"), space());
    let sides = ["near", "far"].map(|side| {
        let queries: Vec<Embedding> = numbers(dir, side)?
            .chunks(DIM)
            .map(|q| Embedding::new(&space, q.to_vec()))
            .collect::<std::result::Result<_, _>>()?;
        let truth = numbers::<u32>(dir, &format!("{side}-truth"))?;
        Ok((side, queries, truth))
    });
    let sides = sides.into_iter().collect::<Result<Vec<_>>>()?;
    let rows = fs_err::metadata(path(dir, "base"))?.len() as usize / (DIM * 4);
    let index: HashMap<ItemId, u32> = (0..rows).map(|row| (id(row), row as u32)).collect();
    let before = resident()?;
    let start = Instant::now();
    let open = |ef| LocalStore::open_with(&store_dir, &space, Access::Read, options(1, ef));
    let mut store = open(64)?;
    let opened = start.elapsed();
    assert_eq!(store.count(&Filter::default())?, rows as u64);
    let mut curves = serde_json::Map::new();
    for (side, queries, truth) in &sides {
        let mut curve = vec![];
        for ef in EFS {
            if !exact {
                drop(store);
                store = open(ef)?;
            }
            let (mut best, mut hits) = (f64::MAX, 0);
            for _ in 0..4 {
                let cpu = ProcessTime::now();
                let mut found = Vec::with_capacity(queries.len());
                for query in queries {
                    let vector = Some(query.clone());
                    let query = Query { vector, k: K, exact, ..Query::default() };
                    found.push(store.search(&query)?);
                }
                best = best.min(cpu.elapsed().as_secs_f64());
                let per = truth.len() / queries.len();
                hits = found
                    .iter()
                    .zip(truth.chunks(per))
                    .map(|(hits, truth)| {
                        hits.iter().filter(|hit| truth[..K].contains(&index[&hit.id])).count()
                    })
                    .sum();
            }
            let recall = hits as f64 / (K * queries.len()) as f64;
            curve.push(json!({"ef": ef, "recall": recall, "qps": queries.len() as f64 / best}));
            if recall > 0.998 {
                break;
            }
        }
        curves.insert((*side).into(), curve.into());
    }
    let after = resident()?;
    Ok(json!({
        "open_ms": opened.as_secs_f64() * 1e3,
        "rss_anon": after.0 - before.0,
        "rss_file": after.1 - before.1,
        "curves": curves,
        "how": store.describe_vector_index(),
    }))
}

pub(crate) fn numbers<T: bytemuck::Pod>(dir: &Path, name: &str) -> Result<Vec<T>> {
    let bytes = fs_err::read(path(dir, name))?;
    Ok(bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect())
}

/// RssAnon and RssFile, in bytes.
fn resident() -> Result<(i64, i64)> {
    let status = fs_err::read_to_string("/proc/self/status")?;
    let field = |name: &str| -> Result<i64> {
        let line = status.lines().find(|line| line.starts_with(name)).ok_or("no such field")?;
        let number = line.split_whitespace().nth(1).ok_or("no number")?;
        Ok(number.parse::<i64>()? * 1024)
    };
    Ok((field("RssAnon:")?, field("RssFile:")?))
}
