//! Given an engine and an address, how does it become a server? [`serve`]
//! listens, says that it does, and answers until the process is told to stop.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{Data, ServiceConfig};
use actix_web::{App, HttpServer, middleware, rt};
use ekphrasis_engine::{Config, Secret, Serving, StoreSecret};
use futures_util::future::{Either, select};
use futures_util::pin_mut;

use crate::allowed::Allowed;
use crate::gate::{GATE, LONG};
use crate::guard::{Guard, guard};
use crate::jobs::Jobs;
use crate::log::Log;
use crate::meter::Meter;
use crate::routes::{Followers, routes};
use crate::stop::told_to_stop;

/// Where to listen, and who may ask.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The address to listen on.
    pub bind: IpAddr,
    /// The port; 0 for any that is free.
    pub port: u16,
    /// The key that requests must carry; needed beyond loopback.
    pub api_key: Option<Secret>,
}

/// Why the server did not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Somebody else has the port.
    #[error(
        "{addr} is in use by another program (is another `ek up` running?); choose one with --port"
    )]
    PortInUse {
        /// The address that is taken.
        addr: SocketAddr,
    },
    /// Other machines would get in without a key.
    #[error(
        "listening on {bind} lets other machines in, so a key is needed: set EK_API_KEY, or bind to 127.0.0.1"
    )]
    KeyNeeded {
        /// The address that was asked for.
        bind: IpAddr,
    },
    /// Listening or answering failed.
    #[error("cannot serve on {addr}: {source}")]
    Io {
        /// The address that was asked for.
        addr: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What is served.
pub struct Service {
    /// The engine that answers, and those that come after it. Jobs and additions need one
    /// that may write.
    pub serving: Arc<Serving>,
    /// Where everything lies.
    pub config: Config,
    /// Folders that clients may have indexed, beside those that were before.
    pub folders: Vec<PathBuf>,
    /// Told of refused requests, a line each.
    pub log: Box<dyn Fn(&str) + Send + Sync>,
}

/// Connections at once, for each worker.
const CONNECTIONS: usize = 512;
/// How long a request's head may take to arrive.
const HEAD: Duration = Duration::from_secs(5);
/// How long a connection may have nothing to say.
const IDLE: Duration = Duration::from_secs(30);
/// Threads of each worker for what takes a moment.
const STATE_THREADS: usize = 8;
/// How long requests under way may take to end once the server is to stop; told twice, it
/// waits no more. Supervisors kill after some 30 seconds.
const FAREWELL: Duration = Duration::from_secs(25);

/// How long a client may take nothing of what is sent to it.
const UNREAD: Duration = Duration::from_secs(30);

/// Whoever asks and then reads nothing would keep a connection and a piece of the answer. The
/// kernel ends such connections itself; they have that from the socket they come in by.
#[cfg(target_os = "linux")]
fn drop_who_reads_nothing(socket: &TcpListener) -> io::Result<()> {
    socket2::SockRef::from(socket).set_tcp_user_timeout(Some(UNREAD))
}

/// Elsewhere nothing of the kind is asked of the kernel.
#[cfg(not(target_os = "linux"))]
fn drop_who_reads_nothing(_: &TcpListener) -> io::Result<()> {
    let _ = UNREAD;
    Ok(())
}

/// An address that is ours and rules that may be kept: what can be settled
/// before there is anything to serve.
pub struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) addr: SocketAddr,
    pub(crate) rules: Guard,
}

