//! How is a Milvus server asked, and what if it does not answer?

mod trouble;

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use base64::Engine as _;
use ekphrasis_index::StoreError;
use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic_prost::ProstCodec;

use crate::proto::{Answer, OfCollection, Status, method};
use crate::{Address, Blocking};

use trouble::{Connection, Trouble, chain, hint, of_status, of_transport};

/// The longest answer that is read: a page of rows with their vectors.
const LONGEST_ANSWER: usize = 256 << 20;
/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// What is waited before the second attempt; twice as long before each next one,
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// but no longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// What reads may miss of what others wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// Searches see what is a few seconds old at most (as the server is set), and all that
    /// this store wrote itself. Counting, walking and deleting see everything.
    #[default]
    Bounded,
    /// Searches see everything that was written before them, too; each waits for it, some
    /// 200 ms on a server of several nodes.
    Strong,
}

/// `user:password`, or an API key; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// A token as the server knows it.
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// How a server is asked.
#[derive(Clone, Debug)]
pub struct Options {
    /// Proves who asks.
    pub token: Option<Token>,
    /// How long one call to the store's server may take in all, attempts and waits included.
    pub deadline: Duration,
    /// How often the same is tried if the server cannot be reached or is too busy; everything
    /// that is sent may be sent twice without harm. At least once.
    pub attempts: u32,
    /// What reads may miss.
    pub consistency: Consistency,
    /// The most hits to ask for at once: at least 1, and what the server gives at most.
    pub most_hits: usize,
    /// Up to so many rows that pass a filter are compared one by one, if the graph finds too few.
    pub compared: u64,
    /// How long a search or a count may go through rows one by one, where the server cannot tell
    /// them apart. What takes longer is `Unsupported`.
    pub walking: Duration,
}

/// Four attempts within thirty seconds, bounded consistency, Milvus's own limit of hits, ten minutes
/// of going through rows.
impl Default for Options {
    fn default() -> Self {
        Self {
            token: None,
            deadline: Duration::from_secs(30),
            attempts: 4,
            consistency: Consistency::Bounded,
            most_hits: 16_384,
            compared: 20_000,
            walking: Duration::from_secs(600),
        }
    }
}

/// A connection to a server; cheap to clone.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) address: Address,
    pub(crate) options: Options,
    channel: Channel,
    authorization: Option<MetadataValue<Ascii>>,
    /// Whether the server ever answered.
    answered: Arc<AtomicBool>,
    runtime: Arc<Blocking>,
}

