//! Given a graph file, how does one get sessions that were checked against the
//! manifest? And how are they run?

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::thread::ScopedJoinHandle;

use ekphrasis_embed::EncodeError;
use half::f16;
use ort::logging::LogLevel;
use ort::session::builder::SessionBuilder;
use ort::session::{InMemorySession, OutputSelector, RunOptions, Session, SessionInputValue};
use ort::value::{Outlet, TensorElementType, ValueType};

use super::pool::Pool;
use super::prepared::{Bytes, Place};
use crate::model::{Model, ModelError, PAIR_KEY};
use crate::provider::Provider;
use crate::runtime::Runtime;

/// Where a graph that is given as bytes finds the weights that it names; since ONNX
/// Runtime 1.20.
const EXTERNAL_FOLDER: &str = "session.model_external_initializers_file_folder_path";

/// Whether weights stay as they are in the file instead of being laid out anew for the kernels
/// when a session is made.
const AS_THEY_ARE: &str = "session.disable_prepacking";

/// Named inputs of one run.
pub(super) type Inputs<'a> = Vec<(Cow<'a, str>, SessionInputValue<'a>)>;

/// One graph behind a pool of sessions.
pub(super) struct Graph {
    pool: Pool<Live>,
    /// Name and declared shape, −1 where it varies.
    inputs: Vec<(String, TensorElementType, Vec<i64>)>,
    outputs: Vec<(String, Real, Vec<i64>)>,
}

/// The element types of real numbers that towers take and give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Real {
    F32,
    F16,
}

impl Real {
    pub(super) fn of(element: TensorElementType) -> Option<Self> {
        match element {
            TensorElementType::Float32 => Some(Self::F32),
            TensorElementType::Float16 => Some(Self::F16),
            _ => None,
        }
    }
}

/// What a graph's weights lie in beside it.
#[derive(Clone, Debug, Default)]
struct Beside {
    /// The folder that the graph names them from.
    folder: Option<PathBuf>,
}

impl Beside {
    /// Verifies `external` and tells where the graph finds them.
    fn of(model: &Model, file: &str, external: &[String]) -> Result<Self, ModelError> {
        if external.is_empty() {
            return Ok(Self::default());
        }
        for name in external {
            model.verify(name)?;
        }
        Ok(Self { folder: model.path(file).parent().map(Path::to_owned) })
    }
}

impl Graph {
    /// Reads and verifies `file` of `model` and loads it, or what an earlier run made
    /// of it, if the model has a cache and it is there; that for one answer only if it is `brief`.
    pub(super) fn open(
        model: &Model,
        file: &str,
        external: &[String],
        runtime: &Runtime,
        (sessions, brief): (usize, bool),
    ) -> Result<Self, ModelError> {
        let graph_error = |problem: String| ModelError::Graph { path: model.path(file), problem };
        let files = || std::iter::once(file).chain(external.iter().map(String::as_str));
        let by_cpu = runtime.provider() == Provider::Cpu;
        // What others compile cannot be kept in this way; and each session has the weights in
        // the device's memory once more, while it has the device to itself when it runs.
        let sessions = if by_cpu { sessions } else { 1 };
        let place = model.prepared().filter(|_| by_cpu).map(|folder| {
            let sums: Vec<_> = files().map(|f| &*model.manifest().files()[f].sha256).collect();
            Place::new(folder, &sums.join("+"), runtime)
        });
        let mapped = match &place {
            // What was prepared has a checksum of its own, and is named by those that the files have
            // to have. That they do is found out meanwhile, in pieces: they are not needed.
            Some(place) => std::thread::scope(|scope| {
                let verified = scope.spawn(|| files().try_for_each(|file| model.verify(file)));
                // It was whole, so it is the runtime that does not take it any more.
                let mapped = place.open().and_then(|bytes| {
                    map(runtime, bytes, brief).inspect_err(|_| place.discard()).ok()
                });
                joined(verified).map(|()| mapped)
            })?,
            None => None,
        };
        let first = match mapped {
            Some(first) => first,
            None => {
                let (bytes, beside) = (model.read(file)?, Beside::of(model, file, external)?);
                let built = match &place {
                    Some(place) => prepare(runtime, &bytes, &beside, place),
                    None => build(runtime, &bytes, &beside),
                };
                built.map_err(|e| graph_error(e.to_string()))?
            }
        };
        let metadata = first.session().metadata().map_err(|e| graph_error(e.to_string()))?;
        model.check_pair(file, metadata.custom(PAIR_KEY))?;
        drop(metadata);
        let inputs = first.session().inputs().iter().map(input).collect::<Result<_, _>>();
        let inputs = inputs.map_err(graph_error)?;
        let outputs = first.session().outputs().iter().filter_map(output).collect();
        let (model, runtime) = (model.clone(), runtime.clone());
        let (file, external) = (file.to_owned(), external.to_vec());
        let pool = Pool::new(first, sessions, move || {
            if let Some(bytes) = place.as_ref().and_then(Place::open)
                && let Ok(live) = map(&runtime, bytes, brief)
            {
                return Ok(live);
            }
            let fail = |e: ModelError| e.to_string();
            let bytes = model.read(&file).map_err(|e| e.to_string())?;
            let beside = Beside::of(&model, &file, &external).map_err(fail)?;
            build(&runtime, &bytes, &beside).map_err(|e| e.to_string())
        });
        Ok(Self { pool, inputs, outputs })
    }

