//! What may be sent, as types: read only by those who describe it. That the names
//! are those that are really taken is tested (`crate::tests`).
#![expect(dead_code, reason = "the description is made of these types, the reading of fields")]

use utoipa::ToSchema;

/// Bodies, and what is in them: nothing but these fields is taken.
pub(super) const NAMES: &[&str] = &[
    "Search",
    "Feedback",
    "SearchPart",
    "Label",
    "Describe",
    "Embed",
    "Addition",
    "JobOrder",
    "UseModel",
    "Enrol",
    "LabelSetOrder",
    "LabelSetEntry",
    "ApplyLabels",
    "Verify",
    "Identify",
];

/// Which rankings take part.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum Mode {
    Hybrid,
    Vector,
    Text,
}

/// What is to be found.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum For {
    Images,
    Texts,
    All,
}

/// A search: at least one of text, image, id, parts and liked.
#[derive(ToSchema)]
pub(super) struct Search {
    /// Words to look for.
    #[schema(min_length = 1, max_length = 10_000, pattern = r"\S")]
    text: Option<String>,
    /// A picture to look for: base64, also as a data: URL, or an upload.
    #[schema(content_encoding = "base64")]
    image: Option<String>,
    /// An item to look for more like.
    #[schema(pattern = "^[0-9a-fA-F]{32}$")]
    id: Option<String>,
    /// More to look for or to avoid. In a form, JSON text.
    #[schema(max_items = 32)]
    parts: Option<Vec<SearchPart>>,
    /// Ids of items that fit: more like these.
    #[schema(max_items = 100)]
    liked: Option<Vec<String>>,
    /// Ids of items that do not fit: less like these, and not these themselves.
    #[schema(max_items = 100)]
    disliked: Option<Vec<String>>,
    /// Hits wanted.
    #[schema(minimum = 1, maximum = 1000, default = 10)]
    k: Option<u32>,
    /// Hits to skip.
    #[schema(minimum = 0, maximum = 100_000, default = 0)]
    offset: Option<u32>,
    /// Which rankings take part; hybrid if nothing is said.
    #[schema(inline)]
    mode: Option<Mode>,
    /// Only what fits, such as `taken:2019 tag:beach`.
    #[schema(max_length = 4000)]
    filter: Option<String>,
    /// What to find; pictures, or what the filter asks for, if nothing is said.
    #[schema(inline)]
    r#for: Option<For>,
    /// Compare with every vector.
    exact: Option<bool>,
    /// Say of each hit which words found it.
    explain: Option<bool>,
    /// Of copies, give the best hit only.
    collapse: Option<bool>,
    /// How much the first 256 hits are to differ from one another; with 0 they come by how well
    /// they fit alone.
    #[schema(minimum = 0, maximum = 1, default = 0)]
    diversity: Option<f32>,
    /// Say of this item where it stands, or why it is not among the hits.
    #[schema(pattern = "^[0-9a-fA-F]{32}$")]
    why: Option<String>,
    /// The model whose text tower embeds the words, through a bridge into the store's space
    /// (`ek model bridge`).
    #[schema(min_length = 1, max_length = 64)]
    bridge: Option<String>,
    /// Only pictures that fit with at least this probability.
    #[schema(minimum = 0, maximum = 1)]
    min_confidence: Option<f32>,
}

