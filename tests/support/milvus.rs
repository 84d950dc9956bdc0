//! A Milvus server (`milvus-lite`) that starts with a test and ends with it.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::python::serve;

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
        let folder = self.folder.to_str().expect("UTF-8");
        let (child, port) = serve("milvus_server", &[folder, &self.port.to_string()]);
        self.port = port;
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
