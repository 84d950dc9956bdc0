//! How long does a label set take for a whole library, against the same product and softmax
//! in NumPy?
//!
//! ```text
//! cargo bench -p ekphrasis-engine --bench labels                    100,000 pictures, 1,000 labels
//! cargo bench -p ekphrasis-engine --bench labels -- 20000 100       others
//! cargo bench -p ekphrasis-engine --bench labels -- 20000 100 PY    with another Python than python3
//! ```
//!
//! Labels are drawn by chance in the default model's space, and each picture lies near one; its calibration is used. Ours
//! reads the store's file, compares every picture with every label, judges whether any fits,
//! and writes the answers durably; theirs has the vectors in memory, and its answer is an
//! array. Each is done five times in turns, the fastest counts; the first of ours, which also reads and
//! checks the file, is told beside it.

#![expect(clippy::print_stdout, reason = "a bench reports on standard output")]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use ekphrasis_embed::{Embedding, Space};
use ekphrasis_engine::{Config, Engine, Flags, Holder, LabelRule, OnnxTowers, OpenFor, Towers};
use ekphrasis_index::{
    Access, FileFacts, Item, LocalStore, NameKind, Named, NamedVector, Options, Origin, Record,
    StoreWrite,
};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const ROUNDS: usize = 5;
const BATCH: usize = 10_000;

/// Rounds of the product and the softmax, as short as NumPy has it.
const NUMPY: &str = "
import sys, time, numpy as np
n, c, d, rounds = map(int, sys.argv[1:])
g = np.random.default_rng(0)
x = g.standard_normal((n, d), dtype=np.float32); x /= np.linalg.norm(x, axis=1, keepdims=True)
w = g.standard_normal((c, d), dtype=np.float32); w /= np.linalg.norm(w, axis=1, keepdims=True)
best = 1e9
for _ in range(rounds):
    t = time.perf_counter()
    for i in range(0, n, 4096):
        s = (x[i:i + 4096] @ w.T) * 24
        s -= s.max(axis=1, keepdims=True)
        np.exp(s, out=s)
        s /= s.sum(axis=1, keepdims=True)
        s.argmax(axis=1), s.max(axis=1)
    best = min(best, time.perf_counter() - t)
print(best)
";

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let (pictures, labels, python) = match args[..] {
        [] => (100_000, 1_000, "python3"),
        [pictures, labels] => (pictures.parse()?, labels.parse()?, "python3"),
        [pictures, labels, python] => (pictures.parse()?, labels.parse()?, python),
        _ => return Err("expected nothing, or how many pictures and labels, or Python, too".into()),
    };
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let flags = Flags { repository: Some(repository), ..Flags::default() };
    let towers =
        Arc::new(OnnxTowers::open(&Config::resolve(&flags)?, 1, |line| println!("{line}"))?);
    let dir = tempfile::tempdir()?;
    fill(dir.path(), towers.space(), pictures, labels)?;
    let engine = Engine::open(dir.path(), towers.clone(), OpenFor::Writing(holder()))?;

    println!("{pictures} pictures × {labels} labels, {} numbers each", towers.space().dim());
    for (name, rule) in [
        ("the best label, if any", LabelRule { minimum: 0.0, multi: false }),
        ("each by itself from 0.5", LabelRule { minimum: 0.5, multi: true }),
    ] {
        let (mut first, mut best, mut said) = (None, f64::INFINITY, 0);
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            said = engine.apply_label_set("set", rule)?.labelled;
            let took = begun.elapsed().as_secs_f64();
            first.get_or_insert(took);
            best = best.min(took);
        }
        let first = first.unwrap_or_default();
        println!("{name}: {best:.3} s (first {first:.3} s), {said} pictures labelled");
        match numpy(python, [pictures, labels, towers.space().dim()]) {
            Ok(theirs) => {
                println!("  NumPy, product and softmax: {theirs:.3} s; ratio {:.2}", best / theirs);
            }
            Err(e) => println!("  no NumPy to compare with: {e}"),
        }
    }
    Ok(())
}

fn holder() -> Holder {
    Holder { command: "bench".into(), address: None }
}

fn numpy(python: &str, [pictures, labels, dim]: [usize; 3]) -> Result<f64> {
    let sizes = [pictures, labels, dim, ROUNDS].map(|n| n.to_string());
    let run = Command::new(python).args(["-c", NUMPY]).args(sizes).output()?;
    match run.status.success() {
        true => Ok(String::from_utf8(run.stdout)?.trim().parse()?),
        false => {
            Err(String::from_utf8_lossy(&run.stderr).lines().last().unwrap_or_default().into())
        }
    }
}

fn random(space: &Space, rng: &mut Pcg64) -> Result<Embedding> {
    let values: Vec<f32> = (0..space.dim()).map(|_| rng.random_range(-1.0..1.0f32)).collect();
    let norm = values.iter().map(|v| v * v).sum::<f32>().sqrt();
    Ok(Embedding::new(space, values.into_iter().map(|v| v / norm).collect())?)
}

/// A store with so many pictures and a label set, by chance.
fn fill(dir: &Path, space: &Space, pictures: usize, labels: usize) -> Result<()> {
    let mut rng = Pcg64::seed_from_u64(0);
    // What is needed for searching is built at the end, all at once.
    let mut options = Options::default();
    options.graph_from = usize::MAX;
    let store = LocalStore::open_with(dir, space, Access::Write(holder()), options)?;
    let label = |n: usize, rng: &mut Pcg64| -> Result<NamedVector> {
        let part = format!("label {n}");
        let origin = Origin::Words(part.clone());
        Ok(NamedVector { part, origin, embedding: random(space, rng)? })
    };
    let vectors = (0..labels).map(|n| label(n, &mut rng)).collect::<Result<Vec<_>>>()?;
    for start in (0..pictures).step_by(BATCH) {
        let one = |n: usize, rng: &mut Pcg64| -> Result<Record> {
            let file = FileFacts {
                size: 1,
                mtime_ns: 0,
                content: [0; 32],
                width: 1,
                height: 1,
                format: "png".into(),
            };
            let item = Item::of_picture(format!("/p/{n}.png").into(), file);
            let own = &vectors[n % labels].embedding;
            let parts = [(own, 0.5), (&random(space, rng)?, 0.5)];
            Ok(Record { item, embedding: Embedding::combine(space, &parts)? })
        };
        let records = (start..pictures.min(start + BATCH)).map(|n| one(n, &mut rng));
        store.upsert(&records.collect::<Result<Vec<_>>>()?)?;
    }
    store.put_named(NameKind::LabelSet, &Named { name: "set".into(), at: 1, vectors })?;
    drop(store);
    // As it lies there on any day: nothing is being built beside what is measured.
    LocalStore::open(dir, space, Access::Write(holder()))?.settle();
    Ok(())
}
