//! Given nobody's wish, which models are worth a try? A few in layouts that can be
//! imported, with what their publishers say of them. Nothing here was measured here.

/// A model that is known by a short name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Curated {
    /// What `ek model pull` takes.
    pub(crate) name: &'static str,
    /// `OWNER/NAME` on the hub.
    pub(crate) repo: &'static str,
    /// What it is.
    pub(crate) about: &'static str,
    /// In which texts are understood.
    pub(crate) languages: &'static str,
    /// The same as tags, for imports; none where no source lists them.
    pub(crate) tags: &'static [&'static str],
    /// Of the weights, with who says so.
    pub(crate) licence: &'static str,
    /// The licence excludes commerce.
    pub(crate) non_commercial: bool,
    /// Both graphs together, by precision, as the hub shows them.
    pub(crate) size: &'static str,
    /// Recall as published; empty if no source that was at hand has any.
    pub(crate) recall: &'static str,
    /// Where all that is said.
    pub(crate) sources: &'static [&'static str],
}

/// OpenCLIP's table of retrieval results: Flickr30k, a picture for a text.
const OPEN_CLIP: &str =
    "https://github.com/mlfoundations/open_clip/blob/main/docs/openclip_retrieval_results.csv";
/// Immich's table: Crossmodal-3600, a picture for a text, the mean of R@1, R@5 and R@10.
const IMMICH: &str =
    "https://github.com/immich-app/immich/blob/main/docs/docs/features/searching.md";

