//! Eight processes share one token: `cargo run --example fleet --features file,redis`. In files; or, if `REDIS_URL` is
//! set, in Redis: `REDIS_URL=redis://localhost/`. Everything else is on loopback. `RUST_LOG=client_credentials=info` shows
//! what the processes log.

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
    let auth = AuthorizationServer::builder().lifetime(LIFETIME).start().await;
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

    println!("F: the process fetched its token; s: it shares the one of another process\n");
    println!("time     token requests   without sharing   processes");
    let start = Instant::now();
    let (mut marks, mut without) = ([' '; PROCESSES], 0);
    for second in 1..=DURATION.as_secs() {
        let until = start + Duration::from_secs(second);
        while let Ok(Some((number, mark))) = timeout_at(until.into(), heard.recv()).await {
            marks[number] = mark;
            without += 1;
        }
        println!("{second:>4} s {:>16} {without:>17}   {}", auth.token_requests().len(), String::from_iter(marks));
    }

    let ended = processes.iter_mut().filter_map(|process| process.try_wait().transpose()).count();
    drop(processes);
    let _ = fs::remove_dir_all(&folder);
    if ended > 0 || auth.token_requests().len() * 2 > without {
        return Err("an unexpected result".into());
    }
    Ok(())
}

/// Passes on what a process says of its tokens.
async fn listen(number: usize, stdout: ChildStdout, said: mpsc::UnboundedSender<(usize, char)>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let _ = said.send((number, if line == "fetched" { 'F' } else { 's' }));
    }
}
