//! A gRPC client whose calls carry tokens: the layer around tonic's channel. A real call, to a server on loopback that
//! checks the token: `cargo run --example tonic`.

use client_credentials::{
    BearerAuthLayer, ClientCredentials, GrpcStatusLayer, TokenCache, testing::AuthorizationServer,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Code, Request, Status,
    transport::{Channel, Server},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let auth = AuthorizationServer::start().await;
    let issuer = auth.clone();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}", listener.local_addr()?);
    // The server refuses every call whose token the authorization server did not issue.
    let check = move |call: Request<()>| {
        let authorization = call.metadata().get("authorization").and_then(|value| value.to_str().ok());
        let token = authorization.and_then(|value| value.strip_prefix("Bearer "));
        let good = token.is_some_and(|token| issuer.accepts(token));
        if good { Ok(call) } else { Err(Status::unauthenticated("missing or invalid token")) }
    };
    let (_reporter, service) = tonic_health::server::health_reporter();
    let service = tonic::service::interceptor::InterceptedService::new(service, check);
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)));

    let source = ClientCredentials::builder(auth.token_url(), "abcde", "12345").origin(&origin).build()?;
    // A generated client's requests do not name a host, so the layer needs the origin that the channel connects to.
    let layer = BearerAuthLayer::new(TokenCache::from(source)).for_origin(&origin)?;
    let channel = Channel::from_shared(origin)?.connect().await?;
    let with_tokens = tower::ServiceBuilder::new().layer(GrpcStatusLayer).layer(layer).service(channel.clone());

    // Any generated client accepts the channel with the layer around it.
    let mut client = HealthClient::new(with_tokens);
    for _ in 0..10 {
        let response = client.check(HealthCheckRequest::default()).await?;
        println!("with a token: {:?}", response.into_inner().status());
    }
    // A call with a revoked token is refused, and the next call gets a new token.
    auth.revoke_all();
    let refused = client.check(HealthCheckRequest::default()).await.err().map(|status| status.code());
    println!("with a revoked token: {refused:?}");
    client.check(HealthCheckRequest::default()).await?;

    let without = HealthClient::new(channel).check(HealthCheckRequest::default()).await;
    let without = without.err().map(|status| status.code());
    println!("without a token: {without:?}");

    let expected = Some(Code::Unauthenticated);
    if (refused, without, auth.token_requests().len()) != (expected, expected, 2) {
        return Err("an unexpected result".into());
    }
    Ok(())
}
