//! Given several threads that decode at once, how much memory may they take
//! together? A weighted semaphore hands it out, first come, first served.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Memory that is shared out, in bytes.
#[derive(Debug)]
pub(super) struct Budget {
    limit: AtomicU64,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    used: u64,
    /// The number the next waiting thread draws.
    next: u64,
    /// The number whose turn it is.
    turn: u64,
}

thread_local! {
    /// How many permits this thread holds.
    static HELD: Cell<u32> = const { Cell::new(0) };
}

impl Budget {
    pub(super) const fn new(limit: u64) -> Self {
        let state = State { used: 0, next: 0, turn: 0 };
        Self { limit: AtomicU64::new(limit), state: Mutex::new(state), changed: Condvar::new() }
    }

    /// What may be taken together.
    pub(super) fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Allows more or less from now on. What is taken already stays taken.
    pub(super) fn set_limit(&self, limit: u64) {
        // Under the lock, so that no one goes to sleep between looking and being told.
        let state = self.lock();
        self.limit.store(limit, Ordering::Relaxed);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until `bytes` are free, or everything is if that is less.
    ///
    /// A thread that holds a permit already is not kept waiting: what it waits
    /// for might be its own. So a waiting thread holds nothing, those that hold
    /// something do not wait, and there is no deadlock; the budget is kept
    /// as long as nobody holds two permits.
    pub(super) fn take(&self, bytes: u64) -> Permit<'_> {
        let mut state = self.lock();
        if HELD.get() == 0 {
            // In turn, so that a large picture does not starve among small ones.
            let ticket = state.next;
            state.next += 1;
            // The limit may change meanwhile, and a large picture then needs all there is.
            while state.turn != ticket || state.used + bytes.min(self.limit()) > self.limit() {
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.turn += 1;
        }
        let bytes = bytes.min(self.limit());
        state.used += bytes;
        drop(state);
        self.changed.notify_all();
        HELD.set(HELD.get() + 1);
        Permit { budget: self, bytes, one_thread: PhantomData }
    }

    /// A panic elsewhere leaves the numbers whole: each change is one statement.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to some memory, until dropped.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    budget: &'a Budget,
    bytes: u64,
    /// It stays on the thread that counts it.
    one_thread: PhantomData<*const ()>,
}

impl Permit<'_> {
    /// Gives back all but `bytes`.
    pub(super) fn shrink(&mut self, bytes: u64) {
        let back = self.bytes.saturating_sub(bytes);
        self.bytes -= back;
        self.budget.lock().used -= back;
        self.budget.changed.notify_all();
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.shrink(0);
        HELD.set(HELD.get() - 1);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn many_threads_stay_within_the_budget() {
        const LIMIT: u64 = 100;
        let budget = Budget::new(LIMIT);
        let (used, most, done) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for thread in 0..16u64 {
                let (budget, used, most, done) = (&budget, &used, &most, &done);
                scope.spawn(move || {
                    let mut random = thread + 1;
                    for round in 0..200 {
                        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                        // Small ones, some of everything, some of more than that.
                        let want = (random >> 33) % 30 + if round % 10 == 0 { 95 } else { 0 };
                        let mut permit = budget.take(want);
                        let got = want.min(LIMIT);
                        let now = used.fetch_add(got, Ordering::SeqCst) + got;
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        // Down to half first, as a decoded picture does.
                        used.fetch_sub(got - got / 2, Ordering::SeqCst);
                        permit.shrink(got / 2);
                        std::thread::yield_now();
                        used.fetch_sub(got / 2, Ordering::SeqCst);
                        drop(permit);
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        let most = most.into_inner();
        assert!(most <= LIMIT && most > LIMIT / 2, "at most {most} of {LIMIT}");
        assert_eq!(done.into_inner(), 16 * 200);
        assert_eq!(budget.lock().used, 0, "all is given back");
    }

    #[test]
    fn a_limit_that_is_raised_lets_those_in_who_wait() {
        let budget = Budget::new(10);
        let held = budget.take(8);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| drop(budget.take(9)));
            budget.set_limit(20);
            waiting.join().expect("let in");
        });
        drop(held);
        budget.set_limit(3);
        assert_eq!(budget.take(9).bytes, 3, "everything there is");
    }

    #[test]
    fn a_thread_never_waits_for_itself() {
        let budget = Budget::new(10);
        let held: Vec<_> = (0..5).map(|_| budget.take(7)).collect();
        assert_eq!(budget.lock().used, 35);
        drop(held);
        assert_eq!(budget.lock().used, 0);
        let unwound = std::panic::catch_unwind(|| {
            let _permit = budget.take(10);
            std::panic::resume_unwind(Box::new("a codec's panic"));
        });
        assert!(unwound.is_err());
        assert_eq!(budget.lock().used, 0, "a panic gives it back");
    }
}
