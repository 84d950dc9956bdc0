//! ONNX files, read, written, built and joined.
