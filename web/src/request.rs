//! Given a request's fields, what is the engine asked?

use ekphrasis_engine::{
    Example, Expr, Feedback, Filter, FilterError, ItemId, Kind, LabelRequest, MOST_EXAMPLES, Mode,
    Part, PartQuery, SearchRequest, Source,
};

use crate::fields::Fields;
use crate::problem::Problem;

/// Characters a query, label or template may have.
pub(crate) const TEXT_LIMIT: usize = 10_000;
/// Characters of a name of somebody or of a label set.
pub(crate) const NAME_LIMIT: usize = 200;
/// Characters of a model's name.
const MODEL_LIMIT: usize = 64;
/// Characters of a query in an address, which may be some 64 kB long with all its escapes.
const LINK_LIMIT: usize = 1_000;
const PART_LIMIT: usize = 32;
const LABEL_LIMIT: usize = 1_000;
const TEMPLATE_LIMIT: usize = 100;
/// Labels × templates: some thirteen seconds' work of a core for the default model.
const PROMPT_LIMIT: usize = 1_000;
const WEIGHT_LIMIT: f32 = 1_000.0;

const KINDS: &[(&str, Option<Kind>)] =
    &[("images", Some(Kind::Image)), ("texts", Some(Kind::Text)), ("all", None)];
const MODES: &[(&str, Mode)] =
    &[("hybrid", Mode::Hybrid), ("vector", Mode::Vector), ("text", Mode::Text)];

/// A search from the body of a POST.
pub(crate) fn search(mut fields: Fields) -> Result<SearchRequest, Problem> {
    let mut parts = single_parts(&mut fields, "text")?;
    for mut part in fields.objects("parts")? {
        let weight = weight(&mut part)?;
        let mut what = single_parts(&mut part, "text")?;
        let name = part.whole_name().to_owned();
        part.finish()?;
        let (Some(mut only), true) = (what.pop(), what.is_empty()) else {
            let detail = format!("{name} needs exactly one of text, image and id");
            return Err(Problem::field(name, detail));
        };
        only.weight = weight;
        parts.push(only);
    }
    let feedback = judgements(&mut fields)?;
    finish_search(fields, parts, feedback)
}

/// A search with something liked or disliked, from the body of a POST.
pub(crate) fn feedback(fields: Fields) -> Result<SearchRequest, Problem> {
    let request = search(fields)?;
    if request.feedback.is_empty() {
        let detail = "liked and disliked are missing: give ids of hits that fit, or that do not";
        return Err(Problem::field("liked", detail));
    }
    Ok(request)
}

/// A search from an address: `q`, `id`, `liked`, `disliked` and the plain options.
pub(crate) fn search_link(mut fields: Fields) -> Result<SearchRequest, Problem> {
    let mut parts = Vec::new();
    parts.extend(words(&mut fields, "q", LINK_LIMIT)?.map(PartQuery::Text));
    parts.extend(fields.id("id")?.map(PartQuery::Id));
    let parts: Vec<_> = parts.into_iter().map(|what| Part { what, weight: 1.0 }).collect();
    let feedback = judgements(&mut fields)?;
    if parts.is_empty() && feedback.liked.is_empty() {
        return Err(Problem::field("q", "q is missing: say in words what to look for"));
    }
    finish_search(fields, parts, feedback)
}

fn judgements(fields: &mut Fields) -> Result<Feedback, Problem> {
    let mut examples = |name| -> Result<Vec<Example>, Problem> {
        Ok(fields.ids(name, MOST_EXAMPLES)?.into_iter().map(Example::Item).collect())
    };
    Ok(Feedback { liked: examples("liked")?, disliked: examples("disliked")? })
}

