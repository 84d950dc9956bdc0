//! The trainer: pairs in, aligned encoders out.
