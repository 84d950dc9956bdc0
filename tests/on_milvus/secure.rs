//! A Milvus server that speaks TLS and wants a token.

use std::path::Path;
use std::process::Child;

use crate::support::{Home, Milvus, Run, certificate, picture, serve};

const TOKEN: &str = "root:opensesame";

/// `milvus-lite` behind TLS.
struct Secure {
    port: u16,
    child: Child,
}

impl Secure {
    /// Its authority is `ca.pem` in `folder`.
    fn start(folder: &Path) -> Self {
        let files = certificate(folder).map(|path| path.to_str().expect("UTF-8").to_owned());
        let data = folder.join("milvus");
        let [certificate, key] = &files;
        let args = [data.to_str().expect("UTF-8"), "0", certificate, key, TOKEN];
        let (child, port) = serve("milvus_server", &args);
        Self { port, child }
    }
}

impl Drop for Secure {
    fn drop(&mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }
}

fn ek(home: &Home, token: Option<&str>, args: &[&str]) -> Run {
    let mut command = home.command(args);
    command.envs(token.map(|token| ("EK_MILVUS_TOKEN", token)));
    let output = command.output().expect("ek starts");
    Run::of(&command, output)
}

#[test]
fn a_server_behind_tls_is_used_by_whoever_believes_it_and_has_its_token() {
    let home = Home::new();
    let server = Secure::start(&home.path());
    let port = server.port;
    let store = |ca: &str| format!("milvus+tls://127.0.0.1:{port}/pictures{ca}");
    let fine = &store("?ca=ca.pem");
    picture(&home.folder("pictures").join("red.png"), [255, 0, 0]);
    picture(&home.folder("pictures").join("blue.png"), [0, 0, 255]);
    ek(&home, Some(TOKEN), &["index", "pictures", "--store", fine, "--quiet"]).exits(0);
    let search = ["search", "something blue", "--mode", "vector", "--json", "--store"];
    let found = ek(&home, Some(TOKEN), &[&search[..], &[fine]].concat()).exits(0).paths();
    assert!(found.len() == 2 && found[0].ends_with("blue.png"), "{found:?}");

    certificate(&home.folder("other"));
    fs_err::write(home.path().join("none.pem"), "no certificate").expect("written");
    let clear = format!("milvus://127.0.0.1:{port}/pictures");
    let to_plain = Milvus::new_address().replace("milvus://", "milvus+tls://");
    for (token, store, parts) in [
        (Some("root:shibboleth"), fine, &["refuses the token", "EK_MILVUS_TOKEN is"][..]),
        (Some("an-api-key"), fine, &["refuses the token", "EK_MILVUS_TOKEN is"]),
        (None, fine, &["wants a token", "set EK_MILVUS_TOKEN"]),
        (Some(TOKEN), &store(""), &["certificate is not believed", "?ca=FILE.pem"]),
        (Some(TOKEN), &store("?ca=other/ca.pem"), &["certificate is not believed"]),
        (Some(TOKEN), &store("?ca=none.pem"), &["no certificate (PEM) is in none.pem"]),
        (Some(TOKEN), &store("?ca=nowhere.pem"), &["nowhere.pem"]),
        (Some(TOKEN), &clear, &["if its port speaks TLS, write milvus+tls://"]),
        (Some(TOKEN), &to_plain, &["if its port speaks no TLS, write milvus://"]),
    ] {
        let said = ek(&home, token, &["status", "--store", store]).exits(3).stderr();
        println!("{said}");
        for part in parts {
            assert!(said.contains(part), "{store}: {part}: {said}");
        }
        let secret = token.map(|token| token.rsplit(':').next().unwrap_or_default());
        assert!(secret.is_none_or(|secret| !said.contains(secret)), "{said}");
    }
}
