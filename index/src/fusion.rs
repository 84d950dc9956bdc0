//! Given two rankings with scores that cannot be compared, what is the one
//! ranking of both?

use std::collections::HashMap;

use crate::topk::Scored;
use crate::{Balance, Hit, ItemId, Query};

/// How much the first ranks stand out; 60, as in the paper.
pub const RRF_K: f32 = 60.0;

/// Reciprocal rank fusion: each item scores the sum over rankings of
/// `weight / (RRF_K + rank)`, ranks from 1; a ranking that lacks it adds nothing,
/// and one with a weight of 0 or less is not looked at. The best first, ties by
/// ascending id.
///
/// # Source
/// G. V. Cormack, C. L. A. Clarke, S. Büttcher: Reciprocal Rank Fusion
/// outperforms Condorcet and individual Rank Learning Methods, SIGIR 2009.
pub fn reciprocal_rank_fusion(rankings: &[(&[ItemId], f32)]) -> Vec<(ItemId, f32)> {
    let mut scores: HashMap<ItemId, f32> = HashMap::new();
    for (ranking, weight) in rankings.iter().filter(|(_, weight)| *weight > 0.0) {
        for (i, id) in ranking.iter().enumerate() {
            *scores.entry(*id).or_default() += weight / (RRF_K + (i + 1) as f32);
        }
    }
    let mut fused: Vec<_> = scores.into_iter().collect();
    fused.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    fused
}

/// How deep each ranking is taken before fusing a page that ends at `end`.
/// One depth for all usual pages, so that a later page continues an earlier one.
pub(crate) fn depth(end: usize) -> usize {
    end.checked_next_power_of_two().unwrap_or(end).max(1000)
}

/// What a ranking by vector alone found.
pub(crate) fn vector_hit(s: &Scored) -> Hit {
    Hit {
        id: s.id,
        score: s.score,
        cosine: Some(s.score),
        bm25: None,
        via_vector: true,
        words: vec![],
    }
}

/// What a ranking by words alone found.
pub(crate) fn text_hit(s: &Scored) -> Hit {
    Hit {
        id: s.id,
        score: s.score,
        cosine: None,
        bm25: Some(s.score),
        via_vector: false,
        words: vec![],
    }
}

/// The query's page of both rankings, fused.
pub(crate) fn fused_page(
    by_vector: &[Scored],
    by_words: &[Scored],
    mut cosine_of: impl FnMut(&Scored) -> Option<f32>,
    query: &Query,
) -> Vec<Hit> {
    let ids = |ranking: &[Scored]| ranking.iter().map(|s| s.id).collect::<Vec<_>>();
    let index = |ranking: &[Scored]| ranking.iter().map(|s| (s.id, *s)).collect::<HashMap<_, _>>();
    let Balance { vector, words } = query.balance;
    let fused = reciprocal_rank_fusion(&[(&ids(by_vector), vector), (&ids(by_words), words)]);
    let (vectors, words) = (index(by_vector), index(by_words));
    let hit = |(id, score): (ItemId, f32)| {
        let (vector, word) = (vectors.get(&id), words.get(&id));
        Hit {
            id,
            score,
            cosine: vector.map(|s| s.score).or_else(|| word.and_then(&mut cosine_of)),
            bm25: word.map(|s| s.score),
            via_vector: vector.is_some(),
            words: vec![],
        }
    };
    fused.into_iter().skip(query.offset).take(query.k).map(hit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hand_worked() {
        let [a, b, c] = ["a", "b", "c"].map(ItemId::for_text);
        let fused = reciprocal_rank_fusion(&[(&[a, b], 1.0), (&[b, c], 1.0)]);
        assert_eq!(fused[0], (b, 1.0 / 62.0 + 1.0 / 61.0));
        assert_eq!(fused[1], (a, 1.0 / 61.0));
        assert_eq!(fused[2], (c, 1.0 / 62.0));
        let fused = reciprocal_rank_fusion(&[(&[a, b], 0.25), (&[b, c], 2.0), (&[a], 0.0)]);
        assert_eq!(fused[0], (b, 0.25 / 62.0 + 2.0 / 61.0));
        assert_eq!(fused[1], (c, 2.0 / 62.0));
        assert_eq!(fused[2], (a, 0.25 / 61.0));
        assert!(reciprocal_rank_fusion(&[]).is_empty());
    }

    #[test]
    fn ties_go_by_id() {
        let mut ids: Vec<_> = (0..20).map(|i| ItemId::for_text(&i.to_string())).collect();
        let lists: Vec<[ItemId; 1]> = ids.iter().map(|&id| [id]).collect();
        let refs: Vec<(&[ItemId], f32)> = lists.iter().map(|l| (&l[..], 1.0)).collect();
        ids.sort();
        let fused: Vec<_> = reciprocal_rank_fusion(&refs).into_iter().map(|f| f.0).collect();
        assert_eq!(fused, ids);
    }
}
