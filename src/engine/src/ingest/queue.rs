//! Given stages that run at different speeds, how does work pass between them,
//! and how does a fast one wait for a slow one? Through a queue with bounds: of
//! the number of things in it, and of what they weigh together.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A queue between any number of threads on either side.
///
/// It ends when all who put in are gone: then what is left is taken out, and
/// nothing more comes. It also ends when all who take out are gone: then nothing
/// goes in any more.
pub(super) struct Queue<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    emptied: Condvar,
    /// Things in it, at most.
    most: usize,
    /// What those in it may weigh together; a single one may weigh more.
    weight: u64,
}

struct State<T> {
    waiting: VecDeque<(T, u64)>,
    weight: u64,
    givers: usize,
    takers: usize,
}

impl<T> Queue<T> {
    /// A queue with one side each, which may be cloned.
    pub(super) fn new(most: usize, weight: u64) -> Self {
        let state = State { waiting: VecDeque::new(), weight: 0, givers: 0, takers: 0 };
        Self {
            state: Mutex::new(state),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            most: most.max(1),
            weight,
        }
    }

    /// One who puts in. Get all that there will be before the first begins.
    pub(super) fn giver(&self) -> Giver<'_, T> {
        self.lock().givers += 1;
        Giver(self)
    }

    /// One who takes out. Get all that there will be before the first begins.
    pub(super) fn taker(&self) -> Taker<'_, T> {
        self.lock().takers += 1;
        Taker(self)
    }

    /// Nothing panics while the lock is held; the state is whole.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Giver<'a, T>(&'a Queue<T>);

impl<T> Giver<'_, T> {
    /// Puts a thing in, waiting for room; false if nobody will ever take it out.
    pub(super) fn give(&self, thing: T, weight: u64) -> bool {
        let queue = self.0;
        let mut state = queue.lock();
        let full = |s: &State<T>| {
            let heavy = !s.waiting.is_empty() && s.weight.saturating_add(weight) > queue.weight;
            s.waiting.len() >= queue.most || heavy
        };
        while state.takers > 0 && full(&state) {
            state = queue.emptied.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.takers == 0 {
            return false;
        }
        state.weight += weight;
        state.waiting.push_back((thing, weight));
        drop(state);
        queue.filled.notify_one();
        true
    }
}

impl<T> Drop for Giver<'_, T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.givers -= 1;
        if state.givers == 0 {
            drop(state);
            self.0.filled.notify_all();
        }
    }
}

pub(super) struct Taker<'a, T>(&'a Queue<T>);

impl<T> Taker<'_, T> {
    /// The next thing; waits for it. `None` if no more will come.
    pub(super) fn take(&self) -> Option<T> {
        self.take_some(1).pop()
    }

    /// The next things: waits for one, and takes up to `most` that are there then, but no more
    /// than its share with the other takers: of the last ones each gets some. Empty if no more
    /// will come.
    pub(super) fn take_some(&self, most: usize) -> Vec<T> {
        let queue = self.0;
        let mut state = queue.lock();
        while state.waiting.is_empty() && state.givers > 0 {
            state = queue.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let count = most.max(1).min(state.waiting.len().div_ceil(state.takers));
        let State { waiting, weight: left, .. } = &mut *state;
        let take = |(thing, weight)| {
            *left -= weight;
            thing
        };
        let taken = waiting.drain(..count).map(take).collect();
        drop(state);
        queue.emptied.notify_all();
        taken
    }
}

impl<T> Drop for Taker<'_, T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.takers -= 1;
        if state.takers == 0 {
            // What nobody will take out need not be kept.
            let left = std::mem::take(&mut state.waiting);
            state.weight = 0;
            drop(state);
            drop(left);
            self.0.emptied.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn everything_arrives_once_and_never_too_much_waits() {
        let queue = Queue::new(7, 50);
        let (sum, count) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let givers: Vec<_> = (0..4).map(|_| queue.giver()).collect();
            let takers: Vec<_> = (0..3).map(|_| queue.taker()).collect();
            for (g, giver) in givers.into_iter().enumerate() {
                scope.spawn(move || {
                    for i in 0..500u64 {
                        // Now and then one that is heavier than all may be together.
                        let weight = if i % 50 == 0 { 80 } else { i % 13 };
                        assert!(giver.give(g as u64 * 500 + i, weight));
                    }
                });
            }
            for taker in takers {
                let (queue, sum, count) = (&queue, &sum, &count);
                scope.spawn(move || {
                    loop {
                        {
                            let state = queue.lock();
                            assert!(state.waiting.len() <= 7, "{}", state.waiting.len());
                            assert!(state.weight <= 50 || state.waiting.len() == 1);
                        }
                        let some = taker.take_some(3);
                        if some.is_empty() {
                            return;
                        }
                        assert!(some.len() <= 3);
                        sum.fetch_add(some.iter().sum::<u64>(), Ordering::Relaxed);
                        count.fetch_add(some.len() as u64, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!((count.into_inner(), sum.into_inner()), (2000, 2000 * 1999 / 2));
        assert_eq!(queue.lock().weight, 0);
    }

    #[test]
    fn the_last_ones_are_shared() {
        let queue = Queue::new(9, u64::MAX);
        let (giver, takers) = (queue.giver(), [queue.taker(), queue.taker()]);
        assert!((0..9).all(|i| giver.give(i, 0)));
        drop(giver);
        let counts = [0, 1, 0, 1, 0].map(|i| takers[i].take_some(4).len());
        assert_eq!(counts, [4, 3, 1, 1, 0]);
    }

    #[test]
    fn whoever_waits_is_told_that_the_other_side_is_gone() {
        let queue = Queue::new(1, u64::MAX);
        let (giver, taker) = (queue.giver(), queue.taker());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| giver.give(1, 0) && giver.give(2, 0) && giver.give(3, 0));
            assert_eq!(taker.take(), Some(1));
            drop(taker);
            assert!(!waiting.join().expect("no panic"), "given to nobody");
        });
        let queue = Queue::<u8>::new(1, 0);
        let (giver, taker) = (queue.giver(), queue.taker());
        std::thread::scope(|scope| {
            let waiting = scope.spawn(move || taker.take());
            drop(giver);
            assert_eq!(waiting.join().expect("no panic"), None);
        });
    }
}