fn finish_search(
    mut fields: Fields,
    parts: Vec<Part>,
    feedback: Feedback,
) -> Result<SearchRequest, Problem> {
    let mut request = SearchRequest { feedback, ..SearchRequest::new(parts) };
    request.k = fields.whole("k", 1..=1_000)?.unwrap_or(request.k);
    request.offset = fields.whole("offset", 0..=100_000)?.unwrap_or_default();
    request.mode = fields.choice("mode", MODES)?.unwrap_or_default();
    request.filter = filter(&mut fields)?;
    // As on the command line: who does not say looks for pictures.
    let kind = if asks_for_kind(request.filter.as_ref()) { None } else { Some(Kind::Image) };
    request.kind = fields.choice("for", KINDS)?.unwrap_or(kind);
    request.exact = fields.flag("exact")?;
    request.explain = fields.flag("explain")?;
    request.collapse = fields.flag("collapse")?;
    request.diversity = fields.number("diversity")?.unwrap_or_default();
    if !(0.0..=1.0).contains(&request.diversity) {
        return Err(Problem::field("diversity", "diversity must be from 0 to 1"));
    }
    request.why = fields.id("why")?;
    request.bridge = words(&mut fields, "bridge", MODEL_LIMIT)?;
    request.min_confidence = fields.number("min_confidence")?;
    if request.min_confidence.is_some_and(|least| !(0.0..=1.0).contains(&least)) {
        return Err(Problem::field("min_confidence", "min_confidence must be from 0 to 1"));
    }
    fields.finish()?;
    if request.parts.is_empty() && request.feedback.liked.is_empty() {
        return Err(Problem::malformed(
            "nothing to look for: give text, image, id, parts or liked",
        ));
    }
    if request.parts.len() > PART_LIMIT {
        let got = request.parts.len();
        let detail = format!("a search has {PART_LIMIT} parts at most, got {got}");
        return Err(Problem::field("parts", detail));
    }
    if !request.parts.is_empty() && !request.parts.iter().any(|part| part.weight > 0.0) {
        let detail = "at least one part needs a weight above zero: a search cannot only push away";
        return Err(Problem::field("parts", detail));
    }
    Ok(request)
}

/// A filter expression; blank is none, as an empty field of a form is.
fn filter(fields: &mut Fields) -> Result<Option<Expr>, Problem> {
    let text = fields.text("filter", TEXT_LIMIT)?.filter(|text| !text.trim().is_empty());
    let parsed = text.map(|text| text.parse()).transpose();
    parsed.map_err(|e: FilterError| Problem::field("filter", e.to_string()))
}

fn asks_for_kind(filter: Option<&Expr>) -> bool {
    filter.is_some_and(Expr::asks_for_kind)
}

/// Those of text, image and id that are there.
fn single_parts(fields: &mut Fields, text: &'static str) -> Result<Vec<Part>, Problem> {
    let mut parts = Vec::new();
    parts.extend(words(fields, text, TEXT_LIMIT)?.map(PartQuery::Text));
    parts.extend(fields.picture("image")?.map(PartQuery::Image));
    parts.extend(fields.id("id")?.map(PartQuery::Id));
    Ok(parts.into_iter().map(|what| Part { what, weight: 1.0 }).collect())
}

/// A text that says something.
pub(crate) fn words(
    fields: &mut Fields,
    name: &'static str,
    limit: usize,
) -> Result<Option<String>, Problem> {
    match fields.text(name, limit)? {
        Some(text) if text.trim().is_empty() => {
            Err(Problem::field(name, format!("{name} is empty")))
        }
        other => Ok(other),
    }
}

fn weight(part: &mut Fields) -> Result<f32, Problem> {
    let weight = part.number("weight")?.unwrap_or(1.0);
    if weight == 0.0 || weight.abs() > WEIGHT_LIMIT {
        let field = format!("{}.weight", part.whole_name());
        let detail = format!(
            "{field} must be between -{WEIGHT_LIMIT} and {WEIGHT_LIMIT} and not zero, got {weight}"
        );
        return Err(Problem::field(field, detail));
    }
    Ok(weight)
}

/// A picture that something is to be said about.
#[derive(Debug)]
pub(crate) enum Picture {
    /// Sent along.
    Sent(Source),
    /// In the store.
    Stored(ItemId),
}

