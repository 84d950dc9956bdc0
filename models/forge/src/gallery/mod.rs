//! Given the table of chosen pictures, what is the gallery that ships? Each
//! picture is taken out of its package, made small, and given a number for a
//! name, so that a demo search proves the vectors and not the file names; the
//! captions lie beside the folder, where indexing it does not see them.

mod rcc;
mod render;
mod sources;

use std::path::PathBuf;

use serde::Serialize;

use crate::Result;
use crate::packages::Packages;
use sources::Origin;

/// The chosen pictures: one line each, in the order of their numbers.
const SELECTION: &str = include_str!("selection.tsv");

/// The first line of the table.
const HEADINGS: &str = "number\tkind\tpackage\tfile\tcrop\tlicence\tauthor\tcaption";

/// What the pictures may weigh together, as they are cloned with the repository.
const MOST_BYTES: u64 = 10_000_000;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// The gallery's folder; gets pictures/, captions.jsonl and SOURCES.md.
    #[arg(long, default_value = "web/gallery")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Photograph,
    Painting,
    Drawing,
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
struct Chosen {
    number: u32,
    kind: Kind,
    origin: &'static Origin,
    /// The file in its package; after an exclamation mark, the file in that archive.
    file: &'static str,
    /// The part that is shown, where that is not all: x, y, width, height.
    crop: Option<[u32; 4]>,
    licence: &'static str,
    author: &'static str,
    caption: &'static str,
}

impl Chosen {
    /// The file's name in the gallery.
    fn name(&self) -> String {
        let extension = match self.kind {
            Kind::Photograph | Kind::Painting => "jpg",
            Kind::Drawing if self.file.ends_with(".webp") => "webp",
            Kind::Drawing => "png",
        };
        format!("{:04}.{extension}", self.number)
    }
}

/// A line of captions.jsonl.
#[derive(Serialize)]
struct Caption<'a> {
    path: String,
    caption: &'a str,
}

pub(crate) fn run(packages: &Packages, args: &Args) -> Result<()> {
    let chosen = parse(SELECTION)?;
    // Made beside and moved, so that a broken run leaves the old gallery whole.
    let pictures = args.out.join("pictures");
    let partial = args.out.join("pictures.partial");
    if partial.exists() {
        fs_err::remove_dir_all(&partial)?;
    }
    fs_err::create_dir_all(&partial)?;
    let mut total = 0;
    let mut captions = String::new();
    for one in &chosen {
        let bytes =
            made(packages, one).map_err(|e| format!("{:04} {}: {e}", one.number, one.file))?;
        total += bytes.len() as u64;
        fs_err::write(partial.join(one.name()), bytes)?;
        let line = Caption { path: format!("pictures/{}", one.name()), caption: one.caption };
        captions.push_str(&serde_json::to_string(&line)?);
        captions.push('\n');
    }
    if total > MOST_BYTES {
        return Err(format!("the pictures weigh {total} bytes, more than {MOST_BYTES}").into());
    }
    if pictures.exists() {
        fs_err::remove_dir_all(&pictures)?;
    }
    fs_err::rename(&partial, &pictures)?;
    fs_err::write(args.out.join("captions.jsonl"), captions)?;
    fs_err::write(args.out.join("SOURCES.md"), sources::document(&chosen))?;
    println!("{}: {} pictures, {total} bytes", pictures.display(), chosen.len());
    Ok(())
}

/// The bytes of the gallery's file.
fn made(packages: &Packages, one: &Chosen) -> Result<Vec<u8>> {
    let (file, inner) = match one.file.split_once('!') {
        Some((archive, inner)) => (archive, Some(inner)),
        None => (one.file, None),
    };
    let mut bytes = fs_err::read(packages.unpacked(one.origin.package)?.join(file))?;
    if let Some(inner) = inner {
        bytes = rcc::file(&bytes, inner)?.to_vec();
    }
    match one.kind {
        Kind::Photograph | Kind::Painting => render::photograph(&bytes, one.crop),
        // Small already; decoding and encoding would only lose.
        Kind::Drawing if one.file.ends_with(".webp") => Ok(bytes),
        Kind::Drawing => render::drawing(&bytes),
    }
}

fn parse(table: &'static str) -> Result<Vec<Chosen>> {
    let mut lines = table.lines();
    if lines.next() != Some(HEADINGS) {
        return Err(format!("the selection does not begin with {HEADINGS:?}").into());
    }
    let mut chosen = Vec::new();
    for line in lines {
        chosen.push(parse_line(line).map_err(|e| format!("{line:?}: {e}"))?);
    }
    Ok(chosen)
}

