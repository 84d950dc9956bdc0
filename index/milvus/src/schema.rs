//! What is a collection made of, and how is it known again?

use std::time::{Duration, Instant};

use ekphrasis_embed::Space;
use ekphrasis_index::StoreError;
use prost::Message;
use serde::{Deserialize, Serialize};

use crate::client::Client;
use crate::marks::{LONGEST_MARK, MOST_MARKS, Number};
use crate::proto::{
    BM25, CollectionSchema, CreateCollection, CreateIndex, DescribeIndex, Described, FieldSchema,
    FunctionSchema, GetLoadState, INDEX_FAILED, INDEX_FINISHED, Indexes, KeyValue, LOADED, LOADING,
    LoadState, OfCollection, Status, consistency, data_type, method,
};
use crate::rows::LONGEST_TEXT;

/// What collections are made now; what is made otherwise has another number.
const FORMAT: u64 = 1;
/// The property of a collection that says what it is. It is the description, too, since
/// servers keep one or the other.
const PROPERTY: &str = "ekphrasis";
/// How long an empty collection may take to be indexed and loaded.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);

/// Names of columns that are no numbers.
pub(crate) mod column {
    /// 32 hexadecimal digits.
    pub(crate) const ID: &str = "id";
    pub(crate) const VECTOR: &str = "vector";
    /// All there is to the item, as JSON.
    pub(crate) const ITEM: &str = "item";
    pub(crate) const MARKS: &str = "marks";
    /// Its words, for the server to count.
    pub(crate) const WORDS: &str = "words";
    /// What the server makes of the words.
    pub(crate) const BM25: &str = "bm25";
}

/// What a collection says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) format: u64,
    pub(crate) space: String,
    pub(crate) dim: usize,
    /// Whether it can be searched by words.
    pub(crate) words: bool,
}

impl Header {
    pub(crate) fn new(space: &Space, words: bool) -> Self {
        Self { format: FORMAT, space: space.id().into(), dim: space.dim(), words }
    }

    /// The header of a collection that is one of ours, in a version that is known here.
    pub(crate) fn of(client: &Client, described: &Described) -> Result<Self, StoreError> {
        let property = described.properties.iter().find(|p| p.key == PROPERTY);
        let description = described.schema.as_ref().map(|s| s.description.as_str());
        let text = property.map(|p| p.value.as_str()).or(description).unwrap_or_default();
        // The version first: of another one the rest may be different.
        let version = serde_json::from_str::<serde_json::Value>(text).ok();
        match version.as_ref().and_then(|v| v["format"].as_u64()) {
            Some(FORMAT) => {}
            Some(found) => {
                let path = client.address.to_string().into();
                return Err(StoreError::Version { path, found, supported: FORMAT });
            }
            None => {
                let what = format!(
                    "collection {} is something else and is left as it is; name another one",
                    described.collection_name
                );
                return Err(client.failed("be used", what));
            }
        }
        serde_json::from_str(text).map_err(|e| client.failed("be read", e.to_string()))
    }

    pub(crate) fn space(&self, client: &Client) -> Result<Space, StoreError> {
        Space::new(&self.space, self.dim).map_err(|e| client.failed("be read", e.to_string()))
    }
}

/// A collection of that name, or what an alias of that name names.
pub(crate) fn describe(client: &Client, name: &str) -> Result<Option<Described>, StoreError> {
    let request = OfCollection { db_name: client.database(), collection_name: name.into() };
    client.call_about("be described", method::DESCRIBE_COLLECTION, &request, Some(name))
}

/// Makes an empty collection with its indexes, and has it loaded. One that is there
/// already, made by somebody else at the same time, is as good.
pub(crate) fn create(client: &Client, name: &str, header: &Header) -> Result<(), StoreError> {
    let told =
        serde_json::to_string(header).map_err(|e| client.failed("be made", e.to_string()))?;
    let request = CreateCollection {
        db_name: client.database(),
        collection_name: name.into(),
        schema: schema(name, &told, header).encode_to_vec(),
        shards_num: 1,
        consistency_level: consistency::BOUNDED,
        properties: vec![KeyValue::new(PROPERTY, &told)],
    };
    let made: Result<Status, _> = client.call("be made", method::CREATE_COLLECTION, &request);
    if let Err(error) = made
        && describe(client, name)?.is_none()
    {
        return Err(error);
    }
    index(client, name, header)?;
    load(client, name)
}

