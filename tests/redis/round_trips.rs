//! What a server sees of an operation.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
};

use client_credentials::store::{RedisStore, TokenStore};

use crate::{name, names, put, server::Server};

/// The commands of a server's clients, in the order in which it runs them.
pub(crate) struct Monitor(BufReader<TcpStream>);

impl Monitor {
    pub(crate) fn start(server: &Server) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("a connection");
        stream.write_all(b"MONITOR\r\n").expect("a connection");
        let mut monitor = Self(BufReader::new(stream));
        assert_eq!(monitor.line(), "+OK");
        monitor
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("text");
        line.trim().to_owned()
    }

    /// Those since the last time, without what scripts run.
    pub(crate) fn commands(&mut self, server: &Server) -> Vec<String> {
        server.command::<String>("ECHO until-here");
        let mut commands = Vec::new();
        loop {
            let line = self.line();
            let Some((_, command)) = line.split_once("] ") else { panic!("{line}") };
            if command.contains("until-here") {
                return commands;
            }
            if !line.contains(" lua] ") && !command.starts_with("\"CLIENT\"") {
                commands.push(command.to_owned());
            }
        }
    }
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn a_load_and_the_write_after_it_are_a_round_trip_each() {
    let server = Server::start();
    for protocol in ["resp2", "resp3"] {
        let store = RedisStore::new(format!("{}?protocol={protocol}", server.url())).expect("a store");
        assert!(put(&store, None, "a").await.expect("up"));
        assert!(store.remove(&name(), b"a").await.expect("up"));

        let mut monitor = Monitor::start(&server);
        store.load(&names()).await.expect("up");
        let commands = monitor.commands(&server);
        let [load] = &commands[..] else { panic!("{commands:?}") };
        assert!(load.starts_with("\"EVALSHA\"") && load.ends_with("{9f86d081}.failure\""), "{load}");

        assert!(put(&store, None, "b").await.expect("up"));
        assert!(store.remove(&name(), b"b").await.expect("up"));
        let commands = monitor.commands(&server);
        assert_eq!(commands.len(), 2, "{commands:?}");
        assert!(commands.iter().all(|command| command.starts_with("\"EVALSHA\"")), "{commands:?}");
    }
}

#[tokio::test]
#[ignore = "needs redis-server"]
async fn keys_of_a_token_share_a_hash_tag_behind_the_prefix() {
    let server = Server::start();
    let store = RedisStore::new(server.url()).expect("a store").key_prefix("app:tokens").expect("a prefix");
    for name in names() {
        store.put(&name, None, b"a", crate::LIFE, crate::PATIENCE).await.expect("up");
    }
    let mut keys: Vec<String> = server.command("KEYS *");
    keys.sort();
    assert_eq!(keys, ["failure", "lease", "token"].map(|what| format!("app:tokens:{{9f86d081}}.{what}")));
}
