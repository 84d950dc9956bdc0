//! Which rows have these words, the best first by BM25?

use std::collections::HashMap;
use std::sync::Arc;

use tantivy::collector::{Collector, SegmentCollector};
use tantivy::columnar::Column;
use tantivy::query::{
    Bm25StatisticsProvider, BooleanQuery, BoostQuery, DisjunctionMaxQuery, FuzzyTermQuery, Occur,
    Query, TermQuery,
};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{
    DocId, DocSet, Score, Searcher, SegmentOrdinal, SegmentReader, TERMINATED, TantivyError, Term,
};

use super::TextError;
use super::index::Fields;
use super::words::{Analyzer, FoundWord, QueryWord, WordField, WordMatch};
use crate::Item;
use crate::filter::Pass;
use crate::topk::{Scored, TopK};
use crate::vector::Rows;

/// The most words of items that one word of a query may be the beginning of.
const MOST_BEGINNINGS: usize = 32;
/// The most of them that are looked at, in a segment, to find those that occur most.
const MOST_SEEN: usize = 4096;
/// How much a place counts where a word is found beside its best one.
const OTHER_PLACES: f32 = 0.3;

/// One committed state of the word index, which may lie in several parts.
pub(crate) struct TextSearcher {
    parts: Vec<Searcher>,
    fields: Fields,
}

/// What is rare is so in all parts together.
impl Bm25StatisticsProvider for TextSearcher {
    /// By which the mean length of a field is told: that of the captions there are, not
    /// of all items; other fields have none that counts.
    fn total_num_tokens(&self, field: Field) -> tantivy::Result<u64> {
        let docs = self.total_num_docs()?;
        if !self.fields.words.contains(&(WordField::Caption, field)) {
            return Ok(docs);
        }
        let captions = self.doc_freq(&Term::from_field_u64(self.fields.captioned, 1))?;
        let tokens: tantivy::Result<u64> =
            self.parts.iter().map(|part| part.total_num_tokens(field)).sum();
        let mean = tokens? as f64 / captions.max(1) as f64;
        Ok((mean * docs as f64).ceil() as u64)
    }

    fn total_num_docs(&self) -> tantivy::Result<u64> {
        self.parts.iter().map(Bm25StatisticsProvider::total_num_docs).sum()
    }

    fn doc_freq(&self, term: &Term) -> tantivy::Result<u64> {
        self.parts.iter().map(|part| Bm25StatisticsProvider::doc_freq(part, term)).sum()
    }
}

impl TextSearcher {
    pub(super) fn new(part: Searcher, fields: Fields) -> Self {
        Self { parts: vec![part], fields }
    }