    /// The inputs: name, element type, declared shape.
    pub(super) fn inputs(&self) -> &[(String, TensorElementType, Vec<i64>)] {
        &self.inputs
    }

    /// The declared shape of an output of real numbers.
    pub(super) fn output(&self, name: &str) -> Result<&[i64], String> {
        self.real_output(name).map(|(_, shape)| shape)
    }

    fn real_output(&self, name: &str) -> Result<(Real, &[i64]), String> {
        let found = self.outputs.iter().find(|(n, ..)| n == name);
        found.map(|(_, real, shape)| (*real, shape.as_slice())).ok_or_else(|| {
            let names: Vec<_> = self.outputs.iter().map(|(n, ..)| n.as_str()).collect();
            format!("expected an output {name:?} of f32 or f16, got {}", names.join(", "))
        })
    }

    /// Whether `name` gives one vector of `dim` numbers a row, as far as declared.
    pub(super) fn check_embedding(&self, name: &str, dim: usize) -> Result<(), String> {
        let shape = self.output(name)?;
        let fits = shape.len() == 2 && (shape[1] == dim as i64 || shape[1] < 0);
        if !fits {
            return Err(format!("expected output {name:?} as [batch, {dim}], got {shape:?}"));
        }
        Ok(())
    }

    /// Runs the graph on `batch` rows and gives the named outputs, each with
    /// its rows one after another.
    pub(super) fn run(
        &self,
        inputs: Inputs<'_>,
        batch: usize,
        names: &[&str],
    ) -> Result<Vec<Vec<f32>>, EncodeError> {
        let fail = |e: ort::Error| EncodeError::Runtime { what: format!("ONNX Runtime: {e}") };
        let wanted = names.iter().fold(OutputSelector::no_default(), |s, name| s.with(*name));
        let options = RunOptions::new().map_err(fail)?.with_outputs(wanted);
        let kinds = names.iter().map(|name| self.real_output(name).map(|(real, _)| real));
        let kinds = kinds.collect::<Result<Vec<_>, _>>();
        let kinds = kinds.map_err(|what| EncodeError::Runtime { what })?;
        let run = |live: &mut Live| {
            let outputs = match live {
                Live::Owned(session) => session.run_with_options(inputs, &options),
                Live::Mapped { session, .. } => session.run_with_options(inputs, &options),
            };
            let outputs = outputs.map_err(fail)?;
            names
                .iter()
                .zip(&kinds)
                .map(|(name, kind)| {
                    let output = &outputs[*name];
                    let (shape, data) = match kind {
                        Real::F32 => {
                            let (shape, data) = output.try_extract_tensor::<f32>().map_err(fail)?;
                            (shape, data.to_vec())
                        }
                        Real::F16 => {
                            let (shape, data) = output.try_extract_tensor::<f16>().map_err(fail)?;
                            (shape, data.iter().map(|v| v.to_f32()).collect())
                        }
                    };
                    if shape.first() != Some(&(batch as i64)) {
                        let what =
                            format!("output {name:?} has shape {shape:?} for {batch} inputs");
                        return Err(EncodeError::Runtime { what });
                    }
                    Ok(data)
                })
                .collect()
        };
        self.pool.with(run).map_err(|what| EncodeError::Runtime { what })?
    }
}

