//! What can be typed after `ek search`.

use clap::{Args, ValueEnum};

use super::copying::StoreArgs;

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ModeArg {
    /// Vectors and words, fused
    Hybrid,
    /// Vectors only
    Vector,
    /// Words only
    Text,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ForArg {
    /// Pictures
    Images,
    /// Texts and captions
    Texts,
    /// Both
    All,
}

#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// What to look for
    #[arg(value_name = "WORDS")]
    pub(crate) words: Vec<String>,
    /// A picture to look for: a file, or the id of an indexed one (again for more)
    #[arg(long, value_name = "FILE|ID")]
    pub(crate) image: Vec<String>,
    /// What to avoid: words, or a picture file (again for more)
    #[arg(long, value_name = "WORDS|FILE")]
    pub(crate) not: Vec<String>,
    /// More like this: an item's id, or a picture file (again for more)
    #[arg(long, value_name = "ID|FILE")]
    pub(crate) like: Vec<String>,
    /// Less like this, and not this itself: an item's id, or a picture file (again for more)
    #[arg(long, value_name = "ID|FILE")]
    pub(crate) dislike: Vec<String>,
    /// Weights of the words, then each --image, then each --not, separated by commas
    #[arg(long, value_delimiter = ',', value_name = "W,…", allow_hyphen_values = true)]
    pub(crate) weight: Vec<f32>,
    /// How many hits
    #[arg(short, default_value_t = 10)]
    pub(crate) n: usize,
    /// Hits to skip
    #[arg(long, default_value_t = 0)]
    pub(crate) offset: usize,
    /// Which rankings to use
    #[arg(long, value_enum, default_value_t = ModeArg::Hybrid)]
    pub(crate) mode: ModeArg,
    /// What to find [default: images, or whatever the filter asks for]
    #[arg(long = "for", value_enum)]
    pub(crate) kind: Option<ForArg>,
    /// Only what fits: kind, path, folder, name, format, size, width, height, dimensions,
    /// taken, modified, camera, lens, iso, aperture, exposure, focal, tag, label, color,
    /// near; as in
    /// 'taken:2019-05..2020 (tag:beach or near:52.5,13.4,10km) -width:<1000'
    #[arg(long, value_name = "EXPR", allow_hyphen_values = true)]
    pub(crate) filter: Option<String>,
    /// Compare with every vector
    #[arg(long)]
    pub(crate) exact: bool,
    /// Show each part's own score, and which words were found where
    #[arg(long)]
    pub(crate) explain: bool,
    /// Show one of pictures that are copies of one another
    #[arg(long)]
    pub(crate) collapse: bool,
    /// Show different ones first, among the best 256, as --diversity 0.3 does
    #[arg(long, conflicts_with = "diversity")]
    pub(crate) diverse: bool,
    /// How much that counts: from 0 (only how well they fit) to 1 (only how different they are)
    #[arg(long, value_name = "D", allow_negative_numbers = true)]
    pub(crate) diversity: Option<f32>,
    /// Say of this file (or item, by its id) where it stands, or why it is not among the hits
    #[arg(long, value_name = "PATH|ID")]
    pub(crate) why: Option<String>,
    /// Only pictures that fit with at least this probability, from 0 to 1
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub(crate) min_confidence: Option<f32>,
    /// Embed the words by this model, through the bridge that `ek model bridge` made
    #[arg(long, value_name = "NAME")]
    pub(crate) bridge: Option<String>,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
}
