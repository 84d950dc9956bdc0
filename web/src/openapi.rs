//! Given a method and an address, what may be sent and what comes back? The OpenAPI
//! description, made of the types of [`crate::wire`] and of [`asks`]; a test keeps it
//! equal to the routes.

mod asks;
mod examples;

use std::sync::LazyLock;

use utoipa::openapi::path::{Operation, OperationBuilder, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::{RequestBody, RequestBodyBuilder};
use utoipa::openapi::schema::AdditionalProperties;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ComponentsBuilder, Content, ContentBuilder, HttpMethod, InfoBuilder, KnownFormat,
    License, ObjectBuilder, OpenApi, OpenApiBuilder, PathItem, PathsBuilder, Ref, RefOr, Required,
    Response, ResponseBuilder, Schema, SchemaFormat, Type,
};
use utoipa::{PartialSchema, ToSchema};

use crate::wire;

/// The description as JSON.
pub(crate) static DOCUMENT: LazyLock<String> =
    // Plain data is always JSON.
    LazyLock::new(|| serde_json::to_string(&describe()).unwrap_or_default());

/// Where the key is asked for.
const KEY: &str = "key";

/// Why a request was not answered as asked (RFC 9457).
#[derive(ToSchema)]
#[expect(dead_code, reason = "what `Problem` is as JSON")]
struct ProblemDocument {
    /// What kind of problem: `urn:ekphrasis:problem:` and a word.
    r#type: String,
    /// The kind in words.
    title: String,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong here.
    detail: String,
    /// The field that is wrong, such as `parts[1].weight`.
    #[schema(nullable = false)]
    field: Option<String>,
}

fn describe() -> OpenApi {
    let mut doc = Doc { components: Components::new(), paths: PathsBuilder::new() };
    search(&mut doc);
    pictures(&mut doc);
    identities(&mut doc);
    label_sets(&mut doc);
    items(&mut doc);
    jobs(&mut doc);
    operation(&mut doc);
    doc.schema::<ProblemDocument>();
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The value of EK_API_KEY; needed where the server has one"))
        .build();
    let mut licence = License::new("Apache-2.0");
    licence.identifier = Some("Apache-2.0".into());
    let info = InfoBuilder::new()
        .title("Ekphrasis")
        .version(env!("CARGO_PKG_VERSION"))
        .license(Some(licence))
        .description(Some(
            "Search pictures by phrase, find the words for a picture, sort pictures by words no \
             model was trained on. Errors are RFC 9457 problem documents. Fields of a POST may come \
             as JSON or as a form; in a form, lists are repeated fields or have commas between. \
             GET is also answered to HEAD. When as much waits as may wait, the answer is 429 with \
             Retry-After; when one takes over 30 seconds (600 where many texts or pictures are \
             encoded), it is 503, and what was begun goes on to its end.",
        ))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .paths(doc.paths.build())
        .components(Some(
            ComponentsBuilder::from(doc.components)
                .security_scheme(KEY, SecurityScheme::Http(scheme))
                .build(),
        ))
        // Either nothing, on the machine itself, or the key.
        .security(Some([
            SecurityRequirement::default(),
            SecurityRequirement::new(KEY, Vec::<String>::new()),
        ]))
        .build()
}

fn search(doc: &mut Doc) {
    doc.add("/v1/search", HttpMethod::Get, |doc, op| {
        let op = op.summary(Some("Search by words or by an item, as a link"));
        doc.query::<asks::SearchLink>(op).response("200", doc.json::<wire::SearchReply>("Hits"))
    });
    doc.add("/v1/search", HttpMethod::Post, |doc, op| {
        op.summary(Some("Search by words, pictures and items, each with a weight"))
            .request_body(Some(doc.body::<asks::Search>()))
            .response("200", doc.json::<wire::SearchReply>("Hits"))
    });
    doc.add("/v1/feedback", HttpMethod::Post, |doc, op| {
        op.summary(Some("Go on with a search by what was liked and disliked of its hits"))
            .description(Some(
                "The search as it was, with `liked` and `disliked` (at least one of them): ids of all \
                 that was judged so far, since the server keeps nothing. The query is moved towards \
                 what was liked and away from what was disliked (Rocchio); what was disliked is not \
                 shown again. The same fields do the same in `/v1/search`.",
            ))
            .request_body(Some(doc.body::<asks::Feedback>()))
            .response("200", doc.json::<wire::SearchReply>("Hits"))
    });
    doc.add("/v1/facets", HttpMethod::Get, |doc, op| {
        let op = op.summary(Some("By what items can be narrowed, with counts"));
        doc.query::<asks::Facets>(op).response("200", doc.json::<wire::Facets>("Counts"))
    });
    doc.add("/v1/duplicates", HttpMethod::Get, |doc, op| {
        let op = op.summary(Some("Pictures that are copies of one another"));
        doc.query::<asks::Duplicates>(op)
            .response("200", doc.json::<wire::DuplicateReport>("Groups of copies"))
    });
}

