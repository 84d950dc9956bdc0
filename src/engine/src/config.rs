//! Where does everything lie? Flag, then environment, then the platform's
//! custom: resolved here once. No other file reads the environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ekphrasis_index::LocalStore;
use ekphrasis_models::{Library, MANIFEST_FILE, Model, ProviderChoice};

use crate::generations::place;
use crate::models::model_to_use;
use crate::{Towers, of_store};

/// What was given on the command line, as written.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--data DIR`: the store.
    pub data: Option<PathBuf>,
    /// `--model DIR|NAME`: a model's folder, or the name of an imported one.
    pub model: Option<PathBuf>,
    /// `--onnxruntime FILE`: the library to load.
    pub onnxruntime: Option<PathBuf>,
    /// `--provider NAME|auto`: what computes.
    pub provider: Option<ProviderChoice>,
    /// The repository this executable was built in, if it is a build from source.
    pub repository: Option<PathBuf>,
}

/// Where everything lies. All paths absolute.
#[derive(Clone, Debug)]
pub struct Config {
    /// The store's folder: `--data` → `EK_DATA` → the platform's data folder + `/ekphrasis`.
    pub data: PathBuf,
    /// The model's folder: `--model` (a folder, else the name of an imported model)
    /// → the model that the store goes with, if it or another of its space was imported
    /// → the first home that has `models/lite`.
    pub model: PathBuf,
    /// The model that comes with the program, if a home has it.
    pub default_model: Option<PathBuf>,
    /// Where imported models lie: `models` in the store's folder.
    pub models: PathBuf,
    /// The demo gallery's pictures, if a home has them.
    pub gallery: Option<PathBuf>,
    /// What can be fetched again: `EK_CACHE` → the platform's cache folder + `/ekphrasis`.
    pub cache: PathBuf,
    /// `--onnxruntime`.
    pub onnxruntime: Option<PathBuf>,
    /// `ORT_DYLIB_PATH`.
    pub onnxruntime_env: Option<PathBuf>,
    /// What computes: `--provider` → `EK_PROVIDER` → the processor.
    pub provider: ProviderChoice,
    /// `EK_API_KEY`, for the server.
    pub api_key: Option<Secret>,
    /// `EK_MILVUS_TOKEN`: `user:password` or an API key, for stores on a Milvus server.
    pub milvus_token: Option<Secret>,
    /// For what is kept in a bucket (`--blobs s3://…`).
    pub s3: S3Settings,
    /// For `ek model pull`.
    pub hub: HubSettings,
}

/// A text that is not shown where what holds it is.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl std::ops::Deref for Secret {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// How the server of a bucket is reached, by the variables that all tools for it read.
#[derive(Clone, Default)]
pub struct S3Settings {
    /// `AWS_ENDPOINT_URL_S3` → `AWS_ENDPOINT_URL`: a server other than Amazon's.
    pub endpoint: Option<String>,
    /// `AWS_REGION` → `AWS_DEFAULT_REGION`.
    pub region: Option<String>,
    /// `AWS_ACCESS_KEY_ID`.
    pub key: Option<String>,
    /// `AWS_SECRET_ACCESS_KEY`.
    pub secret: Option<String>,
    /// `AWS_SESSION_TOKEN`, of keys that are valid for a while.
    pub token: Option<String>,
    /// `AWS_CA_BUNDLE`: a PEM file of the authorities to believe instead of those that
    /// browsers know.
    pub authorities: Option<PathBuf>,
}

impl std::fmt::Debug for S3Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3Settings")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("key", &self.key)
            // Secrets.
            .field("secret", &self.secret.is_some())
            .field("token", &self.token.is_some())
            .field("authorities", &self.authorities)
            .finish()
    }
}

impl S3Settings {
    fn resolve_in(env: Env<'_>) -> Self {
        let text = |name: &str| env(name).map(|value| value.to_string_lossy().into_owned());
        Self {
            endpoint: text("AWS_ENDPOINT_URL_S3").or_else(|| text("AWS_ENDPOINT_URL")),
            region: text("AWS_REGION").or_else(|| text("AWS_DEFAULT_REGION")),
            key: text("AWS_ACCESS_KEY_ID"),
            secret: text("AWS_SECRET_ACCESS_KEY"),
            token: text("AWS_SESSION_TOKEN"),
            authorities: env("AWS_CA_BUNDLE").map(PathBuf::from),
        }
    }
}

