//! The vocabulary of Ekphrasis: what flows between encoders and index, and
//! nothing that does I/O or knows a runtime.
//!
//! Each type proves what was checked to make it, and the only way from one to
//! the next is the constructor that checks:
//! [`Pixels`] → [`ImageTensor`] (by [`Preprocess`]) → [`Embedding`] (by an
//! [`ImageEncoder`]); texts become an [`Embedding`] by a [`TextEncoder`].

mod embedding;
mod encoder;
mod pixels;
mod planes;
mod preprocess;
mod scale;
mod space;
#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use embedding::{Embedding, EmbeddingError, dot};
pub use encoder::{EncodeError, ImageEncoder, TextEncoder};
pub use pixels::{MAX_PIXELS, Pixels, PixelsError};
pub use preprocess::{ChannelOrder, ImageTensor, Preprocess, PreprocessError, Resize};
pub use scale::{Interpolation, View};
pub use space::{Space, SpaceError};
