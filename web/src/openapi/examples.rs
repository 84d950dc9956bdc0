//! Given a kind of request, what might one send? Something to begin with, for the page of
//! the description and for programs that read it.

use serde_json::{Value, json};

/// Stands for a picture of the store; the page puts one that is there in its place.
const ID: &str = "0123456789abcdef0123456789abcdef";

/// A body of the type of this name in [`super::asks`].
pub(super) fn of(name: &str) -> Option<Value> {
    Some(match name {
        "Search" => json!({"text": "a red bicycle", "k": 5}),
        "Feedback" => json!({"text": "a red bicycle", "liked": [ID], "k": 5}),
        "Label" => json!({"id": ID, "labels": ["cat", "dog", "bicycle"]}),
        "Describe" => json!({"id": ID, "k": 5}),
        "Embed" => json!({"text": "a red bicycle"}),
        "Addition" => json!({"text": "a poem about the sea", "tags": ["poem"]}),
        "JobOrder" => json!({"action": "retry"}),
        "UseModel" => json!({"rate": 5.0, "threads": 1}),
        "Enrol" => json!({"id": ID, "add": true}),
        "Verify" => json!({"id": ID, "name": "Mittens"}),
        "Identify" => json!({"id": ID, "k": 3}),
        "LabelSetOrder" => json!({
            "labels": ["cat", "dog"],
            "entries": [{"label": "Mittens", "words": "a grey cat", "id": ID}],
            "add": true,
        }),
        "ApplyLabels" => json!({"min_probability": 0.5}),
        _ => return None,
    })
}
