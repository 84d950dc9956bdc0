//! A server of buckets (`moto`) that starts with a test and ends with it; its bucket is
//! `pictures`.

use std::path::Path;
use std::process::Child;
use std::sync::OnceLock;

use super::certificate;
use super::python::serve;

/// A server of buckets on a port of this machine. What it holds is gone when it is killed.
pub(crate) struct S3 {
    port: u16,
    tls: Option<[String; 2]>,
    child: Option<Child>,
}

impl S3 {
    /// Starts one.
    pub(crate) fn start() -> Self {
        let mut server = Self { port: 0, tls: None, child: None };
        server.start_again();
        server
    }

    /// Starts one that speaks TLS; writes into `folder` the authority to believe, `ca.pem`.
    pub(crate) fn start_with_tls(folder: &Path) -> Self {
        let files = certificate(folder);
        let tls = Some(files.map(|path| path.to_str().expect("UTF-8").to_owned()));
        let mut server = Self { port: 0, tls, child: None };
        server.start_again();
        server
    }

    /// One that all tests share which do nothing to it.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: OnceLock<S3> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// Starts it on the port it had, empty.
    pub(crate) fn start_again(&mut self) {
        let port = self.port.to_string();
        let tls = self.tls.iter().flatten().map(String::as_str);
        let args: Vec<_> = [&*port].into_iter().chain(tls).collect();
        let (child, port) = serve("s3_server", &args);
        (self.child, self.port) = (Some(child), port);
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("killed");
            child.wait().expect("gone");
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// What tells a program where it is.
    pub(crate) fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_ACCESS_KEY_ID", "tests".into()),
            ("AWS_SECRET_ACCESS_KEY", "hidden".into()),
        ]
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.kill();
    }
}