/// A search and what was judged of its hits: at least one of liked and disliked.
#[derive(ToSchema)]
pub(super) struct Feedback {
    /// Words to look for.
    #[schema(min_length = 1, max_length = 10_000, pattern = r"\S")]
    text: Option<String>,
    /// A picture to look for: base64, also as a data: URL, or an upload.
    #[schema(content_encoding = "base64")]
    image: Option<String>,
    /// An item to look for more like.
    #[schema(pattern = "^[0-9a-fA-F]{32}$")]
    id: Option<String>,
    /// More to look for or to avoid. In a form, JSON text.
    #[schema(max_items = 32)]
    parts: Option<Vec<SearchPart>>,
    /// Ids of items that fit: more like these.
    #[schema(max_items = 100)]
    liked: Option<Vec<String>>,
    /// Ids of items that do not fit: less like these, and not these themselves.
    #[schema(max_items = 100)]
    disliked: Option<Vec<String>>,
    /// Hits wanted.
    #[schema(minimum = 1, maximum = 1000, default = 10)]
    k: Option<u32>,
    /// Hits to skip.
    #[schema(minimum = 0, maximum = 100_000, default = 0)]
    offset: Option<u32>,
    /// Which rankings take part; hybrid if nothing is said.
    #[schema(inline)]
    mode: Option<Mode>,
    /// Only what fits, such as `taken:2019 tag:beach`.
    #[schema(max_length = 4000)]
    filter: Option<String>,
    /// What to find; pictures, or what the filter asks for, if nothing is said.
    #[schema(inline)]
    r#for: Option<For>,
    /// Compare with every vector.
    exact: Option<bool>,
    /// Say of each hit which words found it.
    explain: Option<bool>,
    /// Of copies, give the best hit only.
    collapse: Option<bool>,
    /// How much the first 256 hits are to differ from one another; with 0 they come by how well
    /// they fit alone.
    #[schema(minimum = 0, maximum = 1, default = 0)]
    diversity: Option<f32>,
    /// Say of this item where it stands, or why it is not among the hits.
    #[schema(pattern = "^[0-9a-fA-F]{32}$")]
    why: Option<String>,
    /// The model whose text tower embeds the words, through a bridge into the store's space
    /// (`ek model bridge`).
    #[schema(min_length = 1, max_length = 64)]
    bridge: Option<String>,
    /// Only pictures that fit with at least this probability.
    #[schema(minimum = 0, maximum = 1)]
    min_confidence: Option<f32>,
}

/// One thing to look for: exactly one of text, image and id.
#[derive(ToSchema)]
struct SearchPart {
    /// Words.
    #[schema(min_length = 1, max_length = 10_000, pattern = r"\S")]
    text: Option<String>,
    /// A picture: base64, also as a data: URL.
    #[schema(content_encoding = "base64")]
    image: Option<String>,
    /// An item.
    #[schema(pattern = "^[0-9a-fA-F]{32}$")]
    id: Option<String>,
    /// How much it counts; below zero it pushes away. Not zero.
    #[schema(minimum = -1000, maximum = 1000, default = 1)]
    weight: Option<f32>,
}

/// A search as a link: `q`, `id` or `liked`.
#[derive(ToSchema)]
pub(super) struct SearchLink {
    /// Words to look for; longer ones by POST.
    #[schema(min_length = 1, max_length = 1000, pattern = r"\S", nullable = false)]
    q: Option<String>,
    /// An item to look for more like.
    #[schema(pattern = "^[0-9a-fA-F]{32}$", nullable = false)]
    id: Option<String>,
    /// Ids of items that fit, with commas between.
    #[schema(pattern = "^[0-9a-fA-F]{32}(,[0-9a-fA-F]{32}){0,99}$", nullable = false)]
    liked: Option<String>,
    /// Ids of items that do not fit, with commas between.
    #[schema(pattern = "^[0-9a-fA-F]{32}(,[0-9a-fA-F]{32}){0,99}$", nullable = false)]
    disliked: Option<String>,
    /// Hits wanted.
    #[schema(minimum = 1, maximum = 1000, default = 10, nullable = false)]
    k: Option<u32>,
    /// Hits to skip.
    #[schema(minimum = 0, maximum = 100_000, default = 0, nullable = false)]
    offset: Option<u32>,
    /// Which rankings take part.
    #[schema(inline, nullable = false)]
    mode: Option<Mode>,
    /// Only what fits.
    #[schema(max_length = 4000, nullable = false)]
    filter: Option<String>,
    /// What to find.
    #[schema(inline, nullable = false)]
    r#for: Option<For>,
    /// Compare with every vector.
    #[schema(nullable = false)]
    exact: Option<bool>,
    /// Say of each hit which words found it.
    #[schema(nullable = false)]
    explain: Option<bool>,
    /// Of copies, give the best hit only.
    #[schema(nullable = false)]
    collapse: Option<bool>,
    /// How much the first 256 hits are to differ from one another.
    #[schema(minimum = 0, maximum = 1, default = 0, nullable = false)]
    diversity: Option<f32>,
    /// Say of this item where it stands, or why it is not among the hits.
    #[schema(pattern = "^[0-9a-fA-F]{32}$", nullable = false)]
    why: Option<String>,
    /// The model whose text tower embeds the words, through a bridge into the store's space.
    #[schema(min_length = 1, max_length = 64, nullable = false)]
    bridge: Option<String>,
    /// Only pictures that fit with at least this probability.
    #[schema(minimum = 0, maximum = 1, nullable = false)]
    min_confidence: Option<f32>,
}