/// How a model hub is reached, by the variables that its own tools read. As written: what
/// makes no sense is told by who uses it.
#[derive(Clone, Default)]
pub struct HubSettings {
    /// `HF_ENDPOINT`: a mirror.
    pub endpoint: Option<String>,
    /// `HF_HUB_CACHE` → `HF_HOME` + `/hub` → `XDG_CACHE_HOME` or `~/.cache`, +
    /// `/huggingface/hub`. None if there is no home folder either.
    pub cache: Option<PathBuf>,
    /// `HF_TOKEN`.
    pub token: Option<String>,
    /// What holds it otherwise: `HF_TOKEN_PATH` → `token` beside the cache's `hub`.
    pub token_file: Option<PathBuf>,
    /// `HF_HUB_OFFLINE`: 1, on, yes or true.
    pub offline: bool,
    /// `HF_HUB_DOWNLOAD_TIMEOUT`, in seconds.
    pub timeout: Option<String>,
}

impl std::fmt::Debug for HubSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubSettings")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            // A secret.
            .field("token", &self.token.is_some())
            .field("token_file", &self.token_file)
            .field("offline", &self.offline)
            .field("timeout", &self.timeout)
            .finish()
    }
}

impl HubSettings {
    fn resolve_in(env: Env<'_>) -> Self {
        let text = |name: &str| env(name).map(|value| value.to_string_lossy().into_owned());
        let path = |name: &str| {
            env(name).map(|value| std::path::absolute(&value).unwrap_or_else(|_| value.into()))
        };
        // The same on every platform, as its own tools have it.
        let home = path("HF_HOME").or_else(|| {
            let cache = path("XDG_CACHE_HOME")
                .or_else(|| Some(path("HOME").or_else(|| path("USERPROFILE"))?.join(".cache")));
            Some(cache?.join("huggingface"))
        });
        let below = |name: &str| home.as_ref().map(|home| home.join(name));
        let yes = |value: String| {
            ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str())
        };
        Self {
            endpoint: text("HF_ENDPOINT"),
            cache: path("HF_HUB_CACHE").or_else(|| below("hub")),
            token: text("HF_TOKEN"),
            token_file: path("HF_TOKEN_PATH").or_else(|| below("token")),
            offline: text("HF_HUB_OFFLINE").is_some_and(yes),
            timeout: text("HF_HUB_DOWNLOAD_TIMEOUT"),
        }
    }
}

