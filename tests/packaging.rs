//! What people install: completions, manual pages, the release archive, the unit and the
//! container's command.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::support::{Home, Server, cache, repository};

/// What a command printed; it has to go well.
fn output(command: &mut Command) -> String {
    let run = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{command:?}: {said}");
    String::from_utf8(run.stdout).expect("UTF-8")
}

/// The verbs that `ek --help` lists.
fn verbs(home: &Home) -> BTreeSet<String> {
    let help = home.ek(&["--help"]).exits(0).stdout();
    let list = help.split_once("Commands:\n").expect("a list").1;
    let list = list.split_once("\n\n").expect("its end").0;
    // A line that goes on is indented more.
    let lines = list.lines().filter_map(|line| line.strip_prefix("  "));
    let first = lines.filter(|line| !line.starts_with(' ')).filter_map(|l| l.split(' ').next());
    first.filter(|verb| *verb != "help").map(str::to_owned).collect()
}

#[test]
fn shells_complete_what_is_typed() {
    let home = Home::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = home.ek(&["completions", shell]).exits(0).stdout();
        assert!(script.contains("min-confidence") && script.contains("mcp"), "{shell}");
    }
    assert!(home.ek(&["completions", "tcsh"]).exits(2).stderr().contains("bash"));
    // A real bash, with a word half typed.
    let script = home.path().join("ek.bash");
    fs_err::write(&script, home.ek(&["completions", "bash"]).stdout()).expect("written");
    let mut bash = Command::new("bash");
    bash.args([
        "-euc",
        "source \"$1\"; COMP_WORDS=(ek sea); COMP_CWORD=1; _ek ek sea ek; echo \"${COMPREPLY[@]}\"",
    ]);
    assert_eq!(output(bash.arg("bash").arg(script)).trim(), "search");
}

#[test]
fn every_verb_has_its_manual_page() {
    let home = Home::new();
    let page = home.ek(&["man"]).exits(0).stdout();
    assert!(page.contains(".TH ek 1") && page.contains("Exit codes"), "{page}");
    let folder = home.path().join("man1");
    home.ek(&["man", "--to", folder.to_str().expect("UTF-8")]).exits(0);
    let verbs = verbs(&home);
    assert!(verbs.contains("search") && verbs.contains("man"), "{verbs:?}");
    for verb in &verbs {
        let page = fs_err::read_to_string(folder.join(format!("ek-{verb}.1"))).expect("a page");
        assert!(page.contains(&format!(".TH ek-{verb} 1")), "{page}");
        assert!(page.contains(&format!("ek {verb}").replace('-', "\\-")), "{page}");
    }
    // One each, ek's own, and those of verbs that have verbs.
    let import = fs_err::read_to_string(folder.join("ek-model-import.1")).expect("a page");
    assert!(import.contains("\\-\\-name"), "{import}");
    let blocked = home.path().join("file");
    fs_err::write(&blocked, "").expect("written");
    let run = home.ek(&["man", "--to", blocked.to_str().expect("UTF-8")]).exits(3);
    assert!(run.stderr().contains("file"), "{}", run.stderr());
}

#[test]
fn the_unit_and_the_container_say_what_ek_understands() {
    let home = Home::new();
    let read = |name: &str| {
        let text = fs_err::read_to_string(repository().join("packaging").join(name));
        text.expect("readable")
    };
    let unit = read("ekphrasis.service");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/opt/ekphrasis/ek "));
    let start: Vec<&str> = start.expect("a command").split(' ').collect();
    let container = read("Containerfile");
    let command = container.lines().find_map(|line| line.strip_prefix("CMD ")).expect("a command");
    let command: Vec<String> = serde_json::from_str(command).expect("a list");
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    for arguments in [start, command] {
        assert_eq!(arguments[0], "up");
        home.ek(&[&arguments[..], &["--help"]].concat()).exits(0);
    }
    // It listens beyond its own loopback, so it must not start without a key.
    let run = home.ek(&["up", "--bind", "0.0.0.0", "--port", "0"]).exits(2);
    assert!(run.stderr().contains("EK_API_KEY"), "{}", run.stderr());
    let mut orders = container.lines().filter(|line| !line.starts_with('#'));
    assert!(!orders.any(|line| line.contains("EK_API_KEY")), "no key that all have");
}

