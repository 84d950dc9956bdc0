//! Given more requests than the machine can work on, who waits and who is sent
//! away? A few run at once, a bounded number waits in order, the rest is told to
//! come back: so that answers stay as fast as they can be, and memory flat. And how long
//! may an answer take?

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use actix_web::rt::time::timeout;
use ekphrasis_engine::Histogram;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// Requests that run at once, for each core: more than one, so that texts of several come
/// together in one run of the encoder.
const RUNNING_EACH: usize = 4;
/// How many wait for each that runs.
const WAITING_EACH: usize = 8;
/// Nobody waits longer.
const PATIENCE: Duration = Duration::from_secs(20);
/// Nor behind those that may take seconds each.
const LONG_PATIENCE: Duration = Duration::from_secs(60);
/// No answer takes longer, from its turn on: a search takes milliseconds, and something is
/// wrong with the disk by then.
const ANSWER: Duration = Duration::from_secs(30);
/// Nor one of those that may take seconds: as long as `ek` itself waits for a server.
const LONG_ANSWER: Duration = Duration::from_secs(600);
/// Bodies over this many bytes are received by few at once.
pub(crate) const LARGE_BODY: u64 = 1 << 20;
/// How few.
const LARGE_BODIES: usize = 16;

/// The gate of this process: processor and memory are the process's, however many
/// servers it runs.
pub(crate) static GATE: LazyLock<Gate> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let running = RUNNING_EACH * cores.max(2);
    Gate::new(running, WAITING_EACH * running, PATIENCE, ANSWER)
});

/// The gate for what may take seconds: it has turns of its own, so that however many ask for
/// it, searches are let in as ever.
pub(crate) static LONG: LazyLock<Gate> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    let running = (cores / 2).max(1);
    Gate::new(running, WAITING_EACH * running, LONG_PATIENCE, LONG_ANSWER)
});

/// Who may work.
pub(crate) struct Gate {
    running: Arc<Semaphore>,
    most_running: usize,
    large: Arc<Semaphore>,
    waiting: AtomicUsize,
    most_waiting: usize,
    patience: Duration,
    answer: Duration,
    /// How long those waited who were let in.
    pub(crate) waits: Histogram,
    refused: AtomicU64,
}

impl Gate {
    pub(crate) fn new(
        running: usize,
        most_waiting: usize,
        patience: Duration,
        answer: Duration,
    ) -> Self {
        Self {
            running: Arc::new(Semaphore::new(running)),
            most_running: running,
            large: Arc::new(Semaphore::new(LARGE_BODIES)),
            waiting: AtomicUsize::new(0),
            most_waiting,
            patience,
            answer,
            waits: Histogram::default(),
            refused: AtomicU64::new(0),
        }
    }

    /// How many may work at once.
    pub(crate) fn running(&self) -> usize {
        self.most_running
    }

    /// Waits for a place to work; it is given back when the permit goes.
    ///
    /// # Errors
    /// 429 if too many wait already, or waiting takes too long.
    pub(crate) async fn enter(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let since = Instant::now();
        if let Ok(permit) = Arc::clone(&self.running).try_acquire_owned() {
            self.waits.note(Duration::ZERO);
            return Ok(permit);
        }
        // Whoever goes away while waiting is not counted any more.
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= self.most_waiting {
            return Err(self.refuse(format!(
                "{} requests are waiting already; ask again in a moment",
                self.most_waiting
            )));
        }
        match timeout(self.patience, Arc::clone(&self.running).acquire_owned()).await {
            Ok(Ok(permit)) => {
                self.waits.note(since.elapsed());
                Ok(permit)
            }
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(self.refuse(format!(
                "the request waited for {} s without getting its turn",
                self.patience.as_secs()
            ))),
        }
    }

    /// A place for a large body, for as long as its request lasts.
    ///
    /// # Errors
    /// 429 if there is none.
    pub(crate) fn large_body(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let place = Arc::clone(&self.large).try_acquire_owned();
        place.map_err(|_| {
            self.refuse(format!("{LARGE_BODIES} large requests are being received already"))
        })
    }

    /// Waits for an answer as long as one may take.
    ///
    /// # Errors
    /// 503 after that, or what the answer is.
    pub(crate) async fn answered<T>(
        &self,
        answer: impl Future<Output = Result<T, Problem>>,
    ) -> Result<T, Problem> {
        let answer = timeout(self.answer, answer).await;
        answer.unwrap_or_else(|_| Err(Problem::overdue(self.answer)))
    }

    fn refuse(&self, detail: String) -> Problem {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Problem::too_busy(detail)
    }

    /// How many wait now.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// How many were sent away.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::ResponseError as _;
    use futures_util::future::{join_all, poll_immediate};

    const HOUR: Duration = Duration::from_secs(3_600);

    #[actix_web::test]
    async fn some_work_some_wait_and_the_rest_is_sent_away() {
        let gate = Gate::new(2, 3, HOUR, HOUR);
        let first = gate.enter().await.expect("free");
        let _second = gate.enter().await.expect("free");
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(gate.enter())).collect();
        for one in &mut waiting {
            assert!(poll_immediate(one).await.is_none(), "it waits");
        }
        assert_eq!(gate.waiting(), 3);
        let reply = gate.enter().await.expect_err("too many").error_response();
        assert_eq!(reply.status(), 429);
        assert_eq!(reply.headers().get("retry-after").expect("said"), "1");
        assert_eq!(gate.refused(), 1);
        // Who goes away makes room.
        drop(waiting.pop());
        assert_eq!(gate.waiting(), 2);
        drop(first);
        for one in join_all(waiting.drain(..1)).await {
            drop(one.expect("its turn"));
        }
    }

    #[actix_web::test]
    async fn nobody_waits_for_ever() {
        let gate = Gate::new(1, 3, Duration::from_millis(10), HOUR);
        let _held = gate.enter().await.expect("free");
        let reply = gate.enter().await.expect_err("out of patience").error_response();
        assert_eq!(reply.status(), 429);
        assert_eq!(gate.waiting(), 0);
    }
}