    /// Both as one. A row that is in both is dead in all but one state of the rows.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.parts.extend(other.parts);
        self
    }

    /// The words of a query, and which of them no living row has: those may be misspelt.
    pub(crate) fn understand(&self, rows: &Rows, query: &str) -> Result<Understood, TextError> {
        let words = Analyzer::new().query(query);
        let unknown = words.iter().map(|word| Ok(word.lenient && !self.knows(rows, word)?));
        Ok(Understood { unknown: unknown.collect::<Result<_, TextError>>()?, words })
    }

    /// Whether a living row has this very word.
    fn knows(&self, rows: &Rows, word: &QueryWord) -> Result<bool, TextError> {
        for segment in self.segments() {
            let column = segment.fast_fields().u64("row")?;
            for (_, field) in self.fields.words {
                let index = segment.inverted_index(field)?;
                for term in word.terms() {
                    let term = Term::from_field_text(field, term);
                    let found = index.read_postings(&term, IndexRecordOption::Basic);
                    let Some(mut found) = found.map_err(TantivyError::from)? else { continue };
                    while found.doc() != TERMINATED {
                        let row =
                            column.first(found.doc()).filter(|_| !segment.is_deleted(found.doc()));
                        if row.is_some_and(|row| rows.live(row).is_some()) {
                            return Ok(true);
                        }
                        found.advance();
                    }
                }
            }
        }
        Ok(false)
    }

    fn segments(&self) -> impl Iterator<Item = &SegmentReader> {
        self.parts.iter().flat_map(Searcher::segment_readers)
    }

    /// The best `k` living rows that have any of the words and that `pass` lets through.
    pub(crate) fn search(
        &self,
        rows: &Arc<Rows>,
        asked: &Understood,
        k: usize,
        pass: &Pass,
    ) -> Result<Vec<Scored>, TextError> {
        if asked.words.is_empty() || k == 0 {
            return Ok(vec![]);
        }
        let mut clauses = vec![];
        for (word, &unknown) in asked.words.iter().zip(&asked.unknown) {
            clauses.push((Occur::Should, self.places(word, unknown)?));
        }
        let query = BooleanQuery::new(clauses);
        let best = BestRows { rows: Arc::clone(rows), pass: pass.clone(), k };
        let mut top = TopK::new(k);
        for part in &self.parts {
            top = top.merge(part.search_with_statistics_provider(&query, &best, self)?);
        }
        Ok(top.into_ranking())
    }

    /// Asks for one word wherever it may be found; what it scores is mostly its best place.
    fn places(&self, word: &QueryWord, unknown: bool) -> Result<Box<dyn Query>, TextError> {
        let mut places: Vec<Box<dyn Query>> = vec![];
        for (place, field) in self.fields.words {
            let mut ask = |query: Box<dyn Query>, how: WordMatch| {
                places.push(Box::new(BoostQuery::new(query, place.weight() * how.weight())));
            };
            let exactly = |term: &str| -> Box<dyn Query> {
                let term = Term::from_field_text(field, term);
                Box::new(TermQuery::new(term, IndexRecordOption::WithFreqs))
            };
            word.terms().for_each(|term| ask(exactly(term), WordMatch::Same));
            if place.is_lenient() && word.begins {
                for term in self.beginning_with(field, word)? {
                    ask(exactly(&term), WordMatch::Beginning);
                }
            }
            if place.is_lenient() && unknown {
                let term = Term::from_field_text(field, &word.word);
                ask(Box::new(FuzzyTermQuery::new(term, 1, true)), WordMatch::Similar);
            }
        }
        Ok(Box::new(DisjunctionMaxQuery::with_tie_breaker(places, OTHER_PLACES)))
    }

    /// The words of items that begin with this one, those that occur most if they are many.
    fn beginning_with(&self, field: Field, word: &QueryWord) -> Result<Vec<String>, TextError> {
        let mut found: HashMap<String, u64> = HashMap::new();
        for segment in self.segments() {
            let index = segment.inverted_index(field)?;
            let mut terms =
                index.terms().range().ge(&word.word).into_stream().map_err(TantivyError::from)?;
            let mut seen = 0;
            while seen < MOST_SEEN && terms.advance() {
                let Ok(term) = std::str::from_utf8(terms.key()) else { continue };
                if !term.starts_with(&word.word) {
                    break;
                }
                seen += 1;
                if !word.terms().any(|own| own == term) {
                    *found.entry(term.to_owned()).or_default() += u64::from(terms.value().doc_freq);
                }
            }
        }
        let mut found: Vec<_> = found.into_iter().collect();
        found.sort_unstable_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        found.truncate(MOST_BEGINNINGS);
        Ok(found.into_iter().map(|f| f.0).collect())
    }
}

/// A query's words, and which of them may be misspelt.
#[derive(Debug)]
pub(crate) struct Understood {
    words: Vec<QueryWord>,
    unknown: Vec<bool>,
}

impl Understood {
    /// Why the words found an item.
    pub(crate) fn explain(&self, item: &Item) -> Vec<FoundWord> {
        Analyzer::new().explain(&self.words, &self.unknown, item)
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
