//! What can be typed to move the store to another model.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct UseArgs {
    /// The name it was imported by, or that of the default model
    #[arg(value_name = "NAME", required_unless_present = "back", conflicts_with = "back")]
    pub(crate) name: Option<String>,
    /// Go back to the model that the store had before
    #[arg(long)]
    pub(crate) back: bool,
    /// Change nothing: embed so many pictures [default: 500], ask their captions of both
    /// models, and say which one finds more and how long a move will take
    #[arg(
        long,
        value_name = "N",
        num_args = 0..=1,
        default_missing_value = "500",
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=100_000)
    )]
    pub(crate) preview: Option<usize>,
    /// Captioned pictures of the store whose captions are asked [default: those in the store]
    #[arg(long, value_name = "PAIRS", requires = "preview")]
    pub(crate) queries: Option<PathBuf>,
    /// Seed of what is drawn
    #[arg(long, default_value_t = 0, requires = "preview")]
    pub(crate) seed: u64,
    /// At most so many items a second
    #[arg(long, value_name = "N", value_parser = rate)]
    pub(crate) rate: Option<f64>,
    /// Pictures embedded at once, 1 to 64 [default: one a core; 1 in a server]
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=64)
    )]
    pub(crate) threads: Option<usize>,
    /// Switch also if some pictures have no vector of the new model: they are lost, but for
    /// their lines in `ek status --failures`
    #[arg(long, conflicts_with = "preview")]
    pub(crate) without_missing: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BridgeArgs {
    /// The name it was imported by, or that of the default model
    #[arg(value_name = "NAME")]
    pub(crate) name: String,
    /// Captioned pictures of the store, to fit to and to measure by [default: the captions in
    /// the store]
    #[arg(long, value_name = "PAIRS")]
    pub(crate) queries: Option<PathBuf>,
    /// English nouns that both models are asked for
    #[arg(
        long,
        value_name = "N",
        default_value_t = 2000,
        value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(0..=20_000)
    )]
    pub(crate) words: usize,
    /// Seed of what is drawn
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
}

/// Items a second.
fn rate(text: &str) -> Result<f64, String> {
    let number: Result<f64, _> = text.trim().trim_end_matches("/s").parse();
    match number {
        Ok(rate) if (0.01..=1e6).contains(&rate) => Ok(rate),
        _ => Err(format!("expected items a second, from 0.01 to 1000000, got {text:?}")),
    }
}
