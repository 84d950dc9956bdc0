//! Given many threads that each want a short text embedded, how are they put together?
//! A run of the encoder reads all its weights whatever it is given, so that eight texts
//! at a time cost far less than eight runs. Nobody waits for company: whoever finds an
//! encoder free starts at once, and what arrives while all are busy goes together into
//! the next run.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use ekphrasis_embed::{Embedding, EncodeError};

/// Texts in one run: beyond, little is saved (`web/README.md`) and the first waits for all.
const MOST: usize = 8;
/// Texts up to so many bytes go with one another whatever their lengths are.
const SHORT: usize = 32;

/// What encodes some texts, one embedding a text in the same order.
pub(crate) type Encode<'a> = &'a dyn Fn(&[&str]) -> Result<Vec<Embedding>, EncodeError>;

type Answer = Result<Embedding, EncodeError>;

/// Texts that wait for their turn, and how many runs are under way.
pub(crate) struct Together {
    /// Runs at once.
    runs: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Not empty only while as many runs as there may be are under way.
    waiting: VecDeque<(String, Arc<Place>)>,
    running: usize,
}

/// Where one thread waits.
struct Place {
    turn: Mutex<Turn>,
    changed: Condvar,
}

enum Turn {
    Waiting,
    /// It is to run its own text, with whoever waits. It waits itself no more.
    Yours,
    Done(Answer),
}

impl Together {
    /// So many runs at once at most.
    pub(crate) fn new(runs: usize) -> Self {
        Self { runs: runs.max(1), state: Mutex::default() }
    }

    /// The embedding of `text` by `encode`, maybe in one run with texts of other threads;
    /// all have to bring an `encode` that does the same.
    ///
    /// # Errors
    /// Those of `encode` for this text; what is wrong with others' is theirs.
    pub(crate) fn embed(&self, text: &str, encode: Encode<'_>) -> Answer {
        let place = {
            let mut state = self.lock();
            if state.running < self.runs {
                state.running += 1;
                None
            } else {
                let place =
                    Arc::new(Place { turn: Mutex::new(Turn::Waiting), changed: Condvar::new() });
                state.waiting.push_back((text.to_owned(), Arc::clone(&place)));
                Some(place)
            }
        };
        // With whoever waits, if it is this thread's turn because another ended.
        let others = match place.as_deref().map(Place::wait) {
            None => Vec::new(),
            Some(Some(answer)) => return answer,
            Some(None) => self.lock().company_of(text),
        };
        let mut run = Run { of: self, others };
        run.all(text, encode)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held; the state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes those that go with `text`: a run pads its texts to the longest, so that a
    /// word beside a page would cost as much as a page.
    fn company_of(&mut self, text: &str) -> Vec<(String, Arc<Place>)> {
        let size = |text: &str| text.len().max(SHORT);
        let own = size(text);
        let mut company = Vec::new();
        let mut at = 0;
        while at < self.waiting.len() && company.len() + 1 < MOST {
            let other = size(&self.waiting[at].0);
            if other <= 2 * own && own <= 2 * other {
                company.extend(self.waiting.remove(at));
            } else {
                at += 1;
            }
        }
        company
    }
}

impl Place {
    /// Waits for the answer; `None`: it is this thread's turn to run.
    fn wait(&self) -> Option<Answer> {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match std::mem::replace(&mut *turn, Turn::Waiting) {
                Turn::Done(answer) => return Some(answer),
                Turn::Yours => return None,
                Turn::Waiting => {}
            }
            turn = self.changed.wait(turn).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn set(&self, turn: Turn) {
        *self.turn.lock().unwrap_or_else(PoisonError::into_inner) = turn;
        self.changed.notify_one();
    }
}

/// A run under way: when it ends, also by a panic, everybody in it has an answer and the
/// next has its turn.
struct Run<'a> {
    of: &'a Together,
    /// Those without an answer yet.
    others: Vec<(String, Arc<Place>)>,
}

impl Run<'_> {
    fn all(&mut self, own: &str, encode: Encode<'_>) -> Answer {
        let mut texts = vec![own];
        texts.extend(self.others.iter().map(|(text, _)| text.as_str()));
        let together = encode(&texts).ok().filter(|found| found.len() == texts.len());
        let Some(embeddings) = together else {
            // One of them may be at fault: each alone.
            while let Some((text, _)) = self.others.last() {
                // Only then taken off: a panic leaves it to `drop`.
                let answer = alone(text, encode);
                if let Some((_, place)) = self.others.pop() {
                    place.set(Turn::Done(answer));
                }
            }
            return alone(own, encode);
        };
        let mut embeddings = embeddings.into_iter();
        let mine = embeddings.next();
        for ((_, place), embedding) in std::mem::take(&mut self.others).into_iter().zip(embeddings)
        {
            place.set(Turn::Done(Ok(embedding)));
        }
        mine.map_or_else(|| alone(own, encode), Ok)
    }
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        for (_, place) in self.others.drain(..) {
            let what = "the text encoder was cut off by a panic; ask again".to_owned();
            place.set(Turn::Done(Err(EncodeError::Runtime { what })));
        }
        let mut state = self.of.lock();
        match state.waiting.pop_front() {
            Some((_, next)) => next.set(Turn::Yours),
            None => state.running -= 1,
        }
    }
}

