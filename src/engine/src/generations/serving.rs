//! Given an engine that many ask at once, how does it become one of another model without
//! any of them noticing? Whoever asks takes the engine there is and keeps it to the end, so
//! no request meets two models; whoever writes is let through here, and waits for the moment
//! of the switch.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::thread::JoinHandle;
use std::time::Duration;

use ekphrasis_embed::Space;

use super::copy::Mover;
use super::{Finish, Outcome, Target, UseOptions, Used, already, approach, ended, finish, place};
use crate::ingest::OnProgress;
use crate::{Engine, EngineError, Towers};

/// How often whoever waits looks again.
const TICK: Duration = Duration::from_millis(20);

/// The engine in use, which may be replaced by one of another model or generation.
pub struct Serving {
    engine: RwLock<Arc<Engine>>,
    /// Held for reading by whoever writes something short, for writing by a switch.
    writing: RwLock<()>,
    /// One move at a time.
    moving: Mutex<()>,
    /// Closes the engine that was left, once nobody asks it any more.
    leaving: Mutex<Vec<JoinHandle<()>>>,
}

impl Serving {
    /// Begins with this engine.
    pub fn new(engine: Engine) -> Self {
        Self {
            engine: RwLock::new(Arc::new(engine)),
            writing: RwLock::default(),
            moving: Mutex::default(),
            leaving: Mutex::default(),
        }
    }

