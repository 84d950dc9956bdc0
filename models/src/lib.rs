//! Encoders on ONNX Runtime and tokenizers, model manifests, picture decoding
