//! The engine: models and index wired together; ingest, search, labels, evaluation, configuration
