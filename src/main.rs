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
