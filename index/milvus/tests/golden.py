# Prints what `proto.rs` is compared with: messages as the official client's types
# write them. Run with pymilvus==3.0.2.
from pymilvus.grpc_gen import common_pb2, milvus_pb2, schema_pb2

kv = lambda key, value: common_pb2.KeyValuePair(key=key, value=value)
scalars = schema_pb2.ScalarField
field = schema_pb2.FieldData
marks = schema_pb2.ArrayArray(
    data=[scalars(string_data=schema_pb2.StringArray(data=["a"]))],
    element_type=schema_pb2.VarChar,
)
upsert = milvus_pb2.UpsertRequest(
    db_name="d",
    collection_name="c",
    num_rows=1,
    fields_data=[
        field(type=21, field_name="id",
              scalars=scalars(string_data=schema_pb2.StringArray(data=["x"]))),
        field(type=5, field_name="width",
              scalars=scalars(long_data=schema_pb2.LongArray(data=[-7]))),
        field(type=22, field_name="marks", scalars=scalars(array_data=marks)),
        field(type=101, field_name="vector",
              vectors=schema_pb2.VectorField(
                  dim=2, float_vector=schema_pb2.FloatArray(data=[0.6, 0.8]))),
    ],
)
placeholders = common_pb2.PlaceholderGroup(
    placeholders=[common_pb2.PlaceholderValue(tag="$0", type=101, values=[bytes([1, 2, 3, 4])])]
)
search = milvus_pb2.SearchRequest(
    db_name="d",
    collection_name="c",
    dsl="kind == 0",
    placeholder_group=placeholders.SerializeToString(),
    dsl_type=common_pb2.BoolExprV1,
    output_fields=["id"],
    search_params=[kv("topk", "10")],
    guarantee_timestamp=5,
    nq=1,
    consistency_level=common_pb2.Bounded,
)
schema = schema_pb2.CollectionSchema(
    name="c",
    description="told",
    fields=[
        schema_pb2.FieldSchema(
            name="marks", is_primary_key=True, data_type=schema_pb2.Array,
            type_params=[kv("max_length", "9")], element_type=schema_pb2.VarChar,
            is_function_output=True,
        )
    ],
    functions=[
        schema_pb2.FunctionSchema(
            name="f", type=schema_pb2.BM25, input_field_names=["words"],
            output_field_names=["bm25"],
        )
    ],
)
for name, message in [("UPSERT", upsert), ("SEARCH", search), ("SCHEMA", schema)]:
    print(name, message.SerializeToString().hex())
