//! What the types of the public interface are to the compiler. Each line is a promise to whoever stores, shares or
//! moves them.

use std::{fmt::Debug, mem::size_of};

use bytes::Bytes;
use client_credentials::{
    AccessToken, BearerAuth, BearerAuthLayer, BearerHeader, CacheStatus, ClientAssertion, ClientAuthentication,
    ClientCredentials, ClientCredentialsBuilder, Error, ErrorKind, ErrorResponse, NoReplay, ObtainedFrom, Origins,
    ReplayFn, ResponseFuture, Secret, SecretBody, TokenCache, TokenCacheBuilder, TokenFn, TokenHeader, TokenIdentity,
    TokenRequest, TokenRequestBuilder, TowerClient, TryClone, WithoutToken, vonage::Region,
};
use http_body_util::Full;
use hyper_util::client::legacy::{Client, connect::HttpConnector};

fn shared<T: Send + Sync + Unpin + Debug + 'static>() {}
fn cloned<T: Clone>() {}

type Request = http::Request<Full<Bytes>>;
type Hyper = Client<HttpConnector, Full<Bytes>>;

#[test]
fn every_public_type_can_be_shared_moved_and_printed() {
    shared::<AccessToken>();
    shared::<BearerAuth<Hyper>>();
    shared::<BearerAuthLayer>();
    shared::<BearerAuthLayer<TryClone>>();
    shared::<BearerHeader>();
    shared::<SecretBody>();
    shared::<CacheStatus>();
    shared::<ClientAssertion>();
    shared::<ClientAuthentication>();
    shared::<ClientCredentials>();
    shared::<ClientCredentialsBuilder>();
    shared::<Error>();
    shared::<ErrorKind>();
    shared::<ErrorResponse>();
    shared::<NoReplay>();
    shared::<ObtainedFrom>();
    shared::<Origins>();
    shared::<Region>();
    shared::<Secret>();
    shared::<ReplayFn<fn(&Request) -> Option<Request>>>();
    shared::<TokenCache>();
    shared::<TokenCacheBuilder>();
    shared::<TokenFn<fn()>>();
    shared::<TokenHeader>();
    shared::<TokenIdentity>();
    shared::<TokenRequest>();
    shared::<TokenRequestBuilder>();
    shared::<TowerClient<Hyper, Full<Bytes>>>();
    shared::<TryClone>();
    shared::<WithoutToken>();
}

#[test]
fn what_is_shared_by_cloning_is_clone_and_a_source_is_not() {
    cloned::<AccessToken>();
    cloned::<BearerAuth<Hyper, TryClone>>();
    cloned::<BearerAuthLayer<TryClone>>();
    cloned::<BearerHeader>();
    cloned::<SecretBody>();
    cloned::<ClientAssertion>();
    cloned::<ClientAuthentication>();
    cloned::<ClientCredentialsBuilder>();
    cloned::<Error>();
    cloned::<Origins>();
    cloned::<Secret>();
    cloned::<TokenCache>();
    cloned::<TokenFn<fn()>>();
    cloned::<TokenHeader>();
    cloned::<WithoutToken>();
    cloned::<TokenRequest>();
    cloned::<TowerClient<Hyper, Full<Bytes>>>();

    // Nobody makes two caches of one source where they meant one: this compiles only as long as it is not `Clone`.
    trait AmbiguousIfClone<A> {
        fn check() {}
    }
    impl<T> AmbiguousIfClone<()> for T {}
    impl<T: Clone> AmbiguousIfClone<u8> for T {}
    <ClientCredentials as AmbiguousIfClone<_>>::check();
}

#[cfg(feature = "reqwest-middleware")]
#[test]
fn the_middleware_and_the_layer_over_reqwest_too() {
    shared::<client_credentials::BearerAuthMiddleware>();
    cloned::<client_credentials::BearerAuthMiddleware>();
    shared::<BearerAuth<reqwest::Client>>();
    sent::<ResponseFuture<reqwest::Client, reqwest::Request, TryClone>>();
    fn sync<T: Sync>() {}
    sync::<ResponseFuture<reqwest::Client, reqwest::Request, TryClone>>();
}

#[cfg(feature = "redis")]
#[test]
fn the_store_in_redis_too() {
    shared::<client_credentials::store::RedisStore>();
    cloned::<client_credentials::store::RedisStore>();
}

#[cfg(feature = "tonic")]
#[test]
fn the_layer_for_grpc_too() {
    use client_credentials::{GrpcStatus, GrpcStatusFuture, GrpcStatusLayer};
    shared::<GrpcStatusLayer>();
    shared::<GrpcStatus<BearerAuth<Hyper>>>();
    cloned::<GrpcStatus<BearerAuth<Hyper>>>();
    sent::<GrpcStatusFuture<ResponseFuture<Hyper, Request, TryClone>>>();
}

#[cfg(feature = "jwt")]
#[test]
fn the_private_key_too() {
    shared::<client_credentials::PrivateKey>();
}

#[test]
fn the_clock_too() {
    shared::<client_credentials::Clock>();
    cloned::<client_credentials::Clock>();
}

fn sent<T: Send + Debug + 'static>() {}

#[test]
fn the_response_future_is_send_and_unpin_where_the_inner_one_is() {
    sent::<ResponseFuture<Hyper, Request, TryClone>>();
    fn unpin<T: Unpin>() {}
    unpin::<ResponseFuture<Hyper, Request, TryClone>>();
}

/// As those of tower-http, so that a stack can be boxed as `Sync`.
#[test]
fn the_response_future_is_sync_where_request_service_and_response_are() {
    type InMemory =
        tower::util::ServiceFn<fn(Request) -> std::future::Ready<Result<http::Response<Full<Bytes>>, Error>>>;
    fn sync<T: Sync>() {}
    sync::<ResponseFuture<InMemory, Request, TryClone>>();
    sync::<ResponseFuture<InMemory, Request, NoReplay>>();
    sync::<ResponseFuture<Hyper, Request, TryClone>>();
}

/// The futures that the cache gives are awaited in spawned tasks.
#[test]
fn the_caches_futures_are_send() {
    fn check<T: Send>(_: T) {}
    let token = AccessToken::new("abcde").expect("a token");
    let tokens = TokenCache::builder(token).any_origin().build().expect("a cache");
    check(tokens.token());
    check(tokens.token_for(&TokenRequest::default()));
    check(tokens.header_for("https://api.example.com"));
    check(tokens.header_for(&http::Uri::from_static("https://api.example.com")));
    let header = tokens.try_header_for("https://api.example.com").ok().flatten();
    check(header.map(client_credentials::BearerHeader::replaced));
}

/// Every layer around moves or boxes it. What it has to keep beside the inner future, or the first response, is the
/// request that may be sent again, a handle of the service to send it with, and where to get a token: none of that may
/// be there twice.
#[test]
fn the_response_future_is_no_larger_than_what_it_has_to_keep() {
    type Inner = <Hyper as tower::Service<Request>>::Future;
    type Outcome = http::Response<hyper::body::Incoming>;
    let response = size_of::<Inner>().max(size_of::<Outcome>());
    let kept = response + size_of::<Request>() + size_of::<Hyper>();
    let size = size_of::<ResponseFuture<Hyper, Request, TryClone>>();
    assert!(size <= kept + 64, "{size} bytes, of which {kept} are the first response, a request and a service");
    // Without replay, there is nothing to keep.
    let size = size_of::<ResponseFuture<Hyper, Request, NoReplay>>();
    assert!(size <= 160, "{size} bytes over a future of {}", size_of::<Inner>());
}
