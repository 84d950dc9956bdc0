//! The trainer, end to end.