    /// The engine in use now. Whoever has it may ask it as long as they like: it goes on
    /// answering as it did, also after a switch.
    pub fn current(&self) -> Arc<Engine> {
        Arc::clone(&self.engine.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does something short that writes: no switch happens meanwhile, so that nothing is
    /// written where nobody looks any more. Not for runs, which take turns: [`Serving::run`].
    pub fn write<T>(&self, work: impl FnOnce(&Engine) -> T) -> T {
        let _no_switch = self.writing.read().unwrap_or_else(PoisonError::into_inner);
        work(&self.current())
    }

    /// Does something long that takes its turn in the engine ([`Engine::index`],
    /// [`Engine::retry`], [`Engine::remove`]). If a switch came before its turn did, it is
    /// done by the new engine.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn run<T>(
        &self,
        work: impl Fn(&Engine) -> Result<T, EngineError>,
    ) -> Result<T, EngineError> {
        loop {
            match work(&self.current()) {
                Err(EngineError::Left) => std::thread::sleep(TICK),
                done => return done,
            }
        }
    }

    /// Moves to another model: see [`super::use_model`]. Searches go on all the time; at the
    /// end, what writes waits for a moment.
    ///
    /// # Errors
    /// `Busy` if that is being done already; `Invalid` for an engine that only reads; as
    /// [`super::use_model`].
    pub fn use_model(
        &self,
        towers: &Arc<dyn Towers>,
        options: &UseOptions,
        on_progress: OnProgress<'_>,
        stop: &AtomicBool,
    ) -> Result<Used, EngineError> {
        let _only_one = match self.moving.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(guard)) => guard.into_inner(),
            Err(TryLockError::WouldBlock) => {
                return Err(EngineError::Busy("the store is being moved to a model already"));
            }
        };
        let old = self.current();
        let Some(holder) = old.holder.clone() else {
            return Err(EngineError::Invalid("this server only reads the store".into()));
        };
        if *old.towers.space() == *towers.space() {
            return self.take_variant(&old, towers, stop);
        }
        // The store that was left before may be the very one that is gone back to.
        self.wait_for_the_left(stop);
        let before = place::pointer(&old.data)?;
        let target = Target::open(&old.data, towers.space(), &holder)?;
        let mut mover = Mover::new(&target.store, &**towers, options, on_progress, stop);
        if let Some(early) = approach(&mut mover, &old.store, before.serving)? {
            return Ok(early);
        }
        // The first request should not wait for the model.
        towers.text()?;
        towers.image()?;
        towers.confidence()?;
        let asks = Asks::on(&old.asked_for);
        let Some(turn) = turn_of(&old, stop) else {
            return Ok(ended(&mut mover, Outcome::Stopped, before.serving, vec![]));
        };
        let no_writing = self.writing.write().unwrap_or_else(PoisonError::into_inner);
        let unmade = match finish(&mut mover, &old.store)? {
            Finish::Ready(unmade) => unmade,
            Finish::Not(outcome, unmade) => {
                return Ok(ended(&mut mover, outcome, before.serving, unmade));
            }
        };
        let mut used = ended(&mut mover, Outcome::Switched, target.number, unmade);
        let Target { number, store } = target;
        if let Some(name) = towers.known_as() {
            place::note(&old.data, number, name)?;
        }
        let new = old.successor(Arc::clone(towers), Arc::new(store), number);
        used.unapplied = new.apply_as(&old.store)?;
        place::point(&old.data, &before.followed_by(number))?;
        self.replace(new);
        // Who waits for a turn finds that this engine was left, and asks the new one.
        old.left.store(true, Ordering::Relaxed);
        drop((no_writing, turn, asks));
        Ok(used)
    }

    /// Goes on with another model of the same space: the store stays.
    fn take_variant(
        &self,
        old: &Engine,
        towers: &Arc<dyn Towers>,
        stop: &AtomicBool,
    ) -> Result<Used, EngineError> {
        let mut used = already(&**towers, old.generation);
        let Some(name) = towers.known_as() else { return Ok(used) };
        if old.towers.known_as() == Some(name) {
            // What was named on the command line may not be what was noted.
            place::note(&old.data, old.generation, name)?;
            return Ok(used);
        }
        // The first request should not wait for the model.
        towers.text()?;
        towers.image()?;
        towers.confidence()?;
        let asks = Asks::on(&old.asked_for);
        let Some(turn) = turn_of(old, stop) else {
            used.outcome = Outcome::Stopped;
            return Ok(used);
        };
        let no_writing = self.writing.write().unwrap_or_else(PoisonError::into_inner);
        place::note(&old.data, old.generation, name)?;
        let store = Arc::clone(&old.store);
        self.replace(old.successor(Arc::clone(towers), store, old.generation));
        old.left.store(true, Ordering::Relaxed);
        drop((no_writing, turn, asks));
        used.outcome = Outcome::Variant;
        Ok(used)
    }

    /// Takes up another engine, say since another process moved the store to another model.
    /// Only for engines that read.
    pub fn replace(&self, new: Engine) {
        let mut place = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *place, Arc::new(new));
        drop(place);
        let closing = std::thread::spawn(move || {
            // Closing a store may take a while, which none of those who ask should pay.
            while Arc::strong_count(&old) > 1 {
                std::thread::sleep(TICK);
            }
        });
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        leaving.retain(|closing| !closing.is_finished());
        leaving.push(closing);
    }

    /// Sees to it that there are nouns to describe pictures with, by the model in use and by
    /// those that come after it, until `stop` is raised: see [`Engine::learn_nouns`]. That it
    /// cannot be done costs the answers those nouns, and nothing else.
    pub fn learn_nouns(&self, stop: &AtomicBool) {
        let mut learnt: Option<Space> = None;
        while !stop.load(Ordering::Relaxed) {
            let engine = self.current();
            let space = engine.towers.space().clone();
            if learnt.as_ref() != Some(&space) {
                let _ = engine.learn_nouns(stop);
                learnt = Some(space);
            }
            drop(engine);
            std::thread::sleep(TICK);
        }
    }

    fn wait_for_the_left(&self, stop: &AtomicBool) {
        let leaving = || self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        // Several, if one took up another model of its space before it was gone.
        while leaving().iter().any(|closing| !closing.is_finished())
            && !stop.load(Ordering::Relaxed)
        {
            std::thread::sleep(TICK);
        }
    }
}

/// Runs that have not begun let a switch go first, as long as this lives.
struct Asks<'a>(&'a AtomicBool);

impl<'a> Asks<'a> {
    fn on(flag: &'a AtomicBool) -> Self {
        flag.store(true, Ordering::Relaxed);
        Self(flag)
    }
}

impl Drop for Asks<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// The engine's turn, when it comes: no run goes on as long as it is held. `None` if stopped
/// before.
fn turn_of<'a>(engine: &'a Engine, stop: &AtomicBool) -> Option<MutexGuard<'a, ()>> {
    while !stop.load(Ordering::Relaxed) {
        match engine.turn.try_lock() {
            Ok(turn) => return Some(turn),
            Err(TryLockError::Poisoned(turn)) => return Some(turn.into_inner()),
            Err(TryLockError::WouldBlock) => std::thread::sleep(TICK),
        }
    }
    None
}
