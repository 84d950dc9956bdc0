//! Random networks, models of any operator set, and a loaded runtime.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use ekphrasis_embed::{ImageTensor, Interpolation, Pixels, Preprocess, Resize};
use ekphrasis_models::{Model, Runtime, RuntimeSearch, sha256_hex};
use ekphrasis_onnx::{Attr, Graph, TensorType};
use ekphrasis_train::export::{About, Samples, Storage};
use ekphrasis_train::layer::{Affine, Array, Layer};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

pub(super) fn runtime() -> Runtime {
    Runtime::load(&RuntimeSearch {
        flag: None,
        env: None,
        cache: Path::new(env!("CARGO_TARGET_TMPDIR")).join("ort-cache"),
        fetch: true,
        log: &|_| {},
    })
    .expect("ONNX Runtime, fetched through pip or npm if need be")
}

pub(super) fn lite_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../lite")
}

pub(super) fn lite() -> Model {
    Model::open(&lite_folder()).expect("the shipped model")
}

/// Random numbers from a seed that is printed.
pub(super) struct Random(Pcg64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        println!("seed {seed}");
        Self(Pcg64::seed_from_u64(seed))
    }

    /// Numbers between −`most` and `most`.
    pub(super) fn numbers(&mut self, count: usize, most: f32) -> Vec<f32> {
        (0..count).map(|_| (self.0.random::<f32>() * 2.0 - 1.0) * most).collect()
    }

    /// An array whose products with unit-sized numbers stay unit-sized.
    pub(super) fn array(&mut self, shape: &[usize]) -> Array {
        let count = shape.iter().product();
        let into: usize = match shape.len() {
            2 => shape[0],
            4 => shape[1..].iter().product(),
            _ => 1,
        };
        let most = (3.0 / into as f32).sqrt();
        Array::new(shape, self.numbers(count, most)).expect("as many")
    }

    pub(super) fn linear(&mut self, from: usize, to: usize) -> Layer {
        Layer::Linear { weight: self.array(&[from, to]), bias: Some(self.array(&[to])) }
    }

    pub(super) fn norm(&mut self, width: usize) -> Layer {
        let near_one = self.numbers(width, 0.3).iter().map(|v| v + 1.0).collect();
        let scale = Array::new(&[width], near_one).expect("as many");
        Layer::LayerNorm { scale, shift: self.array(&[width]), epsilon: 1e-5 }
    }

    pub(super) fn affine(&mut self, width: usize) -> Affine {
        Affine { weight: self.array(&[width, width]), bias: self.array(&[width]) }
    }

    pub(super) fn conv(
        &mut self,
        from: usize,
        to: usize,
        [kernel, stride, padding, groups]: [usize; 4],
    ) -> Layer {
        Layer::Conv2d {
            weight: self.array(&[to, from / groups, kernel, kernel]),
            bias: Some(self.array(&[to])),
            stride,
            padding,
            groups,
        }
    }

    /// A transformer block in the pre-norm form.
    pub(super) fn block(&mut self, width: usize, heads: usize) -> Vec<Layer> {
        let attention = Layer::Attention {
            heads,
            query: self.affine(width),
            key: self.affine(width),
            value: self.affine(width),
            output: self.affine(width),
        };
        let first = vec![self.norm(width), attention];
        let second = vec![
            self.norm(width),
            self.linear(width, 2 * width),
            Layer::Gelu,
            self.linear(2 * width, width),
        ];
        vec![Layer::Residual(first), Layer::Residual(second)]
    }

    /// Pictures of noise.
    pub(super) fn pictures(&mut self, count: usize, preprocess: &Preprocess) -> Vec<ImageTensor> {
        let side = preprocess.size();
        (0..count)
            .map(|_| {
                let bytes = (0..side * side * 3).map(|_| self.0.random::<u8>()).collect();
                let pixels = Pixels::new(side, side, bytes).expect("as many bytes");
                preprocess.tensor(&pixels).expect("of the right size")
            })
            .collect()
    }
}

pub(super) const TEXTS: [&str; 6] = [
    "a cat",
    "two dogs on a red sofa",
    "the",
    "a photo of a mountain bike, seen from behind",
    "harbour at night",
    "soup",
];

pub(super) const UNIT: Layer = Layer::Normalise { epsilon: 1e-12 };

pub(super) fn preprocess(side: u32) -> Preprocess {
    let resize = Resize::Pad { fill: [255; 3] };
    Preprocess::new(side, resize, Interpolation::Bilinear, [0.5; 3], [0.25; 3]).expect("valid")
}

pub(super) fn floats(numbers: &[f64]) -> Vec<f32> {
    numbers.iter().map(|&v| v as f32).collect()
}

pub(super) fn joined(tensors: &[ImageTensor]) -> Vec<f32> {
    tensors.iter().flat_map(|t| t.data().iter().copied()).collect()
}