/// What a thread came to; if it panicked, so does whoever asks.
pub(super) fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A session with what it needs to live.
enum Live {
    /// One that has everything itself.
    Owned(Session),
    /// One whose weights lie in a mapped file. Fields are dropped in this order.
    Mapped { session: InMemorySession<'static>, _bytes: Bytes },
}

impl Live {
    fn session(&self) -> &Session {
        match self {
            Self::Owned(session) => session,
            Self::Mapped { session, .. } => session,
        }
    }
}

fn builder(runtime: &Runtime) -> Result<SessionBuilder, ort::Error> {
    // One thread a session: many sessions side by side beat one with many
    // threads, and a spinning thread takes its core from decoding.
    let builder = Session::builder(runtime.environment())?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_intra_op_spinning(false)?
        .with_inter_op_spinning(false)?
        .with_log_level(LogLevel::Error)?;
    runtime.provider().register(builder)
}

/// A builder for a graph that may name weights beside it.
fn builder_beside(runtime: &Runtime, beside: &Beside) -> Result<SessionBuilder, ort::Error> {
    let builder = builder(runtime)?;
    let Some(folder) = beside.folder.as_deref().and_then(Path::to_str) else { return Ok(builder) };
    Ok(builder.with_config_entry(EXTERNAL_FOLDER, folder)?)
}

fn build(runtime: &Runtime, bytes: &[u8], beside: &Beside) -> Result<Live, ort::Error> {
    Ok(Live::Owned(builder_beside(runtime, beside)?.commit_from_memory(bytes)?))
}

/// Builds, and keeps what the runtime made of it. A cache that cannot be written
/// costs time at the next start and nothing else.
fn prepare(
    runtime: &Runtime,
    bytes: &[u8],
    beside: &Beside,
    place: &Place,
) -> Result<Live, ort::Error> {
    let Ok(draft) = place.draft() else { return build(runtime, bytes, beside) };
    let saving = builder_beside(runtime, beside)?
        .with_config_entry("session.save_model_format", "ORT")?
        .with_optimized_model_path(draft.path())?
        .commit_from_memory(bytes);
    match saving {
        Ok(session) => {
            let _ = draft.keep();
            Ok(Live::Owned(session))
        }
        Err(_) => build(runtime, bytes, beside),
    }
}

/// A session over a prepared graph, whose weights it reads where they are. If it is there for
/// one answer only (`brief`), they are not laid out anew: that takes longer than it saves.
fn map(runtime: &Runtime, bytes: Bytes, brief: bool) -> Result<Live, ort::Error> {
    let content = bytes.get();
    // SAFETY: the memory belongs to `bytes`, which is kept beside the session and
    // dropped after it; a clone of `Bytes` maps the same memory.
    let content: &'static [u8] =
        unsafe { std::slice::from_raw_parts(content.as_ptr(), content.len()) };
    let mut builder = builder(runtime)?;
    if brief {
        builder = builder.with_config_entry(AS_THEY_ARE, "1")?;
    }
    let session = builder.commit_from_memory_directly(content)?;
    Ok(Live::Mapped { session, _bytes: bytes })
}

fn input(outlet: &Outlet) -> Result<(String, TensorElementType, Vec<i64>), String> {
    match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => {
            Ok((outlet.name().to_owned(), *ty, shape.iter().copied().collect()))
        }
        other => Err(format!("expected tensors as inputs, got {:?}: {other:?}", outlet.name())),
    }
}

fn output(outlet: &Outlet) -> Option<(String, Real, Vec<i64>)> {
    match outlet.dtype() {
        ValueType::Tensor { ty, shape, .. } => {
            Some((outlet.name().to_owned(), Real::of(*ty)?, shape.iter().copied().collect()))
        }
        _ => None,
    }
}
