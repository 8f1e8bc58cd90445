//! A connection to the server, of whatever kind.

use std::{future::Future, pin::Pin, time::Duration};

use ::redis::{
    Cmd, FromRedisValue, RedisResult, Value,
    aio::{ConnectionLike, ConnectionManager},
    cluster_async::ClusterConnection,
    cmd, from_redis_value,
};
use tokio::{runtime::Handle, time::timeout};

use super::{clock::ServerClock, failure::Failure};

/// After so long without a response, the connection's runtime is looked at, for as long again.
const PATIENCE: Duration = Duration::from_millis(50);

/// A script, which is called by its hash where the server knows it.
pub(super) struct Script {
    code: &'static str,
    hash: String,
}

impl Script {
    pub(super) fn new(code: &'static str) -> Self {
        Self { code, hash: ::redis::Script::new(code).get_hash().to_owned() }
    }
}

/// A connection that makes itself anew when it is broken: what [`RedisStore::over`](super::RedisStore::over) accepts.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not reconnect on its own",
    label = "`ConnectionManager` and `ClusterConnection` do",
    note = "for another kind of connection, use `RedisStore::connect_with`, which makes another one when one is broken"
)]
pub trait Reconnecting: ConnectionLike + Clone + Send + Sync + sealed::Sealed + 'static {}

impl Reconnecting for ConnectionManager {}

impl Reconnecting for ClusterConnection {}

pub(super) mod sealed {
    pub trait Sealed {
        /// Whether it stays with a server that is no longer the primary.
        const STAYS: bool;
    }
}

impl sealed::Sealed for ConnectionManager {
    const STAYS: bool = true;
}

impl sealed::Sealed for ClusterConnection {
    const STAYS: bool = false;
}

pub(super) struct Connection {
    send: Box<dyn Fn(Cmd) -> Response + Send + Sync>,
    /// Whether it stays with a server that is no longer the primary.
    stays: bool,
    /// The runtime that drives it, if that is known.
    runtime: Option<Handle>,
    pub clock: ServerClock,
}

type Response = Pin<Box<dyn Future<Output = RedisResult<Value>> + Send>>;

impl Connection {
    pub(super) fn new<C>(connection: C, stays: bool, runtime: Option<Handle>) -> Self
    where
        C: ConnectionLike + Clone + Send + Sync + 'static,
    {
        let send = move |command: Cmd| -> Response {
            let mut connection = connection.clone();
            Box::pin(async move { connection.req_packed_command(&command).await?.extract_error() })
        };
        Self { send: Box::new(send), stays, runtime, clock: ServerClock::default() }
    }

    /// Calls a script, with the deadline in front of its arguments if there is one. It returns the server's time and
    /// what is returned here.
    pub(super) async fn call<T: FromRedisValue>(
        &self,
        script: &Script,
        keys: &[String],
        deadline: Option<u64>,
        arguments: &[Vec<u8>],
    ) -> Result<T, Failure> {
        let command = |name: &str, script: &str| {
            let mut command = cmd(name);
            command.arg(script).arg(keys.len()).arg(keys).arg(deadline).arg(arguments);
            command
        };
        let mut response = self.send(command("EVALSHA", &script.hash)).await;
        if response.as_ref().is_err_and(Failure::is_unknown_script) {
            // The server then knows its hash. `Script::invoke_async` would need a permission for `SCRIPT LOAD`.
            response = self.send(command("EVAL", script.code)).await;
        }
        let (now, found) = from_redis_value(response?).map_err(|_| Failure::unreadable())?;
        self.clock.set(&keys[0], now);
        Ok(found)
    }

    /// Makes one that stays with its server connect anew. Both commands are open to every user; the second one finds
    /// the connection closed.
    pub(super) async fn leave(&self) {
        if self.stays {
            for command in ["QUIT", "HELLO"] {
                let _ = self.send(cmd(command)).await;
            }
        }
    }

    /// Gives up if the connection's runtime runs no tasks, as one that nobody blocks on.
    async fn send(&self, command: Cmd) -> Result<Value, Failure> {
        let mut response = (self.send)(command);
        if let Some(runtime) = &self.runtime {
            if let Ok(response) = timeout(PATIENCE, &mut response).await {
                return Ok(response?);
            }
            if timeout(PATIENCE, runtime.spawn(async {})).await.is_err() {
                return Err(Failure::stalled());
            }
        }
        Ok(response.await?)
    }
}