fn parse_line(line: &'static str) -> Result<Chosen> {
    let fields: Vec<&str> = line.split('\t').collect();
    let &[number, kind, package, file, crop, licence, author, caption] = fields.as_slice() else {
        return Err(format!("expected 8 fields, got {}", fields.len()).into());
    };
    let kind = match kind {
        "photograph" => Kind::Photograph,
        "painting" => Kind::Painting,
        "drawing" => Kind::Drawing,
        other => return Err(format!("no such kind: {other}").into()),
    };
    let origin = sources::origin(package).ok_or_else(|| format!("no such package: {package}"))?;
    let crop = if crop == "-" { None } else { Some(parse_crop(crop)?) };
    Ok(Chosen { number: number.parse()?, kind, origin, file, crop, licence, author, caption })
}

fn parse_crop(crop: &str) -> Result<[u32; 4]> {
    let sides = crop.split(',').map(str::parse).collect::<std::result::Result<Vec<u32>, _>>()?;
    sides.try_into().map_err(|_| format!("expected x,y,width,height, got {crop}").into())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::{Component, Path};

    use super::*;

    /// The gallery as the repository keeps it.
    const GALLERY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../web/gallery");

    #[test]
    fn the_selection_is_well_formed() -> Result<()> {
        let chosen = parse(SELECTION)?;
        assert!((150..=250).contains(&chosen.len()), "{} pictures", chosen.len());
        let mut files = HashSet::new();
        let mut captions = HashSet::new();
        for (i, one) in chosen.iter().enumerate() {
            assert_eq!(one.number as usize, i + 1);
            let inside =
                Path::new(one.file).components().all(|c| matches!(c, Component::Normal(_)));
            assert!(inside, "{}", one.file);
            assert!(files.insert((one.origin.package.name, one.file)), "twice: {}", one.file);
            assert!(captions.insert(one.caption), "twice: {}", one.caption);
            assert!(!one.author.is_empty(), "{}: no author", one.file);
            let allowed =
                ["public domain", "no known restrictions", "CC0-1.0", "MIT", "BSD-3-Clause"];
            let attributed = ["CC-BY-1.0", "CC-BY-2.0", "CC-BY-3.0", "CC-BY-4.0"];
            assert!(
                allowed.contains(&one.licence) || attributed.contains(&one.licence),
                "{}: {}",
                one.file,
                one.licence
            );
        }
        Ok(())
    }

    #[test]
    fn the_demo_words_have_one_picture_each_and_it_is_a_photograph() -> Result<()> {
        let chosen = parse(SELECTION)?;
        for word in ["cat", "coffee", "rocket", "motorcycle"] {
            let with: Vec<&Chosen> =
                chosen.iter().filter(|c| c.caption.split(' ').any(|w| w == word)).collect();
            assert_eq!(with.len(), 1, "{word}");
            assert_eq!(with[0].kind, Kind::Photograph, "{word}");
        }
        Ok(())
    }

    #[test]
    fn the_gallery_in_the_tree_is_the_selection() -> Result<()> {
        let gallery = Path::new(GALLERY);
        let chosen = parse(SELECTION)?;
        let mut found = Vec::new();
        let mut total = 0;
        for entry in fs_err::read_dir(gallery.join("pictures"))? {
            let entry = entry?;
            total += entry.metadata()?.len();
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
        found.sort();
        assert_eq!(found, chosen.iter().map(Chosen::name).collect::<Vec<_>>());
        assert!(total < MOST_BYTES, "{total} bytes");
        assert_eq!(
            fs_err::read_to_string(gallery.join("SOURCES.md"))?,
            sources::document(&chosen),
            "run the forge's `gallery` again"
        );
        let captions = fs_err::read_to_string(gallery.join("captions.jsonl"))?;
        let captions: Vec<serde_json::Value> =
            captions.lines().map(serde_json::from_str).collect::<std::result::Result<_, _>>()?;
        assert_eq!(captions.len(), chosen.len());
        for (line, one) in captions.iter().zip(&chosen) {
            assert_eq!(line["path"], format!("pictures/{}", one.name()));
            assert_eq!(line["caption"], one.caption);
        }
        Ok(())
    }

    #[test]
    fn a_bad_line_is_refused_with_its_words() {
        for (line, says) in [
            ("0001\tphotograph\tscikit-image", "expected 8 fields, got 3"),
            ("0001\tsong\tscikit-image\ta.png\t-\tMIT\tA\ta", "no such kind: song"),
            ("0001\tdrawing\tscikit-image\ta.png\t1,2\tMIT\tA\ta", "got 1,2"),
            ("0001\tdrawing\tnowhere\ta.png\t-\tMIT\tA\ta", "no such package: nowhere"),
        ] {
            assert!(parse_line(line).unwrap_err().to_string().contains(says), "{line}");
        }
    }
}