/// Why the configuration could not be resolved.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No model anywhere.
    #[error(
        "the default model was not found; looked for models/lite/model.toml in {}. \
         Name a model's folder with --model, or set EK_HOME to the folder that holds models/lite",
        list(.looked)
    )]
    NoModel {
        /// Where it was looked for.
        looked: Vec<PathBuf>,
    },
    /// Neither a flag nor a home folder to derive the place from.
    #[error("no {what} folder is known on this machine (HOME is not set); name one with {how}")]
    NoHome {
        /// `data` or `cache`.
        what: &'static str,
        /// The flag or variable.
        how: &'static str,
    },
    /// A key that no HTTP header can carry.
    #[error("EK_API_KEY is not valid UTF-8; choose a key of letters and digits")]
    Key,
    /// A token that no request to a Milvus server can carry.
    #[error("EK_MILVUS_TOKEN is not valid UTF-8; it is user:password or an API key")]
    MilvusToken,
    /// A provider that nobody knows.
    #[error("EK_PROVIDER: {0}")]
    Provider(String),
    /// A path that cannot be made absolute.
    #[error("{path}: {source}", path = path.display())]
    Path {
        /// As given.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

fn list(paths: &[PathBuf]) -> String {
    let shown: Vec<_> = paths.iter().map(|p| p.display().to_string()).collect();
    shown.join(", ")
}

/// The environment, as a function, so that tests need not change the real one.
type Env<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl Config {
    /// Resolves flags against the process's environment.
    ///
    /// # Errors
    /// [`ConfigError`] where no place can be found.
    pub fn resolve(flags: &Flags) -> Result<Self, ConfigError> {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
        let env = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
        let beside = std::env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_path_buf()));
        Self::resolve_in(flags, &env, beside)
    }

    /// The same with the model that the store has now, if it was moved to another one since.
    #[must_use]
    pub fn of_the_store(&self) -> Self {
        let space = place::serving(&self.data)
            .ok()
            .and_then(|(_, dir)| LocalStore::space_of(&dir).ok().flatten());
        let fits =
            |dir: &Path| Model::open(dir).is_ok_and(|model| Some(model.space()) == space.as_ref());
        let mut this = self.clone();
        if !fits(&self.model) {
            let library = Library::at(self.models.clone());
            let default = self.default_model.as_deref();
            let found = of_store::model_of_serving(&self.data, &library, default);
            let default = self.default_model.clone().filter(|dir| fits(dir));
            this.model = found.map(|found| found.dir).or(default).unwrap_or(this.model);
        }
        this
    }

    /// The same with the model that these towers are of, if it is one that a name finds.
    #[must_use]
    pub fn of_towers(&self, towers: &dyn Towers) -> Self {
        let named = towers.known_as().and_then(|name| model_to_use(self, name).ok());
        match named {
            Some(model) => Self { model, ..self.clone() },
            None => self.of_the_store(),
        }
    }

    fn resolve_in(
        flags: &Flags,
        env: Env<'_>,
        beside: Option<PathBuf>,
    ) -> Result<Self, ConfigError> {
        let data = match flags.data.clone().or_else(|| env("EK_DATA").map(PathBuf::from)) {
            Some(dir) => dir,
            None => {
                platform_dir(env, "XDG_DATA_HOME", ".local/share", "Library/Application Support")
                    .ok_or(ConfigError::NoHome { what: "data", how: "--data or EK_DATA" })?
            }
        };
        let cache = match env("EK_CACHE").map(PathBuf::from) {
            Some(dir) => dir,
            None => platform_dir(env, "XDG_CACHE_HOME", ".cache", "Library/Caches")
                .ok_or(ConfigError::NoHome { what: "cache", how: "EK_CACHE" })?,
        };
        // One layout everywhere: a release archive and the repository look alike.
        let homes: Vec<PathBuf> = env("EK_HOME")
            .map(PathBuf::from)
            .into_iter()
            .chain(beside)
            .chain(flags.repository.clone())
            .collect();
        let data = absolute(&data)?;
        let models = data.join("models");
        let library = Library::at(models.clone());
        let default_model = homes
            .iter()
            .map(|home| home.join("models/lite"))
            .find(|dir| dir.join(MANIFEST_FILE).is_file());
        let model = match &flags.model {
            Some(named) => model_named(named, &library),
            None => of_store::model_of_serving(&data, &library, default_model.as_deref())
                .map(|found| found.dir)
                .or_else(|| default_model.clone())
                .ok_or_else(|| ConfigError::NoModel { looked: homes.clone() })?,
        };
        let provider = match (flags.provider, env("EK_PROVIDER")) {
            (Some(choice), _) => choice,
            (None, Some(text)) => text.to_string_lossy().parse().map_err(ConfigError::Provider)?,
            (None, None) => ProviderChoice::default(),
        };
        let gallery =
            homes.iter().map(|home| home.join("web/gallery/pictures")).find(|dir| dir.is_dir());
        Ok(Self {
            data,
            model: absolute(&model)?,
            default_model: default_model.as_deref().map(absolute).transpose()?,
            models,
            gallery: gallery.as_deref().map(absolute).transpose()?,
            cache: absolute(&cache)?,
            onnxruntime: flags.onnxruntime.clone(),
            onnxruntime_env: env("ORT_DYLIB_PATH").map(PathBuf::from),
            provider,
            api_key: match env("EK_API_KEY").map(OsString::into_string) {
                None => None,
                Some(Ok(key)) => Some(Secret(key)),
                Some(Err(_)) => return Err(ConfigError::Key),
            },
            milvus_token: match env("EK_MILVUS_TOKEN").map(OsString::into_string) {
                None => None,
                Some(Ok(token)) => Some(Secret(token)),
                Some(Err(_)) => return Err(ConfigError::MilvusToken),
            },
            s3: S3Settings::resolve_in(env),
            hub: HubSettings::resolve_in(env),
        })
    }
}

