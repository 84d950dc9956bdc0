//! Every loss against another implementation: the value, and the length of its
//! gradient by the raw embeddings, through their normalisation.
//!
//! The expected figures were printed by this (Python 3, torch 2.15.0,
//! pytorch-metric-learning 2.9.0), whose losses are those of pytorch-metric-learning
//! where it has them, and else a few lines left to automatic differentiation:
//!
//! ```python
//! import torch, torch.nn.functional as F
//! from pytorch_metric_learning import losses, distances, reducers
//! torch.set_default_dtype(torch.float64)
//! n, d = 8, 5
//! k = torch.arange(n * d).reshape(n, d).double()
//! g = torch.tensor([0, 0, 1, 1, 2, 2, 3, 4])
//! rest = lambda: (torch.sin(3 * k + 1).requires_grad_(), torch.cos(2 * k * k / 7 + k).requires_grad_())
//! E1 = distances.LpDistance(normalize_embeddings=True, p=2, power=1)
//! E2 = distances.LpDistance(normalize_embeddings=True, p=2, power=2)
//! mean = reducers.MeanReducer()
//! same = g[:, None] == g[None]
//! def pml(loss): return lambda i, t: loss(i, g, ref_emb=t, ref_labels=g.clone())
//! def cos(i, t): return F.normalize(i) @ F.normalize(t).T
//! def hinges(s, m): return ((m + s - s.diag()[:, None]).clamp(min=0)).masked_fill(same, 0)
//! def bi(f): return lambda i, t: (lambda s: f(s) + f(s.T))(cos(i, t))
//! def smooth(s, m=.2, tau=.1):
//!     z = ((s - s.diag()[:, None] + m) / tau).masked_fill(same, -torch.inf)
//!     return tau * torch.cat([torch.zeros(n, 1), z], 1).logsumexp(1).mean()
//! def quad(s, a1=1., a2=.5):
//!     D = 2 - 2 * s; total = 0
//!     for a in range(n):
//!         n1 = max((j for j in range(n) if not same[a, j]), key=lambda j: s[a, j])
//!         n2 = max((j for j in range(n) if not same[a, j] and not same[n1, j]), key=lambda j: s[n1, j])
//!         total += F.relu(D[a, a] - D[a, n1] + a1) + F.relu(D[a, a] - D[n1, n2] + a2)
//!     return total / n
//! def marg(i, t):
//!     s = cos(i, t).masked_fill(same, -9); neg = s.argmax(1); a, p = same.nonzero(as_tuple=True)
//!     D = (2 - 2 * cos(i, t)).clamp(min=0).sqrt(); B, A = 1.2, .2
//!     terms = torch.cat([F.relu(D[a, p] - B + A), F.relu(B - D[a, neg[a]] + A)]); return terms.sum() / (terms > 0).sum()
//! c = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3]); cl = torch.tensor([0, 0, 0, 0, 1, 1, 1, 1])  # clusters, classes
//! def magnet(x, alpha=1.):
//!     mu = torch.stack([x[c == j].mean(0) for j in range(4)]); D = ((x[:, None] - mu) ** 2).sum(-1)
//!     own = D[torch.arange(n), c]; v = own.sum() / (n - 1); kc = torch.tensor([0, 0, 1, 1])
//!     other = (-D / (2 * v)).masked_fill(cl[:, None] == kc[None], -torch.inf)
//!     return F.relu(own / (2 * v) + alpha + other.logsumexp(1)).mean()
//! def proto(i, t):
//!     i, t = F.normalize(i), F.normalize(t); mu = torch.stack([t[g == j].mean(0) for j in range(5)])
//!     return F.cross_entropy(-10 * ((i[:, None] - mu) ** 2).sum(-1), g)
//! def npair(i, t, lam=.002):  # on the raw vectors
//!     s = (i @ t.T).masked_fill(same & ~torch.eye(n).bool(), -torch.inf); a = torch.arange(n)
//!     return F.cross_entropy(s, a) + F.cross_entropy(s.T, a) + lam * ((i ** 2).sum(1).mean() + (t ** 2).sum(1).mean())
//! W = torch.cos(torch.arange(5 * d).reshape(5, d).double())
//! A = dict(
//!  facenet=pml(losses.TripletMarginLoss(margin=.2, distance=E2)),
//!  euclid=pml(losses.TripletMarginLoss(margin=.05, distance=E1)),
//!  soft=lambda i, t: losses.TripletMarginLoss(margin=.2, distance=distances.CosineSimilarity(), smooth_loss=True, reducer=mean)(i, c, ref_emb=t, ref_labels=c.clone()),
//!  linear=pml(losses.ContrastiveLoss(pos_margin=0, neg_margin=1, distance=E1, reducer=mean)),
//!  supcon=pml(losses.SupConLoss(temperature=.07)),
//!  vse0=bi(lambda s: hinges(s, .2).sum() / n), vsepp=bi(lambda s: hinges(s, .2).max(1)[0].mean()),
//!  smooth=bi(smooth), quadruplet=lambda i, t: quad(cos(i, t)), margin=marg,
//!  clip=lambda i, t: losses.NTXentLoss(temperature=.07)(F.normalize(i), torch.arange(n), ref_emb=F.normalize(t), ref_labels=torch.arange(n)),
//!  npair=npair, magnet=lambda i, t: magnet(i), prototypes=proto,
//!  classes=lambda i, t: F.cross_entropy(16 * F.normalize(i) @ F.normalize(W).T, g))
//! for name, f in A.items():
//!     i, t = rest(); l = f(i, t); l.backward()
//!     print(f"{name:12s} {l.item():.9f} {i.grad.norm().item():.9f} {0 if t.grad is None else t.grad.norm().item():.9f}")
//! ```

