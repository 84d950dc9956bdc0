//! One file a verb (or two that belong together).

mod calibration;
mod cluster;
mod copy;
mod doctor;
mod dupes;
mod eval;
mod eval_confidence;
mod eval_feedback;
mod eval_per_class;
mod eval_recognition;
mod eval_roc;
mod exchange;
mod generations;
mod identities;
mod index;
mod label;
mod labels;
mod manual;
mod mcp;
mod model;
mod pull;
mod recall;
mod remove;
mod retry;
mod search;
mod serve;
mod shared;
mod status;
mod stores;
mod train;
#[cfg(feature = "train")]
mod train_confidence;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ekphrasis_engine::{Config, Engine, Flags, Holder, OnnxTowers, OpenFor};

use crate::cli::{Cli, Global, Verb};
use crate::failure::Failure;
use crate::output;

/// How a verb ended that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// Exit code 0.
    Well,
    /// Nothing found, or some files failed: exit code 1.
    NothingOrPartly,
}

pub(crate) fn run(cli: &Cli) -> Result<Done, Failure> {
    let global = &cli.global;
    match &cli.verb {
        Verb::Up(args) => serve::up(global, args),
        Verb::Index(args) => index::index(global, args),
        Verb::Search(args) => search::search(global, args),
        Verb::Describe(args) => label::describe(global, args),
        Verb::Label(args) => label::label(global, args),
        Verb::Labels(args) => labels::labels(global, &args.verb),
        Verb::Enrol(args) => identities::enrol(global, args),
        Verb::Verify(args) => identities::verify(global, args),
        Verb::Identify(args) => identities::identify(global, args),
        Verb::Identities(args) => identities::identities(global, args),
        Verb::Status(args) => status::status(global, args),
        Verb::Retry(args) => retry::retry(global, args),
        Verb::Remove(args) => remove::remove(global, args),
        Verb::Dupes(args) => dupes::dupes(global, args),
        Verb::Eval(args) => eval::eval(global, args),
        Verb::Cluster(args) => cluster::cluster(global, args),
        Verb::Train(args) => train::train(global, args),
        Verb::Export(args) => exchange::export(global, args),
        Verb::Import(args) => exchange::import(global, args),
        Verb::Copy(args) => copy::copy(global, args),
        Verb::Model(args) => model::model(global, &args.verb),
        Verb::Recall(args) => recall::recall(global, args),
        Verb::Doctor => doctor::doctor(global),
        Verb::Serve(args) => serve::serve(global, args),
        Verb::Mcp => mcp::mcp(global),
        Verb::Completions(args) => manual::completions(args),
        Verb::Man(args) => manual::man(args),
    }
}

fn config(global: &Global) -> Result<Config, Failure> {
    Ok(Config::resolve(&Flags {
        data: global.data.clone(),
        model: global.model.clone(),
        onnxruntime: global.onnxruntime.clone(),
        provider: global.provider,
        // So that `cargo install --path .` finds the model from anywhere.
        repository: Some(PathBuf::from(env!("CARGO_MANIFEST_DIR"))),
    })?)
}

fn towers(global: &Global, config: &Config, sessions: usize) -> Result<Arc<OnnxTowers>, Failure> {
    Ok(Arc::new(unshared_towers(global, config, sessions)?))
}

fn unshared_towers(
    global: &Global,
    config: &Config,
    sessions: usize,
) -> Result<OnnxTowers, Failure> {
    let quiet = global.quiet;
    let log = move |line: &str| {
        if !quiet {
            output::note(line);
        }
    };
    Ok(OnnxTowers::open(config, sessions, log)?)
}

/// The store if there is one; for what has an answer without.
fn open_if_there(global: &Global) -> Result<Option<Engine>, Failure> {
    let config = config(global)?;
    if !Engine::exists(&config.data)? {
        return Ok(None);
    }
    let towers = towers(global, &config, 1)?;
    Ok(Some(Engine::open(&config.data, towers, OpenFor::Reading)?))
}

fn open_to_read(global: &Global) -> Result<Engine, Failure> {
    let config = config(global)?;
    let towers = towers(global, &config, 1)?;
    Ok(Engine::open(&config.data, towers, OpenFor::Reading)?)
}

/// As [`open_to_read`], for a process that ends with its first answer.
fn open_to_ask_once(global: &Global) -> Result<Engine, Failure> {
    let config = config(global)?;
    let towers = Arc::new(unshared_towers(global, &config, 1)?.for_one_answer());
    Ok(Engine::open(&config.data, towers, OpenFor::Reading)?)
}

fn open_to_write(
    global: &Global,
    config: &Config,
    command: &str,
    address: Option<String>,
) -> Result<Engine, Failure> {
    let towers = towers(global, config, cores())?;
    let holder = Holder { command: command.into(), address };
    Ok(Engine::open(&config.data, towers, OpenFor::Writing(holder))?)
}

/// Says what is wrong with the store, if anything; results may lack something then.
fn warn(engine: &Engine) {
    for warning in engine.warnings() {
        output::note(&format!("warning: {warning}"));
    }
}

/// As many as the machine has.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A flag that Ctrl-C raises, so that what is in flight can be finished.
pub(crate) fn stop_on_interrupt() -> Result<Arc<AtomicBool>, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&stop);
    ctrlc::set_handler(move || {
        if raised.swap(true, Ordering::Relaxed) {
            // A second time: now. Everything acknowledged is on disk.
            std::process::exit(130);
        }
        output::note("\nstopping after what is in flight; once more to stop at once");
    })
    .map_err(|e| Failure::Environment(format!("cannot listen for Ctrl-C: {e}")))?;
    Ok(stop)
}
