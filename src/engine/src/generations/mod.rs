//! Given a store and another model, how does the store come to be one of that model while
//! it is searched? Beside it a new one is made, a generation, that holds the same by the
//! new model's vectors ([`copy`]); at last nobody may write for a moment, what changed
//! meanwhile is taken in, and one file says that the new one serves ([`place`]). The old
//! one stays until it is dropped, so that going back is the same way with little to do.

mod copy;
mod encode;
mod names;
pub(crate) mod place;
mod preview;
mod serving;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ekphrasis_embed::Space;
use ekphrasis_index::{Access, Failure, Holder, LocalStore, StoreError, StoreRead};

use self::copy::Mover;
pub use self::names::Unmade;
pub use self::place::{Generation, Role, drop_old, generations};
pub(crate) use self::preview::captioned;
pub use self::preview::{Preview, PreviewOptions, PreviewScores, preview_model};
pub use self::serving::Serving;
use crate::ingest::OnProgress;
use crate::{Engine, EngineError, Progress, Towers, Unapplied};

/// Passes over everything before nobody may write, at most: each takes in what changed
/// during the one before.
const PASSES: usize = 8;
/// Changes that are few enough to be made while nobody may write.
const FEW: u64 = 64;
/// How often whoever waits for another looks again.
const TICK: Duration = Duration::from_millis(50);
/// How long one waits for whoever writes to the store but is no server.
const PATIENCE: Duration = Duration::from_secs(600);

/// How to move a store to another model.
#[derive(Clone, Debug)]
pub struct UseOptions {
    /// Pictures decoded and embedded at once.
    pub threads: usize,
    /// At most so many items a second.
    pub rate: Option<f64>,
    /// Switch also if some items or names could not be embedded by the new model.
    pub without_missing: bool,
}

/// How a move to another model ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The new model is in use.
    Switched,
    /// It was in use already.
    Already,
    /// It is in use now instead of another of its space, so that nothing had to be embedded.
    Variant,
    /// It was stopped; what is done stays, and the next one goes on from there.
    Stopped,
    /// All is done but for the switch: some things would be lost by it, and that was not
    /// allowed.
    HeldBack,
}

/// What a move to another model did.
#[derive(Clone, Debug)]
pub struct Used {
    /// How it ended.
    pub outcome: Outcome,
    /// The new model's name.
    pub model: String,
    /// Its space.
    pub space: Space,
    /// The generation that serves now.
    pub generation: u32,
    /// The counts: `indexed` were embedded, `unchanged` were there.
    pub progress: Progress,
    /// Pictures that have no vector of the new model, and why.
    pub missing: Vec<Failure>,
    /// Pictures of names that could not be embedded.
    pub unmade: Vec<Unmade>,
    /// Label sets that had been applied and could not be by the new model: pictures have no
    /// labels of them any more.
    pub unapplied: Vec<Unapplied>,
}

/// A generation that is being brought to what another says.
struct Target {
    number: u32,
    store: LocalStore,
}

impl Target {
    /// Opens, or begins, the generation of this space.
    fn open(data: &Path, space: &Space, holder: &Holder) -> Result<Self, EngineError> {
        let number = place::for_space(data, space)?;
        let dir = place::folder(data, number);
        let store = LocalStore::open(&dir, space, Access::Write(holder.clone()))?;
        Ok(Self { number, store })
    }
}

/// Moves the store in `data` to another model, where no server holds it; see [`Serving`] for
/// one that does. Whoever writes to the store meanwhile is waited for at the end.
///
/// # Errors
/// `NotFound` if there is no store; `Invalid` if a server took the store meanwhile, or it was
/// moved to yet another model; `Store(Locked)` if somebody else does the same; where model or
/// disk fail. What is done stays, and is not done again.
pub fn use_model(
    data: &Path,
    towers: &Arc<dyn Towers>,
    options: &UseOptions,
    holder: &Holder,
    on_progress: OnProgress<'_>,
    stop: &AtomicBool,
) -> Result<Used, EngineError> {
    let before = place::pointer(data)?;
    let dir = place::folder(data, before.serving);
    let Some(old) = LocalStore::glance(&dir)? else {
        return Err(EngineError::NotFound(format!(
            "there is no store in {} yet; `ek index DIR --model NAME` makes one of that model",
            data.display()
        )));
    };
    if old.space == *towers.space() {
        let mut used = already(&**towers, before.serving);
        let noted = place::noted(data, before.serving);
        if let Some(name) = towers.known_as().filter(|name| noted.as_deref() != Some(name)) {
            place::note(data, before.serving, name)?;
            used.outcome = Outcome::Variant;
        }
        return Ok(used);
    }
    let target = Target::open(data, towers.space(), holder)?;
    let mut mover = Mover::new(&target.store, &**towers, options, on_progress, stop);
    let from = LocalStore::open(&dir, &old.space, Access::Read)?;
    if let Some(early) = approach(&mut mover, &from, before.serving)? {
        return Ok(early);
    }
    drop(from);
    let Some(from) = alone(&dir, &old.space, holder, stop)? else {
        return Ok(ended(&mut mover, Outcome::Stopped, before.serving, vec![]));
    };
    if place::pointer(data)? != before {
        return Err(EngineError::Invalid(
            "the store was moved to another model meanwhile; say again which one is to be used"
                .into(),
        ));
    }
    match finish(&mut mover, &from)? {
        Finish::Ready(unmade) => {
            let mut used = ended(&mut mover, Outcome::Switched, target.number, unmade);
            let Target { number, store } = target;
            let new = Engine::over_generation(data, Arc::clone(towers), store, number);
            used.unapplied = new.apply_as(&from)?;
            if let Some(name) = towers.known_as() {
                place::note(data, number, name)?;
            }
            place::point(data, &before.followed_by(number))?;
            Ok(used)
        }
        Finish::Not(outcome, unmade) => Ok(ended(&mut mover, outcome, before.serving, unmade)),
    }
}

