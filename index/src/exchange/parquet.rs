//! One Parquet file: a row an item, the vector a list of floats.
//!
//! Written without compression and without a dictionary for the vectors, which
//! would gain nothing. The file's own metadata say format, space and dimensions.

use std::io::BufWriter;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ekphrasis_embed::Space;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, FloatType, Int32Type, Int64Type,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;

use super::item::File;
use super::{BATCH, ExchangeError, FORMAT, Line, Sink, Source, Wanted, partial, vacant};

const SCHEMA: &str = "
message ekphrasis {
    REQUIRED BYTE_ARRAY id (STRING);
    REQUIRED BYTE_ARRAY kind (STRING);
    OPTIONAL BYTE_ARRAY path (STRING);
    OPTIONAL BYTE_ARRAY path_bytes (STRING);
    OPTIONAL BYTE_ARRAY text (STRING);
    REQUIRED GROUP tags (LIST) { REPEATED GROUP list { REQUIRED BYTE_ARRAY element (STRING); } }
    REQUIRED GROUP labels (LIST) { REPEATED GROUP list { REQUIRED BYTE_ARRAY element (STRING); } }
    REQUIRED BOOLEAN standalone;
    REQUIRED GROUP captions (LIST) { REPEATED GROUP list { REQUIRED BYTE_ARRAY element (STRING); } }
    OPTIONAL INT64 size;
    OPTIONAL INT64 mtime_ns;
    OPTIONAL BYTE_ARRAY content (STRING);
    OPTIONAL INT32 width;
    OPTIONAL INT32 height;
    OPTIONAL BYTE_ARRAY format (STRING);
    OPTIONAL BYTE_ARRAY facts (JSON);
    REQUIRED GROUP vector (LIST) { REPEATED GROUP list { REQUIRED FLOAT element; } }
}";

const KEYS: [&str; 3] = ["ekphrasis.format", "ekphrasis.space", "ekphrasis.dim"];

/// Rows that lie together.
const GROUP: usize = 4096;

fn io(error: ParquetError) -> ExchangeError {
    match error {
        ParquetError::External(source) => std::io::Error::other(source).into(),
        other => std::io::Error::other(other).into(),
    }
}

/// Writes an export; what is not finished is removed.
pub(super) struct Writer {
    /// `None` once it is finished.
    file: Option<SerializedFileWriter<BufWriter<fs_err::File>>>,
    path: PathBuf,
    rows: Vec<(Line, Vec<f32>)>,
}

