//! Which rows have these words, the best first by BM25?
//!
//! One document per row of the vector file, so a searcher of any age fits any
//! state of the rows: documents of dead or unknown rows are passed over. It is
//! a projection of the catalogue; each commit's payload says which commit of the
//! catalogue it covers. Damage is found when opening, by checksums.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::Column;
use tantivy::query::{BooleanQuery, BoostQuery, Occur, Query, TermQuery};
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::{
    DocId, Index, IndexReader, IndexSettings, IndexWriter, ReloadPolicy, Score, Searcher,
    SegmentOrdinal, SegmentReader, TantivyDocument, TantivyError, Term,
};

use super::files::Files;
use super::{Analyzer, Words};
use crate::disk::Disk;
use crate::filter::Pass;
use crate::topk::{Scored, TopK};
use crate::vector::Rows;
use crate::{Item, Seq};

/// Memory for documents not yet in a segment.
const WRITER_BYTES: usize = 32 << 20;
const TOKENIZER: &str = "ekphrasis";
/// Words of a name say less than words of a caption.
const NAME_WEIGHT: f32 = 0.7;

/// Why the word index failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// The library's reason.
    #[error("{0}")]
    Tantivy(#[from] TantivyError),
    /// The files are not what was written.
    #[error("its files are damaged: {0}")]
    Damaged(String),
}

#[derive(Clone, Copy)]
struct Fields {
    row: Field,
    body: Field,
    names: Field,
    tags: Field,
}

fn schema() -> (Schema, Fields) {
    let text = || {
        TextOptions::default().set_indexing_options(
            TextFieldIndexing::default()
                .set_tokenizer(TOKENIZER)
                .set_index_option(IndexRecordOption::WithFreqs),
        )
    };
    let mut builder = Schema::builder();
    let fields = Fields {
        row: builder.add_u64_field("row", INDEXED | FAST),
        body: builder.add_text_field("body", text()),
        names: builder.add_text_field("names", text()),
        tags: builder.add_text_field("tags", text()),
    };
    (builder.build(), fields)
}

/// The word index of one store.
pub(crate) struct TextIndex {
    index: Index,
    reader: IndexReader,
    writer: Option<IndexWriter>,
    fields: Fields,
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

    /// Opens one and verifies every checksum in it.
    pub(crate) fn open(disk: &Arc<dyn Disk>, dir: &Path, write: bool) -> Result<Self, TextError> {
        // Checksums are of no help against a damaged list of files, on which the
        // library may panic.
        catch_unwind(AssertUnwindSafe(|| {
            let index = Index::open(Files::open(disk, dir).map_err(TantivyError::from)?)?;
            let (schema, fields) = schema();
            if index.schema() != schema {
                return Err(TextError::Damaged("it has other fields".into()));
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
        index.tokenizers().register(TOKENIZER, Analyzer::new().tokenizer());
        let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?;
        let writer =
            if write { Some(index.writer_with_num_threads(1, WRITER_BYTES)?) } else { None };
        let covered = covered(&index)?;
        Ok(Self { index, reader, writer, fields, covered, pending: 0 })
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
        let words = Words::of(item);
        let mut document = TantivyDocument::default();
        document.add_u64(self.fields.row, row);
        for (field, text) in [
            (self.fields.body, &words.body),
            (self.fields.names, &words.names),
            (self.fields.tags, &words.tags),
        ] {
            if !text.is_empty() {
                document.add_text(field, text);
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
        self.reader.reload()?;
        self.covered = covered(&self.index)?;
        Ok(())
    }

    /// A searcher of the last commit.
    pub(crate) fn searcher(&self) -> TextSearcher {
        TextSearcher { searcher: self.reader.searcher(), fields: self.fields }
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
    let seq = text.split(':').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    if payload(seq) == text {
        Ok(seq)
    } else {
        Err(TextError::Damaged(format!("it says it covers {text:?}")))
    }
}

/// One committed state of the word index.
pub(crate) struct TextSearcher {
    searcher: Searcher,
    fields: Fields,
}

impl TextSearcher {
    /// The best `k` living rows that have any of the query's words and that `pass` lets through.
    pub(crate) fn search(
        &self,
        rows: &Arc<Rows>,
        query: &str,
        k: usize,
        pass: &Pass,
    ) -> Result<Vec<Scored>, TextError> {
        let terms = Analyzer::new().query(query);
        if terms.is_empty() || k == 0 {
            return Ok(vec![]);
        }
        let Fields { body, names, tags, .. } = self.fields;
        let clauses = terms.iter().flat_map(|term| {
            [(body, 1.0), (names, NAME_WEIGHT), (tags, 1.0)].map(|(field, weight)| {
                let term = Term::from_field_text(field, term);
                let query = Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs));
                (Occur::Should, Box::new(BoostQuery::new(query, weight)) as Box<dyn Query>)
            })
        });
        let query = BooleanQuery::new(clauses.collect());
        let best = BestRows { rows: Arc::clone(rows), pass: pass.clone(), k };
        Ok(self.searcher.search(&query, &best)?.into_ranking())
    }
}

struct BestRows {
    rows: Arc<Rows>,
    pass: Pass,
    k: usize,
}

struct BestOfSegment {
    rows: Arc<Rows>,
    pass: Pass,
    column: Column<u64>,
    top: TopK,
}

impl Collector for BestRows {
    type Fruit = TopK;
    type Child = BestOfSegment;

    fn for_segment(
        &self,
        _: SegmentOrdinal,
        segment: &SegmentReader,
    ) -> tantivy::Result<Self::Child> {
        Ok(BestOfSegment {
            rows: Arc::clone(&self.rows),
            pass: self.pass.clone(),
            column: segment.fast_fields().u64("row")?,
            top: TopK::new(self.k),
        })
    }

    fn requires_scoring(&self) -> bool {
        true
    }

    fn merge_fruits(&self, fruits: Vec<TopK>) -> tantivy::Result<TopK> {
        Ok(fruits.into_iter().fold(TopK::new(self.k), TopK::merge))
    }
}

impl SegmentCollector for BestOfSegment {
    type Fruit = TopK;

    fn collect(&mut self, doc: DocId, score: Score) {
        if let Some(row) = self.column.first(doc)
            && let Some((id, kind)) = self.rows.live(row)
            && self.pass.lets(row, kind)
        {
            self.top.push(Scored { score, id, row });
        }
    }

    fn harvest(self) -> TopK {
        self.top
    }
}
