//! Which rows are nearest, or have the words?

use std::ops::ControlFlow;

use ekphrasis_embed::Embedding;
use ekphrasis_index::elsewhere::{AskedWords, Ranked, cosine, depth, page, same_space, sort};
use ekphrasis_index::{Filter, Hit, Item, Query, StoreError};
use prost::Message;

use crate::MilvusStore;
use crate::filter::Pushed;
use crate::proto::{
    FILTER_AS_TEXT, KeyValue, Placeholder, Placeholders, Search, Searched, data_type, method,
};
use crate::rows::{read, words_text};
use crate::schema::column;

/// How many of the nearest are looked at, at least: pages within them are cut from one ranking.
const LEAST_DEPTH: usize = 128;

/// What is looked for, and how.
struct Asked<'a> {
    column: &'static str,
    placeholder: (i32, Vec<u8>),
    params: String,
    pushed: &'a Pushed,
    filter: &'a Filter,
    /// Compare with this here once more: servers round otherwise, and not alike in each search.
    rescore: Option<&'a Embedding>,
}

/// A ranking, and whether it may lack somebody only because no more was asked for.
struct Found {
    ranking: Vec<Ranked>,
    cut: bool,
}

impl MilvusStore {
    pub(crate) fn search_all(&self, query: &Query) -> Result<Vec<Hit>, StoreError> {
        if let Some(vector) = &query.vector {
            same_space(&self.space, vector.space())?;
        }
        let words = query.words.as_deref().map(AskedWords::new);
        if words.is_some() && !self.words {
            return Err(self.client.unsupported(format!(
                "searching by words, which Milvus does from 2.5 on and this collection was made without (its server is {}); search by vector",
                self.server
            )));
        }
        let end = query.offset.saturating_add(query.k);
        let pushed = Pushed::new(&query.filter);
        let both = query.vector.is_some() && query.words.is_some();
        let wanted = if both { depth(end) } else { end };
        let by_vector = match &query.vector {
            None => None,
            Some(vector) if query.exact => Some(self.nearest(vector, wanted, &pushed, query)?),
            Some(vector) => Some(self.near(vector, wanted, end, &pushed, query)?),
        };
        let by_words = match &words {
            None => None,
            // One depth for all usual pages: where scores are equal, a shallow ranking is cut anywhere.
            Some(words) => Some(self.having(words, depth(wanted), end, &pushed, query)?),
        };
        let mut hits = page(by_vector.as_deref(), by_words.as_deref(), query);
        self.complete(&mut hits, query, words.as_ref())?;
        Ok(hits)
    }

    /// Adds what only a hit on the page needs: the cosine of who was found by words, and why.
    fn complete(
        &self,
        hits: &mut [Hit],
        query: &Query,
        words: Option<&AskedWords>,
    ) -> Result<(), StoreError> {
        if let Some(vector) = &query.vector {
            let missing: Vec<_> =
                hits.iter().filter(|hit| hit.cosine.is_none()).map(|hit| hit.id).collect();
            let columns = [column::ID, column::VECTOR];
            for row in self.rows_with("search", &missing, &columns, false)? {
                let own = row.embedding.as_ref().map(|own| cosine(vector, own));
                hits.iter_mut().filter(|hit| hit.id == row.id).for_each(|hit| hit.cosine = own);
            }
        }
        if let Some(words) = words.filter(|_| query.explain) {
            let by_words: Vec<_> =
                hits.iter().filter(|hit| hit.bm25.is_some()).map(|hit| hit.id).collect();
            for row in self.rows_with("search", &by_words, &[column::ID, column::ITEM], false)? {
                let Some(item) = &row.item else { continue };
                let found = words.explain(item);
                hits.iter_mut()
                    .filter(|hit| hit.id == row.id)
                    .for_each(|hit| hit.words.clone_from(&found));
            }
        }
        Ok(())
    }

    /// The nearest by comparing with everybody that the filter lets through: what is sent
    /// grows with them.
    fn nearest(
        &self,
        vector: &Embedding,
        wanted: usize,
        pushed: &Pushed,
        query: &Query,
    ) -> Result<Vec<Ranked>, StoreError> {
        let columns: &[&str] = if pushed.exact {
            &[column::ID, column::VECTOR]
        } else {
            &[column::ID, column::VECTOR, column::ITEM]
        };
        let full = wanted.saturating_mul(2).max(4096);
        let mut best: Vec<Ranked> = vec![];
        self.walk("search", pushed, None, columns, |row| {
            let passes = row.item.as_ref().is_none_or(|item| query.filter.accepts(item));
            if let Some(own) = row.embedding.filter(|_| passes) {
                best.push(Ranked { id: row.id, score: cosine(vector, &own) });
            }
            if best.len() >= full {
                sort(&mut best);
                best.truncate(wanted);
            }
            ControlFlow::Continue(())
        })?;
        sort(&mut best);
        best.truncate(wanted);
        Ok(best)
    }

    /// What is said of a page that ends at `end`, where the server tells of fewer, and there are more.
    fn beyond(&self, end: usize) -> StoreError {
        let most = self.client.options.most_hits.max(1);
        self.client.unsupported(format!(
            "hits beyond number {most} (offset and k reach to number {end}), of which its server does not tell; narrow the search by a filter"
        ))
    }