impl Listener {
    /// Takes the address.
    ///
    /// # Errors
    /// `KeyNeeded` beyond loopback without a key, `PortInUse`, `Io` otherwise.
    pub fn bind(options: ServeOptions) -> Result<Self, ServeError> {
        let addr = SocketAddr::new(options.bind, options.port);
        // An empty key would let in whoever sends an empty one.
        let key = options.api_key.filter(|key| !key.is_empty());
        if !options.bind.is_loopback() && key.is_none() {
            return Err(ServeError::KeyNeeded { bind: options.bind });
        }
        let failed = |source| ServeError::Io { addr, source };
        let socket = TcpListener::bind(addr).map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => ServeError::PortInUse { addr },
            _ => failed(source),
        })?;
        let addr = socket.local_addr().map_err(failed)?;
        drop_who_reads_nothing(&socket).map_err(failed)?;
        Ok(Self { socket, addr, rules: Guard::new(options.bind, key.as_deref()) })
    }

    /// The address; with the port that was found, if any was asked for.
    pub fn address(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until SIGINT or SIGTERM; requests under way are finished, jobs put down what
    /// they have in flight. `on_ready` is called once, when requests are answered.
    ///
    /// # Errors
    /// `Io` if serving fails.
    pub fn serve(self, service: Service, on_ready: impl FnOnce()) -> Result<(), ServeError> {
        let Listener { socket, addr, rules } = self;
        let failed = |source| ServeError::Io { addr, source };
        let Service { serving, config, folders, log } = service;
        let engine = serving.current();
        // As long as this lives, the command line may have things written here.
        let secret = engine.is_writable().then(|| StoreSecret::publish(engine.data())).transpose();
        let secret = secret.map_err(|e| failed(io::Error::other(e)))?;
        let rules = match &secret {
            Some(secret) => rules.with_secret(secret.text()),
            None => rules,
        };
        let rules = Data::new(rules);
        // Not kept: whoever has an engine keeps its store open.
        drop(engine);
        let jobs = Data::new(Jobs::new(Arc::clone(&serving)));
        let serving = Data::from(serving);
        let config = Data::new(config);
        let allowed = Data::new(Allowed::new(&folders));
        let (meter, log) = (Data::new(Meter::default()), Data::new(Log::new(log)));
        let followers = Data::new(Followers::default());
        let (running, ending) = (Data::clone(&jobs), Data::clone(&jobs));
        let configure = move |app: &mut ServiceConfig| {
            app.app_data(rules.clone())
                .app_data(serving.clone())
                .app_data(config.clone())
                .app_data(jobs.clone())
                .app_data(allowed.clone())
                .app_data(meter.clone())
                .app_data(log.clone())
                .app_data(followers.clone())
                .configure(routes);
        };
        let served = answer(socket, addr, configure, on_ready, move || running.close());
        ending.join();
        drop(secret);
        served
    }
}

/// Answers until the process is told to stop; `on_stop` is called then, before requests under
/// way end.
pub(crate) fn answer(
    socket: TcpListener,
    addr: SocketAddr,
    configure: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
    on_ready: impl FnOnce(),
    on_stop: impl FnOnce(),
) -> Result<(), ServeError> {
    let failed = |source| ServeError::Io { addr, source };
    // The work is the engine's and runs on blocking threads, whose number counts
    // for each worker; a few workers move the bytes.
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    // As many as may work, and some for who only asks for the state: each worker may
    // have all of those.
    let threads = GATE.running() + LONG.running() + STATE_THREADS;
    rt::System::new().block_on(async move {
        let server = HttpServer::new(move || {
            App::new()
                .wrap(middleware::Compress::default())
                .wrap(middleware::from_fn(guard))
                .configure(configure.clone())
        })
        .workers(cores.min(4))
        .worker_max_blocking_threads(threads)
        .max_connections(CONNECTIONS)
        .client_request_timeout(HEAD)
        .client_disconnect_timeout(HEAD)
        .keep_alive(IDLE)
        .disable_signals()
        .shutdown_timeout(FAREWELL.as_secs())
        .listen(socket)
        .map_err(failed)?
        .run();
        let handle = server.handle();
        let server = rt::spawn(server);
        on_ready();
        let stop = told_to_stop();
        pin_mut!(stop);
        let ended = match select(server, stop).await {
            Either::Left((ended, _)) => ended,
            Either::Right(((), server)) => {
                on_stop();
                let farewell = handle.stop(true);
                let again = told_to_stop();
                pin_mut!(farewell, again);
                match select(farewell, again).await {
                    Either::Left(_) => server.await,
                    Either::Right(_) => Ok(Ok(())),
                }
            }
        };
        ended.map_err(|e| failed(io::Error::other(e)))?.map_err(failed)
    })
}