use ekphrasis_metric::loss::{
    Contrastive, Distance, Form, InfoNce, Magnet, Margin, Outcome, Prototypes, Quadruplet,
    Reduction, Shape, SmoothMax, Triplet, classification, contrastive, info_nce, length_penalty,
    magnet, margin, n_pair, prototypes, quadruplet, smooth_max, triplet,
};
use ekphrasis_metric::select::{Selection, Selector};
use ekphrasis_metric::{LossError, Normalised, Relation, Relations, normalise};
use ndarray::{Array2, ArrayView2};
use rand::SeedableRng;
use rand_pcg::Pcg64;

const N: usize = 8;
const WIDTH: usize = 5;
const GROUPS: [u32; N] = [0, 0, 1, 1, 2, 2, 3, 4];
const TWOS: [u32; N] = [0, 0, 1, 1, 2, 2, 3, 3];

/// `i` of the script.
fn raw_images() -> Array2<f64> {
    Array2::from_shape_fn((N, WIDTH), |(i, j)| (3.0 * (i * WIDTH + j) as f64 + 1.0).sin())
}

/// `t` of the script.
fn raw_texts() -> Array2<f64> {
    Array2::from_shape_fn((N, WIDTH), |(i, j)| {
        let k = (i * WIDTH + j) as f64;
        (2.0 * k * k / 7.0 + k).cos()
    })
}

/// Both as unit rows.
fn embeddings() -> (Normalised<f64>, Normalised<f64>) {
    (normalise(raw_images().view()), normalise(raw_texts().view()))
}

/// Every row of the group is a positive, its own pair included.
fn all_positives(groups: &[u32]) -> Relations {
    let kinds = Array2::from_shape_fn((groups.len(), groups.len()), |(i, j)| {
        if groups[i] == groups[j] { Relation::Positive } else { Relation::Negative }
    });
    Relations::from_kinds(kinds.view())
}

fn length(x: &Array2<f64>) -> f64 {
    x.iter().map(|v| v * v).sum::<f64>().sqrt()
}

fn compare(name: &str, seen: [f64; 3], expected: [f64; 3]) {
    for (seen, expected) in seen.iter().zip(expected) {
        assert!((seen - expected).abs() < 1e-6, "{name}: {seen} where torch has {expected}");
    }
}

type Judge<'a> = &'a dyn Fn(
    ArrayView2<'_, f64>,
    &Relations,
    &mut Selector<'_>,
) -> Result<Outcome<f64>, LossError>;

/// Loss and gradients of one side, or of both with `both`.
fn similar(relations: &Relations, selection: Selection, both: bool, judge: Judge<'_>) -> [f64; 3] {
    let (images, texts) = embeddings();
    let s = images.rows.dot(&texts.rows.t());
    let mut rng = Pcg64::seed_from_u64(0);
    let mut selector = Selector { selection, dim: WIDTH, rng: &mut rng };
    let out = judge(s.view(), relations, &mut selector).expect("positives and negatives");
    let (mut loss, mut g) = (out.loss, out.gradient);
    if both {
        let back = judge(s.t(), relations, &mut selector).expect("positives and negatives");
        loss += back.loss;
        g += &back.gradient.t();
    }
    let of_images = images.backward(g.dot(&texts.rows).view());
    let of_texts = texts.backward(g.t().dot(&images.rows).view());
    [loss, length(&of_images), length(&of_texts)]
}

fn paired() -> Relations {
    Relations::paired(&GROUPS, None).expect("fits")
}

#[test]
fn triplets() {
    let nonzero = |distance, margin| Triplet {
        distance,
        shape: Shape::Hinge,
        margin,
        reduction: Reduction::NonZero,
    };
    let of = |relations: Relations, selection, both, options: Triplet| {
        similar(&relations, selection, both, &|s, r, sel| triplet(s, r, &options, sel))
    };
    let all = || all_positives(&GROUPS);
    let facenet = nonzero(Distance::SquaredEuclidean, 0.2);
    compare(
        "facenet",
        of(all(), Selection::All, false, facenet),
        [1.138_958_566, 0.717_973_068, 0.427_252_311],
    );
    let euclid = nonzero(Distance::Euclidean, 0.05);
    compare(
        "euclid",
        of(all(), Selection::All, false, euclid),
        [0.400_764_062, 0.208_893_109, 0.167_482_934],
    );
    let soft = Triplet::soft(0.2, 1.0);
    compare(
        "soft",
        of(all_positives(&TWOS), Selection::All, false, soft),
        [0.891_214_168, 0.142_288_364, 0.057_135_315],
    );
    let hinge = Triplet::hinge(0.2);
    compare(
        "vse0",
        of(paired(), Selection::All, true, hinge),
        [5.565_205_980, 3.523_616_128, 2.802_787_886],
    );
    compare(
        "vsepp",
        of(paired(), Selection::Hard, true, hinge),
        [1.652_351_948, 0.581_931_037, 0.758_503_037],
    );
    compare(
        "vsepp by k",
        of(paired(), Selection::KHardest(1), true, hinge),
        [1.652_351_948, 0.581_931_037, 0.758_503_037],
    );
}

