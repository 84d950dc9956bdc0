//! Do the shipped model's towers, asked through the cache, say what they say
//! directly, once and for all, and again after damage?

use std::path::{Path, PathBuf};

use ekphrasis_embed::{ImageEncoder, TextEncoder};
use ekphrasis_models::{Model, Runtime, RuntimeSearch, decode};
use ekphrasis_train::data::{
    Augment, Example, ImageJob, Picture, Precision, Progress, TextJob, cached_pictures,
    image_features, look, pseudo_captions, text_features,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn runtime() -> Runtime {
    Runtime::load(&RuntimeSearch {
        flag: None,
        env: None,
        cache: Path::new(env!("CARGO_TARGET_TMPDIR")).join("ort-cache"),
        fetch: true,
        log: &|_| {},
    })
    .expect("ONNX Runtime, fetched through pip or npm if need be")
}

/// Four of the gallery's pictures.
fn pictures() -> Vec<Picture> {
    let folder = root().join("web/gallery/pictures");
    let mut paths: Vec<PathBuf> = fs_err::read_dir(folder)
        .expect("the gallery")
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "jpg" || e == "png" || e == "webp"))
        .collect();
    paths.sort();
    paths.truncate(4);
    assert_eq!(paths.len(), 4);
    let examples: Vec<Example> =
        paths.iter().map(|p| Example { path: p.clone(), ..Example::default() }).collect();
    let seen = look(&examples, &|_| false);
    paths
        .into_iter()
        .zip(seen)
        .map(|(path, seen)| {
            let content = seen.content().unwrap_or_else(|| panic!("{}: {seen:?}", path.display()));
            Picture { path, content, may_mirror: true }
        })
        .collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f32>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn picture_features_are_the_towers_and_stay() {
    let (model, runtime) = (Model::open(&root().join("models/lite")).expect("lite"), runtime());
    let cache = tempfile::tempdir().expect("a folder");
    let mut pictures = pictures();
    let job = ImageJob {
        model: &model,
        runtime: &runtime,
        outputs: &["pooled", "logits"],
        views: 2,
        augment: Augment::default(),
        seed: 5,
        sessions: 2,
        precision: Precision::Half,
        cache: cache.path(),
    };
    // A copy of the first, and a file that changed after it was looked at.
    pictures.push(pictures[0].clone());
    let odd = cache.path().join("odd.png");
    fs_err::write(&odd, "now it is this").expect("written");
    pictures.push(Picture { path: odd, content: pictures[0].content, may_mirror: false });
    pictures[5].content = ekphrasis_train::data::ContentHash::of(b"it was that");

    let mut told: Vec<Progress> = Vec::new();
    let first = image_features(&job, &pictures, &mut |p| told.push(p)).expect("features");
    assert_eq!(first.computed, 4 * 3, "four contents, three views each");
    assert_eq!(first.skipped.len(), 1);
    assert_eq!(first.skipped[0].picture, 5);
    assert!(first.skipped[0].why.contains("changed since"), "{}", first.skipped[0].why);
    let last = told.last().expect("told");
    assert_eq!((last.done, last.total, last.cached), (15, 15, 3), "the copy is counted as cached");
    assert!(last.rate > 0.0);

    // Against the tower itself.
    let encoder = model.ort_image_encoder(&runtime, 1).expect("a tower");
    let widths = [1280, 1000];
    for (i, picture) in pictures[..4].iter().enumerate() {
        let pixels = decode(&fs_err::read(&picture.path).expect("there")).expect("fine").pixels;
        let tensor = encoder.preprocess().tensor(&pixels).expect("a plain shape");
        let direct = encoder.outputs(&[tensor], job.outputs).expect("outputs");
        for ((table, direct), width) in first.tables.iter().zip(&direct).zip(widths) {
            assert_eq!((table.width(), table.len()), (width, 6 * 3));
            let row = table.gather(&[first.row(i, 0)]);
            let row = row.as_slice().expect("one row");
            for (got, want) in row.iter().zip(direct) {
                assert!((got - want).abs() <= 0.001 * want.abs().max(1.0), "{got} for {want}");
            }
        }
    }
    // A view is nearer to its own picture than to the others, on the whole.
    let row = |i, view| first.tables[0].gather(&[first.row(i, view)]).into_raw_vec_and_offset().0;
    let mut own = 0;
    for i in 0..4 {
        for view in 1..=2 {
            let nearest = (0..4).max_by(|&a, &b| {
                let near = |k| cosine(&row(i, view), &row(k, 0));
                near(a).total_cmp(&near(b))
            });
            own += usize::from(nearest == Some(i));
        }
        assert_ne!(row(i, 1), row(i, 2));
    }
    assert!(own >= 6, "{own} of 8 views are nearest to their own picture");
    assert_eq!(row(4, 1), row(0, 1), "a copy has the same views");

    // Again: nothing is computed. One more view: only that.
    let again = image_features(&job, &pictures, &mut |_| {}).expect("features");
    assert_eq!((again.computed, &again.tables), (0, &first.tables));
    let more = ImageJob { views: 3, ..job };
    let third = image_features(&more, &pictures[..4], &mut |_| {}).expect("features");
    assert_eq!(third.computed, 4);

    // Damage in the middle and a cut end cost what they hit.
    let known = cached_pictures(&job).expect("the cache");
    assert!(pictures[..5].iter().all(|p| known(&p.content)) && !known(&pictures[5].content));
    drop(known);
    for entry in fs_err::read_dir(cache.path()).expect("the cache") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "feat") {
            let mut bytes = fs_err::read(&path).expect("there");
            bytes[64 + 100] ^= 0x10;
            bytes.truncate(bytes.len() - 7);
            fs_err::write(&path, bytes).expect("written");
        }
    }
    let mended = image_features(&more, &pictures[..4], &mut |_| {}).expect("features");
    assert_eq!((mended.computed, mended.damaged), (2, 4));
    assert_eq!(mended.tables, third.tables, "made anew, the same");
}

#[test]
fn text_features_are_the_towers_and_names_become_captions() {
    let (model, runtime) = (Model::open(&root().join("models/lite")).expect("lite"), runtime());
    let cache = tempfile::tempdir().expect("a folder");
    let job = TextJob {
        model: &model,
        runtime: &runtime,
        sessions: 2,
        precision: Precision::Single,
        cache: cache.path(),
    };
    let texts: Vec<String> =
        (0..150).map(|i| format!("text {} of many, {}", i % 140, "long ".repeat(i % 7))).collect();
    let table = text_features(&job, &texts, &mut |_| {}).expect("features");
    let encoder = model.ort_text_encoder(&runtime, 1).expect("a tower");
    for i in [0, 77, 149] {
        let direct = encoder.embed_texts(&[&texts[i]]).expect("embedded");
        let row = table.gather(&[i]);
        let near = cosine(row.as_slice().expect("one row"), direct[0].values());
        assert!(near > 0.9999, "{near}");
    }
    let mut told = Vec::new();
    let again = text_features(&job, &texts, &mut |p| told.push(p)).expect("features");
    assert_eq!(again, table);
    assert_eq!((told[0].total, told[0].cached), (0, 150));

    let names = model.vocabulary().expect("words").expect("lite has words").words().to_vec();
    let mut logits = vec![0.0; 2 * names.len()];
    logits[281] = 20.0;
    let captions = pseudo_captions(&logits, &names, 0.35);
    assert_eq!(captions, [Some(names[281].clone()), None]);
}