/// By what to narrow.
#[derive(ToSchema)]
pub(super) struct Facets {
    /// Only what fits.
    #[schema(max_length = 4000, nullable = false)]
    filter: Option<String>,
    /// Only these.
    #[schema(inline, nullable = false)]
    r#for: Option<For>,
    /// Values for each property.
    #[schema(minimum = 1, maximum = 1000, default = 20, nullable = false)]
    limit: Option<u32>,
}

/// Which copies.
#[derive(ToSchema)]
pub(super) struct Duplicates {
    /// Only identical files.
    #[schema(nullable = false)]
    exact: Option<bool>,
    /// Only among what fits.
    #[schema(max_length = 4000, nullable = false)]
    filter: Option<String>,
    /// Groups wanted.
    #[schema(minimum = 1, maximum = 1000, default = 100, nullable = false)]
    limit: Option<u32>,
    /// Groups to skip.
    #[schema(minimum = 0, maximum = 1_000_000, default = 0, nullable = false)]
    offset: Option<u32>,
}

/// Which items.
#[derive(ToSchema)]
pub(super) struct Listing {
    /// The last item of the stretch before: `next` of its answer.
    #[schema(pattern = "^[0-9a-fA-F]{32}$", nullable = false)]
    after: Option<String>,
    /// Items wanted.
    #[schema(minimum = 1, maximum = 1000, default = 100, nullable = false)]
    limit: Option<u32>,
    /// Only these.
    #[schema(inline, nullable = false)]
    r#for: Option<For>,
    /// Only what fits.
    #[schema(max_length = 4000, nullable = false)]
    filter: Option<String>,
}

/// A picture (image or id) and the labels to judge it by.
#[derive(ToSchema)]
pub(super) struct Label {
    /// The picture: base64, also as a data: URL, or an upload.
    #[schema(content_encoding = "base64")]
    image: Option<String>,
    /// A picture of the store.
    #[schema(pattern = "^[0-9a-fA-F]{32}$")]
    id: Option<String>,
    /// At least two different labels, or one with `multi`; or a set. May be paths, as in
    /// `animal > dog`.
    #[schema(min_items = 1, max_items = 1000)]
    labels: Option<Vec<String>>,
    /// A label set of the store.
    #[schema(min_length = 1, max_length = 200)]
    set: Option<String>,
    /// How a label is put, with {} for it; the model's own ways if nothing is said.
    #[schema(max_items = 100)]
    templates: Option<Vec<String>>,
    /// Judge each label by itself, and not against the others.
    multi: Option<bool>,
}

