//! How does an item with its vector lie in the columns of a collection, and how is it
//! read from them?

use std::collections::HashMap;

use ekphrasis_embed::{Embedding, Space};
use ekphrasis_index::elsewhere::{item_from_json, item_terms, item_to_json};
use ekphrasis_index::{Item, ItemId, Record};

use crate::marks::{MOST_MARKS, Number, marks};
use crate::proto::{
    Arrays, Column, FieldData, Floats, Longs, Scalars, Strings, Values, Vectors, data_type,
};
use crate::schema::column;

/// The longest text a column holds, in bytes.
pub(crate) const LONGEST_TEXT: usize = 65_535;

/// A record ready to be sent.
pub(crate) struct Row<'a> {
    record: &'a Record,
    item: String,
    marks: Vec<String>,
}

impl<'a> Row<'a> {
    /// Why it cannot be kept, if so.
    pub(crate) fn new(record: &'a Record) -> Result<Self, String> {
        let id = record.item.id;
        let item = item_to_json(&record.item)?;
        if item.len() > LONGEST_TEXT {
            return Err(format!(
                "item {id} takes {} bytes with its texts, a collection keeps at most {LONGEST_TEXT}; shorten its captions, or leave it out",
                item.len()
            ));
        }
        let marks = marks(&record.item);
        if marks.len() > MOST_MARKS {
            return Err(format!(
                "item {id} has {} tags, labels and folders, a collection keeps at most {MOST_MARKS}",
                marks.len()
            ));
        }
        Ok(Self { record, item, marks })
    }

    /// About how many bytes it is sent in.
    pub(crate) fn size(&self) -> usize {
        let marks: usize = self.marks.iter().map(|mark| mark.len() + 4).sum();
        self.record.embedding.values().len() * 4 + self.item.len() * 2 + marks + 200
    }
}

/// The columns of some rows.
pub(crate) fn columns(rows: &[Row<'_>], with_words: bool) -> Vec<FieldData> {
    let strings = |texts: Vec<String>| Values::Strings(Strings { data: texts });
    let scalars = |name: &str, r#type, values| FieldData {
        r#type,
        field_name: name.into(),
        field: Some(Column::Scalars(Scalars { data: Some(values) })),
    };
    let text = |name, of: &dyn Fn(&Row<'_>) -> String| {
        scalars(name, data_type::VAR_CHAR, strings(rows.iter().map(of).collect()))
    };
    let array = |row: &Row<'_>| Scalars { data: Some(strings(row.marks.clone())) };
    let arrays =
        Arrays { data: rows.iter().map(array).collect(), element_type: data_type::VAR_CHAR };
    let numbers = |number: Number| {
        let data = rows.iter().map(|row| number.of(&row.record.item)).collect();
        scalars(number.name(), data_type::INT64, Values::Longs(Longs { data }))
    };
    let values = rows.iter().flat_map(|row| row.record.embedding.values()).copied().collect();
    let dim = rows.first().map_or(0, |row| row.record.embedding.values().len());
    let vectors = Vectors { dim: dim as i64, float_vector: Some(Floats { data: values }) };
    let mut all = vec![
        text(column::ID, &|row| row.record.item.id.to_string()),
        text(column::ITEM, &|row| row.item.clone()),
        scalars(column::MARKS, data_type::ARRAY, Values::Arrays(arrays)),
        FieldData {
            r#type: data_type::FLOAT_VECTOR,
            field_name: column::VECTOR.into(),
            field: Some(Column::Vectors(vectors)),
        },
    ];
    all.extend(Number::ALL.map(numbers));
    if with_words {
        all.push(text(column::WORDS, &|row| words_text(item_terms(&row.record.item).iter())));
    }
    all
}

/// Terms as a text that every analyzer takes apart into these terms again: what is not
/// plain ASCII, or could be taken for what is written so, is written in hexadecimal.
/// What goes beyond the longest text is left out.
pub(crate) fn words_text<T: AsRef<str>>(terms: impl Iterator<Item = T>) -> String {
    let mut text = String::new();
    for term in terms {
        let term = term.as_ref();
        let plain = term.bytes().all(|b| b.is_ascii_alphanumeric()) && !term.starts_with("0u");
        let written = if plain {
            term.to_owned()
        } else {
            let hex: String = term.bytes().map(|b| format!("{b:02x}")).collect();
            format!("0u{hex}")
        };
        if text.len() + 1 + written.len() > LONGEST_TEXT {
            break;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&written);
    }
    text
}

/// What was read of a row, as far as it was asked for.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) id: ItemId,
    pub(crate) item: Option<Item>,
    pub(crate) embedding: Option<Embedding>,
}

