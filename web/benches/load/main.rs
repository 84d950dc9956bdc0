//! How much does the server answer, how fast, and what does it do when too much is asked?
//!
//! ```text
//! cargo bench --bench load -- [--seconds 10] [--clients 1,8,64] [--minutes 0] [--pictures DIR]
//! ```
//!
//! Starts the real `ek up` over the pictures, in a folder of its own and on a free port of
//! this machine, and asks `GET /v1/search?q=…&k=10`. Every query is a text that was not asked
//! before, so that none is answered out of the cache of queries. One after the other:
//!
//! * **the text encoder alone**, in this process and without a server: one text at a time on
//!   as many threads as there are cores, before the server and after it, and several at a
//!   time, which says what putting requests together could save;
//! * **clients** who ask again as soon as they are answered: queries a second, p50 and p99;
//! * **four times as much** as the server answered at best, sent at an even pace whether it
//!   answers or not. Latency counts from when a query was due, so that waiting to be sent
//!   is seen, too;
//! * with `--minutes`, 64 clients for so long, and the server's resident memory meanwhile.
//!
//! The clients work on the same cores as the server; what they take is reported, and is in
//! every figure. README.md has what was measured.

#![expect(clippy::print_stdout, reason = "a bench reports on standard output")]

mod server;

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use ekphrasis_engine::{Config, Flags, OnnxTowers, Towers as _};

use server::Server;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How much more than it can is asked of the server.
const OVERLOAD: f64 = 4.0;
/// Connections over which that is sent: more than wait at the server, so that they are free.
const SENDERS: usize = 512;

#[derive(Parser)]
struct Args {
    /// Seconds for each row
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Clients at once
    #[arg(long, value_delimiter = ',', default_value = "1,8,64")]
    clients: Vec<usize>,
    /// Minutes of 64 clients with an eye on the server's memory
    #[arg(long, default_value_t = 0.0)]
    minutes: f64,
    /// What the server searches [default: the gallery]
    #[arg(long)]
    pictures: Option<PathBuf>,
    /// Cargo says so
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pictures = args.pictures.clone().unwrap_or_else(|| home.join("web/gallery/pictures"));
    let cores = std::thread::available_parallelism()?.get();
    let time = Duration::from_secs_f64(args.seconds);
    println!("{cores} cores, {} s each", args.seconds);

    let encoder = TextEncoder::open(home, cores)?;
    let before = encoder.rate(cores, 1, time)?;
    println!("text encoder alone, {cores} threads: {before:.1}/s");
    for batch in [2, 4, 8] {
        let rate = encoder.rate(cores, batch, time)?;
        println!("  in batches of {batch}: {rate:.1}/s, {:.2} of that", rate / before);
    }

    let server = Server::start(home, &pictures)?;
    println!("server over {} pictures\n", server.pictures);
    println!(
        "| clients | queries/s | p50 ms | p99 ms | worst ms | refused | failed | clients' share |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut best = 0.0f64;
    for &clients in &args.clients {
        // Connections are made and the model is warm before it counts.
        closed(&server, clients, Duration::from_secs(1))?;
        let seen = closed(&server, clients, time)?;
        println!("| {clients} | {}", seen.row());
        best = best.max(seen.rate());
    }
    let after = encoder.rate(cores, 1, time)?;
    let alone = f64::midpoint(before, after);
    println!(
        "\ntext encoder alone again: {after:.1}/s; the server at best: {:.2} of their mean",
        best / alone
    );

    let offered = OVERLOAD * best;
    println!("\noverload: {offered:.0} queries a second over {SENDERS} connections");
    println!("| | queries/s | p50 ms | p99 ms | worst ms | refused | failed | clients' share |");
    println!("|---|---|---|---|---|---|---|---|");
    let seen = open(&server, offered, time)?;
    println!("| answered | {}", seen.row());
    let refused = percentiles(&mut seen.refused.clone());
    println!(
        "refused: p50 {:.1} ms, p99 {:.1} ms; without Retry-After: {}",
        refused.0, refused.1, seen.mute
    );
    println!("good ones: {:.2} of what it answered at best", seen.rate() / best);
    let calm = closed(&server, 1, Duration::from_secs(2))?;
    println!("one client afterwards: p50 {:.1} ms", percentiles(&mut calm.good.clone()).0);

    if args.minutes > 0.0 {
        memory(&server, args.minutes)?;
    }
    Ok(())
}

/// The model's text encoder, without a server.
struct TextEncoder(OnnxTowers);

impl TextEncoder {
    fn open(home: &Path, cores: usize) -> Result<Self> {
        let flags = Flags { repository: Some(home.into()), ..Flags::default() };
        let config = Config::resolve(&flags)?;
        let towers = OnnxTowers::open(&config, cores, |line| println!("{line}"))?;
        towers.text()?.embed_texts(&["warm"])?;
        Ok(Self(towers))
    }

    /// Texts a second, `batch` at a time on each thread.
    fn rate(&self, threads: usize, batch: usize, time: Duration) -> Result<f64> {
        let encoder = self.0.text()?;
        let (done, start) = (AtomicU64::new(0), Instant::now());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while start.elapsed() < time {
                        let texts: Vec<String> = (0..batch).map(|_| query()).collect();
                        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                        let embedded = encoder.embed_texts(&texts);
                        embedded.expect("the encoder that just worked");
                        done.fetch_add(batch as u64, Ordering::Relaxed);
                    }
                });
            }
        });
        Ok(done.into_inner() as f64 / start.elapsed().as_secs_f64())
    }
}

