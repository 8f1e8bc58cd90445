use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_smithy_async::{rt::sleep::TokioSleep, time::SystemTimeSource};
use aws_smithy_runtime::client::{auth::http::BearerAuthScheme, identity::IdentityCache};
use aws_smithy_runtime_api::client::{
    auth::{AuthScheme, AuthSchemeEndpointConfig},
    identity::{
        Identity, IdentityFuture, ResolveCachedIdentity, ResolveIdentity, SharedIdentityCache, SharedIdentityResolver,
        http::Token,
    },
    orchestrator::HttpRequest,
    runtime_components::{RuntimeComponents, RuntimeComponentsBuilder},
};
use aws_smithy_types::{body::SdkBody, config_bag::ConfigBag};

use super::{BoxError, Tokens, fetch, stay, wait};
use crate::{
    endpoint::Endpoint,
    rows::Row,
    send::{Sender, now},
};

pub const BASE: Row = Row::new("aws-none", "aws-none", "aws-smithy's request alone", |_| {
    Box::new(|| {
        let mut request = request();
        Box::new(move || {
            std::hint::black_box(&mut request).headers_mut().remove("authorization");
        })
    })
});

pub const ROW: Row =
    Row::new("aws", "aws-none", "aws-smithy-runtime's lazy identity cache and bearer signer", |token| {
        let endpoint = Endpoint::of_one_token(token);
        let identities = Arc::new(Identities::new(endpoint.url()));
        wait(identities.resolve()).expect("a token");
        Box::new(move || sender(Arc::clone(&identities)))
    });

pub fn start(url: String) -> Tokens {
    let identities = Arc::new(Identities::new(url));
    Box::new(move || {
        let identities = Arc::clone(&identities);
        Box::pin(async move { identities.resolve().await.map(drop) })
    })
}

fn sender(identities: Arc<Identities>) -> Sender {
    stay();
    let (mut request, scheme) = (request(), BearerAuthScheme::new());
    Box::new(move || {
        request.headers_mut().remove("authorization");
        let identity = now(identities.resolve()).expect("a token");
        let (config, components) = (AuthSchemeEndpointConfig::empty(), &identities.components);
        let signed = scheme.signer().sign_http_request(&mut request, &identity, config, components, &identities.config);
        signed.expect("a header");
        std::hint::black_box(&request);
    })
}

fn request() -> HttpRequest {
    let request = http::Request::post("https://api.example.com/v1/things?page=2").body(SdkBody::empty());
    request.expect("a request").try_into().expect("a request")
}

struct Identities {
    cache: SharedIdentityCache,
    resolver: SharedIdentityResolver,
    components: RuntimeComponents,
    config: ConfigBag,
}

impl Identities {
    fn new(url: String) -> Self {
        let components = RuntimeComponentsBuilder::for_tests()
            .with_time_source(Some(SystemTimeSource::new()))
            .with_sleep_impl(Some(TokioSleep::new()));
        Self {
            cache: IdentityCache::lazy().build(),
            resolver: SharedIdentityResolver::new(Resolver { client: reqwest::Client::new(), url }),
            components: components.build().expect("the components are complete"),
            config: ConfigBag::base(),
        }
    }

    async fn resolve(&self) -> Result<Identity, BoxError> {
        self.cache.resolve_cached_identity(self.resolver.clone(), &self.components, &self.config).await
    }
}

#[derive(Debug)]
struct Resolver {
    client: reqwest::Client,
    url: String,
}

impl ResolveIdentity for Resolver {
    fn resolve_identity<'a>(&'a self, _: &'a RuntimeComponents, _: &'a ConfigBag) -> IdentityFuture<'a> {
        IdentityFuture::new(async {
            let issued = fetch(&self.client, &self.url).await?;
            let expiration = Some(SystemTime::now() + Duration::from_secs(issued.expires_in));
            Ok(Identity::new(Token::new(issued.access_token, expiration), expiration))
        })
    }
}
