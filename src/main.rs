//! The program `ek`: reads what was typed, does it, says how it went.

mod cli;
mod client;
mod commands;
mod failure;
mod forward;
#[cfg(feature = "hub")]
mod hub;
mod output;

use std::process::ExitCode;

use clap::Parser;

use commands::Done;

/// Gives back what is freed: building a graph of 100,000 left 150 MB with glibc's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run(&cli) {
        Ok(Done::Well) => ExitCode::SUCCESS,
        Ok(Done::NothingOrPartly) => ExitCode::from(1),
        Err(failure) => {
            if let Some(message) = failure.message() {
                output::note(&format!("ek: {message}"));
            }
            ExitCode::from(failure.code())
        }
    }
}
