//! Certificates for servers on this machine, with an authority of their own.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::python::{folder_of, python};

/// Writes into `folder` the authority to believe, `ca.pem`, and gives the certificate and the key
/// of a server.
pub(crate) fn certificate(folder: &Path) -> [PathBuf; 2] {
    let files = folder_of("s3_server");
    let made = Command::new(python(&files.join("requirements.txt")))
        .arg(files.join("certificate.py"))
        .arg(folder)
        .status()
        .expect("python starts");
    assert!(made.success(), "certificates were not made");
    ["cert.pem", "key.pem"].map(|name| folder.join(name))
}