/// A text that was never asked for: five everyday words in an order of their own.
fn query() -> String {
    const WORDS: [&str; 16] = [
        "red", "small", "dog", "beach", "old", "car", "tree", "night", "cup", "child", "blue",
        "house", "bird", "snow", "street", "boat",
    ];
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    // An odd factor only changes the order: numbers under 16^5 stay different texts.
    let mixed = number.wrapping_mul(0x9E37_79B1) % (1 << 20);
    let words = (0..5).map(|i| WORDS[(mixed >> (4 * i)) as usize % WORDS.len()]);
    let mut text = words.collect::<Vec<_>>().join(" ");
    if number >= 1 << 20 {
        text.push_str(&format!(" {}", number >> 20));
    }
    text
}

/// What clients saw; times in milliseconds.
#[derive(Default)]
struct Seen {
    good: Vec<f64>,
    refused: Vec<f64>,
    /// Refused without being told when to come back.
    mute: usize,
    failed: usize,
    /// From the first query to the last answer.
    seconds: f64,
    /// Processor time of this process, as a share of all cores.
    share: f64,
}

impl Seen {
    /// Answers a second.
    fn rate(&self) -> f64 {
        self.good.len() as f64 / self.seconds
    }

    fn row(&self) -> String {
        let (p50, p99, worst) = percentiles(&mut self.good.clone());
        format!(
            "{:.1} | {p50:.1} | {p99:.1} | {worst:.1} | {} | {} | {:.0} % |",
            self.rate(),
            self.refused.len(),
            self.failed,
            100.0 * self.share
        )
    }

    fn note(&mut self, ended: server::Ended, ms: f64) {
        match ended {
            server::Ended::Answered => self.good.push(ms),
            server::Ended::Refused { retry_after } => {
                self.refused.push(ms);
                self.mute += usize::from(!retry_after);
            }
            server::Ended::Failed => self.failed += 1,
        }
    }

    fn add(&mut self, other: Seen) {
        self.good.extend(other.good);
        self.refused.extend(other.refused);
        self.mute += other.mute;
        self.failed += other.failed;
    }
}

/// p50, p99 and the worst; zeros of nothing.
fn percentiles(ms: &mut [f64]) -> (f64, f64, f64) {
    ms.sort_by(f64::total_cmp);
    let at = |share: f64| ms.get((ms.len() as f64 * share) as usize).or(ms.last());
    let at = |share| at(share).copied().unwrap_or_default();
    (at(0.5), at(0.99), at(1.0))
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// Clients who ask again as soon as they are answered.
fn closed(server: &Server, clients: usize, time: Duration) -> Result<Seen> {
    together(clients, |_, start| {
        let (mut seen, client) = (Seen::default(), server.client());
        while start.elapsed() < time {
            let since = Instant::now();
            let ended = client.search(&query());
            seen.note(ended, ms(since));
        }
        seen
    })
}

/// `rate` queries a second, due at an even pace whether the server answers or not.
fn open(server: &Server, rate: f64, time: Duration) -> Result<Seen> {
    together(SENDERS, |number, start| {
        let (mut seen, client) = (Seen::default(), server.client());
        for turn in 0.. {
            let due = Duration::from_secs_f64((number + turn * SENDERS) as f64 / rate);
            if due >= time {
                break;
            }
            std::thread::sleep(due.saturating_sub(start.elapsed()));
            let ended = client.search(&query());
            seen.note(ended, (start.elapsed() - due).as_secs_f64() * 1e3);
        }
        seen
    })
}

/// Runs `work` on so many threads and adds up what they saw.
fn together(threads: usize, work: impl Fn(usize, Instant) -> Seen + Sync) -> Result<Seen> {
    let all = Mutex::new(Seen::default());
    let (busy, start) = (server::processor_seconds("self")?, Instant::now());
    std::thread::scope(|scope| {
        for number in 0..threads {
            let (all, work) = (&all, &work);
            scope.spawn(move || {
                let seen = work(number, start);
                all.lock().expect("nobody panicked").add(seen);
            });
        }
    });
    let mut all = all.into_inner()?;
    let cores = std::thread::available_parallelism()?.get() as f64;
    let busy = server::processor_seconds("self")? - busy;
    all.seconds = start.elapsed().as_secs_f64();
    all.share = busy / all.seconds / cores;
    Ok(all)
}

/// 64 clients for so many minutes: does the server's memory grow?
fn memory(server: &Server, minutes: f64) -> Result<()> {
    println!("\n64 clients for {minutes} minutes; resident memory of the server in MB:");
    let time = Duration::from_secs_f64(60.0 * minutes);
    let pause = time.div_f64(20.0);
    let sizes = std::thread::scope(|scope| {
        let load = scope.spawn(|| closed(server, 64, time).map_err(|e| e.to_string()));
        let mut sizes = Vec::new();
        while !load.is_finished() {
            sizes.push(server.resident_mb());
            std::thread::sleep(pause);
        }
        sizes
    });
    let sizes: Vec<String> = sizes.into_iter().flatten().map(|mb| format!("{mb:.0}")).collect();
    println!("{}", sizes.join(" "));
    Ok(())
}