#[test]
fn softmaxes() {
    let options = SmoothMax { margin: 0.2, temperature: 0.1 };
    let seen = similar(&paired(), Selection::All, true, &|s, r, _| smooth_max(s, r, &options));
    compare("smooth", seen, [1.749_459_943, 0.558_453_358, 0.724_143_923]);
    let options = InfoNce { scale: 1.0 / 0.07, all_positives: true };
    let judge: Judge<'_> = &|s, r, _| info_nce(s, r, &options);
    let seen = similar(&all_positives(&GROUPS), Selection::All, false, judge);
    compare("supcon", seen, [8.563_419_960, 2.748_806_779, 3.488_335_133]);
    let each: Vec<u32> = (0..N as u32).collect();
    let seen = similar(&all_positives(&each), Selection::All, false, judge);
    compare("clip", seen, [10.597_942_184, 4.094_184_327, 4.835_299_152]);
}

#[test]
fn pairs_quadruplets_and_the_boundary() {
    let options = Contrastive {
        distance: Distance::Euclidean,
        form: Form::Linear,
        margin: 1.0,
        balanced: true,
    };
    let all = all_positives(&GROUPS);
    let seen = similar(&all, Selection::All, false, &|s, r, sel| contrastive(s, r, &options, sel));
    compare("linear", seen, [1.437_259_543, 0.167_648_887, 0.083_809_116]);
    let options = Quadruplet { margin: 1.0, other_margin: 0.5 };
    let judge: Judge<'_> = &|s, r, sel| quadruplet(s, r, &options, sel);
    compare(
        "quadruplet",
        similar(&paired(), Selection::Hard, false, judge),
        [4.047_136_426, 1.511_925_981, 1.715_921_940],
    );
    let options = Margin { beta: 1.2, alpha: 0.2 };
    let judge: Judge<'_> = &|s, r, sel| margin(s, r, &options, sel);
    compare(
        "margin",
        similar(&all, Selection::Hard, false, judge),
        [0.420_714_522, 0.164_415_275, 0.133_148_105],
    );
}

#[test]
fn losses_over_embeddings() {
    let (images, texts) = embeddings();
    let raw = raw_images();
    let classes = [0, 0, 0, 0, 1, 1, 1, 1];
    let out = magnet(raw.view(), &classes, &TWOS, &Magnet { alpha: 1.0 }).expect("two classes");
    compare(
        "magnet",
        [out.loss, length(&out.gradient), 0.0],
        [1.401_131_595, 0.389_183_599, 0.000_000_000],
    );
    let (i, t) = (images.rows.view(), texts.rows.view());
    let out =
        prototypes(i, &GROUPS, t, &GROUPS, None, &Prototypes { scale: 10.0 }).expect("groups");
    let of_images = length(&images.backward(out.queries.view()));
    let of_texts = length(&texts.backward(out.support.view()));
    compare(
        "prototypes",
        [out.loss, of_images, of_texts],
        [6.934_297_949, 4.678_322_846, 4.267_930_123],
    );
    let (x, y) = (raw_images(), raw_texts());
    let s = x.dot(&y.t());
    let there = n_pair(s.view(), &paired()).expect("negatives");
    let back = n_pair(s.t(), &paired()).expect("negatives");
    let g = there.gradient + back.gradient.t();
    let (mut loss, mut lengths) = (there.loss + back.loss, [0.0, 0.0]);
    for (to, g, x) in [(0, g.dot(&y), &x), (1, g.t().dot(&x), &y)] {
        let unit = normalise(x.view());
        let (cost, slopes) = length_penalty(&unit.lengths, 0.002);
        loss += cost;
        let mut g = g;
        for (i, slope) in slopes.iter().enumerate() {
            g.row_mut(i).scaled_add(*slope, &unit.rows.row(i));
        }
        lengths[to] = length(&g);
    }
    compare("npair", [loss, lengths[0], lengths[1]], [5.204_915_841, 1.197_139_331, 1.449_087_272]);
    let weights = Array2::from_shape_fn((5, WIDTH), |(c, j)| ((c * WIDTH + j) as f64).cos());
    let out = classification(i, &GROUPS, weights.view(), 16.0).expect("classes");
    let of_images = length(&images.backward(out.gradient.view()));
    compare("classes", [out.loss, of_images, 0.0], [5.052_260_166, 9.613_459_726, 0.000_000_000]);
}
