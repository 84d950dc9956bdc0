//! Blobs in a bucket of Amazon S3, or of a server that speaks its protocol.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ekphrasis_milvus::Blocking;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path as Key;
use object_store::{
    BackoffConfig, ClientOptions, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions,
    PutPayload, RetryConfig,
};
use tokio::time::timeout;

use super::http::{Hyper, Unreachable};
use super::{BlobName, Blobs};
use crate::{EngineError, S3Settings};

/// What is waited before the second attempt; about twice as long before each next one,
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// but no longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// What a line carries at least: so much longer large files may take.
const BYTES_PER_SECOND: u64 = 1_000_000;

/// `s3://BUCKET` or `s3://BUCKET/PREFIX`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Address {
    bucket: String,
    /// What all keys begin with; may be empty.
    prefix: Key,
}

/// Not the name of a place in a bucket.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "a place in a bucket is written s3://BUCKET/PREFIX, the bucket of letters, digits, - and ., \
     the prefix without empty parts, . and ..; got {0:?}"
)]
pub struct ParseS3Error(String);

impl FromStr for S3Address {
    type Err = ParseS3Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || ParseS3Error(text.into());
        let rest = text.strip_prefix("s3://").ok_or_else(wrong)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if bucket.is_empty() || bucket.starts_with(['.', '-']) || !bucket.chars().all(plain) {
            return Err(wrong());
        }
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let prefix = Key::parse(prefix).map_err(|_| wrong())?;
        Ok(Self { bucket: bucket.into(), prefix })
    }
}

impl fmt::Display for S3Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.bucket)?;
        match self.prefix.as_ref() {
            "" => Ok(()),
            prefix => write!(f, "/{prefix}"),
        }
    }
}

/// How a bucket's server is asked.
#[derive(Clone, Copy, Debug)]
pub struct S3Options {
    /// How often the same is tried if the server cannot be reached or is too busy. At least once.
    pub attempts: usize,
    /// How long a call may take, attempts and waits included; a second more for each megabyte.
    pub deadline: Duration,
    /// For how long a server that was found to be away is not asked again.
    pub pause: Duration,
}

/// Four attempts within thirty seconds; asked again five seconds later.
impl Default for S3Options {
    fn default() -> Self {
        let [deadline, pause] = [30, 5].map(Duration::from_secs);
        Self { attempts: 4, deadline, pause }
    }
}

/// In a bucket, below a prefix.
pub struct S3Blobs {
    address: S3Address,
    /// Its server, as errors name it.
    endpoint: String,
    store: AmazonS3,
    options: S3Options,
    /// When it was found to be away, and why.
    away: Mutex<Option<(Instant, String)>>,
    runtime: Blocking,
}

/// Why a call failed.
enum Trouble {
    Late,
    Told(object_store::Error),
}

impl From<object_store::Error> for Trouble {
    fn from(error: object_store::Error) -> Self {
        Self::Told(error)
    }
}

impl S3Blobs {
    /// Nothing is sent before the first call.
    ///
    /// # Errors
    /// `Invalid` without a key, or with an endpoint that is no address; otherwise if the file of
    /// authorities cannot be read.
    pub fn new(
        address: S3Address,
        settings: &S3Settings,
        options: S3Options,
    ) -> Result<Self, EngineError> {
        let (Some(key), Some(secret)) = (&settings.key, &settings.secret) else {
            return Err(EngineError::Invalid(format!(
                "{address}: no key is given; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY \
                 (profiles and roles are not looked for)"
            )));
        };
        let plain = settings.endpoint.as_ref().is_some_and(|at| at.starts_with("http://"));
        if let Some(endpoint) = &settings.endpoint
            && !plain
            && !endpoint.starts_with("https://")
        {
            return Err(EngineError::Invalid(format!(
                "AWS_ENDPOINT_URL is written https://HOST or http://HOST:PORT; got {endpoint:?}"
            )));
        }
        let retry = RetryConfig {
            backoff: BackoffConfig {
                init_backoff: FIRST_WAIT,
                max_backoff: LONGEST_WAIT,
                base: 2.0,
            },
            max_retries: options.attempts.saturating_sub(1),
            retry_timeout: options.deadline,
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&address.bucket)
            .with_access_key_id(key)
            .with_secret_access_key(secret)
            .with_http_connector(Hyper::new(settings.authorities.as_deref())?)
            .with_client_options(ClientOptions::new().with_allow_http(plain))
            .with_retry(retry);
        if let Some(token) = &settings.token {
            builder = builder.with_token(token);
        }
        let region = settings.region.as_deref().unwrap_or("us-east-1");
        builder = builder.with_region(region);
        if let Some(endpoint) = &settings.endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        let of_amazon = || format!("https://s3.{region}.amazonaws.com");
        let endpoint = settings.endpoint.clone().unwrap_or_else(of_amazon);
        let store = builder.build().map_err(|e| EngineError::Invalid(format!("{address}: {e}")))?;
        let runtime = Blocking::new("blobs")?;
        Ok(Self { address, endpoint, store, options, away: Mutex::new(None), runtime })
    }