impl Client {
    /// Nothing is sent before the first call.
    pub(crate) fn new(address: &Address, options: Options) -> Result<Self, StoreError> {
        let failed = |why: String| remote(address, "be connected to", why);
        let runtime = Blocking::new("milvus")?;
        let mut endpoint = Endpoint::from_shared(address.endpoint())
            .map_err(|e| failed(e.to_string()))?
            .connect_timeout(CONNECT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(Duration::from_secs(30));
        if address.tls {
            let mut tls = ClientTlsConfig::new();
            tls = match &address.ca {
                Some(path) => tls.ca_certificate(authority(address, path)?),
                None => tls.with_webpki_roots(),
            };
            endpoint = endpoint.tls_config(tls).map_err(|e| failed(e.to_string()))?;
        }
        let authorization = match &options.token {
            None => None,
            Some(token) => {
                let text = base64::engine::general_purpose::STANDARD.encode(&token.0);
                let mut value: MetadataValue<Ascii> =
                    text.parse().map_err(|_| failed("its token cannot be sent".into()))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let channel = {
            let _inside = runtime.enter();
            endpoint.connect_lazy()
        };
        Ok(Self {
            address: address.clone(),
            options,
            channel,
            authorization,
            answered: Arc::default(),
            runtime: Arc::new(runtime),
        })
    }

    pub(crate) fn database(&self) -> String {
        self.address.database.clone().unwrap_or_default()
    }

    pub(crate) fn failed(&self, doing: &'static str, why: impl Into<String>) -> StoreError {
        remote(&self.address, doing, why.into())
    }

    pub(crate) fn unsupported(&self, what: impl Into<String>) -> StoreError {
        StoreError::Unsupported { at: self.address.to_string(), what: what.into() }
    }

    /// Asks, and waits for the answer. `doing` says to a person what for.
    pub(crate) fn call<Q, A>(
        &self,
        doing: &'static str,
        method: &'static str,
        request: &Q,
    ) -> Result<A, StoreError>
    where
        Q: Message + Clone + 'static,
        A: Answer,
    {
        self.call_about(doing, method, request, None)?
            .ok_or_else(|| self.failed(doing, Trouble::NoCollection.to_string()))
    }

    /// The same about a collection, which is loaded if it is not, as after a restart of the
    /// server. `None`: there is no such collection.
    pub(crate) fn call_about<Q, A>(
        &self,
        doing: &'static str,
        method: &'static str,
        request: &Q,
        collection: Option<&str>,
    ) -> Result<Option<A>, StoreError>
    where
        Q: Message + Clone + 'static,
        A: Answer,
    {
        let outcome = self.runtime.block_on(self.attempts(method, request, collection));
        match outcome {
            Ok(answer) => Ok(Some(answer)),
            Err(Trouble::NoCollection) => Ok(None),
            Err(trouble) => Err(self.failed(doing, trouble.to_string())),
        }
    }

    async fn attempts<Q, A>(
        &self,
        method: &'static str,
        request: &Q,
        collection: Option<&str>,
    ) -> Result<A, Trouble>
    where
        Q: Message + Clone + 'static,
        A: Answer,
    {
        let end = Instant::now() + self.options.deadline;
        let mut wait = FIRST_WAIT;
        let mut attempt = 1;
        loop {
            let trouble = match self.within(end, method, request.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(trouble) => trouble,
            };
            let last = attempt >= self.options.attempts || Instant::now() + wait >= end;
            match (&trouble, collection) {
                (Trouble::NotLoaded(_), Some(name)) if !last => {
                    let load =
                        OfCollection { db_name: self.database(), collection_name: name.into() };
                    // If this fails, the next attempt says why.
                    let _: Result<Status, _> =
                        self.within(end, method::LOAD_COLLECTION, load).await;
                }
                (Trouble::Passing(_), _) if !last => {}
                (Trouble::Passing(why), _) if attempt > 1 => {
                    return Err(Trouble::Final(format!("{why} (tried {attempt} times)")));
                }
                _ => return Err(trouble),
            }
            tokio::time::sleep(wait).await;
            (wait, attempt) = ((wait * 2).min(LONGEST_WAIT), attempt + 1);
        }
    }

    /// One attempt.
    async fn within<Q, A>(
        &self,
        end: Instant,
        method: &'static str,
        request: Q,
    ) -> Result<A, Trouble>
    where
        Q: Message + 'static,
        A: Answer,
    {
        let left = end.saturating_duration_since(Instant::now());
        let answer = match tokio::time::timeout(left, self.once::<Q, A>(method, request)).await {
            Err(_) => {
                let seconds = self.options.deadline.as_secs_f32();
                let hint = hint(&self.connection());
                return Err(Trouble::Passing(format!("no answer within {seconds} s{hint}")));
            }
            Ok(Err(status)) => return Err(of_transport(&status, &self.connection())),
            Ok(Ok(answer)) => answer,
        };
        self.answered.store(true, Ordering::Relaxed);
        match answer.status().and_then(of_status) {
            Some(trouble) => Err(trouble),
            None => Ok(answer),
        }
    }

    fn connection(&self) -> Connection {
        Connection {
            tls: self.address.tls,
            with_token: self.authorization.is_some(),
            answered: self.answered.load(Ordering::Relaxed),
        }
    }

    async fn once<Q, A>(&self, method: &'static str, request: Q) -> Result<A, tonic::Status>
    where
        Q: Message + 'static,
        A: Answer,
    {
        let mut grpc = Grpc::new(self.channel.clone())
            .max_decoding_message_size(LONGEST_ANSWER)
            .max_encoding_message_size(LONGEST_ANSWER);
        grpc.ready().await.map_err(|e| tonic::Status::unavailable(chain(&e)))?;
        let mut request = tonic::Request::new(request);
        let metadata = request.metadata_mut();
        if let Some(value) = &self.authorization {
            metadata.insert("authorization", value.clone());
        }
        if let Some(name) = &self.address.database {
            let value = name.parse().map_err(|_| tonic::Status::invalid_argument("database"))?;
            metadata.insert("dbname", value);
        }
        let path = PathAndQuery::from_static(method);
        let codec: ProstCodec<Q, A> = ProstCodec::default();
        Ok(grpc.unary(request, path, codec).await?.into_inner())
    }
}

/// The authorities in a PEM file.
fn authority(address: &Address, path: &Path) -> Result<Certificate, StoreError> {
    let pem = fs_err::read(path)?;
    // A file without any would be taken, and then nobody believed.
    if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") {
        let why = format!("no certificate (PEM) is in {}, which ca= names", path.display());
        return Err(remote(address, "be connected to", why));
    }
    Ok(Certificate::from_pem(pem))
}

fn remote(address: &Address, doing: &'static str, why: String) -> StoreError {
    StoreError::Remote { at: address.to_string(), doing, why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{Empty, Version};

    #[test]
    fn nobody_there_is_said_soon() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        drop(listener);
        let address = format!("milvus://127.0.0.1:{port}/c").parse().expect("an address");
        let options = Options { attempts: 3, ..Options::default() };
        let client = Client::new(&address, options).expect("made");
        let begun = Instant::now();
        let answer: Result<Version, _> = client.call("be asked", method::GET_VERSION, &Empty {});
        let error = answer.expect_err("nobody listens").to_string();
        assert!(error.contains(&address.to_string()) && error.contains("tried 3 times"), "{error}");
        assert!(error.contains("refused"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }

    #[test]
    fn whoever_does_not_answer_is_waited_for_until_the_deadline() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let address = format!("milvus://127.0.0.1:{port}/c").parse().expect("an address");
        let options = Options { deadline: Duration::from_millis(300), ..Options::default() };
        let client = Client::new(&address, options).expect("made");
        let begun = Instant::now();
        let answer: Result<Version, _> = client.call("be asked", method::GET_VERSION, &Empty {});
        let error = answer.expect_err("nobody answers").to_string();
        assert!(error.contains("no answer within 0.3 s"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }

    #[test]
    fn tokens_are_not_shown() {
        let options = Options { token: Some(Token::new("root:secret")), ..Options::default() };
        assert!(!format!("{options:?}").contains("secret"));
    }
}
