use super::*;
use serde_json::json;

fn picture() -> engine::Item {
    let file = engine::FileFacts {
        size: 1234,
        mtime_ns: 1_700_000_000_500_000_000,
        content: [7; 32],
        width: 40,
        height: 30,
        format: "jpeg".into(),
    };
    let id = engine::ItemId::from_bytes([0xab; 16]);
    engine::Item { id, ..engine::Item::of_picture("/pictures/a cat.jpg".into(), file) }
}

#[test]
fn a_search_reply_has_the_promised_names() {
    let part = |what| engine::Part { what, weight: 1.0 };
    let mut request = engine::SearchRequest::new(vec![
        part(engine::PartQuery::Text("cat".into())),
        part(engine::PartQuery::Image(engine::Source::Sent {
            field: "image".into(),
            bytes: vec![1],
        })),
    ]);
    request.kind = Some(engine::Kind::Image);
    request.filter = Some("  width:>10   TAG:x".parse().expect("a filter"));
    let hit = engine::SearchHit {
        rank: 1,
        item: picture(),
        score: 0.25,
        cosine: Some(0.25),
        confidence: None,
        via_vector: true,
        via_text: false,
        parts: vec![engine::PartScore { part: "cat".into(), score: 0.5, weight: 1.0 }],
        words: vec![engine::FoundWord {
            word: "cta".into(),
            found: "cat".into(),
            field: engine::WordField::Name,
            how: engine::WordMatch::Similar,
        }],
        copies: 0,
        given: vec![],
    };
    let reply = engine::SearchReply {
        hits: vec![hit],
        total_candidates: 9,
        space: "toy-1".into(),
        anything: Some(engine::Anything {
            probability: Some(0.123_456),
            verdict: engine::Verdict::Nothing,
        }),
        below_confidence: 2,
        why: None,
        mode: engine::Mode::Hybrid,
        took_ms: 3.7512,
        warnings: vec!["something is missing".into()],
    };
    let seen = serde_json::to_value(SearchReply::new(&reply, &request)).expect("plain data");
    assert_eq!(
        seen,
        json!({
            "query": {
                "parts": [{"text": "cat", "weight": 1.0}, {"image": "upload", "weight": 1.0}],
                "k": 10, "offset": 0, "mode": "hybrid", "for": "images",
                "filter": "width:>10 tag:x", "exact": false,
            },
            "took_ms": 3.75,
            "warnings": ["something is missing"],
            "total_candidates": 9,
            "space": "toy-1",
            "anything": {"probability": 0.1235, "verdict": "nothing",
                "words": "Perhaps nothing here matches", "calibrated": true},
            "below_confidence": 2,
            "hits": [{
                "rank": 1, "id": "ab".repeat(16), "kind": "image",
                "path": "/pictures/a cat.jpg", "caption": null,
                "score": 0.25, "cosine": 0.25, "confidence": null, "via": ["vector"],
                "parts": [{"part": "cat", "score": 0.5, "weight": 1.0}],
                "meta": {"width": 40, "height": 30, "size": 1234, "format": "jpeg",
                         "modified": "2023-11-14T22:13:20Z", "blake3": "07".repeat(32)},
            }],
        })
    );
}

#[test]
fn what_a_file_tells_and_which_words_found_it_have_the_promised_names() {
    let mut item = picture();
    item.labels = vec!["cat".into()];
    item.facts = Some(engine::Facts {
        taken: Some(engine::Taken {
            date: "2019-05-01T12:30:05".parse().expect("a date"),
            offset_minutes: Some(-210),
        }),
        make: Some("Google".into()),
        model: Some("Pixel 7".into()),
        lens: Some("50mm".into()),
        place: engine::Place::new(-33.8568, 151.2153),
        exposure: engine::Exposure {
            time_us: Some(4_000),
            aperture_hundredths: Some(185),
            iso: Some(100),
            focal_hundredths: None,
        },
        texts: vec!["At the sea".into()],
        keywords: vec!["beach".into()],
        colours: vec![engine::Colour::Blue],
        look: Some(0xff),
        beside: None,
        version: 2,
    });
    let seen = serde_json::to_value(Item::from(&item).meta).expect("plain data");
    for (name, value) in [
        ("labels", json!(["cat"])),
        ("taken", json!("2019-05-01T12:30:05")),
        ("taken_offset_minutes", json!(-210)),
        ("camera", json!("Google Pixel 7")),
        ("lens", json!("50mm")),
        ("latitude", json!(-33.8568)),
        ("longitude", json!(151.2153)),
        ("exposure", json!({"seconds": 0.004, "aperture": 1.85, "iso": 100})),
        ("texts", json!(["At the sea"])),
        ("keywords", json!(["beach"])),
        ("colors", json!(["blue"])),
    ] {
        assert_eq!(seen[name], value, "{name}");
    }
    let found = engine::FoundWord {
        word: "bicylce".into(),
        found: "bicycle".into(),
        field: engine::WordField::Name,
        how: engine::WordMatch::Similar,
    };
    let seen = serde_json::to_value(Matched::from(&found)).expect("plain data");
    let expected =
        json!({"word": "bicylce", "found": "bicycle", "field": "name", "how": "similar"});
    assert_eq!(seen, expected);
}

#[test]
fn a_label_reply_has_the_promised_names() {
    let score = engine::LabelScore { label: "animal > cat".into(), probability: 0.75, score: 0.5 };
    let groups = vec![engine::LabelGroup { label: "animal".into(), probability: 0.75 }];
    let reply = engine::LabelReply { labels: vec![score], none_of_these: Some(0.25), groups };
    let images = vec![LabelledImage::new(Some(Path::new("/a.jpg")), &reply)];
    let seen = serde_json::to_value(LabelReply { images, warnings: vec![] }).expect("plain data");
    let label = json!({"label": "animal > cat", "probability": 0.75, "score": 0.5});
    let groups = json!([{"label": "animal", "probability": 0.75}]);
    let image =
        json!({"path": "/a.jpg", "labels": [label], "none_of_these": 0.25, "groups": groups});
    assert_eq!(seen, json!({"images": [image]}));
}

#[test]
fn a_listing_ends_when_it_comes_short() {
    let items = [(picture(), vec![]), (picture(), vec![])];
    assert_eq!(ItemList::new(&items, 3).next, None);
    assert_eq!(ItemList::new(&items, 2).next, Some("ab".repeat(16)));
    assert_eq!(ItemList::new(&[], 2).next, None);
}
