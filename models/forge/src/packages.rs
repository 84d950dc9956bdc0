//! Given a package's name and version, where are its files? Fetched once with
//! the registry's own client, checked against a pinned hash, and unpacked.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

use crate::Result;

/// A registry, and so the client that fetches from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registry {
    /// PyPI, by `python3 -m pip download`; the archive is a zip (wheel).
    PyPi,
    /// npm, by `npm pack`; the archive is a gzipped tar.
    Npm,
    /// Debian, by `apt-get download`; the archive is unpacked by `dpkg-deb`.
    Debian,
}

impl Registry {
    /// What to try when its client is absent or refuses.
    fn remedy(self) -> &'static str {
        match self {
            Self::PyPi => "It needs python3 with pip (Debian: `apt-get install python3-pip`)",
            Self::Npm => "It needs npm (Debian: `apt-get install npm`)",
            Self::Debian => {
                "It needs apt-get and dpkg-deb, fresh lists (`apt-get update`) and a release that has this version"
            }
        }
    }
}

/// One pinned package.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Package {
    pub(crate) registry: Registry,
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// SHA-256 of the archive in hex.
    pub(crate) sha256: &'static str,
}

/// The packages' cache on disk.
pub(crate) struct Packages {
    root: PathBuf,
}

impl Packages {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The folder with the package's unpacked files; fetched if it is not there yet.
    pub(crate) fn unpacked(&self, package: &Package) -> Result<PathBuf> {
        let home = self
            .root
            .join(format!("{}-{}", package.name, package.version).replace(['/', ':'], "+"));
        let files = home.join("files");
        if files.is_dir() {
            return Ok(files);
        }
        fs_err::create_dir_all(&home)?;
        eprintln!("fetching {} {} …", package.name, package.version);
        let archive = fetch(package, &home)?;
        let got = sha256(&archive)?;
        if got != package.sha256 {
            return Err(format!(
                "{}: expected sha256 {}, got {got}; delete the file and try again, or pin the new hash after looking at what changed",
                archive.display(),
                package.sha256
            )
            .into());
        }
        // Unpacked beside and moved, so that a broken run leaves nothing half done.
        let partial = home.join("partial");
        if partial.exists() {
            fs_err::remove_dir_all(&partial)?;
        }
        fs_err::create_dir_all(&partial)?;
        unpack(package.registry, &archive, &partial)?;
        fs_err::rename(&partial, &files)?;
        Ok(files)
    }
}

fn fetch(package: &Package, home: &Path) -> Result<PathBuf> {
    let before = archives(home)?;
    if let [archive] = before.as_slice() {
        return Ok(archive.clone());
    }
    let Package { name, version, .. } = package;
    let mut command;
    match package.registry {
        Registry::PyPi => {
            command = Command::new("python3");
            command.args(["-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]);
            command.args(["--python-version", "3.11", "-d", "."]);
            for platform in
                ["manylinux_2_28_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64"]
            {
                command.args(["--platform", platform]);
            }
            command.arg(format!("{name}=={version}"));
        }
        Registry::Npm => {
            command = Command::new("npm");
            command.args(["pack", "--silent", &format!("{name}@{version}")]);
        }
        Registry::Debian => {
            command = Command::new("apt-get");
            // The client's sandbox user may not write below a private folder.
            command.args(["-q", "-o", "APT::Sandbox::User=root", "download"]);
            command.arg(format!("{name}={version}"));
        }
    }
    // Clients are chatty on standard output, where the result belongs.
    command.current_dir(home).stdout(std::process::Stdio::null());
    run(&mut command).map_err(|e| {
        format!(
            "{name} {version} is not fetched: {e}. {}; or put its archive into {} by hand",
            package.registry.remedy(),
            home.display()
        )
    })?;
    match archives(home)?.as_slice() {
        [archive] => Ok(archive.clone()),
        other => {
            Err(format!("{}: expected one archive, found {}", home.display(), other.len()).into())
        }
    }
}

fn archives(home: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(home)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "whl" || e == "tgz" || e == "deb") {
            found.push(path);
        }
    }
    Ok(found)
}

fn unpack(registry: Registry, archive: &Path, to: &Path) -> Result<()> {
    match registry {
        Registry::PyPi => {
            zip::ZipArchive::new(fs_err::File::open(archive)?)?.extract(to)?;
            Ok(())
        }
        Registry::Npm => {
            let mut command = Command::new("tar");
            run(command.arg("-xzf").arg(archive).arg("-C").arg(to).arg("--strip-components=1"))
        }
        Registry::Debian => run(Command::new("dpkg-deb").arg("-x").arg(archive).arg(to)),
    }
}

fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let status = command.status().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => {
            format!("{} is not installed", command.get_program().display())
        }
        _ => format!("cannot start {shown}: {e}"),
    })?;
    if status.success() { Ok(()) } else { Err(format!("{shown} failed ({status})").into()) }
}

/// SHA-256 of a file, in lower-case hex.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let digest = Sha256::digest(fs_err::read(path)?);
    Ok(digest.iter().map(|b| format!("{b:02x}")).collect())
}
