use client_credentials::{BearerAuthLayer, TokenCache};
use kube::{Client, Config, client::ClientBuilder};
use tower::buffer::BufferLayer;

pub fn client(cluster: http::Uri, tokens: TokenCache) -> Result<Client, kube::Error> {
    let client = ClientBuilder::try_from(Config::new(cluster))?
        // kube's own stack is not `Clone`, and what is behind a buffer is.
        .with_layer(&BufferLayer::new(1024))
        .with_layer(&BearerAuthLayer::new(tokens))
        .build();
    Ok(client)
}
