//! Ekphrasis.
