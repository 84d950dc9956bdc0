//! Given a session that only one caller may use at a time, how do many threads
//! share a few of them? They wait for a free one here.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Up to `most` items, made when first needed.
pub(super) struct Pool<T> {
    most: usize,
    make: Box<dyn Fn() -> Result<T, String> + Send + Sync>,
    state: Mutex<State<T>>,
    returned: Condvar,
}

struct State<T> {
    idle: Vec<T>,
    /// Idle ones and those in use.
    made: usize,
}

impl<T> Pool<T> {
    /// A pool that holds `first` and makes others by `make`.
    pub(super) fn new(
        first: T,
        most: usize,
        make: impl Fn() -> Result<T, String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            most: most.max(1),
            make: Box::new(make),
            state: Mutex::new(State { idle: vec![first], made: 1 }),
            returned: Condvar::new(),
        }
    }

    /// Calls `work` with an item that nobody else uses meanwhile.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> Result<R, String> {
        let mut loan = self.take()?;
        Ok(work(loan.item.as_mut().expect("held until the loan is dropped")))
    }

    fn take(&self) -> Result<Loan<'_, T>, String> {
        let mut state = self.lock();
        loop {
            if let Some(item) = state.idle.pop() {
                return Ok(Loan { pool: self, item: Some(item) });
            }
            if state.made < self.most {
                state.made += 1;
                drop(state);
                // Should making fail or panic, the loan gives the place free.
                let mut loan = Loan { pool: self, item: None };
                loan.item = Some((self.make)()?);
                return Ok(loan);
            }
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing panics while the lock is held; the state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives its item back when dropped, also by a panic.
struct Loan<'a, T> {
    pool: &'a Pool<T>,
    item: Option<T>,
}

impl<T> Drop for Loan<'_, T> {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        match self.item.take() {
            Some(item) => state.idle.push(item),
            None => state.made -= 1,
        }
        drop(state);
        self.pool.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn never_more_than_allowed_and_all_get_a_turn() {
        let pool = Pool::new((), 3, || Ok(()));
        let (now, peak, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..12 {
                scope.spawn(|| {
                    pool.with(|()| {
                        let here = now.fetch_add(1, Ordering::SeqCst) + 1;
                        peak.fetch_max(here, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(5));
                        now.fetch_sub(1, Ordering::SeqCst);
                        done.fetch_add(1, Ordering::SeqCst);
                    })
                    .expect("nothing to fail");
                });
            }
        });
        assert_eq!(done.into_inner(), 12);
        let peak = peak.into_inner();
        assert!((2..=3).contains(&peak), "peak {peak}");
    }

    #[test]
    fn a_panic_or_a_failure_costs_no_place() {
        let pool = Pool::new(1, 1, || Err("unused".into()));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = pool.with(|_| panic!("on purpose"));
        }));
        assert!(result.is_err());
        assert_eq!(pool.with(|n| *n), Ok(1));

        let pool = Pool::new(1, 2, || Err("no memory".into()));
        for _ in 0..3 {
            let inner = pool.with(|_| pool.with(|n| *n)).expect("the first is there");
            assert_eq!(inner, Err("no memory".into()));
        }
    }
}
