//! Verbs about names: who is known by examples.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Args)]
pub(crate) struct EnrolArgs {
    /// What it is called
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Pictures of it; they are not needed afterwards
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Forget the examples that are known of it
    #[arg(long)]
    pub(crate) replace: bool,
}

/// From when on two pictures show the same.
#[derive(Debug, Args)]
pub(crate) struct AcceptingArgs {
    /// The least score, a cosine from -1 to 1, instead of a rate
    #[arg(
        long,
        value_name = "COSINE",
        allow_negative_numbers = true,
        conflicts_with = "false_accept_rate"
    )]
    pub(crate) threshold: Option<f64>,
    /// How often it may be wrong, at most: of comparisons with something else for `verify`
    /// [default: 0.01], of strangers for `identify` [default: 0.1]; only rates that were
    /// measured for the model
    #[arg(long, value_name = "RATE")]
    pub(crate) false_accept_rate: Option<f64>,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The picture
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Whom it is to show
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) accepting: AcceptingArgs,
}

#[derive(Debug, Args)]
pub(crate) struct IdentifyArgs {
    /// Pictures
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// It is one of them for sure: name the best
    #[arg(long, conflicts_with_all = ["threshold", "false_accept_rate"])]
    pub(crate) closed: bool,
    /// How many candidates each
    #[arg(short, default_value_t = 5)]
    pub(crate) n: usize,
    #[command(flatten)]
    pub(crate) accepting: AcceptingArgs,
}

#[derive(Debug, Args)]
pub(crate) struct IdentitiesArgs {
    #[command(subcommand)]
    pub(crate) verb: Option<IdentitiesVerb>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IdentitiesVerb {
    /// All of them
    List,
    /// The examples of one
    Show {
        /// What it is called
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Forget names with their examples; no file is touched
    Forget {
        /// What they are called
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}
