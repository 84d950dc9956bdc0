//! `ek up` and `ek serve`. Without the feature `server` both say how to get it.

use super::Done;
use crate::cli::{Global, ServeOnlyArgs, UpArgs};
use crate::failure::Failure;

#[cfg(not(feature = "server"))]
fn absent(verb: &str) -> Result<Done, Failure> {
    Err(Failure::Environment(format!(
        "this ek was built without the server, so it has no `ek {verb}`; \
         `cargo install --path . --features server` builds one that has"
    )))
}

#[cfg(not(feature = "server"))]
pub(super) fn up(_: &Global, _: &UpArgs) -> Result<Done, Failure> {
    absent("up")
}

#[cfg(not(feature = "server"))]
pub(super) fn serve(_: &Global, _: &ServeOnlyArgs) -> Result<Done, Failure> {
    absent("serve")
}

#[cfg(feature = "server")]
pub(super) use with_server::{serve, up};

#[cfg(feature = "server")]
mod with_server {
    use std::net::SocketAddr;
    use std::path::PathBuf;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use ekphrasis_engine::{Config, Engine, OpenFor, Serving, Towers as _, watch};
    use ekphrasis_web::{Listener, ServeError, ServeOptions, Service};

    use super::super::index::{sentence, tell_event};
    use super::super::{config, cores, open_to_write, towers};
    use super::{Done, Failure, Global, ServeOnlyArgs, UpArgs};
    use crate::cli::ServeArgs;
    use crate::output::{self, ProgressLine};

    /// How often a server that only reads looks whether the store has another model.
    const LOOK: Duration = Duration::from_millis(500);

    impl From<ServeError> for Failure {
        fn from(error: ServeError) -> Self {
            match error {
                ServeError::KeyNeeded { .. } => Self::Usage(error.to_string()),
                _ => Self::Environment(error.to_string()),
            }
        }
    }

    pub(in super::super) fn up(global: &Global, args: &UpArgs) -> Result<Done, Failure> {
        let config = config(global)?;
        for dir in &args.dirs {
            if !dir.exists() {
                return Err(Failure::Usage(format!("there is no folder {}", dir.display())));
            }
        }
        let allowed = allowed(&args.serve)?;
        // Whether one may listen is settled before anything is written.
        let listener = bind(&args.serve, &config)?;
        let address = Some(format!("http://{}", listener.address()));
        let engine = open_to_write(global, &config, "ek up", address)?;
        let roots = roots(&args.dirs, &engine, &config)?;
        let serving = Arc::new(Serving::new(engine));

        // Searching works from the first moment; indexing goes on beside it.
        let stop = Arc::new(AtomicBool::new(false));
        let allowed = [allowed, roots.clone()].concat();
        let (indexer, raised, quiet) = (Arc::clone(&serving), Arc::clone(&stop), global.quiet);
        let indexing = std::thread::spawn(move || keep_indexed(&indexer, &roots, quiet, &raised));
        let served = listen(global, listener, serving, config, allowed);
        stop.store(true, Ordering::Relaxed);
        // A panic there has been printed already; the server's own result counts.
        let _ = indexing.join();
        served
    }

    pub(in super::super) fn serve(global: &Global, args: &ServeOnlyArgs) -> Result<Done, Failure> {
        let config = config(global)?;
        if let Some(store) = &args.store.store {
            return serve_shared(global, &config, args, store);
        }
        let args = &args.serve;
        let allowed = allowed(args)?;
        let listener = bind(args, &config)?;
        let towers = towers(global, &config, cores())?;
        let engine = Engine::open(&config.data, towers, OpenFor::Reading)?;
        let serving = Arc::new(Serving::new(engine));
        let stop = Arc::new(AtomicBool::new(false));
        let (follower, raised) = (Arc::clone(&serving), Arc::clone(&stop));
        let global_of_follower = global.clone();
        let following = std::thread::spawn(move || follow(&global_of_follower, &follower, &raised));
        let served = listen(global, listener, serving, config, allowed);
        stop.store(true, Ordering::Relaxed);
        // A panic there has been printed already; the server's own result counts.
        let _ = following.join();
        served
    }

    #[cfg(not(feature = "milvus"))]
    fn serve_shared(_: &Global, _: &Config, _: &ServeOnlyArgs, _: &str) -> Result<Done, Failure> {
        Err(super::super::stores::without_milvus())
    }

    /// One of any number of servers of a store that other machines share.
    #[cfg(feature = "milvus")]
    fn serve_shared(
        global: &Global,
        config: &Config,
        args: &ServeOnlyArgs,
        store: &str,
    ) -> Result<Done, Failure> {
        if !args.serve.allow.is_empty() {
            return Err(Failure::Usage(format!(
                "not supported by the store at {store}: indexing over HTTP (--allow); run ek index --store"
            )));
        }
        let listener = bind(&args.serve, config)?;
        let by = super::super::shared::OpenedBy::Server;
        let engine = super::super::shared::open(global, store, Some(&args.blobs), by)?;
        // The first query should not wait for the model; if it cannot be had, the query says why.
        let towers = Arc::clone(engine.towers());
        std::thread::spawn(move || towers.text().map(drop));
        let address = listener.address();
        let log = log_of(global);
        let service = ekphrasis_web::SharedService { engine: Arc::new(engine), log };
        listener.serve_shared(service, || say_listening(global, address))?;
        Ok(Done::Well)
    }