pub(crate) fn picture(fields: &mut Fields) -> Result<Picture, Problem> {
    match (fields.picture("image")?, fields.id("id")?) {
        (Some(source), None) => Ok(Picture::Sent(source)),
        (None, Some(id)) => Ok(Picture::Stored(id)),
        (Some(_), Some(_)) => Err(Problem::field("id", "give image or id, not both")),
        (None, None) => Err(Problem::field("image", "image is missing: upload one, or give an id")),
    }
}

/// What a picture is to be judged by.
#[derive(Debug)]
pub(crate) enum Labels {
    /// Words that are given.
    Words(LabelRequest),
    /// A label set of the store, and whether each label is judged by itself.
    Set(String, bool),
}

/// A picture and the labels to judge it by.
pub(crate) fn label(mut fields: Fields) -> Result<(Picture, Labels), Problem> {
    let picture = picture(&mut fields)?;
    let labels = limited(&mut fields, "labels", LABEL_LIMIT)?;
    let templates = limited(&mut fields, "templates", TEMPLATE_LIMIT)?;
    let set = words(&mut fields, "set", NAME_LIMIT)?;
    let multi = fields.flag("multi")?;
    fields.finish()?;
    if let Some(set) = set {
        if !(labels.is_empty() && templates.is_empty()) {
            let detail = "a set has its own labels; give set, or labels with or without templates";
            return Err(Problem::field("set", detail));
        }
        return Ok((picture, Labels::Set(set, multi)));
    }
    if labels.is_empty() {
        let detail = "labels is missing: give at least two, such as [\"cat\", \"dog\"]";
        return Err(Problem::field("labels", detail));
    }
    let prompts = labels.len() * templates.len().max(1);
    if prompts > PROMPT_LIMIT {
        let detail = format!(
            "labels × templates are {PROMPT_LIMIT} at most in one request, got {prompts}; a label \
             set is encoded once and then costs nothing"
        );
        return Err(Problem::field("templates", detail));
    }
    Ok((picture, Labels::Words(LabelRequest { labels, templates, multi })))
}

pub(crate) fn limited(
    fields: &mut Fields,
    name: &'static str,
    limit: usize,
) -> Result<Vec<String>, Problem> {
    let texts = fields.texts(name)?;
    if texts.len() > limit {
        let detail = format!("{name} has {limit} entries at most, got {}", texts.len());
        return Err(Problem::field(name, detail));
    }
    if let Some(i) = texts.iter().position(|text| text.chars().count() > TEXT_LIMIT) {
        let detail = format!("{name}[{i}] has more than {TEXT_LIMIT} characters");
        return Err(Problem::field(format!("{name}[{i}]"), detail));
    }
    Ok(texts)
}

/// A picture and how many texts are wanted for it.
pub(crate) fn describe(mut fields: Fields) -> Result<(Picture, usize), Problem> {
    let picture = picture(&mut fields)?;
    let k = fields.whole("k", 1..=1_000)?.unwrap_or(10);
    fields.finish()?;
    Ok((picture, k))
}

/// What is to become a vector.
#[derive(Debug)]
pub(crate) enum Embeddable {
    /// Words; the empty text has a vector too.
    Text(String),
    /// A picture.
    Picture(Picture),
}

/// A text or a picture to embed.
pub(crate) fn embed(mut fields: Fields) -> Result<Embeddable, Problem> {
    let what = match fields.text("text", TEXT_LIMIT)? {
        Some(text) => {
            if fields.picture("image")?.is_some() || fields.id("id")?.is_some() {
                return Err(Problem::field("text", "give text, image or id, only one of them"));
            }
            Embeddable::Text(text)
        }
        None => Embeddable::Picture(picture(&mut fields)?),
    };
    fields.finish()?;
    Ok(what)
}

/// Which copies are wanted.
#[derive(Debug)]
pub(crate) struct Duplicates {
    /// Only of identical files.
    pub(crate) identical: bool,
    pub(crate) filter: Filter,
    /// Groups wanted.
    pub(crate) limit: usize,
    /// Groups left out before the first.
    pub(crate) offset: usize,
}

