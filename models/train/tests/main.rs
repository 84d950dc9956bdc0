//! The trainer, end to end.
#![expect(clippy::print_stdout, reason = "seeds and figures, shown when a test fails")]

mod data;
mod export;
mod recipes;
mod stored;
