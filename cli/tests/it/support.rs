//! Runs the command, and plays an authorization server.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, Request, ResponseTemplate,
    matchers::{method, path},
};

pub const SECRET: &str = "s3cr3t-that-nobody-sees";
pub const TOKEN: &str = "t0ken-that-only-stdout-sees";

/// What a process did.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The command, without a variable of this process, and with a cache folder of its own.
pub struct Cli {
    pub command: Command,
    stdin: Option<String>,
}

pub fn cli(arguments: &[&str]) -> Cli {
    let mut command = Command::new(env!("CARGO_BIN_EXE_client-credentials"));
    command.args(arguments).env_clear();
    // Windows has no sockets without the latter.
    for name in ["PATH", "SYSTEMROOT"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Cli { command, stdin: None }.cache(&folder("cache"))
}

impl Cli {
    /// Where the caches of a user are.
    pub fn cache(self, folder: &Path) -> Self {
        self.env("XDG_CACHE_HOME", folder).env("HOME", folder)
    }

    pub fn args<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.command.args(arguments);
        self
    }

    pub fn env(mut self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn stdin(mut self, text: &str) -> Self {
        self.command.stdin(Stdio::piped());
        self.stdin = Some(text.to_owned());
        self
    }

    pub fn start(mut self) -> Child {
        let mut child = self.command.spawn().expect("the command");
        if let Some(text) = self.stdin {
            // It may have ended already.
            let _ = child.stdin.take().expect("piped").write_all(text.as_bytes());
        }
        child
    }

    pub fn run(self) -> Ended {
        let output = self.start().wait_with_output().expect("it ends");
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        let ended = Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) };
        assert!(!ended.stderr.contains(SECRET) && !ended.stderr.contains(TOKEN), "{ended:?}");
        assert!(!ended.stdout.contains(SECRET), "{ended:?}");
        assert!(ended.code == Some(0) || ended.stdout.is_empty(), "{ended:?}");
        ended
    }

    pub fn succeeds(self) -> Ended {
        let ended = self.run();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        ended
    }

    /// Ends with this exit code. Returns what standard error said.
    pub fn fails(self, code: i32) -> String {
        let ended = self.run();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        ended.stderr
    }
}

/// A folder that no other call returns.
pub fn folder(name: &str) -> PathBuf {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}-{count}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

pub fn file(name: &str, content: &str) -> String {
    let path = folder("file").join(name);
    std::fs::write(&path, content).expect("a file");
    path.to_str().expect("UTF-8").to_owned()
}

pub fn secret_file() -> String {
    file("secret", &format!("{SECRET}\n"))
}

/// A token response.
pub fn issued(changes: &Value) -> ResponseTemplate {
    let mut body = json!({"access_token": TOKEN, "token_type": "Bearer", "expires_in": 3600, "scope": "stats"});
    for (name, value) in changes.as_object().expect("members") {
        body[name] = value.clone();
    }
    body.as_object_mut().expect("members").retain(|_, value| !value.is_null());
    ResponseTemplate::new(200).set_body_json(body)
}

pub fn refused(status: u16, code: &str) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({"error": code}))
}

/// A token endpoint at `/token`.
pub async fn server(respond: impl Fn(&Request) -> ResponseTemplate + Send + Sync + 'static) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).and(path("/token")).respond_with(respond).mount(&server).await;
    server
}

/// How many token requests it got.
pub async fn token_requests(server: &MockServer) -> Vec<Request> {
    let requests = server.received_requests().await.expect("recorded");
    requests.into_iter().filter(|request| request.method == "POST").collect()
}

pub fn is_basic(request: &Request) -> bool {
    request.headers.get("authorization").is_some_and(|value| value.as_bytes().starts_with(b"Basic "))
}

/// The arguments of a client of that server.
pub fn client(server: &MockServer) -> Vec<String> {
    let url = format!("{}/token", server.uri());
    let arguments = ["--token-url", &url, "--client-id", "abcde", "--client-secret-file", &secret_file()];
    arguments.map(str::to_owned).to_vec()
}

/// The command with the settings of a client of that server.
pub fn with_client(command: &str, server: &MockServer) -> Cli {
    let client = client(server);
    cli(&[command]).args(client.iter().map(String::as_str))
}
