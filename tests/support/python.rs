//! A Python of the tests' own, with packages that are no part of the product.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

/// The most that is read of a server's first line.
const LONGEST_LINE: u64 = 4096;
/// How many of the last lines of its errors are kept.
const LAST_LINES: usize = 40;

/// The interpreter of a virtual environment that holds what `requirements` pins. It is made
/// at the first call and kept below the target folder.
pub(crate) fn python(requirements: &Path) -> PathBuf {
    try_python(requirements).unwrap_or_else(|why| panic!("{why}"))
}

/// The same, where it is no fault if it is not to be had.
pub(crate) fn try_python(requirements: &Path) -> Result<PathBuf, String> {
    // Tests that want the same one wait for whoever makes it.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = fs_err::read_to_string(requirements).expect("readable");
    let name = requirements.parent().and_then(Path::file_name).expect("a folder");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("python").join(name);
    let (python, marker) = (folder.join("bin/python"), folder.join("requirements.txt"));
    // Written last, so that half an environment is made anew; and so is one of other pins.
    if fs_err::read_to_string(&marker).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    let _ = fs_err::remove_dir_all(&folder);
    // Installed from outside, since to install pip there takes longer than all the rest.
    run(Command::new("python3").args(["-m", "venv", "--without-pip"]).arg(&folder))?;
    let mut pip = Command::new("python3");
    pip.args(["-m", "pip", "--python"]).arg(&python);
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--no-compile", "--no-deps"]);
    run(pip.arg("--requirement").arg(requirements))?;
    fs_err::write(marker, wanted).expect("written");
    Ok(python)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command
        .output()
        .map_err(|e| format!("{e}: python3 with venv: apt-get install python3-venv"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| format!("{command:?}: {said}"))
}

/// The folder of a server for tests, `serve.py` and its `requirements.txt`, below `tests`.
pub(crate) fn folder_of(server: &str) -> PathBuf {
    // Tests of this package and of those below it start it.
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let mut folders = above.map(|folder| folder.join("tests").join(server));
    folders.find(|folder| folder.is_dir()).expect("the repository")
}

/// Starts such a server, which ends with this process, since that holds its input; and the port
/// that it says it listens on.
pub(crate) fn serve(server: &str, args: &[&str]) -> (Child, u16) {
    try_serve(server, args).unwrap_or_else(|why| panic!("{why}"))
}

/// The same; says what the server said if it does not come up.
pub(crate) fn try_serve(server: &str, args: &[&str]) -> Result<(Child, u16), String> {
    /// How long it may take, on a machine that has other things to do.
    const PATIENCE: Duration = Duration::from_secs(120);
    let files = folder_of(server);
    let mut child = Command::new(python(&files.join("requirements.txt")))
        .arg(files.join("serve.py"))
        .args(args)
        .env_remove("PYTHONDONTWRITEBYTECODE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python starts");
    // Both are read to their ends, or the server would stand still once a pipe is full.
    let (give, take) = mpsc::channel();
    let mut output = BufReader::new(child.stdout.take().expect("its output"));
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = output.by_ref().take(LONGEST_LINE).read_line(&mut line);
        let _ = give.send(read.map(|_| line));
        let _ = std::io::copy(&mut output, &mut std::io::sink());
    });
    let said: Arc<Mutex<VecDeque<String>>> = Arc::default();
    let (kept, errors) = (Arc::clone(&said), child.stderr.take().expect("its errors"));
    let listening = std::thread::spawn(move || {
        for line in BufReader::new(errors).lines().map_while(Result::ok) {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push_back(line);
            if kept.len() > LAST_LINES {
                kept.pop_front();
            }
        }
    });
    let line = take.recv_timeout(PATIENCE);
    let ready = match &line {
        Ok(Ok(line)) => line.strip_prefix("ready ").and_then(|port| port.trim().parse().ok()),
        _ => None,
    };
    if let Some(port) = ready {
        return Ok((child, port));
    }
    child.kill().expect("killed");
    child.wait().expect("gone");
    // Its errors end with it, unless children of its own hold them.
    let since = Instant::now();
    while !listening.is_finished() && since.elapsed() < Duration::from_secs(1) {
        std::thread::sleep(Duration::from_millis(10));
    }
    let said = said.lock().unwrap_or_else(PoisonError::into_inner);
    let said: Vec<_> = said.iter().map(String::as_str).collect();
    Err(format!("{server} did not start: {line:?}\n{}", said.join("\n")))
}
