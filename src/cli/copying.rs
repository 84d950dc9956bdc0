//! What can be typed to name a store elsewhere, and to carry one there.

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct CopyArgs {
    /// The store to read: `local` (that of --data), a data folder, or milvus://HOST:PORT/COLLECTION
    #[arg(long, required = true, value_name = "STORE")]
    pub(crate) from: String,
    /// The store to write, written likewise; it is made if there is none
    #[arg(long, required = true, value_name = "STORE")]
    pub(crate) to: String,
    /// How many searches of the copy are compared with the true nearest
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) queries: usize,
}

#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    /// A store that other machines share, instead of that of --data: milvus://HOST:PORT/COLLECTION
    /// (a token is in EK_MILVUS_TOKEN)
    #[arg(long, value_name = "STORE")]
    pub(crate) store: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// With --store: take this part of the files only, such as 2/3 for the second of three workers
    #[arg(long, value_name = "I/N", requires = "store")]
    pub(crate) part: Option<String>,
    #[command(flatten)]
    pub(crate) blobs: BlobArgs,
    /// With --blobs: keep the pictures' files there too, for servers that cannot read the folder
    #[arg(long, requires = "blobs")]
    pub(crate) keep_files: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BlobArgs {
    /// With --store: a folder that all machines share, or s3://BUCKET/PREFIX (the key and where its
    /// server is are in the AWS_* variables), for thumbnails
    #[arg(long, value_name = "PLACE", requires = "store")]
    pub(crate) blobs: Option<PathBuf>,
}
