//! Where the server is, and how to connect: URLs, connections, functions.

use std::{borrow::Cow, future::Future, sync::Arc};

use ::redis::{AsyncConnectionConfig, Client, RedisError, aio::ConnectionLike, cluster::ClusterClient};
use tokio::runtime::Handle;

use super::{
    super::BoxError,
    LONGEST,
    connection::{Connection, Reconnecting},
    failure::Failure,
    link::{Connecting, Link},
};
use crate::error::Error;

const SCHEMES: [&str; 7] = ["redis", "rediss", "valkey", "valkeys", "unix", "redis+unix", "valkey+unix"];

/// A server, by its URL.
pub(super) fn server(url: &str) -> Result<Link, Error> {
    check_scheme(url)?;
    let client = Client::open(url).map_err(|error| unusable(&error))?;
    let name = format!("Redis at {}", client.get_connection_info().addr());
    let limits = AsyncConnectionConfig::new().set_connection_timeout(Some(LONGEST)).set_response_timeout(Some(LONGEST));
    Ok(link(name, move || {
        let (client, limits) = (client.clone(), limits.clone());
        async move { client.get_multiplexed_async_connection_with_config(&limits).await }
    }))
}

/// A cluster, by the URLs of some nodes.
pub(super) fn cluster<U: AsRef<str>>(urls: impl IntoIterator<Item = U>) -> Result<Link, Error> {
    let urls: Vec<String> = urls.into_iter().map(|url| url.as_ref().to_owned()).collect();
    urls.iter().try_for_each(|url| check_scheme(url))?;
    let builder = ClusterClient::builder(urls).connection_timeout(LONGEST).response_timeout(LONGEST);
    let client = Arc::new(builder.build().map_err(|error| unusable(&error))?);
    Ok(link("the Redis cluster".into(), move || {
        let client = Arc::clone(&client);
        async move { client.get_async_connection().await }
    }))
}

/// Connections that a function makes.
pub(super) fn link<F, C, E>(server: String, connect: impl Fn() -> F + Send + Sync + 'static) -> Link
where
    F: Future<Output = Result<C, E>> + Send + 'static,
    C: ConnectionLike + Clone + Send + Sync + 'static,
    E: Into<BoxError>,
{
    Link::new(server.clone(), move || -> Connecting {
        let (connecting, server) = (connect(), server.clone());
        Box::pin(async move {
            let connection = connecting.await.map_err(|error| Failure::connecting(&server, &error.into()))?;
            Ok(Connection::new(connection, false, Handle::try_current().ok()))
        })
    })
}

/// A user's own connection.
pub(super) fn connection<C: Reconnecting>(connection: C) -> Link {
    Link::new("Redis".into(), move || {
        let connection = Connection::new(connection.clone(), C::STAYS, None);
        Box::pin(async { Ok(connection) })
    })
}

/// What every key begins with.
pub(super) fn key_prefix(prefix: String) -> Result<String, Error> {
    let is_special = |c: char| c.is_whitespace() || c.is_control() || r"{}*?[]\".contains(c);
    if prefix.is_empty() || prefix.contains(is_special) {
        let message = r"the prefix of the keys is empty, or contains white space or one of {}*?[]\";
        return Err(Error::configuration(message));
    }
    Ok(prefix)
}

/// The `redis` crate only says that the URL did not parse.
fn check_scheme(url: &str) -> Result<(), Error> {
    let is_known = url.split_once(':').is_some_and(|(scheme, _)| SCHEMES.contains(&&*scheme.to_ascii_lowercase()));
    if is_known { Ok(()) } else { Err(invalid("the store's URL does not begin with redis:// or rediss://")) }
}

/// Of the `redis` crate's error, only its constant words are repeated: the URL may contain a password.
fn unusable(error: &RedisError) -> Error {
    let said = error.to_string();
    let (said, _) = said.split_once(" - ").unwrap_or((&said, ""));
    if said.contains("TLS, the feature is not enabled") {
        let message = "the store's URL asks for TLS (rediss://), and the `redis` crate is built without it";
        return Error::configuration(message)
            .with_advice("enable its feature `tokio-rustls-comp` or `tokio-native-tls-comp` in your own Cargo.toml");
    }
    invalid(format!("the store's URL cannot be used: {}", said.trim_end_matches('.')))
}

fn invalid(message: impl Into<Cow<'static, str>>) -> Error {
    Error::configuration(message).with_advice(
        "write redis://user:password@host:6379/0, rediss:// for TLS, or unix:///run/redis.sock; percent-encode what is \
         special in a user name or a password",
    )
}
