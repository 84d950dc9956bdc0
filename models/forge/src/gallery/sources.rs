//! Given the chosen pictures, whose are they, and under which licence? The
//! packages they come from, and the document that goes with the gallery.

use std::fmt::Write as _;

use super::{Chosen, Kind};
use crate::packages::{Package, Registry};
use crate::pairs;

/// A package that pictures come from.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) package: &'static Package,
    /// What grants the licences, as far as the package says.
    grants: &'static str,
}

/// The package with this name.
pub(super) fn origin(name: &str) -> Option<&'static Origin> {
    ORIGINS.iter().find(|o| o.package.name == name)
}

static ORIGINS: [Origin; 10] = [
    Origin {
        package: &Package {
            registry: Registry::PyPi,
            name: "scikit-image",
            version: "0.25.2",
            sha256: "24cc986e1f4187a12aa319f777b36008764e856e5013666a4a83f8df083c2641",
        },
        grants: "Sample pictures of scikit-image; the licence of each is in the notes of its function \
                 in `skimage/data/_fetchers.py`. The notes of two name none: the moon, and the \
                 motorcycle, which is from the Middlebury Stereo Dataset 2014 (no licence stated \
                 there either). Both are here under the BSD licence of the package that publishes \
                 them.",
    },
    Origin {
        package: &Package {
            registry: Registry::PyPi,
            name: "scikit-learn",
            version: "1.7.2",
            sha256: "89877e19a80c7b11a2891a27c21c4894fb18e2c2e077815bcade10d34287b20d",
        },
        grants: "Sample pictures of scikit-learn, `sklearn/datasets/images/README.txt`.",
    },
    Origin {
        package: &Package {
            registry: Registry::Debian,
            name: "lomiri-wallpapers-16.04",
            version: "20.04.0-2",
            sha256: "a99ff6a3bfe451e4cc0682ecb3cc82e71740626d59e4845ae34a0a0e45421eab",
        },
        grants: "Wallpapers of Ubuntu Touch; only those that the package's copyright file lists under \
                 CC-BY-4.0 or CC0-1.0.",
    },
    Origin {
        package: &Package {
            registry: Registry::Debian,
            name: "gcompris-qt-data",
            version: "3.1-2",
            sha256: "e9cf06ab2105529068df73085784e835d2ff03f870d2a8091f09125d40abac9f",
        },
        grants: "Pictures from Wikimedia Commons in GCompris; only those that the package's copyright \
                 file lists one by one under a free licence without share-alike, and whose content is \
                 what that entry describes (some files were replaced after the entry was written; \
                 those are not used).",
    },
    Origin {
        package: &Package {
            registry: Registry::Debian,
            name: "palapeli-data",
            version: "4:22.12.3-1",
            sha256: "69a15dce2ac25ed8708ac518cd0cee5f4eb0c70ed15da2fdb8899a19ac0ee058",
        },
        grants: "Jigsaw pictures of Palapeli whose `.desktop` file says Public Domain.",
    },
    Origin {
        package: &Package {
            registry: Registry::Npm,
            name: "three-globe",
            version: "2.41.0",
            sha256: "141b9e0f993f3b4af28b4b3653e480c69a7c21add684f4521910401e9f555d8d",
        },
        grants: "Maps made by NASA from satellite pictures (Blue Marble, Black Marble), which are in \
                 the public domain; the package is MIT.",
    },
    Origin {
        package: &Package {
            registry: Registry::Debian,
            name: "wordpress-theme-twentytwentyone",
            version: "6.1.9+dfsg1-0+deb12u1",
            sha256: "f99bace8357c7c7418db71c431d19acf062132133a48fa19f105a69d775d29a0",
        },
        grants: "Paintings by Berthe Morisot (1841-1895); the theme's `readme.txt` says Public domain.",
    },
    Origin {
        package: &Package {
            registry: Registry::Debian,
            name: "wordpress-theme-twentytwentytwo",
            version: "6.1.9+dfsg1-0+deb12u1",
            sha256: "ba8f9e0ffd1162f8a95b9e2ab3dc39b08be21b5e9917c4a72b0f484f5eceb17a",
        },
        grants: "Illustrations of the 18th to the early 20th century; the theme's `readme.txt` says CC0.",
    },
    Origin {
        package: &pairs::OPENCLIPART,
        grants: "Drawings of the Open Clip Art Library, dedicated to the public domain by those who \
                 drew them; their names are in the file names and in the SVG of each.",
    },
    Origin {
        package: &pairs::FLUENT,
        grants: "Microsoft's Fluent Emoji, MIT; shipped as published, without a change.",
    },
];

/// SOURCES.md: a part for each package, a line for each picture.
pub(super) fn document(chosen: &[Chosen]) -> String {
    let count = |kind: Kind| chosen.iter().filter(|c| c.kind == kind).count();
    let mut text = format!(
        "# Where the pictures come from\n\n\
         {} pictures: {} photographs and other pictures made by an instrument, {} paintings and prints, \
         {} drawings. This file is written by `cargo run -p ekphrasis-forge -- gallery`; the choice is \
         the table `models/forge/src/gallery/selection.tsv`.\n\n\
         Photographs and paintings are scaled down to at most 640 pixels a side and saved as JPEG; \
         drawings are put on white, cut out of their empty page, scaled down to at most 360 pixels and \
         saved as PNG. Where the table says so, a photograph is cut to its subject. Nothing else is \
         changed. The texts of the licences, or where they are found: \
         [LICENSES.md](LICENSES.md). The captions are ours, in the public domain (CC0-1.0).\n",
        chosen.len(),
        count(Kind::Photograph),
        count(Kind::Painting),
        count(Kind::Drawing),
    );
    for origin in &ORIGINS {
        let Package { registry, name, version, .. } = origin.package;
        let registry = match registry {
            Registry::PyPi => "PyPI",
            Registry::Npm => "npm",
            Registry::Debian => "Debian",
        };
        let from: Vec<&Chosen> = chosen.iter().filter(|c| c.origin.package.name == *name).collect();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n## {registry}: {name} {version} ({})\n\n{}\n\n\
             | picture | caption | author | licence | file in the package |\n|---|---|---|---|---|\n",
            from.len(),
            origin.grants
        );
        for c in from {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | `{}`{} |",
                c.name(),
                c.caption,
                c.author,
                c.licence,
                c.file,
                if c.crop.is_some() { ", cut" } else { "" }
            );
        }
    }
    text
}
