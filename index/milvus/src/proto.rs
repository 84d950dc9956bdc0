//! Given the protocol of Milvus, what are its messages in Rust? Those that this
//! store sends and reads, with the field numbers of `milvus.proto`, `schema.proto`
//! and `common.proto` (milvus-proto 2.5, Apache-2.0); fields that it has no use for
//! are left out, and passed over in what servers send.

use prost::Message;

/// The service's methods, by their paths.
pub(crate) mod method {
    macro_rules! methods {
        ($($name:ident $path:literal)*) => {
            $(pub(crate) const $name: &str =
                concat!("/milvus.proto.milvus.MilvusService/", $path);)*
        };
    }
    methods! {
        GET_VERSION "GetVersion"
        CREATE_COLLECTION "CreateCollection"
        DROP_COLLECTION "DropCollection"
        DESCRIBE_COLLECTION "DescribeCollection"
        SHOW_COLLECTIONS "ShowCollections"
        LOAD_COLLECTION "LoadCollection"
        GET_LOAD_STATE "GetLoadState"
        CREATE_ALIAS "CreateAlias"
        ALTER_ALIAS "AlterAlias"
        DROP_ALIAS "DropAlias"
        CREATE_INDEX "CreateIndex"
        DESCRIBE_INDEX "DescribeIndex"
        UPSERT "Upsert"
        DELETE "Delete"
        QUERY "Query"
        SEARCH "Search"
    }
}

/// Numbers of `DataType`, also of what a search is asked with (`PlaceholderType`).
pub(crate) mod data_type {
    pub(crate) const INT64: i32 = 5;
    pub(crate) const VAR_CHAR: i32 = 21;
    pub(crate) const ARRAY: i32 = 22;
    pub(crate) const FLOAT_VECTOR: i32 = 101;
    pub(crate) const SPARSE_FLOAT_VECTOR: i32 = 104;
}

/// Numbers of `ConsistencyLevel`.
pub(crate) mod consistency {
    pub(crate) const STRONG: i32 = 0;
    pub(crate) const SESSION: i32 = 1;
    pub(crate) const BOUNDED: i32 = 2;
}

/// `LoadState` of a collection that can be searched.
pub(crate) const LOADING: i32 = 2;
pub(crate) const LOADED: i32 = 3;
/// `IndexState` of an index that is built, and of one that will not be.
pub(crate) const INDEX_FINISHED: i32 = 3;
pub(crate) const INDEX_FAILED: i32 = 4;
/// `DslType` of a filter written as text.
pub(crate) const FILTER_AS_TEXT: i32 = 1;
/// `FunctionType` of full text.
pub(crate) const BM25: i32 = 1;