fn pictures(doc: &mut Doc) {
    doc.add("/v1/label", HttpMethod::Post, |doc, op| {
        op.summary(Some("Which of these words fits a picture"))
            .request_body(Some(doc.body::<asks::Label>()))
            .response("200", doc.json::<wire::LabelReply>("Labels with probabilities"))
    });
    doc.add("/v1/describe", HttpMethod::Post, |doc, op| {
        op.summary(Some("The nearest words and captions for a picture"))
            .request_body(Some(doc.body::<asks::Describe>()))
            .response("200", doc.json::<wire::DescribeReply>("Texts with cosines"))
    });
    doc.add("/v1/embed", HttpMethod::Post, |doc, op| {
        op.summary(Some("The vector of a text or a picture"))
            .request_body(Some(doc.body::<asks::Embed>()))
            .response("200", doc.json::<wire::EmbedReply>("A vector and its space"))
    });
}

fn identities(doc: &mut Doc) {
    doc.add("/v1/identities", HttpMethod::Get, |doc, op| {
        op.summary(Some("Who is known by examples"))
            .response("200", doc.json::<wire::IdentityList>("Identities in the order of names"))
    });
    doc.add("/v1/identities/{name}", HttpMethod::Get, |doc, op| {
        let op = op.summary(Some("What is known of one"));
        named(op, "Mittens").response("200", doc.json::<wire::Identity>("The identity"))
    });
    doc.add("/v1/identities/{name}", HttpMethod::Put, |doc, op| {
        let op = op
            .summary(Some("Enrol something by one picture or more"))
            .description(Some(
                "Instead of the examples that are known of that name, or, with `add`, beside them. \
                 The pictures are not kept, only their vectors.",
            ))
            .request_body(Some(doc.body::<asks::Enrol>()));
        named(op, "Mittens")
            .response("200", doc.json::<wire::Enrolment>("The name was known"))
            .response("201", doc.json::<wire::Enrolment>("The name is new"))
    });
    doc.add("/v1/identities/{name}", HttpMethod::Delete, |doc, op| {
        let op = op.summary(Some("Forget one"));
        named(op, "Mittens").response("200", doc.json::<wire::Forgotten>("It was forgotten"))
    });
    doc.add("/v1/verify", HttpMethod::Post, |doc, op| {
        op.summary(Some("Whether a picture shows the one of that name"))
            .description(Some(
                "Decided by the model's threshold at a false accept rate (0.01 if nothing is said), \
                 or by a threshold that is given. A rate that was not measured is refused.",
            ))
            .request_body(Some(doc.body::<asks::Verify>()))
            .response("200", doc.json::<wire::VerifyReply>("The decision, and by what"))
    });
    doc.add("/v1/identify", HttpMethod::Post, |doc, op| {
        op.summary(Some("Which of those who are known a picture shows, if any"))
            .description(Some(
                "In a search, `false_accept_rate` is the share of strangers who may get some name \
                 (0.1 if nothing is said); it is shared out among all who are enrolled.",
            ))
            .request_body(Some(doc.body::<asks::Identify>()))
            .response("200", doc.json::<wire::IdentifyReply>("A name or nobody, and the nearest"))
    });
}

