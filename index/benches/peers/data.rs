//! What is searched: clusters with an intrinsic dimension far below the space's, and
//! queries on either side of a modality gap. All of it follows from the constants here.

use std::io::Write;
use std::path::{Path, PathBuf};

use ekphrasis_index::conformance::Random;
use rayon::prelude::*;

/// Numbers in a vector.
pub(crate) const DIM: usize = 384;
/// Numbers that a vector really depends on.
const INTRINSIC: usize = 32;
pub(crate) const CLUSTERS: usize = 500;
/// Distance of a vector from its cluster's centre, in units of that of the centres from
/// their mean.
const SPREAD: f32 = 0.7;
/// Length of the part that is the same for all pictures, and that for all texts. These two
/// are as good as orthogonal: the modality gap.
const GAP: f32 = 0.8;
/// Length of the part that is noise in all dimensions.
const NOISE: f32 = 0.35;
/// How far a text is from the picture it is of, in units as above.
const APART: f32 = 0.5;
/// Queries of either kind.
pub(crate) const QUERIES: usize = 1000;
const SEED: u64 = 20_261_124;

/// What is searched for what.
pub(crate) struct Data {
    /// Pictures, one after the other.
    pub(crate) base: Vec<f32>,
    /// Pictures that are not among them.
    pub(crate) near: Vec<f32>,
    /// Texts of pictures that are.
    pub(crate) far: Vec<f32>,
    /// From which cluster each of `base` is, and then each of `near`. The `i`-th of `far`
    /// is from that of the `i`-th of `base`.
    pub(crate) clusters: Vec<u32>,
}

/// In words, for those who read the results.
pub(crate) fn describe(rows: usize) -> String {
    format!(
        "{rows} × {DIM}, {CLUSTERS} clusters of intrinsic dimension {INTRINSIC} (spread {SPREAD}), noise {NOISE}, \
         modality gap {GAP}; {QUERIES} queries in distribution (pictures) and {QUERIES} across the gap \
         (texts, {APART} from a picture), seed {SEED}"
    )
}

impl Data {
    /// `rows` pictures and the queries.
    pub(crate) fn make(rows: usize) -> Self {
        let mut maker = Maker::new();
        let (mut latents, mut base) = (vec![], Vec::with_capacity(rows * DIM));
        let mut clusters = vec![];
        for _ in 0..rows {
            let (cluster, latent) = maker.latent();
            clusters.push(cluster);
            base.extend(maker.vector(&latent, 0));
            if latents.len() < QUERIES {
                latents.push(latent);
            }
        }
        let (mut near, mut far) = (vec![], vec![]);
        for latent in &latents {
            let (cluster, other) = maker.latent();
            clusters.push(cluster);
            near.extend(maker.vector(&other, 0));
            let beside: Vec<f32> = latent.iter().map(|x| x + APART * maker.normal()).collect();
            far.extend(maker.vector(&beside, 1));
        }
        Self { base, near, far, clusters }
    }

    /// What `ek export` wrote: `texts.npy` is searched, for `phrases.npy` (in distribution)
    /// and `pictures.npy` (across the gap), of which up to [`QUERIES`] each are taken, evenly.
    pub(crate) fn read(folder: &Path) -> crate::Result<Self> {
        let some = |mut numbers: Vec<f32>| -> Vec<f32> {
            let step = (numbers.len() / DIM).div_ceil(QUERIES).max(1);
            numbers = numbers.chunks(DIM).step_by(step).flatten().copied().collect();
            numbers
        };
        let base = npy(&folder.join("texts.npy"))?;
        let clusters = vec![0; base.len() / DIM];
        let (near, far) = (npy(&folder.join("phrases.npy"))?, npy(&folder.join("pictures.npy"))?);
        Ok(Self { base, near: some(near), far: some(far), clusters })
    }

    /// Those that were read, in words.
    pub(crate) fn describe(&self) -> String {
        let count = |numbers: &[f32]| numbers.len() / DIM;
        format!(
            "Lemmas and glosses of WordNet 3.0 through the default model's text tower, {} × {DIM}; \
             {} queries in distribution (captions of the evaluation pairs) and {} across the gap \
             (their pictures), checksum {:08x}",
            count(&self.base),
            count(&self.near),
            count(&self.far),
            crc32fast::hash(bytemuck::cast_slice(&self.base)),
        )
    }

    /// Writes everything into `dir`, as plain little-endian numbers, with the true
    /// nearest `k` of each query.
    pub(crate) fn write(&self, dir: &Path, k: usize) -> std::io::Result<()> {
        for (name, numbers) in [("base", &self.base), ("near", &self.near), ("far", &self.far)] {
            write(&path(dir, name), bytemuck::cast_slice(numbers))?;
        }
        for (name, queries) in [("near-truth", &self.near), ("far-truth", &self.far)] {
            write(&path(dir, name), bytemuck::cast_slice(&self.truth(queries, k)))?;
        }
        self.write_clusters(dir)
    }

