//! The trainer, end to end.

mod data;
mod export;
mod recipes;
