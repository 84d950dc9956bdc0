//! How do the words of items come into an index, and stay true to the catalogue?
//!
//! One document per row of the vector file, so a searcher of any age fits any
//! state of the rows: documents of dead or unknown rows are passed over. It is
//! a projection of the catalogue; each commit's payload says which commit of the
//! catalogue it covers. Damage is found when opening, by checksums.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::WhitespaceTokenizer;
use tantivy::{
    Index, IndexReader, IndexSettings, IndexWriter, ReloadPolicy, TantivyDocument, TantivyError,
    Term,
};

use super::files::Files;
use super::search::TextSearcher;
use super::words::{Analyzer, WordField};
use crate::disk::Disk;
use crate::{Item, Seq};

/// Memory for documents not yet in a segment.
const WRITER_BYTES: usize = 32 << 20;
/// Why the word index failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// The library's reason.
    #[error("{0}")]
    Tantivy(#[from] TantivyError),
    /// The files are of a version of this program that told words apart otherwise.
    #[error("it is of another version of this program")]
    Outdated,
    /// The files are not what was written.
    #[error("its files are damaged: {0}")]
    Damaged(String),
}

#[derive(Clone, Copy)]
pub(super) struct Fields {
    row: Field,
    /// 1 of those that have a caption: so that these can be counted.
    pub(super) captioned: Field,
    pub(super) words: [(WordField, Field); WordField::ALL.len()],
}

fn schema() -> (Schema, Fields) {
    // The words are told apart by the analyzer, whose version is in the name.
    let text = |field| {
        TextOptions::default().set_indexing_options(
            TextFieldIndexing::default()
                .set_tokenizer(Analyzer::VERSION)
                // A word counts less in a long caption, but not among many tags.
                .set_fieldnorms(field == WordField::Caption)
                .set_index_option(IndexRecordOption::WithFreqs),
        )
    };
    let mut builder = Schema::builder();
    let row = builder.add_u64_field("row", INDEXED | FAST);
    let captioned = builder.add_u64_field("captioned", INDEXED);
    let words =
        WordField::ALL.map(|field| (field, builder.add_text_field(field.as_str(), text(field))));
    (builder.build(), Fields { row, captioned, words })
}

/// The word index of one store.
pub(crate) struct TextIndex {
    index: Index,
    reader: IndexReader,
    writer: Option<IndexWriter>,
    fields: Fields,
    analyzer: Analyzer,
    covered: Seq,
    pending: usize,
}

impl TextIndex {
    pub(crate) fn name(generation: u32) -> String {
        format!("text-{generation:04}")
    }

    /// Whether a file of this name is there before any word is: a list or a lock.
    pub(crate) fn is_list(name: &str) -> bool {
        const LOCKS: [&str; 2] = [".tantivy-writer.lock", ".tantivy-meta.lock"];
        let list = name.strip_suffix(".new").unwrap_or(name);
        LOCKS.contains(&name) || ["meta.json", ".managed.json"].contains(&list)
    }

    /// Whether a file of this name is one of a word index's: a list, or a part
    /// of a segment, which is named by 32 hexadecimal digits.
    pub(crate) fn is_own(name: &str) -> bool {
        let segment = || name.split_once('.').filter(|(id, _)| id.len() == 32);
        // What a former version left when it was killed while it wrote a list.
        let temporary = name.strip_prefix(".tmp").is_some_and(|end| end.len() == 6);
        temporary
            || Self::is_list(name)
            || segment().is_some_and(|(id, _)| id.bytes().all(|b| b.is_ascii_hexdigit()))
    }

    /// A new, empty one in an existing folder without one.
    pub(crate) fn create(disk: &Arc<dyn Disk>, dir: &Path) -> Result<Self, TextError> {
        let (schema, fields) = schema();
        let files = Files::open(disk, dir).map_err(TantivyError::from)?;
        let index = Index::create(files, schema, IndexSettings::default())?;
        Self::over(index, fields, true)
    }

    /// A new, empty one in memory, for a reader whose store has none that it can use.
    pub(crate) fn in_memory() -> Result<Self, TextError> {
        let (schema, fields) = schema();
        Self::over(Index::create_in_ram(schema), fields, true)
    }

    /// Up to which commit the one in `dir` says it goes, by its list alone; 0 if there is none.
    pub(crate) fn peek(dir: &Path) -> Seq {
        let list = fs_err::read(dir.join("meta.json")).unwrap_or_default();
        let meta: serde_json::Value = serde_json::from_slice(&list).unwrap_or_default();
        meta["payload"].as_str().and_then(parse).unwrap_or(0)
    }

