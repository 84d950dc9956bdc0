//! A Python of the tests' own, with packages that are no part of the product.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The interpreter of a virtual environment that holds what `requirements` pins. It is made
/// at the first call and kept below the target folder.
pub(crate) fn python(requirements: &Path) -> PathBuf {
    // Tests that want the same one wait for whoever makes it.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = fs_err::read_to_string(requirements).expect("readable");
    let name = requirements.parent().and_then(Path::file_name).expect("a folder");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python").join(name);
    let (python, marker) = (folder.join("bin/python"), folder.join("requirements.txt"));
    // Written last, so that half an environment is made anew; and so is one of other pins.
    if fs_err::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return python;
    }
    let _ = fs_err::remove_dir_all(&folder);
    // Installed from outside, since to install pip there takes longer than all the rest.
    run(Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(&folder));
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "--python"]).arg(&python);
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--no-compile", "--no-deps"]);
    run(pip.arg("--requirement").arg(requirements));
    fs_err::write(marker, wanted).expect("written");
    python
}

fn run(command: &mut Command) {
    let output = command.output().expect("python3 with venv: apt-get install python3-venv");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