    fn key(&self, name: &BlobName) -> Key {
        name.to_string().split('/').fold(self.address.prefix.clone(), Key::join)
    }

    /// Asks, and waits for the answer, unless the server was away a moment ago. `doing` says to
    /// a person what for.
    fn ask<T>(
        &self,
        doing: &'static str,
        name: &BlobName,
        work: impl Future<Output = Result<T, Trouble>>,
    ) -> io::Result<T> {
        let failed = |kind, why: &str| {
            let (at, endpoint) = (&self.address, &self.endpoint);
            io::Error::new(kind, format!("{at}/{name} could not {doing} by {endpoint}: {why}"))
        };
        let away = || self.away.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((since, why)) = &*away()
            && since.elapsed() < self.options.pause
        {
            return Err(failed(io::ErrorKind::NotConnected, why));
        }
        let trouble = match self.runtime.block_on(work) {
            Ok(answer) => {
                *away() = None;
                return Ok(answer);
            }
            Err(trouble) => trouble,
        };
        let (kind, why) = match &trouble {
            Trouble::Late => {
                let seconds = self.options.deadline.as_secs_f32();
                (io::ErrorKind::TimedOut, format!("no answer within {seconds} s"))
            }
            Trouble::Told(error) => said(error),
        };
        let is_away = match &trouble {
            Trouble::Late => true,
            Trouble::Told(error) => innermost(error).is::<Unreachable>(),
        };
        if is_away {
            *away() = Some((Instant::now(), why.clone()));
        }
        Err(failed(kind, &why))
    }

    /// Within the time that so many bytes may take.
    async fn within<T>(
        &self,
        bytes: u64,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Trouble> {
        let time = self.options.deadline + Duration::from_secs(bytes / BYTES_PER_SECOND);
        Ok(timeout(time, work).await.map_err(|_| Trouble::Late)??)
    }

    async fn is_there(&self, key: &Key) -> Result<bool, Trouble> {
        match self.within(0, self.store.head(key)).await {
            Ok(_) => Ok(true),
            // Of a bucket that is not there the same is said; `put` and `get` tell them apart.
            Err(Trouble::Told(object_store::Error::NotFound { .. })) => Ok(false),
            Err(trouble) => Err(trouble),
        }
    }
}

impl Blobs for S3Blobs {
    fn get(&self, name: &BlobName) -> io::Result<Option<Vec<u8>>> {
        let key = self.key(name);
        self.ask("be read", name, async {
            let found = self.within(0, self.store.get_opts(&key, GetOptions::default())).await;
            let found = match found {
                Err(Trouble::Told(error)) if lacks_only_the_key(&error) => return Ok(None),
                found => found?,
            };
            let bytes = self.within(found.meta.size, found.bytes()).await?;
            Ok(Some(bytes.into()))
        })
    }

    fn has(&self, name: &BlobName) -> io::Result<bool> {
        let key = self.key(name);
        self.ask("be looked for", name, self.is_there(&key))
    }

    fn put(&self, name: &BlobName, bytes: &[u8]) -> io::Result<()> {
        let (key, size) = (self.key(name), bytes.len() as u64);
        let payload = PutPayload::from(bytes.to_vec());
        let put = |mode| {
            let options = PutOptions { mode, ..PutOptions::default() };
            self.within(size, self.store.put_opts(&key, payload.clone(), options))
        };
        self.ask("be written", name, async {
            match put(PutMode::Create).await {
                Ok(_) => return Ok(()),
                // Somebody else was first, or only began: some servers say both in one word.
                Err(Trouble::Told(object_store::Error::AlreadyExists { .. })) => {
                    if self.is_there(&key).await? {
                        return Ok(());
                    }
                }
                // Not every server knows the condition; the same bytes once more do no harm.
                Err(Trouble::Told(error)) if is_unknown_there(&error) => {}
                Err(trouble) => return Err(trouble),
            }
            put(PutMode::Overwrite).await.map(drop)
        })
    }
}

/// The error at the end of the chain, which says what happened.
fn innermost<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last
}

/// Whether the bucket is there.
fn lacks_only_the_key(error: &object_store::Error) -> bool {
    matches!(error, object_store::Error::NotFound { .. })
        && !innermost(error).to_string().contains("NoSuchBucket")
}

