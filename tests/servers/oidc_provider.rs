//! oidc-provider is certified for OpenID Connect, and knows every client authentication method and certificate-bound
//! tokens (RFC 8705).

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use client_credentials::{
    AccessToken, ClientAuthentication, ClientCredentials, ClientCredentialsBuilder, ErrorKind, PrivateKey, TokenCache,
    TokenRequest, TokenSource,
};
use http::StatusCode;
use rcgen::{Certificate, CertificateParams, CertifiedIssuer, KeyPair};
use serde_json::Value;

use crate::{
    Server, ask, assert_refused, assert_renewed_beside_the_traffic, assert_revocation_goes_unnoticed, json,
    keys::{Jwt, Key},
};

/// The server, and what the test has of its keys.
struct OidcProvider {
    server: Server,
    rsa: Key,
    p256: Key,
    ed25519: Key,
    /// Who vouches for the server, and for one client.
    ca: String,
    pki: Identity,
    self_signed: Identity,
    stranger: Identity,
}

static SERVER: LazyLock<OidcProvider> = LazyLock::new(|| {
    let (rsa, p256, ed25519) = (Key::rsa(), Key::p256(), Key::ed25519());
    let mut params = CertificateParams::default();
    // Of the same name as the others, it would be taken for one of them.
    params.distinguished_name.push(rcgen::DnType::CommonName, "ca.example.com");
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate");
    let by_ca = |name: &str| Identity::new(name, |params, key| params.signed_by(key, &ca));
    let by_itself = |name: &str| Identity::new(name, |params, key| params.self_signed(key));
    let (tls, pki) = (by_ca("127.0.0.1"), by_ca("client.example.com"));
    let self_signed = by_itself("client.example.com");
    let input = serde_json::json!({
        "tls": {"key": tls.key, "cert": tls.certificate.pem(), "ca": ca.pem()},
        "keys": {"rsa": rsa.public, "p256": p256.public, "ed25519": ed25519.public},
        "selfSigned": self_signed.certificate.pem(),
    });
    OidcProvider {
        server: Server::start(["node", "oidc-provider/server.mjs"], &input.to_string()),
        rsa,
        p256,
        ed25519,
        ca: ca.pem(),
        pki,
        self_signed,
        stranger: by_itself("client.example.com"),
    }
});

/// A certificate and its key.
struct Identity {
    certificate: Certificate,
    key: String,
}

impl Identity {
    fn new(name: &str, sign: impl Fn(CertificateParams, &KeyPair) -> Result<Certificate, rcgen::Error>) -> Self {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        Self { certificate: sign(params, &key).expect("a certificate"), key: key.serialize_pem() }
    }

    fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest(&SHA256, self.certificate.der()))
    }
}

/// A client that presents a certificate.
fn https(identity: Option<&Identity>) -> reqwest::Client {
    let ca = reqwest::Certificate::from_pem(SERVER.ca.as_bytes()).expect("a certificate");
    let mut builder = reqwest::Client::builder().tls_backend_rustls().tls_certs_only([ca]);
    if let Some(Identity { certificate, key }) = identity {
        let pem = format!("{}{key}", certificate.pem());
        builder = builder.identity(reqwest::Identity::from_pem(pem.as_bytes()).expect("an identity"));
    }
    builder.build().expect("a client")
}

fn secret_of(name: &str) -> String {
    format!("secret-of-{name}-with-at-least-32-bytes")
}

fn basic(name: &str) -> ClientCredentialsBuilder {
    SERVER.server.client(name, ClientAuthentication::client_secret_basic(secret_of(name)))
}

fn discovering(id: &str, authentication: impl Into<ClientAuthentication>) -> ClientCredentialsBuilder {
    let [issuer, with_certificates] = &SERVER.server.origins[..] else { panic!("{:?}", SERVER.server.origins) };
    ClientCredentials::discover(issuer, id, authentication).origin(issuer).origin(with_certificates)
}

