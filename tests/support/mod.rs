//! What the tests share: the program in a temporary folder, and its output.

mod album;
pub(crate) mod browser;
#[cfg(feature = "milvus")]
mod certificate;
pub(crate) mod hub;
#[cfg(feature = "milvus")]
mod milvus;
mod python;
#[cfg(feature = "milvus")]
mod s3;
mod server;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;

pub(crate) use album::{album, answers};
#[cfg(feature = "milvus")]
pub(crate) use certificate::certificate;
#[cfg(feature = "milvus")]
pub(crate) use milvus::Milvus;
pub(crate) use python::python;
#[cfg(feature = "milvus")]
pub(crate) use python::{serve, try_serve};
#[cfg(feature = "milvus")]
pub(crate) use s3::S3;
pub(crate) use server::Server;

/// The repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A golden reference file or folder.
pub(crate) fn reference(name: &str) -> PathBuf {
    repository().join("tests/fixtures/reference").join(name)
}

/// Where ONNX Runtime is kept between tests, so that it is fetched once.
pub(crate) fn cache() -> PathBuf {
    static READY: OnceLock<PathBuf> = OnceLock::new();
    let dir = READY.get_or_init(|| {
        let dir = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cache");
        let home = Home::new();
        let run = ek_in(&home, &dir, &["doctor"]).output().expect("ek starts");
        assert!(run.status.success(), "ek doctor: {}", String::from_utf8_lossy(&run.stderr));
        dir
    });
    dir.clone()
}

/// A folder of its own for a test: `data` for the store, the rest as it likes.
pub(crate) struct Home {
    dir: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a temporary folder") }
    }

    /// The real path, as the store knows it.
    pub(crate) fn path(&self) -> PathBuf {
        fs_err::canonicalize(self.dir.path()).expect("it is there")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// A new folder in it.
    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.path().join(name);
        fs_err::create_dir_all(&path).expect("created");
        path
    }

    /// Runs `ek`.
    pub(crate) fn ek(&self, args: &[&str]) -> Run {
        let output = ek_in(self, &cache(), args).output().expect("ek starts");
        Run { args: args.join(" "), output }
    }

    /// `ek`, not started yet.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        ek_in(self, &cache(), args)
    }
}

fn ek_in(home: &Home, cache: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ek"));
    command.args(args);
    command.current_dir(home.path()).env("EK_DATA", home.data()).env("EK_CACHE", cache);
    for name in ["EK_HOME", "EK_API_KEY", "EK_MILVUS_TOKEN", "EK_PROVIDER", "ORT_DYLIB_PATH"] {
        command.env_remove(name);
    }
    // A key of whoever runs the tests is for nobody here.
    for name in
        ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN", "ENDPOINT_URL", "ENDPOINT_URL_S3"]
    {
        command.env_remove(format!("AWS_{name}"));
    }
    command
}

/// What a run of `ek` printed and how it ended.
pub(crate) struct Run {
    args: String,
    output: Output,
}

impl Run {
    /// Of a command that was changed before it ran.
    pub(crate) fn of(command: &Command, output: Output) -> Self {
        let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
        Self { args: args.join(" "), output }
    }

    pub(crate) fn code(&self) -> i32 {
        self.output.status.code().unwrap_or(-1)
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// Insists on an exit code.
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(
            self.code(),
            code,
            "ek {}\nstdout: {}\nstderr: {}",
            self.args,
            self.stdout(),
            self.stderr()
        );
        self
    }

    /// The last line of standard output as JSON.
    pub(crate) fn json(&self) -> Value {
        let out = self.stdout();
        let line = out.lines().last().unwrap_or_default();
        serde_json::from_str(line)
            .unwrap_or_else(|e| panic!("ek {}: {e}: {out:?} {}", self.args, self.stderr()))
    }

    /// The paths of a search's hits, the best first.
    pub(crate) fn paths(&self) -> Vec<String> {
        let reply = self.json();
        let hits = reply["hits"].as_array().expect("hits");
        hits.iter().map(|h| h["path"].as_str().unwrap_or_default().to_owned()).collect()
    }
}

/// A small picture of one colour.
pub(crate) fn picture(path: &Path, colour: [u8; 3]) {
    image::RgbImage::from_pixel(48, 32, image::Rgb(colour)).save(path).expect("written");
}

impl Home {
    /// Runs `ek` as a user without rights; for tests of those, when run by root.
    pub(crate) fn ek_as_nobody(&self, args: &[&str]) -> Run {
        let plain = self.command(args);
        // The executable may lie where only root can go.
        let ek = self.path().join("ek");
        if !ek.exists() {
            fs_err::copy(plain.get_program().to_str().expect("UTF-8"), &ek).expect("copied");
            let all = std::os::unix::fs::PermissionsExt::from_mode(0o777);
            fs_err::set_permissions(self.path(), all).expect("opened");
        }
        let library_and_model = self.path().join("home");
        if !library_and_model.exists() {
            copy_folder(&cache(), &library_and_model.join("cache"));
            copy_folder(&repository().join("models/lite"), &library_and_model.join("models/lite"));
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(ek).args(args);
        command.current_dir(self.path()).env("EK_DATA", self.data());
        command.env("EK_CACHE", library_and_model.join("cache")).env("EK_HOME", library_and_model);
        Run { args: args.join(" "), output: command.output().expect("setpriv, of util-linux") }
    }
}

/// All files below a folder, as they are.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    fs_err::create_dir_all(to).expect("created");
    for entry in fs_err::read_dir(from).expect("readable") {
        let path = entry.expect("readable").path();
        let target = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs_err::copy(&path, &target).expect("copied");
            // What is fetched is its owner's alone; here it is for another.
            let all = std::os::unix::fs::PermissionsExt::from_mode(0o644);
            fs_err::set_permissions(&target, all).expect("opened");
        }
    }
}