/// What is said of a test's model.
pub(super) fn about<'a>(words: &'a [String]) -> About<'a> {
    About {
        name: "Test model",
        summary: "Random weights, for tests.",
        license: "Apache-2.0",
        languages: words,
        templates: &words[1..],
        logit_scale: 20.0,
        loss: "bidirectional triplet",
        margin: Some(0.2),
        data: "0123456789abcdef",
    }
}

/// The languages and templates of [`about`].
pub(super) fn words() -> Vec<String> {
    vec!["{}".into(), "a photo of a {}".into()]
}

pub(super) fn samples<'a>(
    images: &'a [ImageTensor],
    image_rows: &'a [f32],
    text_rows: &'a [f32],
) -> Samples<'a> {
    Samples { images, image_rows, texts: &TEXTS, text_rows }
}

pub(super) const STORAGES: [Storage; 4] =
    [Storage::F32, Storage::F16, Storage::Bits12, Storage::Bits8];

/// A model for an operator set: pictures of 8 × 8 through one convolution, texts as
/// means of random word vectors, 6 numbers each. Values inside are called `inner`.
pub(super) fn foreign(opset: i64, dir: &Path) -> Model {
    foreign_with(opset, dir, &fs_err::read(lite_folder().join("tokenizer.json")).expect("shipped"))
}

/// The same with another tokenizer, of at most 30,522 tokens.
pub(crate) fn foreign_with(opset: i64, dir: &Path, tokenizer: &[u8]) -> Model {
    let mut random = Random::new(opset as u64);
    let width = 6;
    let mut g = Graph::new("image", "a test", "a tower").for_opset(opset);
    let pixels = g.input("pixels", TensorType::F32, &[("n", -1), ("", 3), ("", 8), ("", 8)]);
    let kernel = g.f32s("kernel", &[width, 3, 3, 3], &random.numbers(width as usize * 27, 0.3));
    let x = g.op("conv", "Conv", &[&pixels, &kernel], &[("kernel_shape", Attr::Ints(&[3, 3]))]);
    let sizes = [("n", -1), ("", width), ("", 6), ("", 6)];
    g.output("map", &x, TensorType::F32, &sizes);
    let x = g.reduce("inner", "ReduceMean", &x, &[2, 3], false);
    let unit = g.normalise("unit", &x, 1e-12);
    g.output("embedding", &unit, TensorType::F32, &[("n", -1), ("", width)]);
    let image = ekphrasis_onnx::write(&g.finish());

    let mut g = Graph::new("text", "a test", "a tower").for_opset(opset);
    let [ids, mask] = ["input_ids", "attention_mask"]
        .map(|name| g.input(name, TensorType::I64, &[("n", -1), ("s", -1)]));
    let table = g.f32s("table", &[30_522, width], &random.numbers(30_522 * width as usize, 1.0));
    let x = g.op("word", "Gather", &[&table, &ids], &[("axis", Attr::Int(0))]);
    let mask = g.cast("counts", &mask, TensorType::F32);
    let mask = g.unsqueeze("column", &mask, &[2]);
    let x = g.op("masked", "Mul", &[&x, &mask], &[]);
    let x = g.reduce("sum", "ReduceSum", &x, &[1], false);
    let count = g.reduce("count", "ReduceSum", &mask, &[1], false);
    let x = g.op("inner", "Div", &[&x, &count], &[]);
    let unit = g.normalise("unit", &x, 1e-12);
    g.output("embedding", &unit, TensorType::F32, &[("n", -1), ("", width)]);
    let text = ekphrasis_onnx::write(&g.finish());

    let mut manifest = format!(
        r#"format = 1
name = "foreign"
summary = "A test."
license = "MIT"
languages = ["en"]
[space]
id = "foreign-{opset}"
dim = {width}
[image]
file = "image.onnx"
input = "pixels"
output = "embedding"
[image.preprocess]
size = 8
resize = "exact"
interpolation = "bilinear"
mean = [0.5, 0.5, 0.5]
std = [0.5, 0.5, 0.5]
[text]
file = "text.onnx"
tokenizer = "tokenizer.json"
output = "embedding"
context = 32
padding = "longest"
pad_token = "[PAD]"
pooling = "mean"
[labels]
templates = ["{{}}"]
logit_scale = 10.0
"#
    );
    let files =
        [("image.onnx", image), ("text.onnx", text), ("tokenizer.json", tokenizer.to_vec())];
    for (name, bytes) in files {
        fs_err::write(dir.join(name), &bytes).expect("writable");
        let (len, sum) = (bytes.len(), sha256_hex(&bytes));
        writeln!(manifest, "[files.{name:?}]\nbytes = {len}\nsha256 = {sum:?}").expect("a string");
    }
    fs_err::write(dir.join("model.toml"), manifest).expect("writable");
    Model::open(dir).expect("a whole model")
}