/// `ek` out of an unpacked archive, with nothing in its environment but a home.
fn ek(root: &Path, home: &Path) -> Command {
    let mut command = Command::new(root.join("ek"));
    command.current_dir("/").env_clear().env("HOME", home);
    command
}

#[test]
fn an_archive_runs_where_nothing_else_is() {
    let home = Home::new();
    let (out, bare) = (home.folder("out"), home.folder("bare"));
    // Its debug information is most of a test's ek, and would be packed for long.
    let small = home.path().join("small");
    let mut strip = Command::new("strip");
    output(strip.arg("--strip-debug").arg("-o").arg(&small).arg(env!("CARGO_BIN_EXE_ek")));
    let mut script = Command::new(repository().join("packaging/archive.sh"));
    script
        .env("CARGO", env!("CARGO"))
        .arg("--executable")
        .arg(&small)
        .arg("--to")
        .arg(&out)
        .arg("--fast");
    let archive = output(&mut script);
    let archive = Path::new(archive.trim());
    assert_eq!(archive.parent(), Some(&*out));
    output(
        Command::new("sha256sum")
            .arg("-c")
            .arg(format!("{}.sha256", archive.display()))
            .current_dir(&out),
    );
    let left = fs_err::read_dir(&out).expect("readable").count();
    assert_eq!(left, 2, "nothing half made is left");
    output(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&bare));
    let name = archive.file_name().and_then(|name| name.to_str()).expect("UTF-8");
    let root = bare.join(name.strip_suffix(".tar.gz").expect("packed"));

    for file in [
        "README.md",
        "LICENSE",
        "NOTICE",
        "web/gallery/SOURCES.md",
        "web/gallery/LICENSES.md",
        "man/man1/ek-search.1",
        "completions/ek.bash",
        "completions/_ek",
        "service/ekphrasis.service",
    ] {
        assert!(root.join(file).is_file(), "{file} is missing");
    }
    let licences = fs_err::read_to_string(root.join("THIRD-PARTY.txt")).expect("there");
    for package in ["serde ", "tantivy ", "actix-web ", "rmcp "] {
        assert!(licences.lines().any(|line| line.starts_with(package)), "{package}");
    }
    assert!(!licences.contains(repository().to_str().expect("UTF-8")), "no paths of this machine");
    assert!(!licences.contains("ekphrasis-engine"), "only what others wrote");

    // Three pictures are enough to see that it is this gallery.
    let gallery = root.join("web/gallery/pictures");
    let pictures =
        fs_err::read_dir(&gallery).expect("readable").map(|entry| entry.expect("one").path());
    let mut pictures: Vec<_> = pictures.collect();
    pictures.sort();
    assert!(pictures.len() > 150, "{}", pictures.len());
    pictures.drain(3..).for_each(|path| fs_err::remove_file(path).expect("removed"));
    // As `--onnxruntime` packs it; otherwise it would be fetched.
    let lib = root.join("lib");
    fs_err::create_dir(&lib).expect("created");
    for folder in fs_err::read_dir(cache()).expect("readable").flatten() {
        if folder.file_name().to_string_lossy().starts_with("onnxruntime-") {
            for file in fs_err::read_dir(folder.path()).expect("readable").flatten() {
                fs_err::copy(file.path(), lib.join(file.file_name())).expect("copied");
            }
        }
    }

    let info = output(ek(&root, &bare).args(["model", "info", "--json"]));
    assert!(info.contains(root.join("models/lite").to_str().expect("UTF-8")), "{info}");
    let mut up = ek(&root, &bare);
    up.args(["up", "--port", "0", "--json"]);
    let server = Server::spawn(up);
    server.wait_for_images(3);
    let (_, status) = server.get("/v1/status");
    assert_eq!(status["roots"], serde_json::json!([gallery]), "{status}");
    assert_eq!(server.terminate(), 0);
    let found = output(ek(&root, &bare).args(["search", "a picture", "--json"]));
    let found: serde_json::Value = serde_json::from_str(&found).expect("JSON");
    let mut paths: Vec<_> = found["hits"].as_array().expect("hits").iter().collect();
    assert_eq!(paths.len(), 3, "{found}");
    paths.retain(|hit| {
        !hit["path"].as_str().is_some_and(|path| Path::new(path).starts_with(&gallery))
    });
    assert!(paths.is_empty(), "{paths:?}");
    let checks = output(ek(&root, &bare).args(["doctor", "--json"]));
    assert!(checks.contains(lib.to_str().expect("UTF-8")), "{checks}");
}