fn label_sets(doc: &mut Doc) {
    doc.add("/v1/label-sets", HttpMethod::Get, |doc, op| {
        op.summary(Some("Lists of labels that the store keeps"))
            .response("200", doc.json::<wire::LabelSetList>("Label sets in the order of names"))
    });
    doc.add("/v1/label-sets/{name}", HttpMethod::Get, |doc, op| {
        let op = op.summary(Some("The labels of one"));
        named(op, "Mittens").response("200", doc.json::<wire::LabelSet>("The label set"))
    });
    doc.add("/v1/label-sets/{name}", HttpMethod::Put, |doc, op| {
        let op = op
            .summary(Some("Keep labels under a name"))
            .description(Some(
                "Instead of what is known of that name; with `add`, beside it: then words replace \
                 words, and pictures are added to pictures. A label is known by words, by pictures, \
                 or by both. The pictures are not kept, only their vectors.",
            ))
            .request_body(Some(doc.body::<asks::LabelSetOrder>()));
        named(op, "Mittens")
            .response("200", doc.json::<wire::ChangedLabelSet>("The name was known"))
            .response("201", doc.json::<wire::ChangedLabelSet>("The name is new"))
    });
    doc.add("/v1/label-sets/{name}", HttpMethod::Delete, |doc, op| {
        let op = op.summary(Some("Forget one"));
        named(op, "Mittens").response("200", doc.json::<wire::Forgotten>("It was forgotten"))
    });
    doc.add("/v1/label-sets/{name}/apply", HttpMethod::Post, |doc, op| {
        let op = op
            .summary(Some("Label all pictures of the store by a set"))
            .description(Some(
                "By the vectors that are there, and instead of what the set said before. Filters \
                 (`label:NAME`) and facets know these labels from then on; pictures that come \
                 later get theirs as they are indexed, until the set is changed.",
            ))
            .request_body(Some(doc.body_if_any::<asks::ApplyLabels>()));
        named(op, "Mittens")
            .response("200", doc.json::<wire::AppliedLabels>("How many have which label"))
    });
    doc.add("/v1/label-sets/{name}/labels/{label}", HttpMethod::Delete, |doc, op| {
        let op = named(op.summary(Some("Forget one label; a set without labels goes")), "Mittens");
        let label = ObjectBuilder::new().schema_type(Type::String).max_length(Some(200));
        let label = label.examples(["cat"]);
        in_path(op, "label", "The label", label.build())
            .response("200", doc.json::<wire::Forgotten>("It was forgotten"))
    });
}

fn items(doc: &mut Doc) {
    doc.add("/v1/items", HttpMethod::Get, |doc, op| {
        let op = op.summary(Some("All items in the order of ids, a stretch at a time"));
        doc.query::<asks::Listing>(op).response("200", doc.json::<wire::ItemList>("Items"))
    });
    doc.add("/v1/items", HttpMethod::Post, |doc, op| {
        op.summary(Some("Add a text, or a picture that is sent along"))
            .description(Some(
                "A copy of the picture is kept in the folder `uploads` of the store.",
            ))
            .request_body(Some(doc.body::<asks::Addition>()))
            .response(
                "200",
                doc.json::<wire::Item>("It was there already, and has these words now"),
            )
            .response("201", doc.json::<wire::Item>("It was added"))
    });
    doc.add("/v1/items/{id}", HttpMethod::Get, |doc, op| {
        let op = op.summary(Some("What is known of an item"));
        item_id(op).response("200", doc.json::<wire::Item>("The item"))
    });
    doc.add("/v1/items/{id}", HttpMethod::Delete, |doc, op| {
        let op = op.summary(Some("Forget an item; files of the user are never touched"));
        item_id(op).response("200", doc.json::<wire::Removed>("It was forgotten"))
    });
    for (path, summary, types) in [
        ("/v1/items/{id}/thumbnail", "A small JPEG of a picture", &["image/jpeg"][..]),
        (
            "/v1/items/{id}/file",
            "A picture's file as it was indexed",
            &["image/*", "application/octet-stream"],
        ),
    ] {
        doc.add(path, HttpMethod::Get, |_, op| {
            let mut found = ResponseBuilder::new().description("The picture");
            for kind in types {
                found = found.content(*kind, Content::new(Some(bytes())));
            }
            let same = Response::new("The one that If-None-Match names");
            item_id(op.summary(Some(summary))).response("200", found.build()).response("304", same)
        });
    }
}

