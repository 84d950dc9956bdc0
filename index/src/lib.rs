//! The index: catalogue, vectors (exact and HNSW), full text, fusion, behind the Store traits
