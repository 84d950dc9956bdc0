//! Are the limits of the description those of the server? Of every field that has one, a value
//! within it is understood and one beyond it is refused by the field's name.

use serde_json::{Map, Value, json};

use super::*;

/// What a field may be, by its schema: values at the limits, and just beyond them.
struct Bounds {
    within: Vec<Value>,
    beyond: Vec<Value>,
}

/// A text of so many characters that the field takes.
fn text(field: &str, length: usize) -> Value {
    // A filter has to be one, and so has a path.
    let start = match field {
        "filter" if length > 4 => "tag:",
        "path" | "captions" => "/",
        _ => "",
    };
    json!(format!("{start}{}", "a".repeat(length - start.len())))
}

/// A list of so many different entries that the field takes.
fn list(field: &str, length: usize) -> Value {
    let entry = |i: usize| match field {
        "parts" => json!({"text": format!("a{i}")}),
        "entries" => json!({"label": format!("a{i}")}),
        "images" => json!(BASE64_STANDARD.encode(bmp(RED))),
        "ids" | "liked" | "disliked" => json!(format!("{i:032x}")),
        "templates" => json!(format!("a{i} {{}}")),
        "path" | "paths" => json!(format!("/a{i}")),
        _ => json!(format!("a{i}")),
    };
    (0..length).map(entry).collect()
}

fn bounds(field: &str, schema: &Value) -> Bounds {
    let mut bounds = Bounds { within: vec![], beyond: vec![] };
    let whole = schema["type"].to_string().contains("integer");
    for (name, direction) in [("minimum", -1.0), ("maximum", 1.0)] {
        if let Some(limit) = schema[name].as_f64() {
            let step = direction * if whole { 1.0 } else { 0.001 };
            let number = |x: f64| if whole { json!(x as i64) } else { json!(x) };
            bounds.within.push(number(limit));
            bounds.beyond.push(number(limit + step));
        }
    }
    for name in ["exclusiveMinimum", "exclusiveMaximum"] {
        if let Some(limit) = schema[name].as_f64() {
            bounds.within.push(json!(0.5));
            bounds.beyond.push(json!(limit));
        }
    }
    type Filled = fn(&str, usize) -> Value;
    let kinds: [(&str, &str, Filled); 2] =
        [("minLength", "maxLength", text), ("minItems", "maxItems", list)];
    for (least, most, filled) in kinds {
        if let Some(limit) = schema[most].as_u64() {
            bounds.within.push(filled(field, limit as usize));
            bounds.beyond.push(filled(field, limit as usize + 1));
        }
        if schema[least].as_u64() == Some(1) {
            bounds.within.push(filled(field, 1));
            bounds.beyond.push(filled(field, 0));
        }
    }
    bounds
}

/// Whether the reply refuses the field or something in it.
fn refuses(reply: &Reply, field: &str) -> bool {
    let named = |of: &Value| {
        let of = of.as_str().unwrap_or_default();
        of.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['[', '.']))
    };
    matches!(reply.status, 400 | 422) && named(&reply.json()["field"])
}

#[actix_web::test]
async fn described_limits_of_bodies_are_those_that_hold() {
    let (_dir, engine) = pictures();
    let id = id_of(&engine, "red").await;
    let document = get(&engine, "/openapi.json").await.json();
    let mut wrong = vec![];
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let content = &operation["requestBody"]["content"]["application/json"];
            let Some(schema) = content["schema"]["$ref"].as_str() else { continue };
            let schema = document.pointer(schema.trim_start_matches('#')).expect("a schema");
            let example = content["example"].to_string();
            let example = example.replace("0123456789abcdef0123456789abcdef", &id);
            let example: Map<String, Value> = serde_json::from_str(&example).expect("an object");
            let send = |body: Value| {
                let request =
                    if method == "put" { TestRequest::put() } else { TestRequest::post() };
                send(&engine, None, request.uri(&path.replace("{name}", "x")).set_json(body))
            };
            for (field, schema) in schema["properties"].as_object().expect("fields") {
                let bounds = bounds(field, schema);
                for (within, beyond) in bounds.within.into_iter().zip(bounds.beyond) {
                    seen += 1;
                    // Beside what the example has; or beside as much as is needed, where
                    // fields exclude each other.
                    let with = |value: &Value, beside: &Map<String, Value>| {
                        let mut body = beside.clone();
                        body.insert(field.clone(), value.clone());
                        Value::Object(body)
                    };
                    let only = |name: &str, value| Map::from_iter([(name.to_owned(), value)]);
                    let sent = only("image", json!(BASE64_STANDARD.encode(bmp(RED))));
                    let stored = only("id", json!(id));
                    let liked = only("liked", json!([id]));
                    let mut taken = None;
                    for beside in [&example, &sent, &stored, &liked, &Map::new()] {
                        let reply = send(with(&within, beside)).await;
                        // 422 is about what the store or model has, not about the request.
                        if reply.status != 400 {
                            taken = Some(beside.clone());
                            break;
                        }
                    }
                    let shown =
                        |value: &Value| value.to_string().chars().take(60).collect::<String>();
                    let Some(beside) = taken else {
                        let reply = send(with(&within, &example)).await.json();
                        wrong.push(format!(
                            "{method} {path} {field}: {} is within: {reply}",
                            shown(&within)
                        ));
                        continue;
                    };
                    let reply = send(with(&beyond, &beside)).await;
                    if !refuses(&reply, field) {
                        wrong.push(format!(
                            "{method} {path} {field}: {} is beyond, but: {} {}",
                            shown(&beyond),
                            reply.status,
                            reply.json()
                        ));
                    }
                }
            }
        }
    }
    assert!(seen > 60, "{seen} limits");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[actix_web::test]
async fn described_limits_of_addresses_are_those_that_hold() {
    let (_dir, engine) = pictures();
    let document = get(&engine, "/openapi.json").await.json();
    let mut wrong = vec![];
    let mut seen = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        let parameters = item["get"]["parameters"].as_array();
        for parameter in parameters.into_iter().flatten().filter(|p| p["in"] == "query") {
            let field = parameter["name"].as_str().expect("a name");
            let bounds = bounds(field, &parameter["schema"]);
            for (within, beyond) in bounds.within.iter().zip(&bounds.beyond) {
                seen += 1;
                let ask = |value: &Value| {
                    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    // A search needs something to look for.
                    let q = if path == "/v1/search" && field != "q" { "q=a&" } else { "" };
                    let uri = format!("{path}?{q}{field}={value}");
                    let engine = &engine;
                    async move { get(engine, &uri).await }
                };
                let reply = ask(within).await;
                if reply.status == 400 {
                    wrong.push(format!("{path} {field}: {within} is within: {}", reply.json()));
                }
                let reply = ask(beyond).await;
                if !refuses(&reply, field) {
                    let status = reply.status;
                    wrong.push(format!("{path} {field}: {beyond} is beyond, but: {status}"));
                }
            }
        }
    }
    assert!(seen > 20, "{seen} limits");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
