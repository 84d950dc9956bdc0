//! Verbs about names: who is known by examples.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use ekphrasis_engine::LEAST_LABEL_PROBABILITY;

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
    /// [default: 0.01], of strangers for `identify` [default: 0.1, and 0.01 of comparisons];
    /// only rates that were measured for the model
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

#[derive(Debug, Args)]
pub(crate) struct LabelsArgs {
    #[command(subcommand)]
    pub(crate) verb: LabelsVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LabelsVerb {
    /// Keep labels under a name
    Create {
        /// What the set is called
        #[arg(value_name = "NAME")]
        name: String,
        /// Its labels, known by themselves as words
        #[arg(value_name = "LABEL", required_unless_present = "labels_file")]
        labels: Vec<String>,
        /// A file with one label a line
        #[arg(long, value_name = "FILE", conflicts_with = "labels")]
        labels_file: Option<PathBuf>,
        /// Instead of a set of that name
        #[arg(long)]
        replace: bool,
    },
    /// Add a label to a set, or more that it is known by
    Add {
        /// The set; a new one if there is none
        #[arg(value_name = "NAME")]
        name: String,
        /// What is answered
        #[arg(value_name = "LABEL")]
        label: String,
        /// Pictures of it; they are not needed afterwards
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
        /// What is compared with [default: what is known, or the label itself]
        #[arg(long, value_name = "TEXT")]
        words: Option<String>,
        /// No words: it is known by its pictures only
        #[arg(long, conflicts_with = "words")]
        no_words: bool,
    },
    /// Label all indexed pictures by a set, for filters (label:NAME); nothing is encoded again
    Apply {
        /// The set
        #[arg(value_name = "NAME")]
        name: String,
        /// Only labels with at least this probability, from 0 to 1
        #[arg(
            long,
            value_name = "P",
            default_value_t = LEAST_LABEL_PROBABILITY,
            allow_negative_numbers = true
        )]
        min_probability: f64,
        /// Judge each label by itself: a picture may have several
        #[arg(long)]
        multi: bool,
    },
    /// All sets
    List,
    /// The labels of one
    Show {
        /// The set
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Forget a set, or labels of it; no file is touched
    Delete {
        /// The set
        #[arg(value_name = "NAME")]
        name: String,
        /// Only these labels
        #[arg(value_name = "LABEL")]
        labels: Vec<String>,
    },
}
