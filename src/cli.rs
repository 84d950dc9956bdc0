//! What can be typed after `ek`. The names are a promise to scripts.

mod copying;
mod moving;
mod naming;
mod pulling;
mod search;

use std::net::IpAddr;
use std::path::PathBuf;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use ekphrasis_engine::{PrecisionChoice, ProviderChoice};

pub(crate) use self::copying::{BlobArgs, CopyArgs, StoreArgs, WorkerArgs};
pub(crate) use self::moving::{BridgeArgs, UseArgs};
pub(crate) use self::naming::{
    AcceptingArgs, EnrolArgs, IdentifyArgs, IdentitiesArgs, IdentitiesVerb, LabelsArgs, LabelsVerb,
    VerifyArgs,
};
pub(crate) use self::pulling::PullArgs;
pub(crate) use self::search::{ForArg, ModeArg, SearchArgs};

/// Search pictures by phrase, find the words for a picture.
#[derive(Debug, Parser)]
#[command(
    name = "ek",
    version,
    after_help = "Exit codes: 0 done, 1 nothing found or some files failed, 2 wrong use, 3 something on this machine is missing or broken."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options of every verb.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// The store's folder [default: EK_DATA, or the platform's data folder]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Print JSON on standard output
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print results and errors only
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// A model: its folder, or the name it was imported by [default: the one that the
    /// store was made with if it was imported, else models/lite]
    #[arg(long, global = true, value_name = "DIR|NAME")]
    pub(crate) model: Option<PathBuf>,
    /// The ONNX Runtime library to load [default: ORT_DYLIB_PATH, or found, or fetched once]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) onnxruntime: Option<PathBuf>,
    /// What computes the model: cpu, cuda, tensorrt, coreml, directml, openvino, or auto for the
    /// fastest. Tried first; where it does not work the CPU computes, and the reason is told
    /// [default: EK_PROVIDER, or cpu]
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) provider: Option<ProviderChoice>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Index folders (or the demo gallery), serve the page, and keep watching
    Up(UpArgs),
    /// Bring the store up to date with folders
    Index(IndexArgs),
    /// Find items by words, pictures, or both
    Search(SearchArgs),
    /// Find the nearest words for pictures
    Describe(DescribeArgs),
    /// Classify pictures against words of your choice
    Label(LabelArgs),
    /// Keep lists of labels: create, add, list, show, delete
    Labels(LabelsArgs),
    /// Keep pictures of something under a name, to know it again
    Enrol(EnrolArgs),
    /// Say whether a picture shows the one of a name (exit code 0: the same, 1: not)
    Verify(VerifyArgs),
    /// Say which of those that are enrolled pictures show, if any
    Identify(IdentifyArgs),
    /// List those that are enrolled, look at one, or forget one
    Identities(IdentitiesArgs),
    /// Show what is in the store
    Status(StatusArgs),
    /// Try again to index what could not be indexed
    Retry(RetryArgs),
    /// Forget files or folders; the files themselves are never touched
    Remove(RemoveArgs),
    /// Find pictures that are copies of one another, and name the best of each
    Dupes(DupesArgs),
    /// Measure retrieval and zero-shot accuracy on captioned pictures
    Eval(EvalArgs),
    /// Group the pictures of the store that are alike, and name the groups
    Cluster(ClusterArgs),
    /// Train on captioned pictures of your own, on top of a model or from scratch
    Train(TrainArgs),
    /// Write all vectors and what is known of them to files for other programs
    Export(ExportArgs),
    /// Take in what `ek export` wrote from a store of the same model
    Import(ImportArgs),
    /// Carry a store elsewhere: into another folder, to a Milvus server, or back
    Copy(CopyArgs),
    /// List the models here, look at one, or bring one in
    Model(ModelArgs),
    /// Measure how much searches miss, and make them as wide as the target needs
    Recall(RecallArgs),
    /// Check the library, the model and the store
    Doctor,
    /// Serve the page and the API over the store as it is
    Serve(ServeOnlyArgs),
    /// Let an assistant search: the Model Context Protocol on standard input and output
    Mcp,
    /// Print what a shell needs to complete what is typed after ek
    Completions(CompletionsArgs),
    /// Print the manual page
    Man(ManArgs),
}

/// Where to listen.
#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The port to listen on
    #[arg(long, default_value_t = 7733)]
    pub(crate) port: u16,
    /// The address to listen on; beyond this machine needs EK_API_KEY
    #[arg(long, default_value = "127.0.0.1", value_name = "ADDR")]
    pub(crate) bind: IpAddr,
    /// Folders that may be indexed over HTTP, beside those that were indexed before (again for more)
    #[arg(long, value_name = "DIR")]
    pub(crate) allow: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeOnlyArgs {
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) blobs: BlobArgs,
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// Folders to index and watch [default: those indexed before, or the demo gallery]
    #[arg(value_name = "DIR")]
    pub(crate) dirs: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) serve: ServeArgs,
}

