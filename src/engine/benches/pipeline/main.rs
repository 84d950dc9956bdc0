//! How fast is a folder indexed, against the same done plainly in Python, and what
//! limits it?
//!
//! ```text
//! cargo bench -p ekphrasis-engine --bench pipeline                   all of the tables
//! cargo bench -p ekphrasis-engine --bench pipeline -- --share        only small pictures beside the encoder alone
//! cargo bench -p ekphrasis-engine --bench pipeline -- --decoders     only ways to decode
//! cargo bench -p ekphrasis-engine --bench pipeline -- --batches      only how batches pay
//! cargo bench -p ekphrasis-engine --bench pipeline -- --many 100000  memory and pace
//! ```
//!
//! `pipeline.py` makes the pictures and is the peer, in a virtual environment below the
//! target folder that `requirements.txt` fills. Both sides run the same ONNX file on the
//! same version of ONNX Runtime, each in a process of its own, in turns; wall time is from
//! its start to its end. Processor time outside the encoder is what the threads took once
//! the model was loaded, without what the calls of the encoder took. Ours writes a durable store, theirs an
//! array. The README beside this file has what was measured.

#![expect(clippy::print_stdout, reason = "a bench reports on standard output")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use cpu_time::{ProcessTime, ThreadTime};
use ekphrasis_embed::{ImageTensor, Pixels};
use ekphrasis_engine::{Config, Engine, Flags, Holder, IndexOptions, OnnxTowers, OpenFor, Towers};
use ekphrasis_models::{decode, decode_scaled};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Name, pictures, width, height.
const SETS: [(&str, usize, usize, usize); 3] =
    [("12 MP", 32, 4000, 3000), ("1 MP", 300, 1152, 864), ("small", 2000, 256, 192)];
const ROUNDS: usize = 3;

/// The program's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["--child", folder, data] => {
            println!("{}", index(Path::new(folder), Path::new(data))?);
            Ok(())
        }
        ["--share"] => share(),
        ["--decoders"] => decoders(),
        ["--batches"] => batches(),
        ["--many", count] => many(count.parse()?),
        [] => tables(),
        _ => Err("expected nothing, --share, --decoders, --batches, or --many N".into()),
    }
}

fn dir() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("pipeline")
}

fn towers() -> Result<Arc<OnnxTowers>> {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let flags = Flags { repository: Some(repository), ..Flags::default() };
    let config = Config::resolve(&flags)?;
    let cores = std::thread::available_parallelism()?.get();
    Ok(Arc::new(OnnxTowers::open(&config, cores, |line| println!("{line}"))?))
}

/// Indexes a folder into a new store, and says what that took.
fn index(folder: &Path, data: &Path) -> Result<Value> {
    let towers = towers()?;
    // The peer's sessions are made before its clock starts, too.
    towers.image()?;
    let start = ProcessTime::now();
    let holder = Holder { command: "bench".into(), address: None };
    let engine = Engine::open(data, towers, OpenFor::Writing(holder))?;
    let roots = [folder.to_path_buf()];
    let never = AtomicBool::new(false);
    let mut marks = Vec::new();
    let seen = std::cell::Cell::new(0);
    let watched = std::cell::RefCell::new(&mut marks);
    let on_progress = |p: &ekphrasis_engine::Progress, _: &Path| {
        if p.seen >= seen.get() + 10_000 {
            seen.set(p.seen);
            watched.borrow_mut().push(json!([p.seen, p.seconds, memory("VmRSS:")]));
        }
    };
    let report = engine.index(&roots, &IndexOptions::default(), &on_progress, &never)?;
    // As `ek index` does: a graph that is due is built before the end.
    engine.settle();
    drop(engine);
    let cpu = start.elapsed().as_secs_f64();
    Ok(json!({
        "pictures": report.progress.indexed,
        "unchanged": report.progress.unchanged,
        "cpu": cpu,
        "outside": cpu - report.stages.encode,
        "seconds": report.progress.seconds,
        "stages": std::collections::BTreeMap::from(report.stages.each()),
        "most_mb": memory("VmHWM:"),
        "marks": marks,
    }))
}

/// Megabytes, as Linux says of this process.
fn memory(what: &str) -> Option<u64> {
    let status = fs_err::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(what))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes / 1000)
}

/// The Python of an environment that has what the peer needs.
fn environment() -> Result<PathBuf> {
    let venv = dir().join("venv");
    let python = venv.join("bin/python");
    let requirements = here().join("requirements.txt");
    let installed = venv.join("requirements.txt");
    if fs_err::read(&installed).ok() != Some(fs_err::read(&requirements)?) {
        println!("installing the peer into {}", venv.display());
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        run(Command::new(&python).args(["-m", "pip", "install", "-q", "-r"]).arg(&requirements))?;
        fs_err::copy(&requirements, &installed)?;
    }
    Ok(python)
}

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/pipeline")
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
}