    /// Opens one and verifies every checksum in it.
    pub(crate) fn open(disk: &Arc<dyn Disk>, dir: &Path, write: bool) -> Result<Self, TextError> {
        // Checksums are of no help against a damaged list of files, on which the
        // library may panic.
        catch_unwind(AssertUnwindSafe(|| {
            let index = Index::open(Files::open(disk, dir).map_err(TantivyError::from)?)?;
            let (schema, fields) = schema();
            if index.schema() != schema {
                return Err(TextError::Outdated);
            }
            let damaged = index.validate_checksum()?;
            if let Some(path) = damaged.iter().next() {
                return Err(TextError::Damaged(path.display().to_string()));
            }
            Self::over(index, fields, write)
        }))
        .unwrap_or_else(|_| Err(TextError::Damaged("reading them panicked".into())))
    }

    fn over(index: Index, fields: Fields, write: bool) -> Result<Self, TextError> {
        index.tokenizers().register(Analyzer::VERSION, WhitespaceTokenizer::default());
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        let writer =
            if write { Some(index.writer_with_num_threads(1, WRITER_BYTES)?) } else { None };
        let analyzer = Analyzer::new();
        let mut this = Self { index, reader, writer, fields, analyzer, covered: 0, pending: 0 };
        this.reload()?;
        Ok(this)
    }

    /// The catalogue's commit that the last commit here covers.
    pub(crate) fn covered(&self) -> Seq {
        self.covered
    }

    /// Changes since the last commit.
    pub(crate) fn pending(&self) -> usize {
        self.pending
    }

    /// How many documents the last commit has.
    pub(crate) fn documents(&self) -> u64 {
        self.reader.searcher().num_docs()
    }

    /// Notes an item that is in `row` from the next commit on. Noting it twice does no harm.
    pub(crate) fn add(&mut self, row: u64, item: &Item) -> Result<(), TextError> {
        self.remove(row);
        let Some(writer) = &self.writer else { return Ok(()) };
        let mut document = TantivyDocument::default();
        document.add_u64(self.fields.row, row);
        for (field, name) in self.fields.words {
            let tokens = self.analyzer.item(item, field);
            if !tokens.is_empty() {
                let terms: Vec<&str> = tokens.iter().map(|token| &token.term[..]).collect();
                document.add_text(name, terms.join(" "));
                if field == WordField::Caption {
                    document.add_u64(self.fields.captioned, 1);
                }
            }
        }
        writer.add_document(document)?;
        Ok(())
    }

    /// Notes that `row` is dead from the next commit on.
    pub(crate) fn remove(&mut self, row: u64) {
        if let Some(writer) = &self.writer {
            writer.delete_term(Term::from_field_u64(self.fields.row, row));
            self.pending += 1;
        }
    }

    /// Makes what was noted durable and visible, as of commit `seq` of the catalogue.
    pub(crate) fn commit(&mut self, seq: Seq) -> Result<(), TextError> {
        let Some(writer) = &mut self.writer else { return Ok(()) };
        let mut commit = writer.prepare_commit()?;
        commit.set_payload(&payload(seq));
        commit.commit()?;
        self.reader.reload()?;
        (self.covered, self.pending) = (seq, 0);
        Ok(())
    }

    /// Looks for commits of another process.
    pub(crate) fn reload(&mut self) -> Result<(), TextError> {
        loop {
            let before = covered(&self.index)?;
            self.reader.reload()?;
            self.covered = covered(&self.index)?;
            // Else a commit came in between, and which of the two was loaded is unknown.
            if self.covered == before {
                return Ok(());
            }
        }
    }

    /// A searcher of the last commit.
    pub(crate) fn searcher(&self) -> TextSearcher {
        TextSearcher::new(self.reader.searcher(), self.fields)
    }

    /// Checks all checksums again.
    pub(crate) fn verify(&self) -> Result<(), TextError> {
        match self.index.validate_checksum()?.iter().next() {
            Some(path) => Err(TextError::Damaged(path.display().to_string())),
            None => Ok(()),
        }
    }
}

fn payload(seq: Seq) -> String {
    format!("{seq}:{:08x}", crc32fast::hash(&seq.to_le_bytes()))
}

fn covered(index: &Index) -> Result<Seq, TextError> {
    let Some(text) = index.load_metas()?.payload else { return Ok(0) };
    parse(&text).ok_or_else(|| TextError::Damaged(format!("it says it covers {text:?}")))
}

fn parse(text: &str) -> Option<Seq> {
    let seq = text.split(':').next()?.parse().ok()?;
    (payload(seq) == text).then_some(seq)
}