    /// Takes up the store that serves, once another process has moved to another model.
    fn follow(global: &Global, serving: &Serving, stop: &AtomicBool) {
        let mut told = String::new();
        while !stop.load(Ordering::Relaxed) {
            std::thread::sleep(LOOK);
            if serving.current().is_current().unwrap_or(true) {
                continue;
            }
            match open_anew(global) {
                Ok(engine) => serving.replace(engine),
                // Searches go on in the former store, and the next look tries again.
                Err(failure) => {
                    let why = failure.message().unwrap_or_default();
                    let why = format!("ek: the store has another model now: {why}");
                    if told != why {
                        output::note(&why);
                        told = why;
                    }
                }
            }
        }
    }

    fn open_anew(global: &Global) -> Result<Engine, Failure> {
        // Which model it is follows from the store.
        let config = config(&Global { model: None, ..global.clone() })?;
        let towers = towers(global, &config, cores())?;
        // The first search should not wait for the model.
        towers.text()?;
        Ok(Engine::open(&config.data, towers, OpenFor::Reading)?)
    }

    /// What was named; or else what was indexed before; or else the gallery.
    fn roots(named: &[PathBuf], engine: &Engine, config: &Config) -> Result<Vec<PathBuf>, Failure> {
        if !named.is_empty() {
            return super::super::index::absolute(named);
        }
        let before = engine.roots()?;
        if !before.is_empty() {
            return Ok(before);
        }
        match &config.gallery {
            Some(gallery) => Ok(vec![gallery.clone()]),
            None => Err(Failure::Usage("name a folder to index: `ek up DIR`".into())),
        }
    }

    fn keep_indexed(serving: &Serving, roots: &[PathBuf], quiet: bool, stop: &AtomicBool) {
        // A folder on a disk that is not there now waits for the watcher's sweeps.
        let there: Vec<PathBuf> = roots.iter().filter(|r| r.exists()).cloned().collect();
        for missing in roots.iter().filter(|r| !r.exists()) {
            output::note(&format!(
                "{} is not there now; what is known of it stays",
                missing.display()
            ));
        }
        for root in there {
            let shown = ProgressLine::plain(quiet);
            let result = serving.run(|engine| {
                let options = engine.options_of(&root)?;
                let roots = std::slice::from_ref(&root);
                engine.index(roots, &options, &|p, path| shown.show(p, path), stop)
            });
            shown.clear();
            match result {
                Ok(report) if !quiet => output::note(&sentence(&report)),
                Ok(_) => {}
                Err(error) => output::note(&format!("ek: {error}")),
            }
        }
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let result = watch(serving, roots, &|event| tell_event(quiet, &event), stop);
        if let Err(error) = result {
            output::note(&format!("ek: changes are not followed: {error}"));
        }
    }

    fn bind(args: &ServeArgs, config: &Config) -> Result<Listener, Failure> {
        Ok(Listener::bind(ServeOptions {
            bind: args.bind,
            port: args.port,
            api_key: config.api_key.clone(),
        })?)
    }

    /// Folders that clients may have indexed.
    fn allowed(args: &ServeArgs) -> Result<Vec<PathBuf>, Failure> {
        if let Some(missing) = args.allow.iter().find(|dir| !dir.is_dir()) {
            return Err(Failure::Usage(format!("there is no folder {}", missing.display())));
        }
        super::super::index::absolute(&args.allow)
    }

    fn listen(
        global: &Global,
        listener: Listener,
        serving: Arc<Serving>,
        config: Config,
        folders: Vec<PathBuf>,
    ) -> Result<Done, Failure> {
        // The first query should not wait for the model; if it cannot be had, the query says why.
        let towers = Arc::clone(serving.current().towers());
        std::thread::spawn(move || towers.text().map(drop));
        // Nobody waits for these: until they are there, pictures are described without them.
        let (stop, learner) = (Arc::new(AtomicBool::new(false)), Arc::clone(&serving));
        let stopped = Arc::clone(&stop);
        let learning = std::thread::spawn(move || learner.learn_nouns(&stopped));
        let address = listener.address();
        let service = Service { serving, config, folders, log: log_of(global) };
        let served = listener.serve(service, || say_listening(global, address));
        stop.store(true, Ordering::Relaxed);
        // That it could not be done costs the answers those nouns, and nothing else.
        let _ = learning.join();
        served?;
        Ok(Done::Well)
    }

    /// Tells of refused requests.
    fn log_of(global: &Global) -> Box<dyn Fn(&str) + Send + Sync> {
        let quiet = global.quiet;
        Box::new(move |line: &str| {
            if !quiet {
                output::note(line);
            }
        })
    }

    /// On standard output, so that scripts can wait for it.
    fn say_listening(global: &Global, address: SocketAddr) {
        let said = if global.json {
            output::json(&serde_json::json!({ "listening": format!("http://{address}") }))
        } else if global.quiet {
            Ok(())
        } else {
            output::line(&format!("Ekphrasis is at http://{address} (Ctrl-C ends it)"))
        };
        let _ = said;
    }
}