/// What a command printed last, as JSON, and how long it took in all.
fn measure(command: &mut Command) -> Result<(Value, f64)> {
    let start = Instant::now();
    let output = command.stderr(Stdio::inherit()).stdin(Stdio::null()).output()?;
    let wall = start.elapsed().as_secs_f64();
    if !output.status.success() {
        return Err(format!("{command:?}: {}", output.status).into());
    }
    let text = String::from_utf8(output.stdout)?;
    Ok((serde_json::from_str(text.lines().last().unwrap_or_default())?, wall))
}

fn ours(folder: &Path) -> Result<(Value, f64)> {
    let data = folder.with_extension("store");
    if data.exists() {
        fs_err::remove_dir_all(&data)?;
    }
    measure(Command::new(std::env::current_exe()?).arg("--child").arg(folder).arg(&data))
}

fn tables() -> Result<()> {
    let python = environment()?;
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/lite/image.onnx");
    let script = here().join("pipeline.py");
    for (name, count, width, height) in SETS {
        println!("\n{name}: {count} pictures of {width} × {height}");
        let folder = made(&python, count, width, height)?;
        let peer = |form: &str| {
            let mut command = Command::new(&python);
            measure(command.arg(&script).arg("run").arg(&folder).arg(&model).arg(form))
        };
        let mut best = [const { None::<(f64, f64, f64)> }; 3];
        for _ in 0..ROUNDS {
            for (best, measured) in
                best.iter_mut().zip([ours(&folder)?, peer("full")?, peer("draft")?])
            {
                let (value, wall) = measured;
                if value["pictures"] != count {
                    return Err(format!("expected {count} pictures, got {value}").into());
                }
                let number = |name: &str| value[name].as_f64().unwrap_or(f64::NAN);
                let (outside, inside) = (number("outside"), number("seconds"));
                let (o, w, i) = best.unwrap_or((f64::MAX, f64::MAX, f64::MAX));
                *best = Some((o.min(outside), w.min(wall), i.min(inside)));
            }
        }
        let [ours, full, draft] = best.map(|b| b.unwrap_or_default());
        println!("| | ms outside the encoder, each | × | s in all | × |\n|---|---|---|---|---|");
        for (what, got) in
            [("ours", ours), ("Python, full", full), ("Python, draft, threads", draft)]
        {
            println!(
                "| {what} | {:.1} | {:.2} | {:.2} | {:.2} |",
                got.0 * 1e3 / count as f64,
                got.0 / ours.0,
                got.1,
                got.1 / ours.1
            );
        }
        if name == "small" {
            beside(count, encoder_only(count, ROUNDS)?, ours.2);
        }
    }
    println!();
    decoders()
}

/// How near small pictures come to what the encoder alone does, in turns.
fn share() -> Result<()> {
    let [.., (_, count, width, height)] = SETS;
    let folder = made(&environment()?, count, width, height)?;
    let (mut limit, mut seconds) = (0f64, f64::MAX);
    for _ in 0..ROUNDS {
        limit = limit.max(encoder_only(count, 1)?);
        let (value, _) = ours(&folder)?;
        seconds = seconds.min(value["seconds"].as_f64().unwrap_or(f64::MAX));
    }
    beside(count, limit, seconds);
    Ok(())
}

/// `limit` is of the encoder alone, `seconds` what the pipeline takes for `count` pictures.
fn beside(count: usize, limit: f64, seconds: f64) {
    let whole = count as f64 / seconds;
    let share = whole / limit;
    println!(
        "the encoder alone, on all cores: {limit:.1}/s; the whole pipeline {whole:.1}/s: {share:.3}"
    );
}

/// A folder with so many pictures of this size.
fn made(python: &Path, count: usize, width: usize, height: usize) -> Result<PathBuf> {
    let folder = dir().join(format!("{width}x{height}"));
    let mut command = Command::new(python);
    command.arg(here().join("pipeline.py")).arg("make").arg(&folder);
    run(command.args([count, width, height].map(|n| n.to_string())))?;
    Ok(folder)
}

/// Pictures a second of the encoder on every core, with nothing else to do; the best round.
fn encoder_only(count: usize, rounds: usize) -> Result<f64> {
    let encoder = towers()?.image()?;
    let tensors = tensors(&*encoder, 4)?;
    let cores = std::thread::available_parallelism()?.get();
    // Each core's session is made before the clock starts.
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| encoder.embed_images(&tensors));
        }
    });
    let mut best = f64::MAX;
    for _ in 0..rounds {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..cores {
                scope.spawn(|| {
                    for _ in 0..count.div_ceil(4 * cores) {
                        encoder.embed_images(&tensors).expect("embedded");
                    }
                });
            }
        });
        best = best.min(start.elapsed().as_secs_f64());
    }
    Ok(count as f64 / best)
}

fn tensors(encoder: &dyn ekphrasis_embed::ImageEncoder, count: usize) -> Result<Vec<ImageTensor>> {
    let picture = |n: usize| {
        let rgb = (0..224 * 224 * 3).map(|i| ((i * (n + 7)) % 251) as u8).collect();
        Ok(encoder.preprocess().tensor(&Pixels::new(224, 224, rgb)?)?)
    };
    (0..count).map(picture).collect()
}