/// Status codes that are answered to, not only shown.
pub(crate) mod code {
    pub(crate) const NO_COLLECTION: i32 = 100;
    pub(crate) const NOT_LOADED: i32 = 101;
    /// Of an older kind (`ErrorCode`), beside or instead of the ones above.
    pub(crate) const OLD_NO_COLLECTION: i32 = 4;
    pub(crate) const OLD_RATE_LIMIT: i32 = 49;
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Status {
    #[prost(int32, tag = "1")]
    pub(crate) error_code: i32,
    #[prost(string, tag = "2")]
    pub(crate) reason: String,
    #[prost(int32, tag = "3")]
    pub(crate) code: i32,
    #[prost(bool, tag = "4")]
    pub(crate) retriable: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct KeyValue {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

impl KeyValue {
    pub(crate) fn new(key: &str, value: impl ToString) -> Self {
        Self { key: key.into(), value: value.to_string() }
    }
}

/// What is asked of a collection by its name alone: to be described, dropped, loaded,
/// or how far it is loaded.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct OfCollection {
    #[prost(string, tag = "2")]
    pub(crate) db_name: String,
    #[prost(string, tag = "3")]
    pub(crate) collection_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Empty {}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Version {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Status>,
    #[prost(string, tag = "2")]
    pub(crate) version: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CreateCollection {
    #[prost(string, tag = "2")]
    pub(crate) db_name: String,
    #[prost(string, tag = "3")]
    pub(crate) collection_name: String,
    /// A [`CollectionSchema`].
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) schema: Vec<u8>,
    #[prost(int32, tag = "5")]
    pub(crate) shards_num: i32,
    #[prost(int32, tag = "6")]
    pub(crate) consistency_level: i32,
    #[prost(message, repeated, tag = "7")]
    pub(crate) properties: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CollectionSchema {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(string, tag = "2")]
    pub(crate) description: String,
    #[prost(message, repeated, tag = "4")]
    pub(crate) fields: Vec<FieldSchema>,
    #[prost(message, repeated, tag = "7")]
    pub(crate) functions: Vec<FunctionSchema>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FieldSchema {
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(bool, tag = "3")]
    pub(crate) is_primary_key: bool,
    #[prost(int32, tag = "5")]
    pub(crate) data_type: i32,
    #[prost(message, repeated, tag = "6")]
    pub(crate) type_params: Vec<KeyValue>,
    #[prost(int32, tag = "10")]
    pub(crate) element_type: i32,
    #[prost(bool, tag = "16")]
    pub(crate) is_function_output: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FunctionSchema {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(int32, tag = "4")]
    pub(crate) r#type: i32,
    #[prost(string, repeated, tag = "5")]
    pub(crate) input_field_names: Vec<String>,
    #[prost(string, repeated, tag = "7")]
    pub(crate) output_field_names: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Described {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Status>,
    #[prost(message, optional, tag = "2")]
    pub(crate) schema: Option<CollectionSchema>,
    #[prost(string, tag = "12")]
    pub(crate) collection_name: String,
    #[prost(message, repeated, tag = "13")]
    pub(crate) properties: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ShowCollections {
    #[prost(string, tag = "2")]
    pub(crate) db_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Collections {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Status>,
    #[prost(string, repeated, tag = "2")]
    pub(crate) collection_names: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct GetLoadState {
    #[prost(string, tag = "2")]
    pub(crate) collection_name: String,
    #[prost(string, tag = "4")]
    pub(crate) db_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct LoadState {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Status>,
    #[prost(int32, tag = "2")]
    pub(crate) state: i32,
}

/// To make an alias, or to have it name another collection.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SetAlias {
    #[prost(string, tag = "2")]
    pub(crate) db_name: String,
    #[prost(string, tag = "3")]
    pub(crate) collection_name: String,
    #[prost(string, tag = "4")]
    pub(crate) alias: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DropAlias {
    #[prost(string, tag = "2")]
    pub(crate) db_name: String,
    #[prost(string, tag = "3")]
    pub(crate) alias: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CreateIndex {
    #[prost(string, tag = "2")]
    pub(crate) db_name: String,
    #[prost(string, tag = "3")]
    pub(crate) collection_name: String,
    #[prost(string, tag = "4")]
    pub(crate) field_name: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) extra_params: Vec<KeyValue>,
    #[prost(string, tag = "6")]
    pub(crate) index_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct DescribeIndex {
    #[prost(string, tag = "2")]
    pub(crate) db_name: String,
    #[prost(string, tag = "3")]
    pub(crate) collection_name: String,
    #[prost(string, tag = "4")]
    pub(crate) field_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Indexes {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Status>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) index_descriptions: Vec<Index>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Index {
    #[prost(string, tag = "4")]
    pub(crate) field_name: String,
    #[prost(int32, tag = "7")]
    pub(crate) state: i32,
    #[prost(string, tag = "8")]
    pub(crate) index_state_fail_reason: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Upsert {
    #[prost(string, tag = "2")]
    pub(crate) db_name: String,
    #[prost(string, tag = "3")]
    pub(crate) collection_name: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) fields_data: Vec<FieldData>,
    #[prost(uint32, tag = "7")]
    pub(crate) num_rows: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Delete {
    #[prost(string, tag = "2")]
    pub(crate) db_name: String,
    #[prost(string, tag = "3")]
    pub(crate) collection_name: String,
    #[prost(string, tag = "5")]
    pub(crate) expr: String,
    #[prost(int32, tag = "7")]
    pub(crate) consistency_level: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Mutation {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Status>,
    #[prost(uint32, repeated, tag = "4")]
    pub(crate) err_index: Vec<u32>,
    #[prost(uint64, tag = "9")]
    pub(crate) timestamp: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Query {
    #[prost(string, tag = "2")]
    pub(crate) db_name: String,
    #[prost(string, tag = "3")]
    pub(crate) collection_name: String,
    #[prost(string, tag = "4")]
    pub(crate) expr: String,
    #[prost(string, repeated, tag = "5")]
    pub(crate) output_fields: Vec<String>,
    #[prost(uint64, tag = "8")]
    pub(crate) guarantee_timestamp: u64,
    #[prost(message, repeated, tag = "9")]
    pub(crate) query_params: Vec<KeyValue>,
    #[prost(int32, tag = "11")]
    pub(crate) consistency_level: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Queried {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Status>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) fields_data: Vec<FieldData>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Search {
    #[prost(string, tag = "2")]
    pub(crate) db_name: String,
    #[prost(string, tag = "3")]
    pub(crate) collection_name: String,
    /// The filter.
    #[prost(string, tag = "5")]
    pub(crate) dsl: String,
    /// Placeholders, what is looked for.
    #[prost(bytes = "vec", tag = "6")]
    pub(crate) placeholder_group: Vec<u8>,
    #[prost(int32, tag = "7")]
    pub(crate) dsl_type: i32,
    #[prost(string, repeated, tag = "8")]
    pub(crate) output_fields: Vec<String>,
    #[prost(message, repeated, tag = "9")]
    pub(crate) search_params: Vec<KeyValue>,
    #[prost(uint64, tag = "11")]
    pub(crate) guarantee_timestamp: u64,
    #[prost(int64, tag = "12")]
    pub(crate) nq: i64,
    #[prost(int32, tag = "14")]
    pub(crate) consistency_level: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Placeholders {
    #[prost(message, repeated, tag = "1")]
    pub(crate) placeholders: Vec<Placeholder>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Placeholder {
    #[prost(string, tag = "1")]
    pub(crate) tag: String,
    #[prost(int32, tag = "2")]
    pub(crate) r#type: i32,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub(crate) values: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Searched {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Status>,
    #[prost(message, optional, tag = "2")]
    pub(crate) results: Option<SearchedData>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SearchedData {
    #[prost(message, repeated, tag = "3")]
    pub(crate) fields_data: Vec<FieldData>,
    #[prost(float, repeated, tag = "4")]
    pub(crate) scores: Vec<f32>,
    #[prost(message, optional, tag = "5")]
    pub(crate) ids: Option<Ids>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Ids {
    #[prost(message, optional, tag = "2")]
    pub(crate) str_id: Option<Strings>,
}

/// A column of rows.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct FieldData {
    #[prost(int32, tag = "1")]
    pub(crate) r#type: i32,
    #[prost(string, tag = "2")]
    pub(crate) field_name: String,
    #[prost(oneof = "Column", tags = "3, 4")]
    pub(crate) field: Option<Column>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Column {
    #[prost(message, tag = "3")]
    Scalars(Scalars),
    #[prost(message, tag = "4")]
    Vectors(Vectors),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Scalars {
    #[prost(oneof = "Values", tags = "3, 6, 8")]
    pub(crate) data: Option<Values>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum Values {
    #[prost(message, tag = "3")]
    Longs(Longs),
    #[prost(message, tag = "6")]
    Strings(Strings),
    #[prost(message, tag = "8")]
    Arrays(Arrays),
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Longs {
    #[prost(int64, repeated, tag = "1")]
    pub(crate) data: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Strings {
    #[prost(string, repeated, tag = "1")]
    pub(crate) data: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Arrays {
    #[prost(message, repeated, tag = "1")]
    pub(crate) data: Vec<Scalars>,
    #[prost(int32, tag = "2")]
    pub(crate) element_type: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Vectors {
    #[prost(int64, tag = "1")]
    pub(crate) dim: i64,
    #[prost(message, optional, tag = "2")]
    pub(crate) float_vector: Option<Floats>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Floats {
    #[prost(float, repeated, tag = "1")]
    pub(crate) data: Vec<f32>,
}

/// An answer that carries a status.
pub(crate) trait Answer: Message + Default + 'static {
    fn status(&self) -> Option<&Status>;
}

impl Answer for Status {
    fn status(&self) -> Option<&Status> {
        Some(self)
    }
}

macro_rules! answers {
    ($($message:ident)*) => {
        $(impl Answer for $message {
            fn status(&self) -> Option<&Status> {
                self.status.as_ref()
            }
        })*
    };
}
answers!(Version Described Collections LoadState Indexes Mutation Queried Searched);

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes that pymilvus 3.0.2 makes of the same messages
    /// (`tests/golden.py` prints them).
    #[test]
    fn messages_are_written_as_the_official_client_does() {
        let hex = |bytes: Vec<u8>| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        let arrays = Arrays {
            data: vec![Scalars { data: Some(Values::Strings(Strings { data: vec!["a".into()] })) }],
            element_type: data_type::VAR_CHAR,
        };
        let column = |name: &str, r#type, field| FieldData {
            r#type,
            field_name: name.into(),
            field: Some(field),
        };
        let scalars = |values| Column::Scalars(Scalars { data: Some(values) });
        let upsert = Upsert {
            db_name: "d".into(),
            collection_name: "c".into(),
            fields_data: vec![
                column(
                    "id",
                    data_type::VAR_CHAR,
                    scalars(Values::Strings(Strings { data: vec!["x".into()] })),
                ),
                column("width", data_type::INT64, scalars(Values::Longs(Longs { data: vec![-7] }))),
                column("marks", data_type::ARRAY, scalars(Values::Arrays(arrays))),
                column(
                    "vector",
                    data_type::FLOAT_VECTOR,
                    Column::Vectors(Vectors {
                        dim: 2,
                        float_vector: Some(Floats { data: vec![0.6, 0.8] }),
                    }),
                ),
            ],
            num_rows: 1,
        };
        assert_eq!(hex(upsert.encode_to_vec()), GOLDEN_UPSERT);
        let placeholder = Placeholder {
            tag: "$0".into(),
            r#type: data_type::FLOAT_VECTOR,
            values: vec![vec![1, 2, 3, 4]],
        };
        let search = Search {
            db_name: "d".into(),
            collection_name: "c".into(),
            dsl: "kind == 0".into(),
            placeholder_group: Placeholders { placeholders: vec![placeholder] }.encode_to_vec(),
            dsl_type: FILTER_AS_TEXT,
            output_fields: vec!["id".into()],
            search_params: vec![KeyValue::new("topk", 10)],
            guarantee_timestamp: 5,
            nq: 1,
            consistency_level: consistency::BOUNDED,
        };
        assert_eq!(hex(search.encode_to_vec()), GOLDEN_SEARCH);
        let schema = CollectionSchema {
            name: "c".into(),
            description: "told".into(),
            fields: vec![FieldSchema {
                name: "marks".into(),
                is_primary_key: true,
                data_type: data_type::ARRAY,
                type_params: vec![KeyValue::new("max_length", 9)],
                element_type: data_type::VAR_CHAR,
                is_function_output: true,
            }],
            functions: vec![FunctionSchema {
                name: "f".into(),
                r#type: BM25,
                input_field_names: vec!["words".into()],
                output_field_names: vec!["bm25".into()],
            }],
        };
        assert_eq!(hex(schema.encode_to_vec()), GOLDEN_SCHEMA);
    }

    const GOLDEN_UPSERT: &str = "1201641a01632a0d0815120269641a0532030a01782a190805120577696474681a0e1a0c0a0af9ffffffffffffffff012a16081612056d61726b731a0b42090a0532030a016110152a1a08651206766563746f72220e0802120a0a089a99193fcdcc4c3f3801";
    const GOLDEN_SEARCH: &str = "1201641a01632a096b696e64203d3d2030320e0a0c0a02243010651a04010203043801420269644a0a0a04746f706b12023130580560017002";
    const GOLDEN_SCHEMA: &str = "0a01631204746f6c64222112056d61726b7318012816320f0a0a6d61785f6c656e67746812013950158001013a120a016620012a05776f7264733a04626d3235";
}