fn alone(text: &str, encode: Encode<'_>) -> Answer {
    let none = || EncodeError::Runtime { what: "the encoder gave no embedding for a text".into() };
    encode(&[text])?.pop().ok_or_else(none)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use ekphrasis_embed::Space;

    use super::*;

    /// An embedding that says which text it is of: `text` is a number.
    fn of(text: &str) -> Result<Embedding, EncodeError> {
        let bad = || EncodeError::Runtime { what: format!("no number: {text:?}") };
        let number: f32 = text.trim().parse().map_err(|_| bad())?;
        Ok(Embedding::new(
            &Space::new("test", 2).expect("a space"),
            vec![number.cos(), number.sin()],
        )?)
    }

    fn near(a: &Embedding, b: &Embedding) -> bool {
        a.values().iter().zip(b.values()).all(|(a, b)| (a - b).abs() < 1e-6)
    }

    #[test]
    fn everybody_gets_the_own_one_and_runs_are_shared() {
        let together = Together::new(2);
        let (now, peak, runs, most) = Default::default();
        let counts: (&AtomicUsize, &AtomicUsize, &AtomicUsize, &AtomicUsize) =
            (&now, &peak, &runs, &most);
        let encode = |texts: &[&str]| {
            let here = counts.0.fetch_add(1, Ordering::SeqCst) + 1;
            counts.1.fetch_max(here, Ordering::SeqCst);
            counts.2.fetch_add(1, Ordering::SeqCst);
            counts.3.fetch_max(texts.len(), Ordering::SeqCst);
            std::thread::sleep(Duration::from_millis(3));
            counts.0.fetch_sub(1, Ordering::SeqCst);
            texts.iter().map(|text| of(text)).collect()
        };
        std::thread::scope(|scope| {
            for thread in 0..24 {
                let (together, encode) = (&together, &encode);
                scope.spawn(move || {
                    for turn in 0..20 {
                        let text = format!("{}", thread * 100 + turn);
                        // Every seventh is none, and nobody else's trouble.
                        let text = if turn % 7 == 3 { format!("x{text}") } else { text };
                        match (together.embed(&text, encode), of(&text)) {
                            (Ok(got), Ok(expected)) => assert!(near(&got, &expected), "{text}"),
                            (Err(got), Err(expected)) => {
                                assert_eq!(got.to_string(), expected.to_string());
                            }
                            (got, _) => panic!("{text}: {got:?}"),
                        }
                    }
                });
            }
        });
        assert_eq!(peak.into_inner(), 2, "as many runs at once as may be");
        assert!((2..=MOST).contains(&most.into_inner()));
        let state = together.lock();
        assert_eq!((state.running, state.waiting.len()), (0, 0));
    }

    #[test]
    fn a_panic_leaves_nobody_waiting() {
        let together = Together::new(1);
        let encode = |texts: &[&str]| {
            std::thread::sleep(Duration::from_millis(2));
            assert!(!texts.contains(&"13"), "on purpose");
            texts.iter().map(|text| of(text)).collect()
        };
        let panics = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for number in 8..24 {
                let (together, encode, panics) = (&together, &encode, &panics);
                scope.spawn(move || {
                    let embed = || together.embed(&number.to_string(), encode);
                    let embed = std::panic::AssertUnwindSafe(embed);
                    if std::panic::catch_unwind(embed).is_err() {
                        panics.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(panics.into_inner(), 1);
        assert!(near(&together.embed("1", &encode).expect("goes on"), &of("1").expect("one")));
    }

    #[test]
    fn a_word_does_not_wait_for_a_page() {
        let place = || Arc::new(Place { turn: Mutex::new(Turn::Waiting), changed: Condvar::new() });
        let mut state = State::default();
        let lengths = [5, 500, 30, 900, 60, 70];
        state.waiting.extend(lengths.map(|n| ("a".repeat(n), place())));
        let taken = |company: Vec<(String, Arc<Place>)>| -> Vec<usize> {
            company.iter().map(|(text, _)| text.len()).collect()
        };
        assert_eq!(taken(state.company_of("a cat")), [5, 30, 60]);
        assert_eq!(taken(state.company_of(&"a".repeat(600))), [500, 900]);
        state.waiting.extend((0..20).map(|_| ("a".into(), place())));
        assert_eq!(taken(state.company_of("a cat")).len(), MOST - 1);
    }
}