fn schema(name: &str, told: &str, header: &Header) -> CollectionSchema {
    let field = |name: &str, data_type, params: &[(&str, usize)]| FieldSchema {
        name: name.into(),
        data_type,
        type_params: params.iter().map(|(key, value)| KeyValue::new(key, value)).collect(),
        ..FieldSchema::default()
    };
    let mut fields = vec![
        FieldSchema {
            is_primary_key: true,
            ..field(column::ID, data_type::VAR_CHAR, &[("max_length", 32)])
        },
        field(column::VECTOR, data_type::FLOAT_VECTOR, &[("dim", header.dim)]),
        field(column::ITEM, data_type::VAR_CHAR, &[("max_length", LONGEST_TEXT)]),
        FieldSchema {
            element_type: data_type::VAR_CHAR,
            ..field(
                column::MARKS,
                data_type::ARRAY,
                &[("max_capacity", MOST_MARKS), ("max_length", LONGEST_MARK)],
            )
        },
    ];
    fields.extend(Number::ALL.map(|number| field(number.name(), data_type::INT64, &[])));
    let mut functions = vec![];
    if header.words {
        let mut words = field(column::WORDS, data_type::VAR_CHAR, &[("max_length", LONGEST_TEXT)]);
        words.type_params.push(KeyValue::new("enable_analyzer", true));
        words.type_params.push(KeyValue::new("analyzer_params", r#"{"tokenizer": "standard"}"#));
        let mut found = field(column::BM25, data_type::SPARSE_FLOAT_VECTOR, &[]);
        found.is_function_output = true;
        fields.extend([words, found]);
        functions.push(FunctionSchema {
            name: "words_to_bm25".into(),
            r#type: BM25,
            input_field_names: vec![column::WORDS.into()],
            output_field_names: vec![column::BM25.into()],
        });
    }
    CollectionSchema { name: name.into(), description: told.into(), fields, functions }
}

/// Asks for all indexes, and waits for those that searching needs.
fn index(client: &Client, name: &str, header: &Header) -> Result<(), StoreError> {
    let ask = |field: &str, kind: &str, more: &[(&str, &str)]| -> Result<Status, StoreError> {
        let mut extra_params = vec![KeyValue::new("index_type", kind)];
        extra_params.extend(more.iter().map(|(key, value)| KeyValue::new(key, value)));
        let request = CreateIndex {
            db_name: client.database(),
            collection_name: name.into(),
            field_name: field.into(),
            extra_params,
            index_name: format!("{field}_index"),
        };
        client.call("be indexed", method::CREATE_INDEX, &request)
    };
    let hnsw = r#"{"M": 16, "efConstruction": 200}"#;
    // Vectors have unit length, so the inner product is the cosine.
    let mut needed = vec![(column::VECTOR, "HNSW", vec![("metric_type", "IP"), ("params", hnsw)])];
    if header.words {
        needed.push((column::BM25, "SPARSE_INVERTED_INDEX", vec![("metric_type", "BM25")]));
    }
    for (field, kind, more) in &needed {
        let asked = ask(field, kind, more);
        if let Err(error) = asked
            && !is_indexed(client, name, field)?
        {
            return Err(error);
        }
    }
    // Filters are answered without these as well, only slower; milvus-lite has none for arrays.
    let numbers = Number::ALL.map(Number::name);
    for field in [column::MARKS].iter().chain(&numbers) {
        let _ = ask(field, "INVERTED", &[]);
    }
    let end = Instant::now() + PATIENCE;
    for (field, ..) in &needed {
        while !is_indexed(client, name, field)? {
            if Instant::now() >= end {
                return Err(client.failed("be indexed", format!("{field} is not ready yet")));
            }
            std::thread::sleep(POLL);
        }
    }
    Ok(())
}

fn is_indexed(client: &Client, name: &str, field: &str) -> Result<bool, StoreError> {
    let request = DescribeIndex {
        db_name: client.database(),
        collection_name: name.into(),
        field_name: field.into(),
    };
    // A server without an index for the field calls that an error.
    let Ok(indexes) = client.call::<_, Indexes>("be indexed", method::DESCRIBE_INDEX, &request)
    else {
        return Ok(false);
    };
    let mut own = indexes.index_descriptions.iter().filter(|index| index.field_name == field);
    match own.next() {
        Some(index) if index.state == INDEX_FAILED => {
            Err(client.failed("be indexed", index.index_state_fail_reason.clone()))
        }
        Some(index) => Ok(index.state == INDEX_FINISHED),
        None => Ok(false),
    }
}

/// Has the collection loaded if nobody did, and waits for it. Who loaded it may have asked for
/// several replicas, which being asked again, without their number, would undo.
pub(crate) fn load(client: &Client, name: &str) -> Result<(), StoreError> {
    let doing = "be loaded";
    let request = GetLoadState { collection_name: name.into(), db_name: client.database() };
    let end = Instant::now() + PATIENCE;
    let mut asked = false;
    loop {
        let state: LoadState = client.call(doing, method::GET_LOAD_STATE, &request)?;
        match state.state {
            LOADED => return Ok(()),
            LOADING => {}
            _ if asked => {}
            _ => {
                let collection_name = name.into();
                let request = OfCollection { db_name: client.database(), collection_name };
                let _: Status = client.call(doing, method::LOAD_COLLECTION, &request)?;
                asked = true;
                continue;
            }
        }
        if Instant::now() >= end {
            return Err(client.failed(doing, "it is still being loaded; try again later"));
        }
        std::thread::sleep(POLL);
    }
}
