//! Training steps a second, ours against PyTorch's: both heads, batch 512.
//!
//!     cargo bench --workspace --features train --bench steps
//!     cargo bench --workspace --features train --bench steps -- ROUNDS SECONDS
//!
//! Ours is [`Trainer::run`], the loop of `ek train`: forward and backward, the
//! bidirectional soft triplet over the 32 hardest negatives masked by group, global
//! clipping, AdamW. The peer is `steps.py`, the same step in PyTorch. Both get the
//! same numbers through files, and their first losses have to agree before anything
//! is timed. Then they take turns, on two threads each, from the first weights in
//! every round.
//!
//! The first run needs `python3` (3.10 or newer) with `venv`, and fetches PyTorch
//! (0.5 GB) into a virtual environment under the target folder. `./test.sh` does not
//! run this.

#![expect(clippy::print_stdout, reason = "a bench is read on a terminal")]

use std::error::Error;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use ekphrasis_metric::loss::Triplet;
use ekphrasis_metric::select::Selection;
use ekphrasis_metric::{Loss, ObjectiveOptions};
use ekphrasis_train::nn::{
    AdamWOptions, Base, Fed, Group, Params, Purpose, Tower, TowerBuilder, rng_for,
};
use ekphrasis_train::run::{
    Event, HeldOut, Judge, Learnt, Model, Plan, Rates, Schedule, Shape, Supplied, Supply, Trainer,
};
use ndarray::{Array2, s};
use rand::RngExt;
use rand_pcg::Pcg64;
use serde_json::Value;

/// As in steps.py.
const BATCH: usize = 512;
const BATCHES: usize = 8;
const FEATURES: usize = 1280;
const HIDDEN: usize = 1024;
const DIM: usize = 384;
const HARDEST: usize = 32;
const TEMPERATURE: f64 = 0.05;
const MARGIN: f64 = 0.1;
const CLIP: f32 = 2.0;
const RATE: f32 = 1e-3;
const THREADS: usize = 2;

const TORCH: &str = "2.15.0";
/// Without what only CUDA, compilers and tests of it need.
const PACKAGES: [&str; 10] = [
    "nvidia-cuda-runtime==13.2.*",
    "nvidia-cuda-cupti==13.2.*",
    "typing_extensions",
    "filelock",
    "fsspec",
    "sympy",
    "mpmath",
    "networkx",
    "jinja2",
    "markupsafe",
];

/// Steps whose losses are compared, and by how much they may differ. The first has
/// only seen the forward pass, the others all of the step.
const COMPARED: usize = 10;
const FIRST_DIFFERS: f64 = 1e-5;
const OTHERS_DIFFER: f64 = 1e-4;

const WARM_UP: usize = 10;
const ROUNDS: usize = 9;
const SECONDS: f64 = 5.0;

type Failure = Box<dyn Error>;

/// Made-up features of pictures and texts, in the same batches over and over.
struct Made {
    features: Array2<f32>,
    base: Array2<f32>,
    texts: Array2<f32>,
    groups: Vec<u32>,
    held_out: HeldOut,
}

impl Made {
    fn new() -> Self {
        let mut rng = rng_for(0, Purpose::Sample, 0);
        let rows = BATCH * BATCHES;
        let features = normal(&mut rng, rows, FEATURES);
        let base = unit(normal(&mut rng, rows, DIM));
        let texts = unit(normal(&mut rng, rows, DIM));
        // Some rows of a batch share a group, so that the mask matters.
        let groups = (0..rows).map(|_| rng.random_range(0..2 * BATCH as u32)).collect();
        Self { features, base, texts, groups, held_out: HeldOut::default() }
    }
}

impl Supply for Made {
    fn epoch(&self, _epoch: u64) -> Result<Vec<Vec<usize>>, String> {
        let batch = |i: usize| (0..BATCH).map(|row| i % BATCHES * BATCH + row).collect();
        Ok((0..64 * BATCHES).map(batch).collect())
    }

    fn batch(&self, pictures: &[usize], _step: u64) -> Supplied {
        Supplied {
            images: self.pictures(pictures),
            texts: Some(self.captions(pictures)),
            groups: self.groups[pictures[0]..][..BATCH].to_vec(),
            classes: None,
            words: None,
        }
    }

    fn learnt(&self) -> Learnt {
        let pictures = (0..self.groups.len()).collect();
        Learnt { pictures, groups: self.groups.clone(), classes: None }
    }

    fn held_out(&self) -> &HeldOut {
        &self.held_out
    }

    fn pictures(&self, pictures: &[usize]) -> Fed {
        let first = pictures[0];
        let rows = |of: &Array2<f32>| of.slice(s![first..first + BATCH, ..]).to_owned();
        Fed::Rows { base: Some(rows(&self.base)), features: Some(rows(&self.features)) }
    }