impl Writer {
    pub(super) fn create(path: &Path, space: &Space) -> Result<Self, ExchangeError> {
        vacant(path)?;
        let schema = parse_message_type(SCHEMA).map_err(io)?;
        let vector = || ColumnPath::from(["vector", "list", "element"].map(String::from).to_vec());
        let values = [FORMAT.to_string(), space.id().into(), space.dim().to_string()];
        let metadata = KEYS.iter().zip(values).map(|(k, v)| KeyValue::new((*k).into(), v));
        let properties = WriterProperties::builder()
            .set_created_by(concat!("ekphrasis ", env!("CARGO_PKG_VERSION")).into())
            .set_column_dictionary_enabled(vector(), false)
            .set_column_statistics_enabled(vector(), EnabledStatistics::None)
            .set_key_value_metadata(Some(metadata.collect()));
        let out = BufWriter::with_capacity(1 << 20, fs_err::File::create(partial(path))?);
        let file = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties.build()));
        Ok(Self { file: Some(file.map_err(io)?), path: path.into(), rows: vec![] })
    }

    fn flush(&mut self) -> Result<(), ExchangeError> {
        if let Some(file) = self.file.as_mut().filter(|_| !self.rows.is_empty()) {
            let mut group = file.next_row_group().map_err(io)?;
            write(&mut group, &self.rows).map_err(io)?;
            group.close().map_err(io)?;
            self.rows.clear();
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<(), ExchangeError> {
        self.flush()?;
        let Some(file) = self.file.take() else { return Ok(()) };
        let out = file.into_inner().map_err(io)?;
        let out = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        out.sync_all()?;
        Ok(fs_err::rename(partial(&self.path), &self.path)?)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // After finishing there is none; else half a file is of no use.
        let _ = fs_err::remove_file(partial(&self.path));
    }
}

impl Sink for Writer {
    fn put(&mut self, line: Line, vector: &[f32]) -> Result<(), ExchangeError> {
        self.rows.push((line, vector.to_vec()));
        if self.rows.len() == GROUP { self.flush() } else { Ok(()) }
    }
}

/// Writes the columns one by one, in the order of the schema.
struct Columns<'a, 'b> {
    group: &'a mut SerializedRowGroupWriter<'b, BufWriter<fs_err::File>>,
}

impl Columns<'_, '_> {
    fn put<T: DataType>(
        &mut self,
        values: &[T::T],
        def: Option<&[i16]>,
        rep: Option<&[i16]>,
    ) -> Result<(), ParquetError> {
        let column = self.group.next_column()?;
        let mut column = column.ok_or_else(|| ParquetError::General("no column left".into()))?;
        column.typed::<T>().write_batch(values, def, rep)?;
        column.close()
    }

    fn required<T: DataType>(
        &mut self,
        values: impl Iterator<Item = T::T>,
    ) -> Result<(), ParquetError> {
        self.put::<T>(&values.collect::<Vec<_>>(), None, None)
    }

    fn optional<T: DataType>(
        &mut self,
        all: impl Iterator<Item = Option<T::T>>,
    ) -> Result<(), ParquetError> {
        let (mut values, mut def) = (vec![], vec![]);
        for value in all {
            def.push(i16::from(value.is_some()));
            values.extend(value);
        }
        self.put::<T>(&values, Some(&def), None)
    }

    fn lists<T: DataType>(
        &mut self,
        lists: impl Iterator<Item = Vec<T::T>>,
    ) -> Result<(), ParquetError> {
        let (mut values, mut def, mut rep) = (vec![], vec![], vec![]);
        for list in lists {
            def.extend(std::iter::repeat_n(i16::from(!list.is_empty()), list.len().max(1)));
            rep.push(0);
            rep.extend(std::iter::repeat_n(1, list.len().saturating_sub(1)));
            values.extend(list);
        }
        self.put::<T>(&values, Some(&def), Some(&rep))
    }
}

fn write(
    group: &mut SerializedRowGroupWriter<'_, BufWriter<fs_err::File>>,
    rows: &[(Line, Vec<f32>)],
) -> Result<(), ParquetError> {
    let mut columns = Columns { group };
    let text = |s: &String| ByteArray::from(s.as_bytes().to_vec());
    let lines = || rows.iter().map(|row| &row.0);
    let files = || lines().map(|line| line.file.as_ref());
    columns.required::<ByteArrayType>(lines().map(|l| text(&l.id)))?;
    columns.required::<ByteArrayType>(lines().map(|l| text(&l.kind)))?;
    columns.optional::<ByteArrayType>(lines().map(|l| l.path.as_ref().map(text)))?;
    columns.optional::<ByteArrayType>(lines().map(|l| l.path_bytes.as_ref().map(text)))?;
    columns.optional::<ByteArrayType>(lines().map(|l| l.text.as_ref().map(text)))?;
    columns.lists::<ByteArrayType>(lines().map(|l| l.tags.iter().map(text).collect()))?;
    columns.lists::<ByteArrayType>(lines().map(|l| l.labels.iter().map(text).collect()))?;
    columns.required::<BoolType>(lines().map(|l| l.standalone))?;
    columns.lists::<ByteArrayType>(lines().map(|l| l.captions.iter().map(text).collect()))?;
    columns.optional::<Int64Type>(files().map(|f| f.map(|f| f.size as i64)))?;
    columns.optional::<Int64Type>(files().map(|f| f.map(|f| f.mtime_ns)))?;
    columns.optional::<ByteArrayType>(files().map(|f| f.map(|f| text(&f.content))))?;
    columns.optional::<Int32Type>(files().map(|f| f.map(|f| f.width as i32)))?;
    columns.optional::<Int32Type>(files().map(|f| f.map(|f| f.height as i32)))?;
    columns.optional::<ByteArrayType>(files().map(|f| f.map(|f| text(&f.format))))?;
    let facts = lines().map(|l| l.facts.as_ref().map(|facts| text(&facts.to_string())));
    columns.optional::<ByteArrayType>(facts)?;
    columns.lists::<FloatType>(rows.iter().map(|row| row.1.clone()))
}

/// Reads an export, from its first row to its last.
pub(super) struct Reader {
    file: SerializedFileReader<std::fs::File>,
    path: PathBuf,
    dim: usize,
    groups: std::ops::Range<usize>,
    group: Option<Group>,
}

/// What is left of a row group.
struct Group {
    rows: usize,
    columns: Vec<(String, Levels, ColumnReader)>,
}

/// How a column says what is there.
#[derive(Clone, Copy)]
struct Levels {
    /// The definition level of a value.
    there: i16,
    /// Whether a row may have several.
    nested: bool,
}

impl Reader {
    pub(super) fn open(path: &Path, space: &Space) -> Result<Self, ExchangeError> {
        let file = fs_err::File::open(path)?.into_parts().0;
        guarded(path, || {
            let file = SerializedFileReader::new(file).map_err(|e| e.to_string())?;
            let metadata = file.metadata().file_metadata();
            let pairs = metadata.key_value_metadata().map_or(&[][..], |pairs| pairs);
            let value = |key: &str| pairs.iter().find(|pair| pair.key == key)?.value.clone();
            let [format, id, dim] = KEYS.map(value);
            if format.as_deref() != Some(&FORMAT.to_string()) {
                return Err(format!("its format is {format:?}, this program reads {FORMAT}"));
            }
            let (id, dim) = (id.unwrap_or_default(), dim.unwrap_or_default());
            let found = (id != space.id() || dim != space.dim().to_string())
                .then(|| format!("{id} ({dim}-d)"));
            let groups = 0..file.num_row_groups();
            Ok((file, groups, found))
        })
        .and_then(|(file, groups, found)| match found {
            Some(found) => {
                Err(ExchangeError::Space { path: path.into(), found, expected: space.clone() })
            }
            None => Ok(Self { file, path: path.into(), dim: space.dim(), groups, group: None }),
        })
    }

    fn next_rows(&mut self, wanted: Wanted) -> Result<Vec<(Line, Vec<f32>)>, String> {
        while self.group.as_ref().is_none_or(|group| group.rows == 0) {
            let Some(number) = self.groups.next() else { return Ok(vec![]) };
            let group = self.file.get_row_group(number).map_err(|e| e.to_string())?;
            let rows = usize::try_from(group.metadata().num_rows()).map_err(|e| e.to_string())?;
            let schema = group.metadata().schema_descr();
            let columns = (0..schema.num_columns()).map(|i| {
                let column = schema.column(i);
                let (there, nested) = (column.max_def_level(), column.max_rep_level() > 0);
                let levels = Levels { there, nested };
                Ok((column.path().string(), levels, group.get_column_reader(i)?))
            });
            let columns =
                columns.collect::<Result<_, ParquetError>>().map_err(|e| e.to_string())?;
            self.group = Some(Group { rows, columns });
        }
        let Some(group) = &mut self.group else { return Ok(vec![]) };
        let count = group.rows.min(BATCH);
        group.rows -= count;
        group.read(count, wanted, self.dim)
    }
}

impl Source for Reader {
    fn next(&mut self, wanted: Wanted) -> Result<Vec<(Line, Vec<f32>)>, ExchangeError> {
        let path = self.path.clone();
        guarded(&path, || self.next_rows(wanted))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

/// Runs `f`, with which the library may find a damaged file out the hard way.
fn guarded<T>(path: &Path, f: impl FnOnce() -> Result<T, String>) -> Result<T, ExchangeError> {
    catch_unwind(AssertUnwindSafe(f))
        .unwrap_or_else(|_| Err("reading it panicked; it is damaged".into()))
        .map_err(|what| ExchangeError::Format { path: path.into(), what })
}

impl Group {
    fn read(
        &mut self,
        count: usize,
        wanted: Wanted,
        dim: usize,
    ) -> Result<Vec<(Line, Vec<f32>)>, String> {
        let mut rows = vec![(Line::default(), vec![]); count];
        let mut files: Vec<Option<File>> = vec![None; count];
        fn set<T>(
            rows: &mut [(Line, Vec<f32>)],
            values: impl IntoIterator<Item = T>,
            place: impl Fn(&mut Line, T),
        ) {
            rows.iter_mut().zip(values).for_each(|(row, value)| place(&mut row.0, value));
        }
        for (name, levels, column) in &mut self.columns {
            let (name, levels, column) = (name.as_str(), *levels, &mut *column);
            match name {
                "id" | "kind" => {
                    let values = required(texts(name, levels, column, count)?, name)?;
                    set(&mut rows, values, |line, value| {
                        *(if name == "id" { &mut line.id } else { &mut line.kind }) = value;
                    });
                }
                "path" | "path_bytes" | "text" => {
                    let values = texts(name, levels, column, count)?;
                    set(&mut rows, values, |line, value| match name {
                        "path" => line.path = value,
                        "path_bytes" => line.path_bytes = value,
                        _ => line.text = value,
                    });
                }
                "facts" => {
                    let parse = |text: Option<String>| match text {
                        None => Ok(None),
                        Some(text) => serde_json::from_str(&text).map(Some),
                    };
                    let values = texts(name, levels, column, count)?.into_iter().map(parse);
                    let values = values.collect::<Result<Vec<_>, _>>();
                    let values = values.map_err(|e| format!("\"facts\" are no JSON: {e}"))?;
                    set(&mut rows, values, |line, value| line.facts = value);
                }
                "tags.list.element" => {
                    set(&mut rows, text_lists(name, levels, column, count)?, |l, v| l.tags = v);
                }
                "labels.list.element" => {
                    set(&mut rows, text_lists(name, levels, column, count)?, |l, v| l.labels = v);
                }
                "captions.list.element" => {
                    set(&mut rows, text_lists(name, levels, column, count)?, |l, v| l.captions = v);
                }
                "standalone" => {
                    let ColumnReader::BoolColumnReader(reader) = column else {
                        return Err(of_another_type(name));
                    };
                    let values = required(optional(reader, levels, count)?, name)?;
                    set(&mut rows, values, |l, v| l.standalone = v);
                }
                "size" | "mtime_ns" => {
                    let ColumnReader::Int64ColumnReader(reader) = column else {
                        return Err(of_another_type(name));
                    };
                    for (file, value) in files.iter_mut().zip(optional(reader, levels, count)?) {
                        let Some(value) = value else { continue };
                        let file = file.get_or_insert_default();
                        if name == "size" {
                            file.size = value as u64;
                        } else {
                            file.mtime_ns = value;
                        }
                    }
                }
                "width" | "height" => {
                    let ColumnReader::Int32ColumnReader(reader) = column else {
                        return Err(of_another_type(name));
                    };
                    for (file, value) in files.iter_mut().zip(optional(reader, levels, count)?) {
                        let Some(value) = value else { continue };
                        let file = file.get_or_insert_default();
                        let value = value as u32;
                        if name == "width" {
                            file.width = value;
                        } else {
                            file.height = value;
                        }
                    }
                }
                "content" | "format" => {
                    for (file, value) in files.iter_mut().zip(texts(name, levels, column, count)?) {
                        let Some(value) = value else { continue };
                        let file = file.get_or_insert_default();
                        if name == "content" {
                            file.content = value;
                        } else {
                            file.format = value;
                        }
                    }
                }
                "vector.list.element" if wanted == Wanted::Lines => {}
                "vector.list.element" => {
                    let ColumnReader::FloatColumnReader(reader) = column else {
                        return Err(of_another_type(name));
                    };
                    for (row, vector) in rows.iter_mut().zip(lists(reader, levels, count)?) {
                        row.1 = vector;
                    }
                }
                other => return Err(format!("it has a column {other:?}, which no export has")),
            }
        }
        if wanted == Wanted::All
            && let Some((line, vector)) = rows.iter().find(|row| row.1.len() != dim)
        {
            return Err(format!("item {} has {} numbers, not {dim}", line.id, vector.len()));
        }
        rows.iter_mut().zip(files).for_each(|(row, file)| row.0.file = file);
        Ok(rows)
    }
}

fn of_another_type(name: &str) -> String {
    format!("its column {name:?} is of another type")
}

/// A value, or none, for each of `count` rows.
fn optional<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    levels: Levels,
    count: usize,
) -> Result<Vec<Option<T::T>>, String> {
    Ok(lists(reader, levels, count)?.into_iter().map(|mut list| list.pop()).collect())
}

fn required<T>(values: Vec<Option<T>>, name: &str) -> Result<Vec<T>, String> {
    values.into_iter().collect::<Option<_>>().ok_or_else(|| format!("a {name:?} is missing"))
}

/// A list, of one value where the column has none, for each of `count` rows.
fn lists<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    levels: Levels,
    count: usize,
) -> Result<Vec<Vec<T::T>>, String> {
    let (mut def, mut rep, mut values) = (vec![], vec![], vec![]);
    let mut rows = 0;
    while rows < count {
        let (more, _, _) = reader
            .read_records(count - rows, Some(&mut def), Some(&mut rep), &mut values)
            .map_err(|e| e.to_string())?;
        if more == 0 {
            return Err(format!("a column ends after {rows} of {count} rows"));
        }
        rows += more;
    }
    let entries = if levels.there > 0 { def.len() } else { values.len() };
    let (mut lists, mut values) = (Vec::with_capacity(count), values.into_iter());
    for i in 0..entries {
        if !levels.nested || rep.get(i) == Some(&0) {
            lists.push(vec![]);
        }
        let there = levels.there == 0 || def.get(i) == Some(&levels.there);
        if let (true, Some(list)) = (there, lists.last_mut()) {
            list.push(values.next().ok_or("a column has fewer values than it says")?);
        }
    }
    if lists.len() == count {
        Ok(lists)
    } else {
        Err(format!("a column has {} values for {count} rows", lists.len()))
    }
}

fn texts(
    name: &str,
    levels: Levels,
    column: &mut ColumnReader,
    count: usize,
) -> Result<Vec<Option<String>>, String> {
    let lists = text_lists(name, levels, column, count)?;
    Ok(lists.into_iter().map(|mut list| list.pop()).collect())
}

fn text_lists(
    name: &str,
    levels: Levels,
    column: &mut ColumnReader,
    count: usize,
) -> Result<Vec<Vec<String>>, String> {
    let ColumnReader::ByteArrayColumnReader(reader) = column else {
        return Err(of_another_type(name));
    };
    let text = |bytes: ByteArray| {
        String::from_utf8(bytes.data().to_vec()).map_err(|_| format!("a {name:?} is no text"))
    };
    let list = |list: Vec<ByteArray>| list.into_iter().map(text).collect();
    lists(reader, levels, count)?.into_iter().map(list).collect()
}