/// A picture (image or id) to find words for.
#[derive(ToSchema)]
pub(super) struct Describe {
    /// The picture: base64, also as a data: URL, or an upload.
    #[schema(content_encoding = "base64")]
    image: Option<String>,
    /// A picture of the store.
    #[schema(pattern = "^[0-9a-fA-F]{32}$")]
    id: Option<String>,
    /// Texts wanted.
    #[schema(minimum = 1, maximum = 1000, default = 10)]
    k: Option<u32>,
}

/// One of text, image and id.
#[derive(ToSchema)]
pub(super) struct Embed {
    /// Words; the empty text has a vector, too.
    #[schema(max_length = 10_000)]
    text: Option<String>,
    /// A picture: base64, also as a data: URL, or an upload.
    #[schema(content_encoding = "base64")]
    image: Option<String>,
    /// A picture of the store.
    #[schema(pattern = "^[0-9a-fA-F]{32}$")]
    id: Option<String>,
}

/// Something new: text or image.
#[derive(ToSchema)]
pub(super) struct Addition {
    /// A text of its own.
    #[schema(min_length = 1, max_length = 10_000, pattern = r"\S")]
    text: Option<String>,
    /// A picture: base64, also as a data: URL, or an upload.
    #[schema(content_encoding = "base64")]
    image: Option<String>,
    /// The picture's file name.
    #[schema(max_length = 1000)]
    name: Option<String>,
    /// A caption of the picture; in a form, the way to say one with commas in it.
    #[schema(min_length = 1, max_length = 10_000, pattern = r"\S")]
    caption: Option<String>,
    /// Captions of the picture.
    #[schema(max_items = 100)]
    captions: Option<Vec<String>>,
    /// Tags.
    #[schema(max_items = 100)]
    tags: Option<Vec<String>>,
}

/// What is to be done.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
enum Action {
    Index,
    Retry,
    Remove,
}

/// Something to be done in the background.
#[derive(ToSchema)]
pub(super) struct JobOrder {
    /// What; index if nothing is said.
    #[schema(inline)]
    action: Option<Action>,
    /// A folder or file, as an absolute path on the server's machine.
    #[schema(max_length = 10_000)]
    path: Option<String>,
    /// Folders or files. Nothing, for retry, means every file that failed.
    #[schema(max_items = 100)]
    paths: Option<Vec<String>>,
    /// Globs to leave out, beside those that the owner left out.
    #[schema(max_items = 1000)]
    exclude: Option<Vec<String>>,
    /// Follow symbolic links: only for who can read the store's folder.
    follow_links: Option<bool>,
    /// Read unchanged files, too.
    check_content: Option<bool>,
    /// A file with captions, as an absolute path on the server's machine.
    #[schema(max_length = 10_000)]
    captions: Option<String>,
    /// Bytes that pictures may take while they are worked on: only for who can read the
    /// store's folder.
    #[schema(minimum = 128_000_000)]
    memory: Option<u64>,
}

/// How the store is to be moved to another model.
#[derive(ToSchema)]
pub(super) struct UseModel {
    /// At most so many items a second; as fast as it goes if nothing is said.
    #[schema(minimum = 0.01, maximum = 1_000_000)]
    rate: Option<f64>,
    /// Pictures embedded at once.
    #[schema(minimum = 1, maximum = 64, default = 1)]
    threads: Option<u32>,
    /// Switch also if some pictures have no vector of the new model: their items are lost.
    without_missing: Option<bool>,
}

/// Pictures that something is to be known by: at least one.
#[derive(ToSchema)]
pub(super) struct Enrol {
    /// A picture: base64, also as a data: URL, or an upload; in a form, again for more.
    #[schema(content_encoding = "base64")]
    image: Option<String>,
    /// More pictures.
    #[schema(max_items = 1000)]
    images: Option<Vec<String>>,
    /// A picture of the store.
    #[schema(pattern = "^[0-9a-fA-F]{32}$")]
    id: Option<String>,
    /// More pictures of the store.
    #[schema(max_items = 1000)]
    ids: Option<Vec<String>>,
    /// Files, as absolute paths on the server's machine: only for who can read the store's
    /// folder.
    #[schema(max_items = 1000)]
    paths: Option<Vec<String>>,
    /// Beside the examples that are known, and not instead of them.
    add: Option<bool>,
}