#[derive(Debug, Args)]
pub(crate) struct IndexArgs {
    /// Folders or files
    #[arg(required = true, value_name = "DIR")]
    pub(crate) dirs: Vec<PathBuf>,
    /// Captions, tags and texts, as JSONL or CSV
    #[arg(long, value_name = "FILE")]
    pub(crate) captions: Option<PathBuf>,
    /// Leave out what matches this glob (again for more)
    #[arg(long, value_name = "GLOB")]
    pub(crate) exclude: Vec<String>,
    /// Follow symbolic links
    #[arg(long)]
    pub(crate) follow_links: bool,
    /// Read unchanged files, too, and see whether their contents are the same
    #[arg(long)]
    pub(crate) check_content: bool,
    #[command(flatten)]
    pub(crate) memory: MemoryArgs,
    /// Stay and follow changes until interrupted
    #[arg(long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) worker: WorkerArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MemoryArgs {
    /// What pictures may take while they are worked on, without model and store; 128mb or more
    /// [default: a quarter of the machine's memory, at most 2 GiB]
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    pub(crate) memory: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct RetryArgs {
    /// Only these files, or what is in these folders
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) memory: MemoryArgs,
}

/// The least that `--memory` may say.
const LEAST_MEMORY: u64 = 128_000_000;

/// `1.5gb`, `800mb`: powers of 1,000, as in filters.
fn bytes(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let units = [("gb", 1e9), ("mb", 1e6), ("kb", 1e3), ("g", 1e9), ("m", 1e6), ("k", 1e3)];
    let (number, unit) = units
        .into_iter()
        .find_map(|(name, unit)| Some((lower.strip_suffix(name)?, unit)))
        .unwrap_or((&lower, 1.0));
    let wrong = || format!("expected a size such as 800mb or 1.5gb, got {text:?}");
    let number: f64 = number.trim().parse().map_err(|_| wrong())?;
    if !number.is_finite() || number < 0.0 {
        return Err(wrong());
    }
    // Larger than any memory is as good as the largest number.
    match (number * unit) as u64 {
        least if least < LEAST_MEMORY => Err(format!("{text} is too little; 128mb or more")),
        bytes => Ok(bytes),
    }
}

#[derive(Debug, Args)]
pub(crate) struct DupesArgs {
    /// Only identical files
    #[arg(long)]
    pub(crate) exact: bool,
    /// Only among what fits; as in `ek search --filter`
    #[arg(long, value_name = "EXPR", allow_hyphen_values = true)]
    pub(crate) filter: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct DescribeArgs {
    /// Pictures
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// How many words or captions each
    #[arg(short, default_value_t = 5)]
    pub(crate) n: usize,
}

// One of the three, so that who gives none is told of all.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("known_labels").args(["labels", "labels_file", "set"]).required(true))]
pub(crate) struct LabelArgs {
    /// Pictures
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The labels to choose from, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "A,B,C")]
    pub(crate) labels: Vec<String>,
    /// A file with one label a line
    #[arg(long, value_name = "FILE")]
    pub(crate) labels_file: Option<PathBuf>,
    /// A label set of the store; see `ek labels`
    #[arg(long, value_name = "NAME")]
    pub(crate) set: Option<String>,
    /// How a label is put, with {} for it (again for more) [default: the model's own]
    #[arg(long, value_name = "TEXT", conflicts_with = "set")]
    pub(crate) template: Vec<String>,
    /// Judge each label by itself: several may fit
    #[arg(long)]
    pub(crate) multi: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// List the files that could not be indexed, with the reasons
    #[arg(long)]
    pub(crate) failures: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// Where the vectors go: NAME.npy (with NAME.jsonl and NAME.json beside it) or NAME.parquet
    #[arg(long, required = true, value_name = "FILE")]
    pub(crate) vectors: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The exported NAME.npy or NAME.parquet
    #[arg(value_name = "FILE")]
    pub(crate) vectors: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ModelArgs {
    #[command(subcommand)]
    pub(crate) verb: ModelVerb,
}

