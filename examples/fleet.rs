//! Eight processes share one token: `cargo run --example fleet --features file,redis`. In files; or, if `REDIS_URL` is
//! set, in Redis: `REDIS_URL=redis://localhost/`. Everything else is on loopback. `RUST_LOG=client_credentials=info`
//! shows what the processes log.

use std::{
    env, fs, io,
    process::Stdio,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use client_credentials::{
    ClientCredentials, ObtainedFrom, TokenCache,
    store::{EncryptionKey, FileStore, RedisStore},
    testing::AuthorizationServer,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, ChildStdout, Command},
    sync::mpsc,
    time::{sleep, timeout_at},
};
use tracing_subscriber::EnvFilter;

type Error = Box<dyn std::error::Error + Send + Sync>;

const PROCESSES: usize = 8;
const LIFETIME: Duration = Duration::from_secs(4);
const DURATION: Duration = Duration::from_secs(12);

#[tokio::main]
async fn main() -> Result<(), Error> {
    match env::var("FLEET_TOKEN_URL") {
        Ok(token_url) => instance(token_url).await,
        Err(_) => fleet().await,
    }
}

/// What each process of an application does. It says so whenever it has another token.
async fn instance(token_url: String) -> Result<(), Error> {
    tracing_subscriber::fmt().with_env_filter(EnvFilter::from_default_env()).with_writer(io::stderr).init();
    let source = ClientCredentials::builder(token_url, "abcde", "12345").any_origin().build()?;
    let key = EncryptionKey::from_env("FLEET_TOKEN_KEY")?;
    let builder = TokenCache::builder(source);
    let tokens = match env::var("REDIS_URL") {
        Ok(url) => builder.shared(RedisStore::new(url)?, key).build()?,
        Err(_) => builder.shared(FileStore::new(env::var("FLEET_FOLDER")?)?, key).build()?,
    };
    let mut last = String::new();
    loop {
        let token = tokens.token().await?;
        if last != token.expose_secret() {
            last = token.expose_secret().to_owned();
            let is_shared = tokens.status().obtained_from() == Some(ObtainedFrom::Store);
            println!("{}", if is_shared { "shared" } else { "fetched" });
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn fleet() -> Result<(), Error> {
    let auth = AuthorizationServer::start().await;
    auth.set_lifetime(LIFETIME);
    let folder = env::temp_dir().join(format!("client-credentials-fleet-{}", std::process::id()));
    // In production: `openssl rand -base64 32`, once.
    let mut key = [0; 32];
    aws_lc_rs::rand::fill(&mut key)?;
    let key = BASE64_STANDARD.encode(key);

    let (said, mut heard) = mpsc::unbounded_channel();
    let mut processes: Vec<Child> = Vec::new();
    for number in 0..PROCESSES {
        let mut process = Command::new(env::current_exe()?);
        process.env("FLEET_TOKEN_URL", auth.token_url()).env("FLEET_TOKEN_KEY", &key).env("FLEET_FOLDER", &folder);
        let mut process = process.stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        tokio::spawn(listen(number, process.stdout.take().ok_or("not piped")?, said.clone()));
        processes.push(process);
    }

    let store = env::var("REDIS_URL").map_or("files", |_| "Redis");
    println!("{PROCESSES} processes share tokens of {LIFETIME:?} in {store}; Ctrl-C ends them.");
    println!("F: the process fetched its token. s: it shares the token that another process fetched.\n");
    println!("time   token requests   without sharing   each process");
    let mut table = Table { start: Instant::now(), marks: [' '; PROCESSES], without: 0 };
    let is_interrupted = tokio::select! {
        () = table.show(&auth, &mut heard) => false,
        _ = tokio::signal::ctrl_c() => true,
    };
    let ended = processes.iter_mut().filter_map(|process| process.try_wait().transpose()).count();
    drop(processes);
    let _ = fs::remove_dir_all(&folder);
    let requests = auth.token_requests().len();
    println!("\n{requests} token requests instead of {}", table.without);
    if !is_interrupted && (ended > 0 || requests * 2 > table.without) {
        return Err("an unexpected result".into());
    }
    Ok(())
}

struct Table {
    start: Instant,
    /// Of each process: how it obtained its token.
    marks: [char; PROCESSES],
    /// How many token requests there would have been without sharing.
    without: usize,
}

impl Table {
    /// A line each second.
    async fn show(&mut self, auth: &AuthorizationServer, heard: &mut mpsc::UnboundedReceiver<(usize, char)>) {
        for second in 1..=DURATION.as_secs() {
            let until = self.start + Duration::from_secs(second);
            while let Ok(Some((number, mark))) = timeout_at(until.into(), heard.recv()).await {
                self.marks[number] = mark;
                self.without += 1;
            }
            let (requests, marks) = (auth.token_requests().len(), String::from_iter(self.marks));
            println!("{second:>2} s {requests:>16} {:>17}   {marks}", self.without);
        }
    }
}

/// Passes on what a process says of its tokens.
async fn listen(number: usize, stdout: ChildStdout, said: mpsc::UnboundedSender<(usize, char)>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let _ = said.send((number, if line == "fetched" { 'F' } else { 's' }));
    }
}
