//! Everything between a file and an embedding: picture decoding, model
//! manifests, and encoders on ONNX Runtime and tokenizers.
//!
//! - [`decode`] turns the bytes of a picture into upright pixels, or says why not;
//!   [`decode_scaled`] does so faster for those who need few pixels of it.
//! - [`Runtime::load`] finds ONNX Runtime, or fetches it once, and loads it.
//! - [`Model::open`] reads a model folder; [`Model::image_encoder`] and
//!   [`Model::text_encoder`] give the two towers behind the traits of
//!   `ekphrasis-embed`.
//! - [`Library`] takes in models from elsewhere, of this program or in public layouts,
//!   each checked first.
//! - [`Golden`] is what a model has to answer, whatever it runs on.
//! - [`Provider`] is what computes; [`Model::image_encoder_by`] tries one before it is used.
//!
//! Only this crate knows that ONNX Runtime exists.

mod amend;
mod bridge;
mod checked;
mod confidence;
mod decode;
mod encoder;
mod golden;
mod import;
mod label_sets;
mod lexicon;
mod library;
mod manifest;
mod measured;
mod model;
mod provider;
mod runtime;
mod thumbnail;
mod trial;
mod unsaid;
mod verification;
mod vocabulary;

pub use amend::{AmendError, Amendment};
pub use bridge::{Bridge, BridgeError, BridgeFigures};
pub use checked::{FileError, FileProblem, sha256_hex};
pub use confidence::{
    AnythingWeights, Calibration, HitWeights, Judgement, pack_background, unpack_background,
};
pub use decode::{
    Blocks, DecodeError, Decoded, Scaled, blocks, decode, decode_scaled, looks_like_picture,
    set_decode_memory,
};
pub use encoder::{OrtImageEncoder, OrtTextEncoder};
pub use golden::{Agreement, Golden, GoldenError};
pub use import::{ImportOptions, Precision, PrecisionChoice, Refusal};
pub use label_sets::{AnyLabelWeights, EachLabel, EachLabelWeights, LabelCalibration};
pub use lexicon::{Lexicon, NOUNS, nouns, pack_lexicon};
pub use library::{Brought, GiveRuntime, ImportError, Imported, Library, Variant};
pub use manifest::{
    Clean, FileEntry, ImageTower, Manifest, ManifestError, Padding, TextTower, Training,
    VocabularyFiles,
};
pub use measured::Measured;
pub use model::{MANIFEST_FILE, Model, ModelError, PAIR_KEY};
pub use provider::{Provided, Provider, ProviderChoice};
pub use runtime::{Origin, Runtime, RuntimeError, RuntimeSearch};
pub use thumbnail::encode_thumbnail;
pub use trial::TrialError;
pub use unsaid::{WordList, unsaid};
pub use verification::{AcceptRate, Verification};
pub use vocabulary::{Vocabulary, pack_vectors};
