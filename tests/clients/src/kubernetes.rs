use client_credentials::{BearerAuthLayer, TokenCache};
use kube::{Client, Config, client::ClientBuilder};
use tower::buffer::BufferLayer;

pub fn client(cluster: &str, tokens: TokenCache) -> Result<Client, Box<dyn std::error::Error>> {
    let client = ClientBuilder::try_from(Config::new(cluster.parse()?))?
        // kube's own stack is not `Clone`, and what is behind a buffer is.
        .with_layer(&BufferLayer::new(1024))
        // The requests name no host before they are in kube's own stack.
        .with_layer(&BearerAuthLayer::new(tokens).for_origin(cluster)?)
        .build();
    Ok(client)
}