/// A picture (image or id) and the name that it is held against.
#[derive(ToSchema)]
pub(super) struct Verify {
    /// The picture: base64, also as a data: URL, or an upload.
    #[schema(content_encoding = "base64")]
    image: Option<String>,
    /// A picture of the store.
    #[schema(pattern = "^[0-9a-fA-F]{32}$")]
    id: Option<String>,
    /// Whom it is to show.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
    /// The least score, a cosine, instead of a rate.
    #[schema(minimum = -1, maximum = 1)]
    threshold: Option<f64>,
    /// The share of comparisons with something else that may be taken for the same, at most.
    #[schema(exclusive_minimum = 0, exclusive_maximum = 1)]
    false_accept_rate: Option<f64>,
}

/// A picture (image or id) to be named.
#[derive(ToSchema)]
pub(super) struct Identify {
    /// The picture: base64, also as a data: URL, or an upload.
    #[schema(content_encoding = "base64")]
    image: Option<String>,
    /// A picture of the store.
    #[schema(pattern = "^[0-9a-fA-F]{32}$")]
    id: Option<String>,
    /// Candidates wanted.
    #[schema(minimum = 1, maximum = 1000, default = 5)]
    k: Option<u32>,
    /// It is one of them for sure: name the best.
    closed: Option<bool>,
    /// The least score, a cosine, instead of a rate.
    #[schema(minimum = -1, maximum = 1)]
    threshold: Option<f64>,
    /// The share of strangers who may get some name, at most.
    #[schema(exclusive_minimum = 0, exclusive_maximum = 1)]
    false_accept_rate: Option<f64>,
}

/// Labels: at least one.
#[derive(ToSchema)]

pub(super) struct LabelSetOrder {
    /// Labels known by themselves as words.
    #[schema(max_items = 2000)]
    labels: Option<Vec<String>>,
    /// Labels with words or pictures of their own. In a form, JSON text.
    #[schema(max_items = 2000)]
    entries: Option<Vec<LabelSetEntry>>,
    /// Beside what is known of that name, and not instead of it.
    add: Option<bool>,
    /// Only if the name is not known.
    create: Option<bool>,
}

/// When labels of a set count.
#[derive(ToSchema)]
pub(super) struct ApplyLabels {
    /// Only labels with at least this probability.
    #[schema(minimum = 0, maximum = 1, default = 0.5)]
    min_probability: Option<f64>,
    /// Judge each label by itself: a picture may have several, at most 20.
    multi: Option<bool>,
}

/// A label, and by what it is known.
#[derive(ToSchema)]
struct LabelSetEntry {
    /// What is answered.
    #[schema(min_length = 1, max_length = 200)]
    label: String,
    /// What is compared with, put into the model's templates; the label itself (of a path as
    /// `animal > dog` the last part) for a new
    /// one, if nothing is said.
    #[schema(min_length = 1, max_length = 10_000, pattern = r"\S")]
    words: Option<String>,
    /// No words: it is known by pictures only.
    wordless: Option<bool>,
    /// A picture: base64, also as a data: URL.
    #[schema(content_encoding = "base64")]
    image: Option<String>,
    /// More pictures.
    #[schema(max_items = 1000)]
    images: Option<Vec<String>>,
    /// A picture of the store.
    #[schema(pattern = "^[0-9a-fA-F]{32}$")]
    id: Option<String>,
    /// More pictures of the store.
    #[schema(max_items = 1000)]
    ids: Option<Vec<String>>,
    /// Files, as absolute paths on the server's machine: only for who can read the store's
    /// folder.
    #[schema(max_items = 1000)]
    paths: Option<Vec<String>>,
}