/// The old store, for writing, so that nobody else writes to it; `None` if stopped before.
fn alone(
    dir: &Path,
    space: &Space,
    holder: &Holder,
    stop: &AtomicBool,
) -> Result<Option<LocalStore>, EngineError> {
    let begun = Instant::now();
    loop {
        match LocalStore::open(dir, space, Access::Write(holder.clone())) {
            Ok(store) => return Ok(Some(store)),
            Err(StoreError::Locked { holder, .. }) if holder.address.is_some() => {
                return Err(EngineError::Invalid(format!(
                    "{holder} holds the store by now; all vectors are made: say the same again, \
                     and it switches"
                )));
            }
            Err(StoreError::Locked { .. }) if stop.load(Ordering::Relaxed) => return Ok(None),
            Err(StoreError::Locked { .. }) if begun.elapsed() < PATIENCE => {
                std::thread::sleep(TICK);
            }
            Err(e) => return Err(e.into()),
        }
    }
}

fn already(towers: &dyn Towers, generation: u32) -> Used {
    Used {
        outcome: Outcome::Already,
        model: towers.name().into(),
        space: towers.space().clone(),
        generation,
        progress: Progress::default(),
        missing: vec![],
        unmade: vec![],
        unapplied: vec![],
    }
}

fn ended(mover: &mut Mover<'_>, outcome: Outcome, generation: u32, unmade: Vec<Unmade>) -> Used {
    Used {
        outcome,
        model: mover.towers.name().into(),
        space: mover.towers.space().clone(),
        generation,
        progress: mover.ended(),
        missing: mover.missing.values().cloned().collect(),
        unmade,
        unapplied: vec![],
    }
}

/// Does all that can be done while others search and write: what is left then takes a
/// moment. The end, if it comes before the switch.
fn approach(
    mover: &mut Mover<'_>,
    from: &LocalStore,
    serving: u32,
) -> Result<Option<Used>, EngineError> {
    for _ in 0..PASSES {
        let seq = from.seq();
        let changes = mover.pass(from)?;
        if mover.is_stopped() {
            return Ok(Some(ended(mover, Outcome::Stopped, serving, vec![])));
        }
        // A first pass that had much to do took long, and much may have changed.
        if changes <= FEW || from.seq() == seq {
            break;
        }
    }
    let unmade = mover.names(from)?;
    if mover.is_stopped() {
        return Ok(Some(ended(mover, Outcome::Stopped, serving, vec![])));
    }
    if held_back(mover, &unmade) {
        return Ok(Some(ended(mover, Outcome::HeldBack, serving, unmade)));
    }
    // So that the first search need not wait for what is derived.
    mover.to.flush()?;
    mover.to.settle();
    Ok(None)
}

/// Whether a switch would lose something that nobody said may be lost.
fn held_back(mover: &Mover<'_>, unmade: &[Unmade]) -> bool {
    let nothing = mover.missing.is_empty() && unmade.is_empty();
    !(nothing || mover.options.without_missing)
}

/// How it stands when nobody may write.
enum Finish {
    Ready(Vec<Unmade>),
    Not(Outcome, Vec<Unmade>),
}

/// Takes in the last changes. Nobody may write to `from` meanwhile.
fn finish(mover: &mut Mover<'_>, from: &LocalStore) -> Result<Finish, EngineError> {
    mover.hurry();
    let mut rounds = 0;
    while mover.pass(from)? > 0 {
        if mover.is_stopped() {
            return Ok(Finish::Not(Outcome::Stopped, vec![]));
        }
        rounds += 1;
        if rounds > PASSES {
            return Err(EngineError::Io(std::io::Error::other(format!(
                "{} does not come to hold what {} does; nothing was switched. `ek doctor` looks \
                 for damage",
                mover.to.dir().display(),
                from.dir().display()
            ))));
        }
    }
    let unmade = mover.names(from)?;
    if mover.is_stopped() {
        return Ok(Finish::Not(Outcome::Stopped, vec![]));
    }
    if held_back(mover, &unmade) {
        return Ok(Finish::Not(Outcome::HeldBack, unmade));
    }
    mover.drop_orphans(from)?;
    mover.to.take_bookkeeping(from)?;
    let missing: Vec<Failure> = mover.missing.values().cloned().collect();
    mover.to.record_failures(&missing)?;
    mover.to.flush()?;
    Ok(Finish::Ready(unmade))
}