#[derive(Debug, Args)]
pub(crate) struct ImportModelArgs {
    /// A folder with a model.toml, or an ONNX export of CLIP, SigLIP and the like as
    /// Transformers.js, optimum, open_clip or immich lay it out
    #[arg(value_name = "DIR")]
    pub(crate) dir: PathBuf,
    /// What to call it here [default: its own name, or its folder's]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Which graphs to take of an export that has several: fp32, fp16, int8, uint8, q4, q4f16
    /// or bnb4. One that agrees with the 32-bit form searches the same stores. With auto each is
    /// run here, and the fastest that agrees is taken [default: fp32]
    #[arg(long, value_name = "PRECISION|auto")]
    pub(crate) precision: Option<PrecisionChoice>,
    /// A language of its texts, such as en (again for more) [default: what its README says]
    #[arg(long, value_name = "TAG")]
    pub(crate) language: Vec<String>,
    /// A sentence-transformers folder whose text tower takes the place of the export's own
    #[arg(long, value_name = "DIR")]
    pub(crate) text: Option<PathBuf>,
    /// The imported model that this is another precision of, if its 32-bit form is not in DIR
    #[arg(long, value_name = "NAME")]
    pub(crate) variant_of: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ModelVerb {
    /// The model in use and all imported ones
    List,
    /// What is known of a model [default: the one in use]
    Info {
        /// Its folder, or the name it was imported by
        #[arg(value_name = "DIR|NAME")]
        model: Option<PathBuf>,
    },
    /// Check a model's folder, such as `ek train` writes or others publish, and take a copy of it
    Import(ImportModelArgs),
    /// Fetch a model from a hub, check it, and import it; without a name: what is worth a try
    Pull(PullArgs),
    /// Move the store to another model: embed everything anew beside it, while it is searched,
    /// then switch
    Use(UseArgs),
    /// Let another model's text tower search the vectors that are there, by a map that is fitted
    /// here: see `ek search --bridge`. Says how much is found with it
    Bridge(BridgeArgs),
    /// Remove an imported model that no store needs
    Remove {
        /// The name it was imported by
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Remove the stores of former models, and what was left of a move that was given up
    DropOld,
    /// Learn from captioned pictures how far a model's scores can be believed, and write that
    /// into its folder
    Calibrate {
        /// Its folder, or the name it was imported by
        #[arg(value_name = "DIR|NAME")]
        model: PathBuf,
        /// Captioned pictures: the background is of split train, the rest is learned from split
        /// val; without splits, they are divided by concept
        #[arg(long, required = true, value_name = "PAIRS")]
        pairs: PathBuf,
        /// Seed of every draw
        #[arg(long, default_value_t = 0)]
        seed: u64,
    },
}

#[derive(Debug, Args)]
pub(crate) struct RecallArgs {
    /// What share of the true ten nearest is to be found [default: 0.99]
    #[arg(long, value_name = "SHARE")]
    pub(crate) target: Option<f64>,
    /// Queries of each kind [default: 200]
    #[arg(long, value_name = "N")]
    pub(crate) queries: Option<usize>,
    /// Change nothing; works while a server holds the store
    #[arg(long)]
    pub(crate) measure_only: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub(crate) shell: Shell,
}

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write the pages of ek and of each verb into this folder instead
    #[arg(long, value_name = "DIR")]
    pub(crate) to: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveArgs {
    /// Files, or folders with all below them
    #[arg(required = true, value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum SameByArg {
    /// Pictures of one class
    Class,
    /// Pictures of one group
    Group,
    /// Pictures with the same first caption
    Caption,
}

#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// Captioned pictures: JSONL, CSV, or a folder whose sub-folders are classes
    #[arg(value_name = "PAIRS")]
    pub(crate) pairs: PathBuf,
    /// Only the lines of this split
    #[arg(long, value_name = "NAME")]
    pub(crate) split: Option<String>,
    /// How a class is put for zero-shot, with {} for it (again for more: their mean is taken, and
    /// compared with the first one alone) [default: the model's own]
    #[arg(long, value_name = "TEXT")]
    pub(crate) template: Vec<String>,
    /// Seed of every draw: bootstrap intervals, folds, episodes, samples
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Generalised zero-shot: the classes of this split were seen in training
    #[arg(long, value_name = "NAME", requires = "split")]
    pub(crate) seen_split: Option<String>,
    /// Use at most so many pictures of the seen split
    #[arg(long, value_name = "N", default_value_t = 1000, requires = "seen_split")]
    pub(crate) seen_pictures: usize,
    /// Subtract this from the scores of seen classes (choose it on other data)
    #[arg(long, value_name = "G", requires = "seen_split", allow_negative_numbers = true)]
    pub(crate) gamma: Option<f64>,
    /// Verify pairs of pictures: the same thing or not
    #[arg(long)]
    pub(crate) verify: bool,
    /// What makes two pictures the same thing [default: class, else group, else caption]
    #[arg(long, value_enum, value_name = "COLUMN")]
    pub(crate) same_by: Option<SameByArg>,
    /// Enrol half of the things by one and two pictures each, and see who the other pictures
    /// are taken for; and what the model's thresholds do on these pictures
    #[arg(long)]
    pub(crate) identify: bool,
    /// Let everyone who asks like and dislike the first ten hits, twice, and see what that does
    /// for the next ones
    #[arg(long)]
    pub(crate) feedback: bool,
    /// The same with other weights of what was liked and disliked, to choose by
    #[arg(long, requires = "feedback")]
    pub(crate) feedback_grid: bool,
    /// Precision, recall and F1 of each class in zero-shot, and the classes most often confused
    #[arg(long)]
    pub(crate) per_class: bool,
    /// Few-shot episodes with so many examples of each class; of both intervals, that over classes
    /// is the one to expect of other things
    #[arg(long, value_delimiter = ',', value_name = "K,…")]
    pub(crate) shots: Vec<usize>,
    /// The same episodes also by the words of classes, alone and beside the examples
    #[arg(long, requires = "shots")]
    pub(crate) with_words: bool,
    /// Classes in a few-shot episode
    #[arg(long, value_name = "C", default_value_t = 5, requires = "shots")]
    pub(crate) ways: usize,
    /// Few-shot episodes for each number of examples
    #[arg(long, value_name = "N", default_value_t = 600, requires = "shots")]
    pub(crate) episodes: usize,
    /// Only this: whether the probabilities that something matches can be believed, with half
    /// of the concepts out of the library
    #[arg(long, conflicts_with_all = ["verify", "identify", "feedback", "shots", "seen_split", "template", "per_class"])]
    pub(crate) confidence: bool,
    /// A page with the reliability diagrams of --confidence, or the ROC curves of --verify
    #[arg(long, value_name = "FILE.html")]
    pub(crate) report: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MetricArg {
    /// Cosine; labels only measure
    None,
    /// Learn a weight for each coordinate
    Diagonal,
    /// Learn a full matrix
    Full,
}

#[derive(Debug, Args)]
pub(crate) struct ClusterArgs {
    /// How many groups [default: the number of classes with --pairs, else the best silhouette]
    #[arg(short, value_name = "N")]
    pub(crate) k: Option<usize>,
    /// Seed of every draw
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Labelled pictures of the store: those of one class (else group) are alike
    #[arg(long, value_name = "PAIRS")]
    pub(crate) pairs: Option<PathBuf>,
    /// The distance to learn from half of the labelled pictures [default: full with --pairs]
    #[arg(long, value_enum, requires = "pairs")]
    pub(crate) metric: Option<MetricArg>,
    /// Keep the learned distance in a file
    #[arg(long, value_name = "FILE.json", requires = "pairs")]
    pub(crate) save_metric: Option<PathBuf>,
    /// Group by a distance that was kept
    #[arg(long, value_name = "FILE.json", conflicts_with_all = ["save_metric", "metric"])]
    pub(crate) use_metric: Option<PathBuf>,
}

/// `--data` and `--model` have the names of options that every verb has, and a
/// meaning of their own.
#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// Captioned pictures, as JSONL or CSV, or a folder whose sub-folders are classes
    #[arg(long, required = true, value_name = "PAIRS")]
    pub(crate) data: PathBuf,
    /// The new model's name
    #[arg(long, required_unless_present = "ablation", value_name = "NAME")]
    pub(crate) model: Option<PathBuf>,
    /// The new model's folder; the run's own is DIR.run beside it
    #[arg(long, required_unless_present = "ablation", value_name = "DIR")]
    pub(crate) out: Option<PathBuf>,
    /// A recipe [default: heads on the base model, for a few hundred pictures]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The model to start from [default: models/lite]
    #[arg(long, value_name = "DIR")]
    pub(crate) base: Option<PathBuf>,
    /// Go on with a run that was stopped or killed
    #[arg(long)]
    pub(crate) resume: bool,
    /// Leave the model without confidence; `ek model calibrate` learns it later
    #[arg(long)]
    pub(crate) no_calibration: bool,
    /// Compare every loss and selection under this recipe instead, with this many seeds
    #[arg(
        long,
        value_name = "SEEDS",
        num_args = 0..=1,
        default_missing_value = "3",
        conflicts_with_all = ["out", "resume", "no_calibration"]
    )]
    pub(crate) ablation: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, expected) in
            [("128MB", 128_000_000), ("1.5 gb", 1_500_000_000), ("2g", 2_000_000_000)]
        {
            assert_eq!(bytes(text), Ok(expected), "{text}");
        }
        assert_eq!(bytes("400000k"), Ok(400_000_000));
        assert_eq!(bytes("1e30gb"), Ok(u64::MAX));
        for text in ["", "gb", "-1gb", "nan", "infgb", "1tb", "100mb", "12"] {
            assert!(bytes(text).is_err(), "{text}");
        }
    }
}