/// Groups of copies: `exact`, `filter`, `limit`, `offset`.
pub(crate) fn duplicates(mut fields: Fields) -> Result<Duplicates, Problem> {
    let wanted = Duplicates {
        identical: fields.flag("exact")?,
        filter: Filter { kind: None, expr: filter(&mut fields)? },
        limit: fields.whole("limit", 1..=1_000)?.unwrap_or(100),
        offset: fields.whole("offset", 0..=1_000_000)?.unwrap_or_default(),
    };
    fields.finish()?;
    Ok(wanted)
}

/// Which facets are wanted.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) filter: Filter,
    /// Values for each property.
    pub(crate) limit: usize,
}

/// Facets from an address: `filter`, `for`, `limit`.
pub(crate) fn facets(mut fields: Fields) -> Result<Wanted, Problem> {
    let kind = fields.choice("for", KINDS)?.flatten();
    let filter = Filter { kind, expr: filter(&mut fields)? };
    let limit = fields.whole("limit", 1..=1_000)?.unwrap_or(20);
    fields.finish()?;
    Ok(Wanted { filter, limit })
}

/// Which stretch of the items is wanted.
#[derive(Debug)]
pub(crate) struct Listing {
    pub(crate) after: Option<ItemId>,
    pub(crate) limit: usize,
    pub(crate) filter: Filter,
}

