//! A server of its own for each test.

use std::{
    env,
    fs::{create_dir_all, remove_dir_all},
    io::{BufRead, BufReader},
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use redis::{Client, FromRedisValue, RedisResult};

/// Runs until this is dropped or this process ends, in whatever way: then the standard input of a shell is closed,
/// which kills it.
pub(crate) struct Server {
    pub(crate) port: u16,
    process: String,
    shell: Child,
    folder: PathBuf,
}

const START: &str =
    r#"program=$1; shift; "$program" "$@" >/dev/null 2>&1 & echo $!; read -r _; kill -9 $! 2>/dev/null"#;

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        // Another program may take the port meanwhile.
        let mut tries = (0..5).map(|_| Self::start_on(free_port(), arguments));
        tries.find_map(Result::ok).expect("redis-server starts (Debian: apt-get install redis-server)")
    }

    pub(crate) fn start_on(port: u16, arguments: &[&str]) -> Result<Self, String> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = env::temp_dir().join(format!("client-credentials-redis-{}-{number}", std::process::id()));
        create_dir_all(&folder).expect("a folder");
        let (process, shell) = run(port, &folder, arguments);
        let server = Self { port, process, shell, folder };
        server.await_start().map(|()| server)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub(crate) fn kill(&self) {
        self.signal("KILL");
        wait_until("it has ended", || std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err());
    }

    /// On the same port, and empty.
    pub(crate) fn restart(&mut self) {
        self.kill();
        end(&mut self.shell);
        (self.process, self.shell) = run(self.port, &self.folder, &[]);
        self.await_start().expect("it starts again");
    }

    pub(crate) fn signal(&self, signal: &str) {
        let kill = Command::new("sh").args(["-c", &format!("kill -{signal} {}", self.process)]).status();
        assert!(kill.expect("a shell").success());
    }

    /// For an administrator.
    pub(crate) fn command<T: FromRedisValue>(&self, words: &str) -> T {
        self.try_command(words).expect("a command")
    }

    fn try_command<T: FromRedisValue>(&self, words: &str) -> RedisResult<T> {
        let mut connection = Client::open(self.url())?.get_connection()?;
        words
            .split(' ')
            .map(str::to_owned)
            .fold(redis::Cmd::new(), |mut command, word| command.arg(word).take())
            .query(&mut connection)
    }

    fn await_start(&self) -> Result<(), String> {
        let began = Instant::now();
        while began.elapsed() < super::PATIENCE {
            match self.try_command::<String>("PING") {
                Ok(_) => return Ok(()),
                // It responds, and asks for a password.
                Err(error) if error.code().is_some_and(|code| code == "NOAUTH") => return Ok(()),
                Err(_) => sleep(Duration::from_millis(20)),
            }
        }
        Err("it does not respond".into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        end(&mut self.shell);
        let _ = remove_dir_all(&self.folder);
    }
}

/// The shell kills the server, and ends.
fn end(shell: &mut Child) {
    drop(shell.stdin.take());
    let _ = shell.wait();
}

fn run(port: u16, folder: &std::path::Path, arguments: &[&str]) -> (String, Child) {
    let program = env::var("REDIS_SERVER").unwrap_or_else(|_| "redis-server".into());
    let port = port.to_string();
    let mut shell = Command::new("sh")
        .args(["-c", START, "sh", &program, "--port", &port, "--bind", "127.0.0.1", "--save", "", "--dir"])
        .arg(folder)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut process = String::new();
    let stdout = shell.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut process).expect("the number of a process");
    (process.trim().to_owned(), shell)
}

pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port").port()
}

pub(crate) fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < super::PATIENCE, "not within {:?}: {what}", super::PATIENCE);
        sleep(Duration::from_millis(20));
    }
}