/// What `--model` means: a folder if there is a model in it, else an imported model.
fn model_named(named: &Path, library: &Library) -> PathBuf {
    let imported = named.to_str().and_then(|name| library.find(name));
    match imported {
        Some(dir) if !named.join(MANIFEST_FILE).is_file() => dir,
        _ => named.into(),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, ConfigError> {
    std::path::absolute(path).map_err(|source| ConfigError::Path { path: path.into(), source })
}

fn platform_dir(env: Env<'_>, xdg: &str, linux: &str, macos: &str) -> Option<PathBuf> {
    let home = || env("HOME").or_else(|| env("USERPROFILE")).map(PathBuf::from);
    let base = if cfg!(target_os = "macos") {
        home()?.join(macos)
    } else if cfg!(windows) {
        env("LOCALAPPDATA").map(PathBuf::from)?
    } else {
        // The XDG specification: a relative path is to be ignored.
        match env(xdg).map(PathBuf::from).filter(|p| p.is_absolute()) {
            Some(dir) => dir,
            None => home()?.join(linux),
        }
    };
    Some(base.join("ekphrasis"))
}

#[cfg(test)]
mod tests {
    use ekphrasis_models::Provider;

    use super::*;

    fn env(pairs: &'static [(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
        move |name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| OsString::from(v))
    }

    fn home_with_model() -> tempfile::TempDir {
        let home = tempfile::tempdir().expect("a temporary folder");
        fs_err::create_dir_all(home.path().join("models/lite")).expect("created");
        fs_err::write(home.path().join("models/lite/model.toml"), "").expect("written");
        fs_err::create_dir_all(home.path().join("web/gallery/pictures")).expect("created");
        home
    }

    #[test]
    fn flag_beats_environment_beats_platform() {
        let repository = home_with_model();
        let mut flags = Flags { repository: Some(repository.path().into()), ..Flags::default() };
        let variables = env(&[("HOME", "/home/a"), ("EK_DATA", "/env/data")]);
        let config = Config::resolve_in(&flags, &variables, None).expect("resolves");
        assert_eq!(config.data, Path::new("/env/data"));
        flags.data = Some("/flag/data".into());
        let config = Config::resolve_in(&flags, &variables, None).expect("resolves");
        assert_eq!(config.data, Path::new("/flag/data"));
        assert_eq!(config.model, repository.path().join("models/lite"));
        assert_eq!(config.gallery, Some(repository.path().join("web/gallery/pictures")));
    }

    #[test]
    fn a_provider_is_named_by_flag_or_environment_and_nonsense_is_refused() {
        let mut flags = Flags { model: Some("/m".into()), ..Flags::default() };
        let resolve = |flags: &Flags, variables| {
            Config::resolve_in(flags, &env(variables), None).map(|config| config.provider)
        };
        let cuda = &[("HOME", "/home/a"), ("EK_PROVIDER", "CUDA")];
        assert_eq!(resolve(&flags, &[("HOME", "/home/a")]).ok(), Some(ProviderChoice::default()));
        assert_eq!(resolve(&flags, cuda).ok(), Some(ProviderChoice::Only(Provider::Cuda)));
        let error = resolve(&flags, &[("HOME", "/home/a"), ("EK_PROVIDER", "gpu")]);
        let error = error.expect_err("no such provider").to_string();
        assert!(error.contains("EK_PROVIDER") && error.contains("\"gpu\""), "{error}");
        flags.provider = Some(ProviderChoice::Auto);
        assert_eq!(resolve(&flags, cuda).ok(), Some(ProviderChoice::Auto));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn platform_folders_follow_xdg() {
        let flags = Flags { model: Some("/m".into()), ..Flags::default() };
        let variables = env(&[("HOME", "/home/a"), ("XDG_CACHE_HOME", "relative")]);
        let config = Config::resolve_in(&flags, &variables, None).expect("resolves");
        assert_eq!(config.data, Path::new("/home/a/.local/share/ekphrasis"));
        assert_eq!(config.cache, Path::new("/home/a/.cache/ekphrasis"));
    }

    #[test]
    fn what_is_beside_the_executable_beats_the_repository() {
        let (beside, repository) = (home_with_model(), home_with_model());
        let flags = Flags { repository: Some(repository.path().into()), ..Flags::default() };
        let variables = env(&[("HOME", "/home/a")]);
        let config = Config::resolve_in(&flags, &variables, Some(beside.path().into()));
        assert_eq!(config.expect("resolves").model, beside.path().join("models/lite"));
    }

    #[test]
    fn the_hub_is_where_its_own_tools_say() {
        let hub = HubSettings::resolve_in(&env(&[("HOME", "/home/a")]));
        assert_eq!(hub.cache.as_deref(), Some(Path::new("/home/a/.cache/huggingface/hub")));
        assert_eq!(hub.token_file.as_deref(), Some(Path::new("/home/a/.cache/huggingface/token")));
        assert!(hub.endpoint.is_none() && hub.token.is_none() && !hub.offline);
        let hub = HubSettings::resolve_in(&env(&[
            ("HF_HOME", "/hf"),
            ("HF_TOKEN", "hf_secret"),
            ("HF_HUB_OFFLINE", "True"),
            ("HF_ENDPOINT", "https://mirror.example"),
        ]));
        assert_eq!(hub.cache.as_deref(), Some(Path::new("/hf/hub")));
        assert!(hub.offline && hub.endpoint.as_deref() == Some("https://mirror.example"));
        let shown = format!("{hub:?}");
        assert!(!shown.contains("secret"), "{shown}");
        let hub = HubSettings::resolve_in(&env(&[
            ("HF_HOME", "/hf"),
            ("HF_HUB_CACHE", "/cache"),
            ("HF_TOKEN_PATH", "/t"),
            ("HF_HUB_OFFLINE", "0"),
        ]));
        assert_eq!(hub.cache.as_deref(), Some(Path::new("/cache")));
        assert_eq!(hub.token_file.as_deref(), Some(Path::new("/t")));
        assert!(!hub.offline);
        assert!(HubSettings::resolve_in(&|_| None).cache.is_none());
    }

    #[test]
    fn buckets_are_reached_as_by_other_tools() {
        let s3 = S3Settings::resolve_in(&env(&[
            ("AWS_ENDPOINT_URL", "http://all:1"),
            ("AWS_ENDPOINT_URL_S3", "http://s3:1"),
            ("AWS_DEFAULT_REGION", "there"),
            ("AWS_ACCESS_KEY_ID", "name"),
            ("AWS_SECRET_ACCESS_KEY", "hidden"),
            ("AWS_SESSION_TOKEN", "hidden, too"),
        ]));
        assert_eq!(s3.endpoint.as_deref(), Some("http://s3:1"));
        assert_eq!((s3.region.as_deref(), s3.key.as_deref()), (Some("there"), Some("name")));
        let shown = format!("{s3:?}");
        assert!(shown.contains("name") && !shown.contains("hidden"), "{shown}");
        let s3 = S3Settings::resolve_in(&env(&[
            ("AWS_ENDPOINT_URL", "http://all:1"),
            ("AWS_REGION", "here"),
            ("AWS_DEFAULT_REGION", "there"),
        ]));
        assert_eq!(s3.endpoint.as_deref(), Some("http://all:1"));
        assert_eq!((s3.region.as_deref(), s3.secret), (Some("here"), None));
    }

    #[test]
    fn secrets_are_not_shown() {
        let flags = Flags { model: Some("/m".into()), ..Flags::default() };
        let variables = env(&[
            ("HOME", "/home/a"),
            ("EK_API_KEY", "hidden key"),
            ("EK_MILVUS_TOKEN", "root:hidden"),
            ("AWS_SECRET_ACCESS_KEY", "hidden"),
            ("HF_TOKEN", "hf_hidden"),
        ]);
        let config = Config::resolve_in(&flags, &variables, None).expect("resolves");
        assert_eq!(config.milvus_token.as_deref(), Some("root:hidden"));
        assert_eq!(config.api_key.as_deref(), Some("hidden key"));
        let shown = format!("{config:?}");
        assert!(shown.contains("milvus_token") && !shown.contains("hidden"), "{shown}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let variables = env(&[("HOME", "/home/a"), ("EK_HOME", "/nowhere")]);
        let error = Config::resolve_in(&Flags::default(), &variables, None).expect_err("no model");
        let message = error.to_string();
        assert!(message.contains("/nowhere") && message.contains("--model"), "{message}");
        let flags = Flags { model: Some("/m".into()), ..Flags::default() };
        let error = Config::resolve_in(&flags, &|_| None, None).expect_err("no home");
        assert!(error.to_string().contains("--data"), "{error}");
    }
}