fn jobs(doc: &mut Doc) {
    doc.add("/v1/jobs", HttpMethod::Get, |doc, op| {
        op.summary(Some("What goes on in the background, and what ended lately"))
            .response("200", doc.json::<wire::JobList>("Jobs, the newest first"))
    });
    doc.add("/v1/jobs", HttpMethod::Post, |doc, op| {
        op.summary(Some("Index folders, try failed files again, or forget folders"))
            .description(Some(
                "Only below folders that the server's owner has indexed or allowed. What lies in a \
                 folder that was indexed is indexed with all of it, as the owner did. Folders with \
                 different options in one job are refused. Jobs are done one after the other.",
            ))
            .request_body(Some(doc.body::<asks::JobOrder>()))
            .response("202", doc.json::<wire::Job>("It will be done"))
    });
    doc.add("/v1/jobs/{id}", HttpMethod::Get, |doc, op| {
        let op = op.summary(Some("How far a job is"));
        job_id(op).response("200", doc.json::<wire::Job>("The job"))
    });
    doc.add("/v1/jobs/{id}", HttpMethod::Delete, |doc, op| {
        let op = op.summary(Some("Stop a job; what it has done stays"));
        job_id(op).response("200", doc.json::<wire::Job>("The job"))
    });
    doc.add("/v1/jobs/{id}/events", HttpMethod::Get, |_, op| {
        let op =
            op.summary(Some("Follow a job: server-sent events `progress` and, at last, `done`"));
        // A stream has no schema as a whole.
        let events = ResponseBuilder::new()
            .description("Events, each with the job as JSON")
            .content("text/event-stream", Content::new(None::<RefOr<Schema>>));
        job_id(op).response("200", events.build())
    });
}

fn operation(doc: &mut Doc) {
    doc.add("/v1/status", HttpMethod::Get, |doc, op| {
        op.summary(Some("The store's state in short"))
            .response("200", doc.json::<wire::Status>("The state"))
    });
    doc.add("/v1/failures", HttpMethod::Get, |doc, op| {
        op.summary(Some("Every file that is not indexed, and why"))
            .response("200", doc.json::<wire::FailureList>("Files with reasons"))
    });
    doc.add("/v1/models", HttpMethod::Get, |doc, op| {
        op.summary(Some("The models that are here"))
            .response("200", doc.json::<wire::ModelList>("Models, the one in use first"))
    });
    doc.add("/v1/models/{name}/use", HttpMethod::Post, |doc, op| {
        let op = op
            .summary(Some("Move the store to another model"))
            .description(Some(
                "An imported model, or the one that comes with the program, by its name. A job \
                 embeds everything anew beside the store, which is searched meanwhile as ever, and \
                 then switches between two requests. If pictures or names would be lost, it stops \
                 before that and says so. The former store stays: to go back, use its model.",
            ))
            .request_body(Some(doc.body_if_any::<asks::UseModel>()));
        named(op, "clip-multilingual").response("202", doc.json::<wire::Job>("It will be done"))
    });
    for (path, summary) in [
        ("/healthz", "Whether the server runs; needs no key"),
        ("/readyz", "Whether the store can be read"),
    ] {
        doc.add(path, HttpMethod::Get, |doc, op| {
            op.summary(Some(summary)).response("200", doc.json::<wire::Health>("It does"))
        });
    }
    for (path, summary, kind) in [
        ("/metrics", "Counts and times for Prometheus", "text/plain"),
        ("/openapi.json", "This description", "application/json"),
        ("/docs", "This description, to read and to try", "text/html"),
    ] {
        doc.add(path, HttpMethod::Get, |_, op| {
            let schema = match kind {
                "application/json" => ObjectBuilder::new().schema_type(Type::Object),
                _ => ObjectBuilder::new().schema_type(Type::String),
            };
            let found = ResponseBuilder::new()
                .description("It")
                .content(kind, Content::new(Some(schema.build())));
            op.summary(Some(summary)).response("200", found.build())
        });
    }
}

fn bytes() -> Schema {
    let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
    ObjectBuilder::new().schema_type(Type::String).format(Some(format)).build().into()
}

fn item_id(op: OperationBuilder) -> OperationBuilder {
    let id = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[0-9a-fA-F]{32}$"));
    in_path(op, "id", "The item's id", id.build())
}

fn job_id(op: OperationBuilder) -> OperationBuilder {
    let id = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[0-9a-f]{1,16}-[0-9]{1,20}$"));
    in_path(op, "id", "The job's name", id.build())
}

fn named(op: OperationBuilder, example: &str) -> OperationBuilder {
    let name = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(r"^[^/\\\x00-\x1f\x7f-\x9f]+$"))
        .max_length(Some(200));
    in_path(op, "name", "The name", name.examples([example]).build())
}

fn in_path(
    op: OperationBuilder,
    name: &str,
    what: &str,
    schema: impl Into<RefOr<Schema>>,
) -> OperationBuilder {
    op.parameter(
        ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(what))
            .schema(Some(schema)),
    )
}