/// A listing from an address.
pub(crate) fn listing(mut fields: Fields) -> Result<Listing, Problem> {
    let after = fields.id("after")?;
    let limit = fields.whole("limit", 1..=1_000)?.unwrap_or(100);
    let kind = fields.choice("for", KINDS)?.flatten();
    let filter = Filter { kind, expr: filter(&mut fields)? };
    fields.finish()?;
    Ok(Listing { after, limit, filter })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::{FormValue, Raw};
    use actix_web::ResponseError as _;
    use actix_web::body::to_bytes;

    fn fields(json: &str) -> Fields {
        Fields::from_body(Raw::Json(json.to_owned().into())).expect("a JSON object")
    }

    /// The `field` and `detail` of the problem.
    async fn told<T: std::fmt::Debug>(result: Result<T, Problem>) -> (String, String) {
        let reply = result.expect_err("must be refused").error_response();
        assert_eq!(reply.status(), 400);
        let body = to_bytes(reply.into_body()).await.expect("in memory");
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let get = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        (get("field"), get("detail"))
    }

    #[test]
    fn a_full_search_is_understood() {
        let request = search(fields(
            r#"{"text":"cat","parts":[{"text":"dog","weight":-0.5},{"image":"data:image/png;base64,AAEC"},
                {"id":"00000000000000000000000000000007"}],
               "k":7,"offset":3,"mode":"vector","for":"images","explain":true,"exact":null}"#,
        ))
        .expect("valid");
        let [cat, dog, image, id] = &request.parts[..] else { panic!("{:?}", request.parts) };
        assert!(matches!(&cat.what, PartQuery::Text(t) if t == "cat") && cat.weight == 1.0);
        assert!(matches!(&dog.what, PartQuery::Text(t) if t == "dog") && dog.weight == -0.5);
        assert!(
            matches!(&image.what, PartQuery::Image(Source::Sent { field, bytes }) if field == "parts[1].image" && bytes == &[0, 1, 2])
        );
        assert!(matches!(&id.what, PartQuery::Id(id) if id.to_bytes()[15] == 7));
        assert_eq!((request.k, request.offset), (7, 3));
        assert_eq!((request.mode, request.kind), (Mode::Vector, Some(Kind::Image)));
        assert!(!request.exact && request.explain);
        assert_eq!(request.filter, None);
    }

    #[test]
    fn a_filter_that_asks_for_a_kind_is_not_held_to_pictures() {
        let of = |json: &str| search(fields(json)).expect("valid");
        let request = of(r#"{"text":"a","filter":"tag:x  width:>5"}"#);
        assert_eq!(request.filter.map(|f| f.to_string()).as_deref(), Some("tag:x width:>5"));
        assert_eq!(request.kind, Some(Kind::Image));
        assert_eq!(of(r#"{"text":"a","filter":"-kind:image"}"#).kind, None);
        let both = of(r#"{"text":"a","filter":"kind:text","for":"images"}"#);
        assert_eq!(both.kind, Some(Kind::Image));
        assert_eq!(of(r#"{"text":"a","filter":" "}"#).filter, None);
        let pairs = vec![("filter".into(), "tag:x".into()), ("for".into(), "texts".into())];
        let listing = listing(Fields::from_query(pairs)).expect("valid").filter;
        assert_eq!((listing.kind, listing.expr.is_some()), (Some(Kind::Text), true));
    }

    #[actix_web::test]
    async fn every_mistake_in_a_search_names_its_field() {
        for (json, field, words) in [
            (r#"{"txt":"cat"}"#, "txt", "there is no field \"txt\"; the fields here are text,"),
            (r#"{"text":5}"#, "text", "must be a string, got a number"),
            (r#"{"text":"  "}"#, "text", "is empty"),
            (r#"{"text":"a","k":0}"#, "k", "from 1 to 1000, got 0"),
            (r#"{"text":"a","k":1001}"#, "k", "got 1001"),
            (r#"{"text":"a","k":2.5}"#, "k", "got 2.5"),
            (r#"{"text":"a","k":"3"}"#, "k", "got a string"),
            (r#"{"text":"a","offset":100001}"#, "offset", "got 100001"),
            (r#"{"text":"a","offset":-1}"#, "offset", "got -1"),
            (r#"{"text":"a","mode":"fast"}"#, "mode", "hybrid or vector or text, got \"fast\""),
            (r#"{"text":"a","for":"image"}"#, "for", "images or texts or all"),
            (r#"{"text":"a","explain":1}"#, "explain", "true or false"),
            (r#"{"text":"a","filter":7}"#, "filter", "must be a string"),
            (r#"{"text":"a","diversity":1.5}"#, "diversity", "from 0 to 1"),
            (r#"{"text":"a","liked":"x"}"#, "liked", "a list of strings"),
            (r#"{"text":"a","liked":["x"]}"#, "liked[0]", "32 hexadecimal digits"),
            (r#"{"disliked":["00000000000000000000000000000007"]}"#, "", "nothing to look for"),
            (r#"{"text":"a","min_confidence":1.5}"#, "min_confidence", "from 0 to 1"),
            (r#"{"text":"a","min_confidence":"x"}"#, "min_confidence", "finite"),
            (
                r#"{"text":"a","filter":"widht:1"}"#,
                "filter",
                "character 1: unknown field \"widht\"",
            ),
            (r#"{"image":"%%%"}"#, "image", "no base64"),
            (r#"{"image":""}"#, "image", "got nothing"),
            (r#"{"id":"12"}"#, "id", "32 hexadecimal digits"),
            (r#"{"parts":{}}"#, "parts", "a list of objects, got an object"),
            (r#"{"parts":[{"text":"a"},7]}"#, "parts[1]", "an object, got a number"),
            (
                r#"{"parts":[{"text":"a","id":"00000000000000000000000000000007"}]}"#,
                "parts[0]",
                "exactly one",
            ),
            (r#"{"parts":[{}]}"#, "parts[0]", "exactly one"),
            (r#"{"parts":[{"text":"a","wait":1}]}"#, "parts[0].wait", "no field"),
            (r#"{"parts":[{"text":"a","weight":0}]}"#, "parts[0].weight", "not zero"),
            (r#"{"parts":[{"text":"a","weight":1e60}]}"#, "parts[0].weight", "finite"),
            (r#"{"parts":[{"text":"a","weight":-1}]}"#, "parts", "above zero"),
            (r#"{}"#, "", "nothing to look for"),
        ] {
            let (got_field, got_detail) = told(search(fields(json))).await;
            assert_eq!(got_field, field, "{json}: {got_detail}");
            assert!(got_detail.contains(words), "{json}: {got_detail}");
        }
    }

    #[actix_web::test]
    async fn feedback_needs_a_judgement_and_a_search_does_not() {
        let id = "00000000000000000000000000000007";
        let liked = format!(r#"{{"text":"a","liked":["{id}"],"disliked":["{id}"]}}"#);
        let request = feedback(fields(&liked)).expect("valid");
        let Feedback { liked, disliked } = &request.feedback;
        assert!(matches!(liked[..], [Example::Item(id)] if id.to_bytes()[15] == 7));
        assert_eq!((liked.len(), disliked.len()), (1, 1));
        assert_eq!(told(feedback(fields(r#"{"text":"a"}"#))).await.0, "liked");
        assert!(search(fields(&format!(r#"{{"liked":["{id}"]}}"#))).is_ok(), "liking is asking");
        let many = vec![format!("\"{id}\""); MOST_EXAMPLES + 1].join(",");
        let many = format!(r#"{{"text":"a","disliked":[{many}]}}"#);
        assert_eq!(told(search(fields(&many))).await.0, "disliked");
    }

    #[actix_web::test]
    async fn links_and_forms_are_read_as_text() {
        let link = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(n, v)| ((*n).into(), (*v).into()));
            search_link(Fields::from_query(pairs.collect()))
        };
        let request = link(&[("q", "a cat"), ("k", "5"), ("exact", "true")]).expect("valid");
        assert_eq!((request.k, request.exact, request.parts.len()), (5, true, 1));
        let seven = "00000000000000000000000000000007";
        let request = link(&[("liked", &format!("{seven},{seven}")), ("diversity", "0.5")]);
        let request = request.expect("liking is asking");
        assert_eq!((request.feedback.liked.len(), request.diversity), (2, 0.5));
        assert_eq!(told(link(&[("disliked", seven)])).await.0, "q");
        assert_eq!(told(link(&[("k", "5")])).await.0, "q");
        assert_eq!(told(link(&[("q", "a"), ("k", "five")])).await.0, "k");
        assert_eq!(told(link(&[("q", "a"), ("q", "b")])).await.0, "q");
        assert_eq!(told(link(&[("q", "a"), ("text", "b")])).await.0, "text");

        let form = Raw::Form(vec![
            ("labels".into(), FormValue::Text("cat, dog".into())),
            ("image".into(), FormValue::File(vec![1, 2])),
            ("labels".into(), FormValue::Text("bird".into())),
        ]);
        let (picture, request) = label(Fields::from_body(form).expect("a form")).expect("valid");
        assert!(matches!(request, Labels::Words(words) if words.labels == ["cat", "dog", "bird"]));
        let set = fields(r#"{"image":"AAEC","set":"pets"}"#);
        assert!(matches!(label(set), Ok((_, Labels::Set(name, false))) if name == "pets"));
        let both = fields(r#"{"image":"AAEC","set":"pets","labels":["a","b"]}"#);
        assert_eq!(told(label(both)).await.0, "set");
        assert!(matches!(picture, Picture::Sent(Source::Sent { bytes, .. }) if bytes == [1, 2]));
    }

    #[actix_web::test]
    async fn labels_and_embeddings_say_what_is_missing() {
        assert_eq!(told(label(fields(r#"{"image":"AAEC"}"#))).await.0, "labels");
        assert_eq!(told(label(fields(r#"{"labels":["a","b"]}"#))).await.0, "image");
        assert_eq!(
            told(label(fields(r#"{"image":"AAEC","labels":["a",1]}"#))).await.0,
            "labels[1]"
        );
        assert_eq!(told(describe(fields(r#"{"image":"AAEC","k":0}"#))).await.0, "k");
        assert_eq!(told(embed(fields(r#"{"text":"a","image":"AAEC"}"#))).await.0, "text");
        assert_eq!(told(embed(fields(r#"{}"#))).await.0, "image");
        assert!(matches!(embed(fields(r#"{"text":""}"#)), Ok(Embeddable::Text(t)) if t.is_empty()));
    }

    #[test]
    fn a_body_that_is_no_object_is_refused() {
        for json in ["", "[]", "{", "\"x\"", "{} {}"] {
            let raw = Raw::Json(json.to_owned().into());
            assert!(Fields::from_body(raw).is_err(), "{json}");
        }
    }
}
