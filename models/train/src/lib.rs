//! The trainer: pairs in, aligned encoders out.

mod atomic;
pub mod config;
pub mod data;
pub mod export;
pub mod job;
pub mod layer;
pub mod nn;
pub mod report;
pub mod run;
pub mod start;