    /// The nearest by the server's graph, which may miss one. The page ends at `end`.
    fn near(
        &self,
        vector: &Embedding,
        wanted: usize,
        end: usize,
        pushed: &Pushed,
        query: &Query,
    ) -> Result<Vec<Ranked>, StoreError> {
        if wanted == 0 {
            return Ok(vec![]);
        }
        let most = self.client.options.most_hits.max(1);
        let mut limit = wanted.checked_next_power_of_two().unwrap_or(most);
        limit = limit.max(LEAST_DEPTH).min(most);
        let bytes: Vec<u8> = vector.values().iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut count = None;
        loop {
            let asked = Asked {
                column: column::VECTOR,
                placeholder: (data_type::FLOAT_VECTOR, bytes.clone()),
                params: format!("{{\"ef\": {limit}}}"),
                pushed,
                filter: &query.filter,
                rescore: Some(vector),
            };
            let found = self.ask(&asked, limit)?.ranking;
            if found.len() >= wanted.min(most) && end <= most {
                return Ok(found);
            }
            // Fewer than asked for: they are all there are, or the graph did not get to the others.
            let there = match count {
                Some(there) => there,
                None => *count.insert(self.count_pushed(&pushed.text)?),
            };
            if pushed.exact && found.len() as u64 >= there {
                return Ok(found);
            }
            // Of what is checked here, more may lie behind the last that the server tells of.
            let hidden = !pushed.exact && limit == most;
            if there <= self.client.options.compared || hidden {
                return self.nearest(vector, wanted, pushed, query);
            }
            if limit == most {
                return if end <= most { Ok(found) } else { Err(self.beyond(end)) };
            }
            limit = (limit * 4).min(most);
        }
    }

    /// Whoever has any of the words, the best first. The page ends at `end`.
    fn having(
        &self,
        words: &AskedWords,
        wanted: usize,
        end: usize,
        pushed: &Pushed,
        query: &Query,
    ) -> Result<Vec<Ranked>, StoreError> {
        let text = words_text(words.terms());
        if text.is_empty() || wanted == 0 {
            return Ok(vec![]);
        }
        let most = self.client.options.most_hits.max(1);
        let mut limit = wanted.min(most);
        loop {
            let asked = Asked {
                column: column::BM25,
                placeholder: (data_type::VAR_CHAR, text.clone().into_bytes()),
                params: "{}".into(),
                pushed,
                filter: &query.filter,
                rescore: None,
            };
            let found = self.ask(&asked, limit)?;
            if !found.cut || found.ranking.len() >= wanted {
                return Ok(found.ranking);
            }
            if limit == most {
                if pushed.exact {
                    return if end <= most { Ok(found.ranking) } else { Err(self.beyond(end)) };
                }
                return Err(self.client.unsupported(format!(
                    "finding words together with a filter that is checked here (a path, a name, a camera, a lens, a place, or * and ?) where more than {most} have the words; narrow it by tag:, folder: or taken:"
                )));
            }
            limit = (limit * 4).min(most);
        }
    }

    /// Asks once for so many, and leaves out whom the filter does not let through.
    fn ask(&self, asked: &Asked<'_>, limit: usize) -> Result<Found, StoreError> {
        let doing = "search";
        let (r#type, value) = &asked.placeholder;
        let placeholder =
            Placeholder { tag: "$0".into(), r#type: *r#type, values: vec![value.clone()] };
        let mut output_fields = vec![column::ID.to_owned()];
        if !asked.pushed.exact {
            output_fields.push(column::ITEM.into());
        }
        if asked.rescore.is_some() {
            output_fields.push(column::VECTOR.into());
        }
        let (consistency_level, guarantee_timestamp) = self.consistency(self.strong);
        let request = Search {
            db_name: self.client.database(),
            collection_name: self.collection.clone(),
            dsl: asked.pushed.text.clone(),
            placeholder_group: Placeholders { placeholders: vec![placeholder] }.encode_to_vec(),
            dsl_type: FILTER_AS_TEXT,
            output_fields,
            search_params: vec![
                KeyValue::new("anns_field", asked.column),
                KeyValue::new("topk", limit),
                KeyValue::new("params", &asked.params),
                KeyValue::new("round_decimal", -1),
            ],
            guarantee_timestamp,
            nq: 1,
            consistency_level,
        };
        let answer: Searched = self.about(doing, method::SEARCH, &request)?;
        let results = answer.results.unwrap_or_default();
        let ids = results.ids.and_then(|ids| ids.str_id).unwrap_or_default().data;
        if results.scores.len() != ids.len() {
            return Err(self.client.failed(doing, "its answer has more hits than scores"));
        }
        let cut = ids.len() >= limit;
        let rows = read(&self.space, &ids, results.fields_data)
            .map_err(|what| self.client.failed(doing, what))?;
        let passes = |item: &Option<Item>| item.as_ref().is_none_or(|i| asked.filter.accepts(i));
        let mut ranking: Vec<_> = rows
            .into_iter()
            .zip(results.scores)
            .filter(|(row, _)| passes(&row.item))
            .map(|(row, score)| Ranked {
                id: row.id,
                score: match (asked.rescore, &row.embedding) {
                    (Some(vector), Some(own)) => cosine(vector, own),
                    // BM25 of milvus-lite comes with the other sign.
                    _ => score.abs(),
                },
            })
            .collect();
        sort(&mut ranking);
        Ok(Found { ranking, cut })
    }
}