    fn captions(&self, captions: &[usize]) -> Fed {
        let first = captions[0];
        let rows = self.texts.slice(s![first..first + BATCH, ..]).to_owned();
        Fed::Rows { base: Some(rows.clone()), features: Some(rows) }
    }
}

/// Twelve even draws less six: near enough to a normal distribution.
fn normal(rng: &mut Pcg64, rows: usize, width: usize) -> Array2<f32> {
    let mut draw = || (0..12).map(|_| rng.random::<f32>()).sum::<f32>() - 6.0;
    Array2::from_shape_simple_fn((rows, width), &mut draw)
}

fn unit(mut rows: Array2<f32>) -> Array2<f32> {
    for mut row in rows.rows_mut() {
        let length = row.dot(&row).sqrt();
        row /= length;
    }
    rows
}

fn model() -> Model {
    let mut params = Params::new();
    let mut rng = rng_for(0, Purpose::Initial, 0);
    let mut builder = TowerBuilder::new(&mut params, &mut rng, Group::Image);
    let body = builder.mlp_head([FEATURES, HIDDEN, DIM], 1, [0.0, 0.0], 1.0);
    let image = Tower { group: Group::Image, base: Base::Plain, body, dim: DIM };
    let mut builder = TowerBuilder::new(&mut params, &mut rng, Group::Text);
    let body = builder.linear_head(DIM, DIM, true, 1.0);
    let text = Tower { group: Group::Text, base: Base::Plain, body, dim: DIM };
    Model { params, image, text: Some(text) }
}

fn trainer<'a>(model: &Model, supply: &'a Made) -> Result<Trainer<'a>, Failure> {
    let plan = Plan {
        seed: 0,
        epochs: 1000,
        rates: Rates { image: RATE, text: RATE, loss: RATE },
        schedule: Schedule { warm_up: 0.0, shape: Shape::Constant, floor: 0.0 },
        optimiser: AdamWOptions::default(),
        clip: CLIP,
        chunk: None,
        average: None,
        patience: None,
        checkpoint_seconds: f64::INFINITY,
    };
    let options = ObjectiveOptions {
        selection: Selection::KHardest(HARDEST),
        ..ObjectiveOptions::both_ways(Loss::Triplet(Triplet::soft(MARGIN, TEMPERATURE)))
    };
    let judge = Judge::new(options, DIM, 0, Vec::new())?;
    Ok(Trainer::new(model.clone(), plan, supply, Box::new(judge), "bench".to_owned()))
}

/// Runs until `enough` says so of a loss.
fn train(model: &Model, supply: &Made, mut enough: impl FnMut(f64) -> bool) -> Result<(), Failure> {
    let stop = AtomicBool::new(false);
    trainer(model, supply)?.run(None, &stop, &mut |event| {
        if let Event::Step { loss, .. } = event
            && enough(loss)
        {
            stop.store(true, Ordering::Relaxed);
        }
    })?;
    Ok(())
}

fn first_losses(model: &Model, supply: &Made) -> Result<Vec<f64>, Failure> {
    let mut losses = Vec::new();
    train(model, supply, |loss| {
        losses.push(loss);
        losses.len() == COMPARED
    })?;
    Ok(losses)
}

/// Steps a second.
fn rate(model: &Model, supply: &Made, seconds: f64) -> Result<f64, Failure> {
    let (mut steps, mut start, mut passed) = (0, Instant::now(), 0.0);
    train(model, supply, |_| {
        steps += 1;
        if steps == WARM_UP {
            start = Instant::now();
        }
        passed = start.elapsed().as_secs_f64();
        steps > WARM_UP && passed >= seconds
    })?;
    Ok((steps - WARM_UP) as f64 / passed)
}

/// Puts inputs and first weights where the peer finds them.
fn write(folder: &Path, model: &Model, supply: &Made) -> Result<(), Failure> {
    fs_err::create_dir_all(folder)?;
    for (name, array) in
        [("features", &supply.features), ("base", &supply.base), ("texts", &supply.texts)]
    {
        let numbers = array.as_slice().ok_or("an array in row order")?;
        fs_err::write(folder.join(name), bytemuck::cast_slice(numbers))?;
    }
    fs_err::write(folder.join("groups"), bytemuck::cast_slice(&supply.groups))?;
    for param in model.params.list() {
        fs_err::write(folder.join(&param.name), bytemuck::cast_slice(&param.values))?;
    }
    Ok(())
}

/// The Python that has PyTorch; installs it where it is not there yet.
fn python() -> Result<PathBuf, Failure> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("torch-{TORCH}"));
    let python = folder.join("bin/python");
    let done = folder.join("complete");
    if !done.exists() {
        println!("installing PyTorch {TORCH} into {}", folder.display());
        call(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "install", "--quiet", "--no-cache-dir", "--no-deps"]);
        call(pip.arg(format!("torch=={TORCH}")).args(PACKAGES))?;
        call(Command::new(&python).arg(beside("torch_without_cuda.py")))?;
        call(Command::new(&python).args(["-W", "ignore", "-c", "import torch"]))?;
        fs_err::write(&done, "")?;
    }
    Ok(python)
}

fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches").join(name)
}

fn call(command: &mut Command) -> Result<(), Failure> {
    let status = command.status().map_err(|e| format!("{command:?}: {e}"))?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}

/// steps.py, waiting for orders.
struct Peer {
    process: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

impl Peer {
    /// Starts it; gives its version, too.
    fn start(python: &Path, folder: &Path) -> Result<(Self, String), Failure> {
        let mut command = Command::new(python);
        command.args(["-W", "ignore"]).arg(beside("steps.py")).arg(folder);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = process.stdin.take().ok_or("a pipe was asked for")?;
        let answers = process.stdout.take().ok_or("a pipe was asked for")?;
        let answers = BufReader::new(answers).lines();
        let mut peer = Self { process, orders, answers };
        let hello = peer.answer()?;
        let version = hello["torch"].as_str().unwrap_or_default().to_owned();
        Ok((peer, version))
    }

    fn answer(&mut self) -> Result<Value, Failure> {
        let line = self.answers.next().ok_or("steps.py ended; its message stands above")??;
        Ok(serde_json::from_str(&line)?)
    }

    fn ask(&mut self, order: &str) -> Result<Value, Failure> {
        writeln!(self.orders, "{order}")?;
        self.answer()
    }

    fn losses(&mut self) -> Result<Vec<f64>, Failure> {
        let answer = self.ask(&format!("losses {COMPARED}"))?;
        let losses = answer["losses"].as_array().ok_or("losses")?;
        Ok(losses.iter().filter_map(Value::as_f64).collect())
    }

    /// Steps a second.
    fn rate(&mut self, seconds: f64) -> Result<f64, Failure> {
        let answer = self.ask(&format!("run {WARM_UP} {seconds}"))?;
        let number = |name: &str| answer[name].as_f64().ok_or("a number of steps and of seconds");
        Ok(number("steps")? / number("seconds")?)
    }

    fn end(mut self) -> Result<(), Failure> {
        drop(self.orders);
        self.process.wait()?;
        Ok(())
    }
}

/// Fails unless both compute the same step.
fn compare(ours: &[f64], theirs: &[f64]) -> Result<(), Failure> {
    if ours.len() != COMPARED || theirs.len() != COMPARED {
        return Err(format!("expected {COMPARED} losses each, got {ours:?}, {theirs:?}").into());
    }
    let mut report = String::from("loss at step      ours    PyTorch   differ by\n");
    let mut agree = true;
    for (step, (a, b)) in ours.iter().zip(theirs).enumerate() {
        let differ = ((a - b) / b).abs();
        agree &= differ <= if step == 0 { FIRST_DIFFERS } else { OTHERS_DIFFER };
        writeln!(report, "{step:>12} {a:>9.6}  {b:>9.6}     {differ:.1e}")?;
    }
    println!("{report}");
    if agree { Ok(()) } else { Err("not the same step: the losses differ".into()) }
}

fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len();
    (sorted[(n - 1) / 2] + sorted[n / 2]) / 2.0
}

fn main() -> Result<(), Failure> {
    // Cargo adds --bench.
    let given: Vec<f64> = std::env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    let rounds = given.first().map_or(ROUNDS, |&r| r.max(1.0) as usize);
    let seconds = given.get(1).copied().unwrap_or(SECONDS);
    rayon::ThreadPoolBuilder::new().num_threads(THREADS).build_global()?;

    let (model, supply) = (model(), Made::new());
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("steps");
    write(&folder, &model, &supply)?;
    let (mut peer, version) = Peer::start(&python()?, &folder)?;
    println!("PyTorch {version}, {THREADS} threads each, batch {BATCH}\n");
    compare(&first_losses(&model, &supply)?, &peer.losses()?)?;

    println!("round   ours   PyTorch   ratio   (steps a second)");
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=rounds {
        // Whoever goes first changes, in case the machine is slowing down.
        let first = (round % 2 == 1).then(|| rate(&model, &supply, seconds)).transpose()?;
        let b = peer.rate(seconds)?;
        let a = first.map_or_else(|| rate(&model, &supply, seconds), Ok)?;
        println!("{round:>5} {a:>6.2}   {b:>7.2}   {:>5.2}", a / b);
        ours.push(a);
        theirs.push(b);
        ratios.push(a / b);
    }
    peer.end()?;
    let (least, most) = ratios.iter().fold((f64::MAX, 0.0f64), |(l, m), r| (l.min(*r), m.max(*r)));
    println!(
        "\nmedian: ours {:.2}, PyTorch {:.2}; ratio {:.2} (least {least:.2}, most {most:.2}, {rounds} rounds of {seconds} s)",
        median(&ours),
        median(&theirs),
        median(&ratios),
    );
    Ok(())
}