/// What the server says about a token (RFC 7662).
async fn introspect(token: &AccessToken) -> Value {
    let form = [("token", token.expose_secret())];
    json(SERVER.server.post("/token/introspection", ("api", &secret_of("api")), &form).await).await
}

async fn assert_active(token: &AccessToken, client_id: &str) {
    let said = introspect(token).await;
    assert_eq!(
        (&said["active"], &said["client_id"], &said["scope"]),
        (&true.into(), &client_id.into(), &"read".into())
    );
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn secrets_are_accepted_as_basic_in_the_body_and_as_a_key() {
    let odd = "s:e+c%20r &=/?#\"\\~*'()!@";
    for (id, authentication) in [
        ("basic", ClientAuthentication::client_secret_basic(secret_of("basic"))),
        ("an:odd+id%20 &=", ClientAuthentication::client_secret_basic(odd)),
        ("post", ClientAuthentication::client_secret_post(odd)),
        ("secret-jwt", ClientAuthentication::client_secret_jwt(secret_of("secret-jwt")).into()),
    ] {
        for client in [SERVER.server.client(id, authentication.clone()), discovering(id, authentication.clone())] {
            let token = ask(client.scope("read")).await.unwrap_or_else(|error| panic!("{id}: {error}"));
            assert_active(&token, id).await;
            assert_eq!(SERVER.server.api(&token).await["client_id"], id);
        }
    }
}

fn private_keys() -> [(&'static str, PrivateKey); 4] {
    let server = &*SERVER;
    [
        ("RS256", PrivateKey::rs256(server.rsa.pem()).expect("a key")),
        ("PS256", PrivateKey::ps256(server.rsa.pem()).expect("a key")),
        ("ES256", PrivateKey::es256(server.p256.pem()).expect("a key")),
        ("EdDSA", PrivateKey::eddsa(server.ed25519.pem()).expect("a key")),
    ]
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn private_keys_are_accepted_with_every_algorithm_and_both_audiences_time_after_time() {
    for (id, key) in private_keys() {
        let authentication = ClientAuthentication::private_key_jwt(key);
        for client in [
            SERVER.server.client(id, authentication.clone()),
            SERVER.server.client(id, authentication.clone().audience(SERVER.server.origin()).key_id(id)),
            discovering(id, authentication),
        ] {
            let source = client.scope("read").build().expect("complete");
            // The server takes no assertion twice.
            for _ in 0..2 {
                let token = source.token(&TokenRequest::default()).await;
                assert_active(&token.unwrap_or_else(|error| panic!("{id}: {error}")), id).await;
            }
        }
    }
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn certificates_are_accepted_and_the_tokens_are_bound_to_them() {
    for (id, authentication, identity) in [
        ("pki", ClientAuthentication::tls_client_auth(), &SERVER.pki),
        ("self-signed", ClientAuthentication::self_signed_tls_client_auth(), &SERVER.self_signed),
    ] {
        let http = https(Some(identity));
        let client = discovering(id, authentication).scope("read").http_client(http.clone());
        let tokens = TokenCache::from(client.build().expect("complete"));
        let token = tokens.token().await.unwrap_or_else(|error| panic!("{id}: {error}"));
        assert_active(&token, id).await;
        assert_eq!(introspect(&token).await["cnf"]["x5t#S256"], identity.thumbprint());

        let api = format!("{}/api", SERVER.server.origins[1]);
        let middleware = client_credentials::BearerAuthMiddleware::new(tokens);
        let client = reqwest_middleware::ClientBuilder::new(http).with(middleware).build();
        assert_eq!(json(client.get(&api).send().await.expect("a response")).await["client_id"], id);
        for other in [None, Some(&SERVER.stranger)] {
            let request = https(other).get(&api).header("authorization", token.authorization());
            assert_eq!(request.send().await.expect("a response").status(), StatusCode::UNAUTHORIZED);
        }
    }
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn the_tokens_of_a_client_with_a_secret_are_bound_to_its_certificate_where_it_asks_for_that_endpoint() {
    let http = https(Some(&SERVER.pki));
    let authentication = ClientAuthentication::client_secret_basic(secret_of("bound"));
    let client = || discovering("bound", authentication.clone()).http_client(http.clone());
    assert_refused(ask(client()).await, "invalid_grant");
    let token = ask(client().mtls_endpoint_aliases()).await.expect("a token");
    assert_eq!(introspect(&token).await["cnf"]["x5t#S256"], SERVER.pki.thumbprint());
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn an_issuer_that_is_not_written_as_the_server_does_is_refused_with_the_one_that_is() {
    let issuer = SERVER.server.origin();
    let client = ClientCredentials::discover(format!("{issuer}/"), "post", "a-secret").any_origin();
    let error = ask(client).await.expect_err("another issuer");
    assert_eq!(error.kind(), ErrorKind::InvalidResponse);
    assert!(error.to_string().contains(&format!("the document's issuer is \"{issuer}\"")), "{error}");
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn wrong_credentials_are_refused_as_an_invalid_client() {
    let server = &SERVER.server;
    for client in [
        server.client("basic", ClientAuthentication::client_secret_basic("wrong")),
        server.client("post", "wrong"),
        server.client("nobody", "wrong"),
        // The right secret by the wrong method.
        server.client("secret-jwt", secret_of("secret-jwt")),
        server.client("secret-jwt", ClientAuthentication::client_secret_jwt(secret_of("another"))),
        server.client("basic", ClientAuthentication::none()),
        discovering("pki", ClientAuthentication::tls_client_auth()).http_client(https(Some(&SERVER.stranger))),
        discovering("self-signed", ClientAuthentication::self_signed_tls_client_auth())
            .http_client(https(Some(&SERVER.stranger))),
        discovering("pki", ClientAuthentication::tls_client_auth()).http_client(https(None)),
    ] {
        assert_refused(ask(client).await, "invalid_client");
    }
    for (id, key) in [
        ("RS256", PrivateKey::rs256(Key::rsa().pem())),
        ("PS256", PrivateKey::ps256(Key::rsa().pem())),
        ("ES256", PrivateKey::es256(Key::p256().pem())),
        ("EdDSA", PrivateKey::eddsa(Key::ed25519().pem())),
    ] {
        let authentication = ClientAuthentication::private_key_jwt(key.expect("a key"));
        assert_refused(ask(server.client(id, authentication)).await, "invalid_client");
    }
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn a_scope_that_the_client_may_not_have_is_refused() {
    assert_refused(ask(basic("basic").scope("admin")).await, "invalid_scope");
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn a_token_for_a_resource_has_it_as_its_audience() {
    let resource = "https://api.example.com/orders";
    let tokens = TokenCache::from(basic("basic").build().expect("complete"));
    let request = TokenRequest::builder().resource(resource).scope("read").build().expect("complete");
    let token = tokens.token_for(&request).await.expect("a token");
    let jwt = Jwt::read(token.expose_secret());
    assert_eq!((&jwt.claims["aud"], &jwt.claims["client_id"]), (&resource.into(), &"basic".into()));
    assert_eq!((&jwt.claims["iss"], &jwt.claims["scope"]), (&SERVER.server.origin().into(), &"read".into()));

    assert_refused(ask(basic("basic").resource("https://api.example.com/unknown")).await, "invalid_target");
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn tokens_are_renewed_beside_the_traffic() {
    assert_renewed_beside_the_traffic(basic("short"), &SERVER.server.url("/api")).await;
}

#[tokio::test]
#[ignore = "first tests/servers/set-up"]
async fn a_revocation_goes_unnoticed() {
    let secret = secret_of("basic");
    let revoke = async |token: &AccessToken| {
        SERVER.server.post("/token/revocation", ("basic", &secret), &[("token", token.expose_secret())]).await;
        assert_eq!(introspect(token).await["active"], false);
    };
    assert_revocation_goes_unnoticed(basic("basic"), &SERVER.server.url("/api"), revoke).await;
}
