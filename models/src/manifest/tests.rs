use super::*;

fn good() -> String {
    let files: String = ["image.onnx", "text.onnx", "tokenizer.json", "v.txt", "v.f16"]
        .iter()
        .map(|f| format!("[files.{f:?}]\nbytes = 3\nsha256 = \"{}\"\n", "ab".repeat(32)))
        .collect();
    format!(
        r#"format = 1
name = "lite"
summary = "a test"
license = "Apache-2.0"
languages = ["en"]
[space]
id = "lite-1"
dim = 384
[image]
file = "image.onnx"
input = "pixels"
output = "embedding"
[image.preprocess]
size = 224
resize = "pad"
fill = [255, 255, 255]
interpolation = "bicubic"
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
[text]
file = "text.onnx"
tokenizer = "tokenizer.json"
output = "embedding"
context = 256
padding = "longest"
pad_token = "[PAD]"
pooling = "mean"
[labels]
templates = ["{{}}", "a photo of a {{}}"]
logit_scale = 40.0
[vocabulary]
words = "v.txt"
vectors = "v.f16"
{files}"#
    )
}

#[test]
fn training_is_read_and_checked() {
    let with = |pair: &str| {
        let section = format!("[training]\npair = {pair:?}\nloss = \"triplet\"\ndata = \"x\"\n");
        Manifest::parse(&good().replace("[vocabulary]", &format!("{section}[vocabulary]")))
    };
    let pair = "0123456789abcdef";
    let manifest = with(pair).expect("valid");
    let training = manifest.training().expect("there");
    assert_eq!((training.pair.as_str(), training.margin), (pair, None));
    for bad in ["", "0123", "0123456789ABCDEF", "0123456789abcde/"] {
        let error = with(bad).expect_err("no pair id").to_string();
        assert!(error.contains("training.pair"), "{error}");
    }
}

#[test]
fn a_whole_manifest_is_read() {
    let m = Manifest::parse(&good()).expect("valid");
    assert_eq!(m.space().to_string(), "lite-1 (384-d)");
    assert_eq!(m.image().preprocess.resize(), Resize::Pad { fill: [255; 3] });
    assert_eq!((m.text().context, m.text().padding), (256, Padding::Longest));
    assert_eq!(m.templates(), ["{}", "a photo of a {}"]);
    assert_eq!(m.files().len(), 5);
    assert_eq!(m.vocabulary().map(|v| v.vectors.as_str()), Some("v.f16"));
}

#[test]
fn what_imports_add_is_read() {
    let text = good()
        .replace("format = 1", "format = 1\nprecision = \"fp16\"")
        .replace("std = [0.5, 0.5, 0.5]", "std = [0.5, 0.5, 0.5]\nchannels = \"bgr\"")
        .replace("pooling = \"mean\"", "pooling = \"mean\"\nclean = \"canonical\"")
        .replace("[labels]", "[golden]\nfile = \"v.txt\"\n[labels]");
    let m = Manifest::parse(&text).expect("valid");
    assert_eq!(m.precision(), Some(Precision::Fp16));
    assert_eq!(m.image().preprocess.channels(), ChannelOrder::Bgr);
    assert_eq!(m.golden(), Some("v.txt"));
    assert_eq!(m.text().clean.apply("A Red  BICYCLE, (old)!"), "a red bicycle old");
    assert_eq!(Clean::LowerCase.apply("Straße, ÜBER"), "straße, über");
    assert_eq!(m.without_golden().files().len(), 4);
    let plain = Manifest::parse(&good()).expect("valid");
    assert_eq!((plain.precision(), plain.golden(), plain.text().clean), (None, None, Clean::None));
}

