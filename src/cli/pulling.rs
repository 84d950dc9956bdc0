//! What can be typed after `ek model pull`.

use clap::Args;
use ekphrasis_engine::Precision;

#[derive(Debug, Args)]
pub(crate) struct PullArgs {
    /// A model of the list, or OWNER/NAME on the hub; with @ and a branch, tag or commit for
    /// another than the newest [without: prints the list]
    #[arg(value_name = "NAME[@REVISION]")]
    pub(crate) wanted: Option<String>,
    /// How the weights are stored: fp32, fp16, int8, uint8, q4, q4f16 or bnb4 [default: fp32, or
    /// what the model has if it is made by ek]
    #[arg(long, value_name = "PRECISION", requires = "wanted")]
    pub(crate) precision: Option<Precision>,
    /// The imported model that this is another precision of, so that it searches the same stores
    #[arg(long, value_name = "NAME", requires = "precision")]
    pub(crate) variant_of: Option<String>,
    /// A language of its texts, such as en (again for more) [default: what its README says]
    #[arg(long, value_name = "TAG", requires = "wanted")]
    pub(crate) language: Vec<String>,
    /// What to call it here [default: its own name]
    #[arg(long, value_name = "NAME", requires = "wanted")]
    pub(crate) name: Option<String>,
}
