//! A connection to the server, of whatever kind.

use std::{
    future::{Future, pending, poll_fn},
    pin::{Pin, pin},
    task::Poll,
    time::Duration,
};

use ::redis::{
    Cmd, RedisResult, Value,
    aio::{ConnectionLike, ConnectionManager},
    cluster_async::ClusterConnection,
    cmd,
};
use tokio::{
    runtime::Handle,
    time::{sleep, timeout},
};

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

    /// Calls a script whose response begins with the server's time; the rest is returned.
    pub(super) async fn call(
        &self,
        script: &Script,
        keys: &[String],
        arguments: &[Vec<u8>],
    ) -> Result<Vec<Value>, Failure> {
        let command = |name: &str, script: &str| {
            let mut command = cmd(name);
            command.arg(script).arg(keys.len()).arg(keys).arg(arguments);
            command
        };
        let mut response = self.send(command("EVALSHA", &script.hash)).await;
        if response.as_ref().is_err_and(Failure::is_unknown_script) {
            // The server then knows its hash. `Script::invoke_async` would need a permission for `SCRIPT LOAD`.
            response = self.send(command("EVAL", script.code)).await;
        }
        let Value::Array(mut found) = response? else { return Err(Failure::unreadable()) };
        let rest = found.split_off(found.len().min(2));
        self.clock.set(&keys[0], micros(&found).ok_or_else(Failure::unreadable)?);
        Ok(rest)
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

    async fn send(&self, command: Cmd) -> Result<Value, Failure> {
        let (mut response, mut stall) = (pin!((self.send)(command)), pin!(self.stall()));
        poll_fn(|cx| match response.as_mut().poll(cx) {
            Poll::Ready(response) => Poll::Ready(response.map_err(Failure::from)),
            Poll::Pending => stall.as_mut().poll(cx).map(|()| Err(Failure::stalled())),
        })
        .await
    }

    /// Ends if the connection's runtime runs no tasks, as one that nobody blocks on.
    async fn stall(&self) {
        if let Some(runtime) = &self.runtime {
            sleep(PATIENCE).await;
            let task = runtime.spawn(async {});
            if timeout(PATIENCE, task).await.is_err() {
                return;
            }
        }
        pending::<()>().await;
    }
}

/// Since 1970.
fn micros(time: &[Value]) -> Option<u64> {
    let number = |value: &Value| match value {
        Value::BulkString(digits) => std::str::from_utf8(digits).ok()?.parse::<u64>().ok(),
        _ => None,
    };
    let [seconds, micros] = time else { return None };
    number(seconds)?.checked_mul(1_000_000)?.checked_add(number(micros)?)
}