/// Processor time of each way to decode one picture, as small as the model allows.
fn decoders() -> Result<()> {
    let python = environment()?;
    let encoder = towers()?.image()?;
    let preprocess = encoder.preprocess();
    let spare = |w, h| preprocess.spare(w, h);
    println!("| ms to decode one, one thread | 12 MP | 1 MP |\n|---|---|---|");
    let mut rows: Vec<(String, Vec<Option<f64>>)> = Vec::new();
    let mut note = |row: &str, ms| match rows.iter_mut().find(|(name, _)| name == row) {
        Some((_, times)) => times.push(ms),
        None => rows.push((row.into(), vec![ms])),
    };
    for (_, count, width, height) in &SETS[..2] {
        let folder = made(&python, *count.min(&16), *width, *height)?;
        let mut names: Vec<PathBuf> =
            fs_err::read_dir(&folder)?.flatten().map(|entry| entry.path()).collect();
        names.sort();
        let files: Vec<Vec<u8>> =
            names.iter().take(16).map(fs_err::read).collect::<std::io::Result<_>>()?;
        let time = |way: &dyn Fn(&[u8]) -> Result<()>| -> Result<f64> {
            let mut best = f64::MAX;
            for _ in 0..ROUNDS {
                let start = ThreadTime::now();
                for file in &files {
                    way(file)?;
                }
                best = best.min(start.elapsed().as_secs_f64() * 1e3 / files.len() as f64);
            }
            Ok(best)
        };
        let small = decode_scaled(&files[0], spare)?;
        let divisor = (f64::from(small.view.width) / f64::from(small.pixels.width())).round();
        let mut command = Command::new(&python);
        command.arg(here().join("pipeline.py")).arg("decoders").arg(folder);
        let (peer, _) = measure(command.arg(divisor.to_string()))?;
        let ours = time(&|file| {
            decode_scaled(file, spare)?;
            Ok(())
        })?;
        let whole = time(&|file| {
            decode(file)?;
            Ok(())
        })?;
        let resized = time(&|file| {
            let scaled = decode_scaled(file, spare)?;
            preprocess.tensor_of(&scaled.pixels, &scaled.view)?;
            Ok(())
        })?;
        note("ours, in Rust", Some(ours));
        let bundled = peer["version"].as_str().unwrap_or("of unknown version");
        let bundled = format!("libjpeg-turbo {bundled} in C as compiled into Pillow");
        note(&bundled, peer["pillow"].as_f64());
        note("libturbojpeg as installed", peer["installed"].as_f64());
        note("whole, in Rust", Some(whole));
        note("ours, and resized", Some(resized));
    }
    for (row, times) in rows {
        let cell = |ms: &Option<f64>| ms.map_or("none here".into(), |ms| format!("{ms:.1}"));
        println!("| {row} | {} |", times.iter().map(cell).collect::<Vec<_>>().join(" | "));
    }
    Ok(())
}

/// What embedding several pictures at once is worth to one thread.
fn batches() -> Result<()> {
    let encoder = towers()?.image()?;
    let tensors = tensors(&*encoder, 64)?;
    println!("| at once | pictures a processor second |\n|---|---|");
    for size in [1, 2, 4, 8, 16] {
        let mut best = f64::MAX;
        for _ in 0..=ROUNDS {
            let start = ThreadTime::now();
            for batch in tensors.chunks(size) {
                encoder.embed_images(batch)?;
            }
            best = best.min(start.elapsed().as_secs_f64());
        }
        println!("| {size} | {:.1} |", tensors.len() as f64 / best);
    }
    Ok(())
}

/// Memory and pace over many small files, and a second run in which nothing changed.
fn many(count: usize) -> Result<()> {
    let folder = dir().join(format!("many-{count}"));
    println!("making {count} files in {}", folder.display());
    for i in 0..count {
        let inner = folder.join(format!("{:03}", i / 1000));
        fs_err::create_dir_all(&inner)?;
        let file = inner.join(format!("{i}.png"));
        if !file.exists() {
            let level = |shift: usize| (i >> shift) as u8;
            let at = |x: u32, y: u32| {
                image::Rgb([level(16), level(8) ^ (x as u8), level(0) ^ (y as u8)])
            };
            image::RgbImage::from_fn(32, 32, at).save(file)?;
        }
    }
    let (first, _) = ours(&folder)?;
    println!("first run: {}", serde_json::to_string_pretty(&first)?);
    let data = folder.with_extension("store");
    let mut again = Command::new(std::env::current_exe()?);
    let (second, _) = measure(again.arg("--child").arg(&folder).arg(&data))?;
    let seconds = second["seconds"].as_f64().unwrap_or(f64::NAN);
    println!("second run: {}", serde_json::to_string_pretty(&second)?);
    println!("unchanged: {:.0} files/s", count as f64 / seconds);
    Ok(())
}
