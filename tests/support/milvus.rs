//! A Milvus server (`milvus-lite`) that starts with a test and ends with it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::python::python;

/// A `milvus-lite` server on a port of this machine.
pub(crate) struct Milvus {
    folder: PathBuf,
    port: u16,
    child: Option<Child>,
}

impl Milvus {
    /// Starts one whose data lie in `folder`.
    pub(crate) fn start(folder: &Path) -> Self {
        let mut server = Self { folder: folder.into(), port: 0, child: None };
        server.start_again();
        server
    }

    /// An address where nothing is yet, on the server that all tests of a binary share which do
    /// nothing to it. It ends with this process, since that holds its input.
    pub(crate) fn new_address() -> String {
        static SHARED: OnceLock<Milvus> = OnceLock::new();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = SHARED.get_or_init(|| {
            let name = concat!("milvus-", env!("CARGO_PKG_NAME"));
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
            // What a former run left.
            let _ = fs_err::remove_dir_all(&folder);
            Self::start(&folder)
        });
        server.address(&format!("store{}", COUNT.fetch_add(1, Ordering::Relaxed)))
    }

    /// Starts it on the port it had.
    pub(crate) fn start_again(&mut self) {
        // Tests of this package and of those below it start it.
        let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
        let mut folders = above.map(|folder| folder.join("tests/milvus_server"));
        let files = folders.find(|folder| folder.is_dir()).expect("the repository");
        let mut child = Command::new(python(&files.join("requirements.txt")))
            .arg(files.join("serve.py"))
            .arg(&self.folder)
            .arg(self.port.to_string())
            .env_remove("PYTHONDONTWRITEBYTECODE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("python starts");
        let mut line = String::new();
        let output = child.stdout.take().expect("its output");
        BufReader::new(output).read_line(&mut line).expect("a line");
        let port = line.strip_prefix("ready ").and_then(|port| port.trim().parse().ok());
        self.port = port.unwrap_or_else(|| panic!("milvus-lite did not start: {line:?}"));
        self.child = Some(child);
    }

    /// Kills it, as a power failure would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("gone");
        }
    }

    /// The address of a store.
    pub(crate) fn address(&self, collection: &str) -> String {
        format!("milvus://127.0.0.1:{}/{collection}", self.port)
    }
}

impl Drop for Milvus {
    fn drop(&mut self) {
        self.kill();
    }
}