/// The list, small models first.
pub(crate) const CURATED: &[Curated] = &[
    Curated {
        name: "mobileclip-s2",
        repo: "Xenova/mobileclip_s2",
        about: "MobileCLIP-S2 of Apple, 99 M parameters",
        languages: "English",
        tags: &["en"],
        licence: "apple-amlr, for research only (Apple's card; the ONNX repository says: other)",
        non_commercial: true,
        size: "397 MB in fp32",
        recall: "",
        sources: &[
            "https://huggingface.co/Xenova/mobileclip_s2/tree/14fbf7f0155c67e643bf08a45ea0d51d0edf8740/onnx",
            "https://huggingface.co/apple/MobileCLIP-S2-OpenCLIP",
        ],
    },
    Curated {
        name: "clip-vit-b32",
        repo: "Xenova/clip-vit-base-patch32",
        about: "CLIP ViT-B/32 of OpenAI, 151 M parameters",
        languages: "English",
        tags: &["en"],
        licence: "MIT (OpenAI's repository); its card calls every deployed use out of scope",
        non_commercial: false,
        size: "606 MB in fp32, 303 in fp16, 154 in int8",
        recall: "Flickr30k R@1 0.588, R@5 0.836 (OpenCLIP); Crossmodal-3600 in English 59.4 % (Immich)",
        sources: &[
            "https://huggingface.co/Xenova/clip-vit-base-patch32/tree/4c1807b705b1d015fb032789cc4d221b23025a6f/onnx",
            "https://github.com/openai/CLIP/blob/main/model-card.md",
            OPEN_CLIP,
            IMMICH,
        ],
    },
    Curated {
        name: "siglip-b16",
        repo: "Xenova/siglip-base-patch16-224",
        about: "SigLIP ViT-B/16 of Google, 203 M parameters",
        languages: "English",
        tags: &["en"],
        licence: "Apache-2.0 (Google's card)",
        non_commercial: false,
        size: "813 MB in fp32, 407 in fp16, 211 in int8",
        recall: "Flickr30k R@1 0.747, R@5 0.923 (OpenCLIP); Crossmodal-3600 in English 71.6 % (Immich)",
        sources: &[
            "https://huggingface.co/Xenova/siglip-base-patch16-224/tree/294847d6b5fe86c91330269da98ce112d6c75e7e/onnx",
            "https://huggingface.co/google/siglip-base-patch16-224",
            OPEN_CLIP,
            IMMICH,
        ],
    },
    Curated {
        name: "jina-clip-v1",
        repo: "jinaai/jina-clip-v1",
        about: "Jina CLIP v1, 223 M parameters, for long texts, too",
        languages: "English",
        tags: &["en"],
        licence: "Apache-2.0 (its card)",
        non_commercial: false,
        size: "892 MB in fp32, 446 in fp16, 226 in int8",
        recall: "Flickr30k R@1 0.675, R@5 0.890 (its card)",
        sources: &[
            "https://huggingface.co/jinaai/jina-clip-v1/tree/fd7f7158b59ba9347679ec009a6547936d2c7378/onnx",
            "https://huggingface.co/jinaai/jina-clip-v1",
        ],
    },
    Curated {
        name: "siglip2-b16",
        repo: "onnx-community/siglip2-base-patch16-224-ONNX",
        about: "SigLIP 2 ViT-B/16 of Google",
        languages: "many (trained on texts in 109)",
        tags: &[],
        licence: "Apache-2.0 (Google's, as a mirror of these files states)",
        non_commercial: false,
        size: "751 MB in fp16",
        recall: "Crossmodal-3600 in English 75.2 %, in Arabic 61.7 % (Immich)",
        sources: &[
            "https://huggingface.co/SortaPhotos/siglip2-base-patch16-224-onnx",
            "https://arxiv.org/abs/2502.14786",
            IMMICH,
        ],
    },
    Curated {
        name: "xlm-roberta-vit-b32",
        repo: "immich-app/XLM-Roberta-Base-ViT-B-32__laion5b_s13b_b90k",
        about: "OpenCLIP ViT-B/32 with XLM-RoBERTa, 366 M parameters",
        languages: "many (those of XLM-RoBERTa)",
        tags: &[],
        licence: "MIT (LAION's card)",
        non_commercial: false,
        size: "",
        recall: "Flickr30k R@1 0.645, R@5 0.863 (OpenCLIP); Crossmodal-3600 in English 68.3 %, in Chinese 72.5 %, in Arabic 59.7 % (Immich)",
        sources: &[
            "https://huggingface.co/laion/CLIP-ViT-B-32-xlm-roberta-base-laion5B-s13B-b90k",
            OPEN_CLIP,
            IMMICH,
        ],
    },
    Curated {
        name: "jina-clip-v2",
        repo: "jinaai/jina-clip-v2",
        about: "Jina CLIP v2",
        languages: "94 (its card)",
        tags: &[],
        licence: "CC-BY-NC-4.0 (its card)",
        non_commercial: true,
        size: "3,452 MB in fp32, 1,730 in fp16, 874 in int8",
        recall: "",
        sources: &[
            "https://huggingface.co/jinaai/jina-clip-v2/tree/4f4251a1ce7d8ead25533a658686f904866a24f2/onnx",
        ],
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::hub::Wanted;

    #[test]
    fn every_entry_is_whole_and_found_by_both_names() {
        let mut seen = BTreeSet::new();
        for entry in CURATED {
            assert!(
                seen.insert(entry.name) && seen.insert(entry.repo),
                "{} is there twice",
                entry.name
            );
            assert!(!entry.name.contains('/'), "{}", entry.name);
            for name in [entry.name, entry.repo] {
                let wanted = Wanted::parse(name).expect("a name");
                assert_eq!(wanted.repo(), entry.repo);
                assert_eq!(wanted.curated(), Some(entry));
            }
            assert!(!entry.sources.is_empty(), "{} has no source", entry.name);
            assert!(entry.sources.iter().all(|source| source.starts_with("https://")));
            for told in [entry.about, entry.languages, entry.licence] {
                assert!(!told.is_empty(), "{}", entry.name);
            }
            assert_eq!(entry.tags == ["en"], entry.languages == "English", "{}", entry.name);
        }
    }
}