/// The rows of some columns, in their order. The error says what is wrong with them.
pub(crate) fn read(
    space: &Space,
    ids: &[String],
    fields: Vec<FieldData>,
) -> Result<Vec<Read>, String> {
    let mut columns: HashMap<String, Column> =
        fields.into_iter().filter_map(|f| Some((f.field_name, f.field?))).collect();
    let items = match columns.remove(column::ITEM) {
        Some(column) => Some(strings_of(column, column::ITEM)?),
        None => None,
    };
    let vectors = match columns.remove(column::VECTOR) {
        Some(Column::Vectors(vectors)) => vectors.float_vector.map(|floats| floats.data),
        _ => None,
    };
    let dim = space.dim();
    let short = |name| format!("column {name} has another number of rows than there are");
    if items.as_ref().is_some_and(|items| items.len() != ids.len()) {
        return Err(short(column::ITEM));
    }
    if vectors.as_ref().is_some_and(|values| values.len() != ids.len() * dim) {
        return Err(short(column::VECTOR));
    }
    let mut rows = Vec::with_capacity(ids.len());
    for (at, text) in ids.iter().enumerate() {
        let id: ItemId = text.parse().map_err(|e| format!("{e}"))?;
        let of_item = |what: String| format!("item {id} is not as it was written: {what}");
        let item = match &items {
            Some(items) => Some(item_from_json(&items[at]).map_err(of_item)?),
            None => None,
        };
        let embedding = match &vectors {
            Some(values) => {
                let own = values[at * dim..(at + 1) * dim].to_vec();
                Some(Embedding::new(space, own).map_err(|e| of_item(e.to_string()))?)
            }
            None => None,
        };
        rows.push(Read { id, item, embedding });
    }
    Ok(rows)
}

/// Takes the ids out of columns.
pub(crate) fn take_ids(fields: &mut Vec<FieldData>) -> Result<Vec<String>, String> {
    match fields.iter().position(|f| f.field_name == column::ID) {
        Some(at) => match fields.swap_remove(at).field {
            Some(column) => strings_of(column, column::ID),
            None => Ok(vec![]),
        },
        // An empty answer of some servers has no columns at all.
        None if fields.is_empty() => Ok(vec![]),
        None => Err("its answer has no ids".into()),
    }
}

fn strings_of(column: Column, name: &str) -> Result<Vec<String>, String> {
    match column {
        Column::Scalars(Scalars { data: Some(Values::Strings(strings)) }) => Ok(strings.data),
        Column::Scalars(Scalars { data: None }) => Ok(vec![]),
        _ => Err(format!("column {name} does not hold texts")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ekphrasis_index::conformance::{Random, record, space};

    #[test]
    fn rows_come_back() {
        let mut random = Random(3);
        let records: Vec<_> = (0..20).map(|name| record(&mut random, name)).collect();
        let rows: Vec<_> = records.iter().map(|r| Row::new(r).expect("kept")).collect();
        let mut fields = columns(&rows, true);
        let ids = take_ids(&mut fields).expect("ids");
        let back = read(&space(), &ids, fields).expect("read");
        for (back, record) in back.into_iter().zip(&records) {
            assert_eq!(back.id, record.item.id);
            assert_eq!(back.item.as_ref(), Some(&record.item));
            assert_eq!(back.embedding.as_ref(), Some(&record.embedding), "to the last bit");
        }
    }

    #[test]
    fn what_no_collection_keeps_is_refused_by_name() {
        let mut random = Random(4);
        let mut long = record(&mut random, 1);
        long.item.text = Some("x".repeat(70_000));
        let mut many = record(&mut random, 1);
        many.item.tags = (0..5000).map(|n| n.to_string()).collect();
        for (record, what) in [(long, "70"), (many, "tags")] {
            let error = Row::new(&record).err().expect("refused");
            assert!(error.contains(&record.item.id.to_string()) && error.contains(what), "{error}");
        }
    }

    #[test]
    fn terms_stay_apart_and_within_bounds() {
        assert_eq!(
            words_text(["cafe", "京タ", "0u61", "7"].iter()),
            "cafe 0ue4baace382bf 0u30753631 7"
        );
        let many: Vec<_> = (0..30_000).map(|n| n.to_string()).collect();
        let text = words_text(many.iter());
        assert!(text.len() <= LONGEST_TEXT && text.ends_with(char::is_numeric));
        let words: Vec<_> = text.split(' ').collect();
        assert!(words.iter().zip(&many).all(|(a, b)| a == b), "the first ones, whole");
    }
}
