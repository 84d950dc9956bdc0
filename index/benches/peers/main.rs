//! How do vector searches compare with those of hnswlib, faiss and usearch, in one run?
//!
//! ```text
//! cargo bench -p ekphrasis-index --bench peers -- [--rows 50000 | --real DIR] [--only NAME,…] [--again]
//!     [--build] [--threads 1] [--python PATH]
//! ```
//!
//! Makes the data of `data.rs` (or takes that of `--real`, see the README), installs the peers (`requirements.txt`) into a virtual
//! environment below the target directory, and has each build its index and answer the
//! same queries, in a process of its own and on one thread; ours goes through
//! `LocalStore::search`. Recall@10 is against exact f32 search. Times are of the
//! process's processor, the best of three (ours: of four, the first of which checks
//! checksums). What was measured is kept, so that a run can be interrupted; `--again`
//! measures searches anew (with `--only`, those of some); `--build` only builds, with so
//! many threads (searches have one), so that some can be built beside each other.
//! `--python` is one that has the peers already. Ends with tables and a plot, in
//! `results/`, which the README there explains.

#![expect(clippy::print_stdout, reason = "a bench reports on standard output")]

mod data;
mod filtered;
mod ours;
mod report;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// All that are measured; `ours-exact` is a scan of everything.
const NAMES: [&str; 8] = [
    "ours",
    "ours-exact",
    "hnswlib",
    "faiss-flat",
    "faiss-sq8",
    "usearch-f32",
    "usearch-f16",
    "usearch-i8",
];

/// The program's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    if let [flag, dir, name, what] = &args[..]
        && flag == "--child"
    {
        let dir = Path::new(dir);
        let measured = match what.as_str() {
            "build" => ours::build(dir)?,
            "filtered" => filtered::search(dir)?,
            _ => ours::search(dir, name == "ours-exact")?,
        };
        println!("{measured}");
        return Ok(());
    }
    let (mut rows, mut real, mut only, mut again) = (50_000, None, vec![], false);
    let (mut threads, mut python, mut building) = (1, None, false);
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rows" => rows = args.next().ok_or("--rows needs a number")?.parse()?,
            "--real" => real = Some(PathBuf::from(args.next().ok_or("--real needs a folder")?)),
            "--only" => {
                let names = args.next().ok_or("--only needs names")?;
                only = names.split(',').map(String::from).collect();
            }
            "--again" => again = true,
            "--build" => building = true,
            "--threads" => threads = args.next().ok_or("--threads needs a number")?.parse()?,
            "--python" => python = args.next().map(PathBuf::from),
            _ => {
                let known = "--rows, --real, --only, --again, --build, --threads, --python";
                return Err(format!("{arg} is none of {known}").into());
            }
        }
    }
    if let Some(name) = only.iter().find(|name| !NAMES.contains(&name.as_str())) {
        return Err(format!("{name} is none of {NAMES:?}").into());
    }
    let set = if real.is_some() { "real".to_string() } else { rows.to_string() };
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("peers/{set}"));
    fs_err::create_dir_all(&dir)?;
    let marker = dir.join("data.txt");
    let description = match &real {
        None => data::describe(rows),
        Some(folder) => {
            let data = data::Data::read(folder)?;
            let description = data.describe();
            if fs_err::read_to_string(&marker).ok().as_deref() != Some(&description) {
                println!("taking {description}");
                data.write(&dir, 100)?;
                fs_err::write(&marker, &description)?;
            }
            description
        }
    };
    if fs_err::read_to_string(&marker).ok().as_deref() != Some(&description) {
        println!("making {description}");
        data::Data::make(rows).write(&dir, 100)?;
        fs_err::write(&marker, &description)?;
    }
    if !data::path(&dir, "clusters").exists() {
        data::Data::make(rows).write_clusters(&dir)?;
    }
    let python = python.map_or_else(|| environment(&dir), Ok)?;
    let run = |name: &str, what: &str| measure(&dir, &python, threads, name, what);
    let mut measured = vec![];
    for name in NAMES {
        let wanted = only.is_empty() || only.iter().any(|o| o == name);
        let built = if name == "ours-exact" { "ours" } else { name };
        let build = match kept(&dir, built, "build") {
            None if wanted => run(built, "build")?,
            None => continue,
            Some(build) => build,
        };
        if building {
            continue;
        }
        let search = match kept(&dir, name, "search").filter(|_| !(again && wanted)) {
            None if wanted => run(name, "search")?,
            None => continue,
            Some(search) => search,
        };
        measured.push(report::Measured { name, build, search });
    }
    if building {
        return Ok(());
    }
    // What is real has no clusters to filter by.
    let wanted = real.is_none() && (only.is_empty() || only.iter().any(|o| o == "ours"));
    let filtered = match kept(&dir, "ours", "filtered").filter(|_| !(again && wanted)) {
        None if wanted => Some(run("ours", "filtered")?),
        filtered => filtered,
    };
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/results");
    report::write(&results, &set, &description, &measured, filtered.as_ref())
}

fn file(dir: &Path, name: &str, what: &str) -> PathBuf {
    dir.join(format!("{name}-{what}.json"))
}

fn kept(dir: &Path, name: &str, what: &str) -> Option<Value> {
    serde_json::from_slice(&fs_err::read(file(dir, name, what)).ok()?).ok()
}

/// Measures one in a process of its own and keeps what it says.
fn measure(dir: &Path, python: &Path, threads: usize, name: &str, what: &str) -> Result<Value> {
    println!("{name}: {what}");
    let mut command = if name.starts_with("ours") {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--child");
        command
    } else {
        let mut command = Command::new(python);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/peers.py"));
        command
    };
    // One thread, also where a library would like more.
    let threads = if what == "build" { threads } else { 1 };
    for variable in ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS"] {
        command.env(variable, threads.to_string());
    }
    let output = command
        .arg(dir)
        .arg(name)
        .arg(what)
        .stderr(Stdio::inherit())
        .stdin(Stdio::null())
        .output()?;
    if !output.status.success() {
        return Err(format!("{name} failed to {what}: {}", output.status).into());
    }
    let value: Value = serde_json::from_slice(&output.stdout)?;
    fs_err::write(file(dir, name, what), &output.stdout)?;
    Ok(value)
}

/// The Python of an environment that has the peers.
fn environment(dir: &Path) -> Result<PathBuf> {
    let venv = dir.parent().ok_or("no parent")?.join("venv");
    let python = venv.join("bin/python");
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers/requirements.txt");
    let installed = venv.join("requirements.txt");
    if fs_err::read(&installed).ok() == Some(fs_err::read(&requirements)?) {
        return Ok(python);
    }
    println!("installing the peers into {}", venv.display());
    let run = |command: &mut Command| -> Result<()> {
        let status = command.status()?;
        if status.success() { Ok(()) } else { Err(format!("{command:?}: {status}").into()) }
    };
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    run(Command::new(&python).args(["-m", "pip", "install", "-q", "-r"]).arg(&requirements))?;
    fs_err::copy(&requirements, &installed)?;
    Ok(python)
}
