//! Everything between a file and an embedding: picture decoding, model
//! manifests, and encoders on ONNX Runtime and tokenizers.
//!
//! - [`decode`] turns the bytes of a picture into upright pixels, or says why not;
//!   [`decode_scaled`] does so faster for those who need few pixels of it.
//! - [`Runtime::load`] finds ONNX Runtime, or fetches it once, and loads it.
//! - [`Model::open`] reads a model folder; [`Model::image_encoder`] and
//!   [`Model::text_encoder`] give the two towers behind the traits of
//!   `ekphrasis-embed`.
//! - [`Library`] takes in models from elsewhere, each checked first.
//!
//! Only this crate knows that ONNX Runtime exists.

mod amend;
mod checked;
mod confidence;
mod decode;
mod encoder;
mod label_sets;
mod lexicon;
mod library;
mod manifest;
mod model;
mod runtime;
mod thumbnail;
mod verification;
mod vocabulary;

pub use amend::{AmendError, Amendment};
pub use checked::{FileError, FileProblem, sha256_hex};
pub use confidence::{
    AnythingWeights, Calibration, HitWeights, Judgement, pack_background, unpack_background,
};
pub use decode::{
    Blocks, DecodeError, Decoded, Scaled, blocks, decode, decode_scaled, looks_like_picture,
    set_decode_memory,
};
pub use encoder::{OrtImageEncoder, OrtTextEncoder};
pub use label_sets::{AnyLabelWeights, EachLabel, EachLabelWeights, LabelCalibration};
pub use lexicon::{Lexicon, NOUNS, nouns, pack_lexicon};
pub use library::{ImportError, Imported, Library};
pub use manifest::{
    FileEntry, ImageTower, Manifest, ManifestError, Padding, TextTower, Training, VocabularyFiles,
};
pub use model::{MANIFEST_FILE, Model, ModelError, PAIR_KEY};
pub use runtime::{Origin, Runtime, RuntimeError, RuntimeSearch};
pub use thumbnail::encode_thumbnail;
pub use verification::{AcceptRate, Verification};
pub use vocabulary::{Vocabulary, pack_vectors};