/// The description in the making.
struct Doc {
    components: Components,
    paths: PathsBuilder,
}

impl Doc {
    fn add(
        &mut self,
        path: &str,
        method: HttpMethod,
        fill: impl FnOnce(&mut Self, OperationBuilder) -> OperationBuilder,
    ) {
        let word = match method {
            HttpMethod::Post => "post",
            HttpMethod::Delete => "delete",
            HttpMethod::Put => "put",
            _ => "get",
        };
        let plain = path.trim_start_matches('/').replace(['{', '}'], "").replace(['/', '.'], "_");
        let tag = path.trim_start_matches("/v1/").trim_matches('/').split('/').next();
        let op = OperationBuilder::new()
            .operation_id(Some(format!("{word}_{plain}")))
            .tag(tag.unwrap_or_default());
        let problem = ResponseBuilder::new().description("A problem").content(
            "application/problem+json",
            Content::new(Some(Ref::from_schema_name("ProblemDocument"))),
        );
        let op: Operation = fill(self, op).response("default", problem.build()).build();
        let paths = std::mem::take(&mut self.paths);
        self.paths = paths.path(path, PathItem::new(method, op));
    }

    /// The reference to a type's schema, which is among the components from now on.
    fn schema<T: ToSchema>(&mut self) -> Ref {
        let mut all = Vec::new();
        T::schemas(&mut all);
        all.push((T::name().into_owned(), T::schema()));
        for (name, schema) in all {
            self.components.schemas.entry(name).or_insert(schema);
        }
        Ref::from_schema_name(T::name())
    }

    fn json<T: ToSchema>(&mut self, what: &str) -> Response {
        let content = Content::new(Some(self.schema::<T>()));
        ResponseBuilder::new().description(what).content("application/json", content).build()
    }

    fn body<T: ToSchema>(&mut self) -> RequestBody {
        let schema = self.schema::<T>();
        // Unknown fields are refused, in whatever part of the body.
        for (name, schema) in &mut self.components.schemas {
            if let (true, RefOr::T(Schema::Object(object))) =
                (asks::NAMES.contains(&&**name), schema)
            {
                object.additional_properties =
                    Some(Box::new(AdditionalProperties::FreeForm(false)));
            }
        }
        let json = ContentBuilder::new()
            .schema(Some(schema.clone()))
            .example(examples::of(&T::name()))
            .build();
        RequestBodyBuilder::new()
            .content("application/json", json)
            .content("multipart/form-data", Content::new(Some(schema)))
            .required(Some(Required::True))
            .build()
    }

    /// The same for a request that need not say anything.
    fn body_if_any<T: ToSchema>(&mut self) -> RequestBody {
        let mut body = self.body::<T>();
        body.required = Some(Required::False);
        body
    }

    /// Each property of `T` as a parameter of the address.
    fn query<T: ToSchema + PartialSchema>(&mut self, mut op: OperationBuilder) -> OperationBuilder {
        let RefOr::T(Schema::Object(object)) = T::schema() else { return op };
        for (name, schema) in object.properties {
            let required =
                if object.required.contains(&name) { Required::True } else { Required::False };
            let description = match &schema {
                RefOr::T(Schema::Object(property)) => property.description.clone(),
                _ => None,
            };
            op = op.parameter(
                ParameterBuilder::new()
                    .name(name)
                    .parameter_in(ParameterIn::Query)
                    .required(required)
                    .description(description)
                    .schema(Some(schema)),
            );
        }
        op
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::Value;
    use std::collections::BTreeSet;

    /// Methods and paths that are described.
    pub(crate) fn operations() -> BTreeSet<(String, String)> {
        let document: Value = serde_json::from_str(&DOCUMENT).expect("JSON");
        let paths = document["paths"].as_object().expect("paths");
        let mut all = BTreeSet::new();
        for (path, item) in paths {
            for method in item.as_object().expect("operations").keys() {
                all.insert((method.to_uppercase(), path.clone()));
            }
        }
        all
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document: Value = serde_json::from_str(&DOCUMENT).expect("JSON");
        let text = DOCUMENT.as_str();
        for (at, _) in text.match_indices("\"$ref\":\"#") {
            let pointer = text[at + 9..].split('"').next().expect("its end");
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
        assert!(document["openapi"].as_str().is_some_and(|v| v.starts_with("3.1")));
    }
}