#[test]
fn each_mistake_is_named() {
    let cases = [
        ("format = 1", "format = 2", "format = 1, got 2"),
        ("format = 1\n", "", "got none"),
        ("name = \"lite\"", "name = \" \"", "name: expected some text"),
        ("name = \"lite\"", "nam = \"lite\"", "nam"),
        ("languages = [\"en\"]", "languages = []", "languages"),
        ("id = \"lite-1\"", "id = \"Lite 1\"", "[space]"),
        ("dim = 384", "dim = 0", "[space]"),
        ("dim = 384", "dim = \"384\"", "384"),
        ("size = 224", "size = 0", "[image.preprocess]: the input size"),
        ("resize = \"pad\"", "resize = \"stretch\"", "stretch"),
        ("resize = \"pad\"", "resize = \"exact\"", "neither fill nor edge"),
        ("fill = [255, 255, 255]\n", "", "a fill colour"),
        ("fill = [255, 255, 255]", "fill = [256, 0, 0]", "256"),
        (
            "resize = \"pad\"\nfill = [255, 255, 255]",
            "resize = \"shortest-edge\"\nedge = 200",
            "shortest edge (200) is smaller",
        ),
        ("std = [0.5, 0.5, 0.5]", "std = [0.5, 0.0, 0.5]", "std"),
        ("std = [0.5, 0.5, 0.5]", "std = [0.5, 0.5]", "std"),
        ("context = 256", "context = 2", "text.context"),
        ("padding = \"longest\"", "padding = \"none\"", "none"),
        ("templates = [\"{}\", \"a photo of a {}\"]", "templates = []", "at least one"),
        ("\"a photo of a {}\"", "\"a photo\"", "one {} in each template, got a photo"),
        ("logit_scale = 40.0", "logit_scale = nan", "labels.logit_scale"),
        ("logit_scale = 40.0", "logit_scale = -1.0", "labels.logit_scale"),
        ("file = \"image.onnx\"", "file = \"other.onnx\"", "image.file names \"other.onnx\""),
        ("vectors = \"v.f16\"", "vectors = \"w.f16\"", "vocabulary.vectors"),
        ("[files.\"v.txt\"]", "[files.\"../v.txt\"]", "inside the model folder"),
        ("[files.\"v.txt\"]", "[files.\"/etc/v.txt\"]", "inside the model folder"),
        ("[files.\"v.txt\"]", "[files.'a\\v.txt']", "inside the model folder"),
        ("sha256 = \"abab", "sha256 = \"ABAB", "hexadecimal"),
        ("sha256 = \"abab", "sha256 = \"ab", "hexadecimal"),
        ("bytes = 3", "bytes = -3", "bytes"),
        ("[labels]", "[labels]\nthreshold = 1", "threshold"),
        ("format = 1", "format = 1\nprecision = \"fp8\"", "q4f16"),
        ("[labels]", "[golden]\nfile = \"g.json\"\n[labels]", "golden.file names \"g.json\""),
        ("pooling = \"mean\"", "pooling = \"mean\"\nexternal = [\"w\"]", "text.external names"),
        ("pooling = \"mean\"", "pooling = \"mean\"\nclean = \"upper\"", "upper"),
        ("std = [0.5, 0.5, 0.5]", "std = [0.5, 0.5, 0.5]\nchannels = \"cmyk\"", "cmyk"),
    ];
    for (from, to, expected) in cases {
        let text = good().replacen(from, to, 1);
        assert_ne!(text, good(), "{from:?} is in the manifest");
        let error = Manifest::parse(&text).expect_err(to).to_string();
        assert!(error.contains(expected), "{to:?}: {error}");
    }
}

#[test]
fn verification_is_read_and_belongs_to_the_space() {
    let with = |space: &str| {
        let section = format!(
            "[verification]\nspace = {space:?}\nabout = \"x\"\nrefused = [\"0.001\"]\n\
             [[verification.rates]]\nfalse_accept = 0.01\nlow = 0.005\nhigh = 0.015\n\
             threshold = 0.6\ntrue_accept = 0.8\n"
        );
        Manifest::parse(&format!("{}{section}", good()))
    };
    let manifest = with("lite-1").expect("valid");
    let verification = manifest.verification().expect("there");
    assert_eq!(verification.rates[0].threshold, 0.6);
    let error = with("lite-2").expect_err("another space").to_string();
    assert!(error.contains("rates of lite-2"), "{error}");
}