    /// The part of [`Data::write`] that filters are made of.
    pub(crate) fn write_clusters(&self, dir: &Path) -> std::io::Result<()> {
        write(&path(dir, "clusters"), bytemuck::cast_slice(&self.clusters))
    }

    fn truth(&self, queries: &[f32], k: usize) -> Vec<u32> {
        let one = |query: &[f32]| {
            let mut scored: Vec<(f32, u32)> =
                self.base.chunks(DIM).zip(0..).map(|(row, i)| (dot(row, query), i)).collect();
            scored.select_nth_unstable_by(k, |a, b| b.0.total_cmp(&a.0));
            scored.truncate(k);
            scored.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
            scored.into_iter().map(|s| s.1).collect::<Vec<_>>()
        };
        queries.par_chunks(DIM).flat_map_iter(one).collect()
    }
}

/// In eight sums, so that a million rows are done within the minute.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 8];
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for i in 0..8 {
            sums[i] += a[i] * b[i];
        }
    }
    sums.iter().sum()
}

/// The numbers in a NumPy file of little-endian f32 rows of [`DIM`].
fn npy(path: &Path) -> crate::Result<Vec<f32>> {
    let bytes = fs_err::read(path)?;
    let wrong = || format!("{} is no array of 32-bit floats, {DIM} wide", path.display());
    let length =
        bytes.get(8..10).filter(|_| bytes.starts_with(b"\x93NUMPY\x01")).ok_or_else(wrong)?;
    let start = 10 + usize::from(u16::from_le_bytes([length[0], length[1]]));
    let header = std::str::from_utf8(bytes.get(10..start).ok_or_else(wrong)?)?;
    let body = &bytes[start..];
    let fits = ["'<f4'", "'fortran_order': False", &format!(", {DIM})")];
    if !fits.iter().all(|part| header.contains(part)) || body.len() % (4 * DIM) != 0 {
        return Err(wrong().into());
    }
    Ok(body.chunks_exact(4).map(bytemuck::pod_read_unaligned).collect())
}

/// The file of one of `base`, `near`, `far`, `near-truth`, `far-truth`, `clusters`.
pub(crate) fn path(dir: &Path, name: &str) -> PathBuf {
    let end = if name.ends_with("truth") || name == "clusters" { "u32" } else { "f32" };
    dir.join(format!("{name}.{end}"))
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let part = path.with_extension("part");
    fs_err::File::create(&part)?.write_all(bytes)?;
    fs_err::rename(part, path)
}

struct Maker {
    random: Random,
    /// From what a vector depends on to the vector, row by row.
    map: Vec<f32>,
    centres: Vec<Vec<f32>>,
    /// What all pictures, and all texts, have in common.
    sides: [Vec<f32>; 2],
}

impl Maker {
    fn new() -> Self {
        let mut maker =
            Self { random: Random(SEED), map: vec![], centres: vec![], sides: [vec![], vec![]] };
        let scale = 1.0 / ((DIM * INTRINSIC) as f32).sqrt();
        maker.map = (0..DIM * INTRINSIC).map(|_| maker.normal() * scale).collect();
        maker.centres =
            (0..CLUSTERS).map(|_| (0..INTRINSIC).map(|_| maker.normal()).collect()).collect();
        maker.sides = [0, 1].map(|_| {
            let mut side: Vec<f32> = (0..DIM).map(|_| maker.normal()).collect();
            unit(&mut side);
            side
        });
        maker
    }

    /// Normal, by Box and Muller.
    fn normal(&mut self) -> f32 {
        let mut uniform = || ((self.random.bits() >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
        let (radius, angle) = ((-2.0 * uniform().ln()).sqrt(), std::f64::consts::TAU * uniform());
        (radius * angle.cos()) as f32
    }

    /// A cluster and something in it.
    fn latent(&mut self) -> (u32, Vec<f32>) {
        let cluster = self.random.below(CLUSTERS);
        let in_it = |i: usize| self.centres[cluster][i] + SPREAD * self.normal();
        (cluster as u32, (0..INTRINSIC).map(in_it).collect())
    }

    fn vector(&mut self, latent: &[f32], side: usize) -> Vec<f32> {
        let noise = NOISE / (DIM as f32).sqrt();
        let mut vector: Vec<f32> = (0..DIM)
            .map(|i| {
                let row = &self.map[i * INTRINSIC..(i + 1) * INTRINSIC];
                let said: f32 = row.iter().zip(latent).map(|(a, b)| a * b).sum();
                said + GAP * self.sides[side][i] + noise * self.normal()
            })
            .collect();
        unit(&mut vector);
        vector
    }
}

fn unit(vector: &mut [f32]) {
    let norm = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    vector.iter_mut().for_each(|x| *x /= norm);
}