fn is_unknown_there(error: &object_store::Error) -> bool {
    innermost(error).to_string().contains("<Code>NotImplemented</Code>")
}

/// What a server said, or what came of asking, and what to do about it.
fn said(error: &object_store::Error) -> (io::ErrorKind, String) {
    let text = innermost(error).to_string();
    let part = |tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        Some(rest.split_once(&format!("</{tag}>"))?.0)
    };
    let why = match (part("Code"), part("Message")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => text.trim_end_matches([':', ' ']).to_owned(),
    };
    let (kind, advice) = match error {
        object_store::Error::PermissionDenied { .. }
        | object_store::Error::Unauthenticated { .. } => (
            io::ErrorKind::PermissionDenied,
            "; check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that the key may read, write and list this bucket",
        ),
        object_store::Error::NotFound { .. } => (
            io::ErrorKind::NotFound,
            "; make the bucket, or check its name, AWS_ENDPOINT_URL and AWS_REGION",
        ),
        _ if why.contains("region") => (io::ErrorKind::Other, "; set AWS_REGION"),
        _ => (io::ErrorKind::Other, ""),
    };
    (kind, why + advice)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BlobKind;

    const NAME: BlobName = BlobName { kind: BlobKind::File, content: [10; 32] };

    #[test]
    fn places_are_read_and_written_alike() {
        for (text, shown, key) in [
            ("s3://pictures", "s3://pictures", "files/0a/"),
            ("s3://pictures/", "s3://pictures", "files/0a/"),
            ("s3://my.pictures/a/b c", "s3://my.pictures/a/b c", "a/b c/files/0a/"),
            ("s3://pictures/a/", "s3://pictures/a", "a/files/0a/"),
        ] {
            let address: S3Address = text.parse().expect(text);
            assert_eq!(address.to_string(), shown);
            let blobs =
                S3Blobs::new(address, &settings("http://127.0.0.1:9"), S3Options::default());
            let blobs = blobs.expect("made");
            assert!(blobs.key(&NAME).as_ref().starts_with(key), "{}", blobs.key(&NAME));
        }
        for wrong in
            ["s3:/x", "s3://", "s3:///x", "s3://a b", "s3://a/x//y", "s3://a/../x", "s3://-a"]
        {
            assert!(wrong.parse::<S3Address>().is_err(), "{wrong}");
        }
    }

    fn settings(endpoint: &str) -> S3Settings {
        let text = |text: &str| Some(text.to_owned());
        S3Settings {
            endpoint: text(endpoint),
            key: text("key"),
            secret: text("hidden"),
            ..S3Settings::default()
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let address: S3Address = "s3://pictures".parse().expect("an address");
        let refused = |settings: &S3Settings| {
            let refused = S3Blobs::new(address.clone(), settings, S3Options::default());
            refused.err().expect("refused").to_string()
        };
        let keyless = S3Settings { secret: None, ..settings("http://127.0.0.1:9") };
        assert!(refused(&keyless).contains("AWS_SECRET_ACCESS_KEY"));
        assert!(refused(&settings("127.0.0.1:9")).contains("AWS_ENDPOINT_URL"));
        let nowhere = Some("/nowhere/ca.pem".into());
        let unread = S3Settings { authorities: nowhere, ..settings("https://127.0.0.1:9") };
        assert!(refused(&unread).contains("/nowhere/ca.pem"));
        assert!(!format!("{:?}", settings("http://x")).contains("hidden"));
    }

    /// Whoever is away is given up soon, and not asked again at once; whoever does not answer is
    /// waited for until the deadline.
    #[test]
    fn nobody_waits_for_a_server_that_is_away_again_and_again() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let endpoint = format!("http://127.0.0.1:{port}");
        let address: S3Address = "s3://pictures/a".parse().expect("an address");
        let options = S3Options { deadline: Duration::from_millis(300), ..S3Options::default() };
        let blobs = S3Blobs::new(address.clone(), &settings(&endpoint), options).expect("made");
        let begun = Instant::now();
        let error = blobs.get(&NAME).expect_err("nobody answers").to_string();
        assert!(error.contains("no answer within 0.3 s"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        drop(listener);

        let options = S3Options { attempts: 3, ..S3Options::default() };
        let blobs = S3Blobs::new(address, &settings(&endpoint), options).expect("made");
        let begun = Instant::now();
        let error = blobs.put(&NAME, b"x").expect_err("nobody listens").to_string();
        for part in ["s3://pictures/a/files/0a/", &endpoint, "cannot be reached", "refused"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        let begun = Instant::now();
        for _ in 0..100 {
            assert!(blobs.has(&NAME).is_err() && blobs.get(&NAME).is_err());
        }
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}
