//! Where a token may go.

use crate::support;
use crate::support::{
    api::{Api, bearer, tokens},
    get,
};
use client_credentials::{
    AccessToken, BearerAuthLayer, ClientCredentials, ClientCredentialsBuilder, Error, ErrorKind, TokenCache,
    TokenRequest, TokenSource, async_trait, testing::AuthorizationServer,
};
use tower::{Layer, ServiceExt};

/// What happened to a request.
#[derive(Debug, PartialEq, Eq)]
enum Sent {
    With,
    Without,
    /// It would go over plain http.
    Refused,
    /// Nobody said where it goes.
    NowhereToGo,
}
use Sent::{NowhereToGo, Refused, With, Without};

async fn send(origins: &[&str], request: http::Request<support::api::Body>) -> Sent {
    send_to(origins, None, request).await
}

/// Over a service that goes to `inner`.
async fn send_to(origins: &[&str], inner: Option<&str>, request: http::Request<support::api::Body>) -> Sent {
    let (builder, source) = tokens();
    let builder = origins.iter().fold(builder, |builder, origin| match *origin {
        "any" => builder.any_origin(),
        origin => builder.origin(origin),
    });
    let api = Api::open();
    let layer = BearerAuthLayer::new(builder.build().expect("origins"));
    let layer = match inner {
        Some(inner) => layer.for_origin(inner).expect("an origin that is permitted"),
        None => layer,
    };
    match layer.layer(api.clone()).oneshot(request).await {
        Ok(_) if bearer(&api.seen()[0]).is_some() => With,
        Ok(_) => {
            assert_eq!(source.count(), 0, "no token is fetched where none is attached");
            Without
        }
        Err(error) => {
            assert_eq!(api.count(), 0, "refused before it was sent");
            assert_eq!(source.count(), 0);
            match Error::find(&*error).expect("ours").kind() {
                ErrorKind::InsecureTransport => Refused,
                ErrorKind::Configuration => NowhereToGo,
                kind => panic!("{kind:?}"),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_goes_only_to_the_origins_that_were_named_and_over_plain_http_only_where_that_was() {
    let api: &[&str] = &["https://api.example.com"];
    let table: &[(&[&str], &str, Sent)] = &[
        (api, "https://api.example.com/stats?x=1", With),
        (api, "https://API.Example.COM/stats", With),
        (api, "HTTPS://api.example.com/stats", With),
        (api, "https://api.example.com./stats", With),
        (api, "https://api.example.com../stats", Without),
        (api, "https://api.example.com:443/stats", With),
        (api, "https://api.example.com:/stats", With),
        (api, "https://api.example.com:0443/stats", With),
        (api, "wss://api.example.com/socket", With),
        (api, "https://api.example.com:8443/stats", Without),
        (api, "https://api.example.com:99999/stats", Without),
        (api, "https://example.com/", Without),
        (api, "https://www.api.example.com/", Without),
        (api, "https://xapi.example.com/", Without),
        (api, "https://api.example.com.evil.test/", Without),
        (api, "https://api.example.com@evil.test/", Without),
        (api, "https://api.example.com:443@evil.test/", Without),
        (api, "https://evil.test/https://api.example.com", Without),
        (api, "https://evil.test/?https://api.example.com", Without),
        (api, "https://user@api.example.com/", With),
        (api, "ftp://api.example.com/", Without),
        // A host listed with https, asked over plain http, on any port.
        (api, "http://api.example.com/stats", Refused),
        (api, "http://api.example.com:443/stats", Refused),
        (api, "http://api.example.com:8080/stats", Refused),
        (api, "ws://api.example.com/socket", Refused),
        (&["https://api.example.com:8443"], "https://api.example.com:8443/", With),
        (&["https://api.example.com:8443"], "https://api.example.com/", Without),
        (&["https://api.example.com:443"], "https://api.example.com/", With),
        (&["https://api.example.com."], "https://api.example.com/", With),
        // Naming it with `http` is the permission.
        (&["http://orders.svc"], "http://orders.svc/", With),
        (&["http://orders.svc"], "http://orders.svc:80/", With),
        (&["http://orders.svc"], "https://orders.svc/", Without),
        (&["http://orders.svc", "https://orders.svc"], "https://orders.svc/", With),
        // A wildcard is one label.
        (&["https://*.example.com"], "https://api.example.com/", With),
        (&["https://*.example.com"], "https://a.b.example.com/", Without),
        (&["https://*.example.com"], "https://example.com/", Without),
        (&["https://*.example.com"], "https://.example.com/", Without),
        (&["https://*.example.com"], "https://evilexample.com/", Without),
        // Loopback needs no TLS, but is listed like any other.
        (api, "http://127.0.0.1:4000/", Without),
        (api, "http://localhost/", Without),
        (&["http://127.0.0.1:4000"], "http://127.0.0.1:4000/", With),
        (&["http://127.0.0.1:4000"], "http://127.0.0.1:4001/", Without),
        (&["https://[2001:db8::1]"], "https://[2001:db8::1]/", With),
        (&["https://[2001:db8::1]"], "https://[2001:0DB8:0:0:0:0:0:1]/", With),
        (&["https://[2001:db8::1]"], "https://[2001:db8::2]/", Without),
        // Another parser finds another host.
        (&["https://[2001:db8::1]:8443"], "https://[2001:db8::1].evil.test:8443/", Without),
        (&["any"], "http://[::1].evil.test:4000/", Without),
        (api, "https://api.example.com:[::1]:443/", Without),
        // Any https origin, and loopback.
        (&["any"], "https://elsewhere.test:8443/", With),
        (&["any"], "http://elsewhere.test/", Refused),
        (&["any"], "http://127.0.0.1:4000/", With),
        (&["any"], "http://127.1.2.3/", With),
        (&["any"], "http://[::1]:4000/", With),
        (&["any"], "http://[0:0:0:0:0:0:0:1]:4000/", With),
        (&["any"], "http://localhost:4000/", With),
        (&["any"], "http://localhost.evil.test/", Refused),
        (&["any"], "http://127.0.0.1.evil.test/", Refused),
        (&["any"], "http://128.0.0.1/", Refused),
        (&["any", "http://orders.svc"], "http://orders.svc/", With),
    ];
    for (origins, url, expected) in table {
        assert_eq!(send(origins, get(url)).await, *expected, "{origins:?} {url}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_authority_goes_where_the_service_goes_unless_its_host_header_contradicts() {
    let table: &[(&[&str], Sent)] = &[
        (&[], With),
        (&["api.example.com"], With),
        (&["api.example.com:443"], With),
        (&["API.example.com."], With),
        (&["api.example.com:80"], Without),
        (&["evil.test"], Without),
        (&["api.example.com", "evil.test"], Without),
        (&["evil.test", "api.example.com"], Without),
        (&["not a host"], Without),
        (&[""], Without),
    ];
    let api = "https://api.example.com";
    for (hosts, expected) in table {
        let request = || with_hosts("/helloworld.Greeter/SayHello", hosts);
        assert_eq!(send_to(&[api], Some(api), request()).await, *expected, "{hosts:?}");
        // A Host header alone is no permission: whoever called a reverse proxy chose it.
        for origins in [&[api][..], &["any"]] {
            assert_eq!(send(origins, request()).await, NowhereToGo, "{hosts:?}");
        }
    }
}

fn with_hosts(url: &str, hosts: &[&str]) -> http::Request<support::api::Body> {
    let mut request = get(url);
    for host in hosts {
        request.headers_mut().append("host", host.parse().expect("a value"));
    }
    request
}

#[tokio::test(start_paused = true)]
async fn over_a_service_that_goes_to_one_origin_a_request_that_names_its_own_is_checked_by_that() {
    let table = [
        ("/stats", With),
        ("https://api.example.com/stats", With),
        ("https://elsewhere.test/stats", Without),
        ("http://api.example.com/stats", Refused),
    ];
    for (url, expected) in table {
        let origins = ["https://api.example.com"];
        assert_eq!(send_to(&origins, Some("https://api.example.com"), get(url)).await, expected, "{url}");
    }
    for (origins, inner) in [
        (&["any"][..], "https://orders.internal:50051"),
        (&["any"], "http://127.0.0.1:50051"),
        (&["http://orders.internal:50051"], "http://orders.internal:50051"),
        (&["https://*.example.com"], "https://orders.example.com:443"),
        (&["https://[2001:db8::1]:50051"], "https://[2001:db8::1]:50051"),
    ] {
        assert_eq!(send_to(origins, Some(inner), get("/stats")).await, With, "{inner}");
    }
}

#[test]
fn where_the_inner_service_goes_is_checked_when_the_layer_is_built() {
    let refused = |origins: &[&str], inner: &str| {
        let source = AccessToken::new("abcde").expect("a token");
        let builder = TokenCache::builder(source);
        let builder = origins.iter().fold(builder, |builder, origin| match *origin {
            "any" => builder.any_origin(),
            origin => builder.origin(origin),
        });
        let layer = BearerAuthLayer::new(builder.build().expect("origins")).for_origin(inner);
        layer.expect_err("the origin is not permitted")
    };
    let api = &["https://api.example.com"][..];
    for (origins, inner, what) in [
        (api, "https://elsewhere.test", ".origin(\"https://elsewhere.test\")"),
        (api, "https://api.example.com:50051", "not among those"),
        (api, "api.example.com", "has no scheme"),
        (api, "https://api.example.com/v1", "has a path"),
        (&["https://*.example.com"], "https://*.example.com", "not a single origin"),
    ] {
        let error = refused(origins, inner);
        assert_eq!(error.kind(), ErrorKind::Configuration, "{inner}");
        assert!(error.to_string().contains(what), "{inner}: {error}");
    }
    for (origins, inner) in [(api, "http://api.example.com"), (&["any"], "http://orders.internal:50051")] {
        assert_eq!(refused(origins, inner).kind(), ErrorKind::InsecureTransport, "{inner}");
    }
}

/// A gateway that routes by `Host` would hand the token to another tenant.
#[tokio::test(start_paused = true)]
async fn a_host_header_that_names_what_is_not_permitted_itself_gets_no_token_beside_an_authority_that_is() {
    let (name, address) = ("https://api.example.com", "https://192.0.2.1:8443");
    let table: &[(&[&str], &str, &[&str], Sent)] = &[
        (&[name], name, &["api.example.com"], With),
        (&[name], name, &["api.example.com:443"], With),
        (&[name], name, &["other-tenant.example.com"], Without),
        (&[name], name, &["api.example.com", "other-tenant.example.com"], Without),
        (&[name], name, &["api.example.com:8443"], Without),
        (&[name], name, &["not a host"], Without),
        (&[name], name, &["api.example.com.."], Without),
        (&["https://*.example.com"], name, &["a].example.com"], Without),
        // A gateway may read user info as the host.
        (&[name], name, &["other-tenant.example.com@api.example.com"], Without),
        (&[name], name, &["other-tenant.example.com:80@api.example.com:443"], Without),
        (&[name], name, &["@api.example.com"], Without),
        (&[name, "https://[2001:db8::1]:8443"], name, &["[2001:db8::1].evil.test:8443"], Without),
        // An address in the URL, with a permitted name in `Host`.
        (&[name, address], address, &["api.example.com"], With),
        (&[name, address], address, &["192.0.2.1:8443"], With),
        (&[address], address, &["api.example.com"], Without),
        (&["https://*.example.com"], name, &["other.example.com"], With),
        (&["https://*.example.com"], name, &["example.com"], Without),
        // A gateway may read two labels.
        (&["https://*.example.com"], name, &["a%2eb.example.com"], Without),
        (&["http://localhost:8080"], "http://localhost:8080", &["localhost:8080"], With),
        (&["http://localhost:8080"], "http://localhost:8080", &["localhost"], With),
        (&["http://localhost:8080"], "http://localhost:8080", &["elsewhere.test"], Without),
    ];
    for (origins, url, hosts, expected) in table {
        assert_eq!(send(origins, with_hosts(url, hosts)).await, *expected, "{origins:?} {url} {hosts:?}");
    }
    // Also where the token is cached.
    let (tokens, _) = support::api::api_tokens();
    tokens.token().await.expect("a token");
    let api = Api::open();
    let service = BearerAuthLayer::new(tokens).layer(api.clone());
    service.oneshot(with_hosts(name, &["other-tenant.example.com"])).await.expect("a response");
    assert_eq!(bearer(&api.seen()[0]), None);
}

#[test]
fn what_is_not_an_origin_is_refused_with_what_to_write() {
    let table = [
        ("api.example.com", "has no scheme"),
        ("https://", "is not a URI"),
        ("https://api.example.com/", "has a path"),
        ("https://api.example.com/v1", "has a path"),
        ("https://api.example.com?x", "has a path"),
        ("https://api.example.com#x", "has a fragment"),
        ("https://user@api.example.com", "has user info"),
        ("ftp://api.example.com", "has a scheme other than"),
        ("https://api.example.com:port", "has a port that is not a number"),
        ("https://api.example.com:99999", "has a port that is not a number"),
        ("https://*", "has a `*`"),
        ("https://*.com", "has a `*`"),
        ("https://a*.example.com", "has a `*`"),
        ("https://*.*.example.com", "has a `*`"),
        ("https://.", "or no host"),
        ("", "is not a URI"),
        ("https://bücher.example", "`xn--…`"),
        // Clients send all of these as 127.0.0.1.
        ("http://127.1", "four decimal numbers"),
        ("http://2130706433:8080", "four decimal numbers"),
        ("http://0x7f000001", "four decimal numbers"),
        ("http://0177.0.0.1.", "four decimal numbers"),
        ("https://*.0.0.1", "four decimal numbers"),
    ];
    for (origin, what) in table {
        let source = AccessToken::new("abcde").expect("a token");
        let error = TokenCache::builder(source).origin(origin).build().expect_err(origin);
        let text = error.to_string();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(text.contains(what) && text.contains("`https://api.example.com`"), "{origin:?}: {text}");
    }
}

#[test]
fn nothing_builds_without_an_origin_and_the_error_says_what_to_write() {
    let credentials = credentials();
    let over_another = TokenCache::builder(AccessToken::new("abcde").expect("a token"));
    let forgetful =
        TokenCache::builder(Wrapper(credentials.clone().origin("https://a.test").build().expect("a source")));
    for error in [credentials.build().err(), over_another.build().err(), forgetful.build().err()] {
        let error = error.expect("no origin was named").to_string();
        assert!(error.contains(".origin(\"https://api.example.com\")") && error.contains(".any_origin()"), "{error}");
    }
}

fn credentials() -> ClientCredentialsBuilder {
    ClientCredentials::builder("https://auth.example.com/token", "abcde", "12345")
        .http_client(AuthorizationServer::in_memory())
}

/// Forgets to hand on the origins of the source within.
struct Wrapper<T>(T);

#[async_trait]
impl<T: TokenSource> TokenSource for Wrapper<T> {
    async fn token(&self, request: &TokenRequest) -> Result<AccessToken, Error> {
        self.0.token(request).await
    }
}

#[tokio::test]
async fn the_source_and_the_cache_may_both_name_origins() {
    let source = credentials().origin("https://a.test").build().expect("a source");
    let builder = TokenCache::builder(source).origin("https://b.test");
    let text = format!("{builder:?}");
    assert!(text.contains("b.test"), "what has been named so far: {text}");
    let tokens = builder.build().expect("a cache");
    let text = format!("{tokens:?}");
    assert!(text.contains("a.test") && text.contains("b.test"), "{text}");
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// A host as it is written in URLs: names, addresses, and what somebody hostile would try.
    fn host() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-zA-Z0-9]{1,8}(\\.[a-zA-Z0-9-]{1,8}){0,4}\\.?",
            "(api\\.)?example\\.com(\\.[a-z]{2,4})?\\.?",
            "[a-z]{0,4}api\\.example\\.com",
            "[a-z]{1,4}\\.api\\.example\\.com",
            Just("[::1]".to_owned()),
            Just("[2001:db8::1]".to_owned()),
            "[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}\\.[0-9]{1,3}",
        ]
    }

    fn url() -> impl Strategy<Value = String> {
        let user = prop_oneof![Just(String::new()), "[a-z.:]{1,12}@", Just("api.example.com@".to_owned())];
        let port = prop_oneof![Just(String::new()), "(:[0-9]{0,6})"];
        let rest = prop_oneof![Just(String::new()), "[/?][ -~]{0,16}", Just("/@api.example.com".to_owned())];
        let scheme = prop_oneof![Just("https"), Just("http"), Just("HTTPS"), Just("ftp")];
        (scheme, user, host(), port, rest)
            .prop_map(|(scheme, user, host, port, rest)| format!("{scheme}://{user}{host}{port}{rest}"))
    }

    /// Put together from what URLs are taken apart by.
    fn puzzle() -> impl Strategy<Value = String> {
        let start =
            prop::sample::select(vec!["https://", "HTTPS://", "https:///", "https:\\\\", "https://https://", "//"]);
        let piece = prop::sample::select(vec![
            "api.example.com",
            "API.EXAMPLE.COM",
            "@api.example.com",
            "example.com",
            "evil.test",
            "a",
            "@",
            ":",
            "443",
            ":443",
            "\\",
            "/",
            "?",
            "#",
            ".",
            "..",
            "[",
            "]",
            "[::1]",
            "%2e",
            "%40",
            "%5c",
            "%",
            ";",
            "&",
            "=",
            "*",
            "_",
            "-",
            "|",
            "\"",
            "<",
            "^",
            "`",
            "{",
        ]);
        (start, prop::collection::vec(piece, 0..7)).prop_map(|(start, pieces)| format!("{start}{}", pieces.concat()))
    }

    fn now<F: Future>(future: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.expect("a runtime").block_on(future)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// What the layer thinks of a URL, the `url` crate (which reqwest connects by) thinks as well: a token goes out
        /// only to the one origin.
        #[test]
        fn a_token_goes_only_where_two_parsers_see_the_origin_that_was_named(url in prop_oneof![url(), puzzle()]) {
            let Ok(uri) = url.parse::<http::Uri>() else { return Ok(()) };
            prop_assume!(uri.authority().is_some());
            let request = http::Request::get(uri).body(support::api::Body::default()).expect("a request");
            let sent = now(send(&["https://api.example.com"], request));
            #[cfg(feature = "reqwest")]
            if sent == With {
                let url = reqwest::Url::parse(&url).expect("what a token was attached to is a URL");
                let host = url.host_str().expect("a host").trim_end_matches('.').to_owned();
                let origin = (url.scheme(), host.as_str(), url.port_or_known_default());
                prop_assert_eq!(origin, ("https", "api.example.com", Some(443)));
            }
            prop_assert!(sent != With || url.to_ascii_lowercase().contains("api.example.com"));
        }

        /// Whatever is named as an origin: it is refused, or it means itself and nothing panics.
        #[test]
        fn what_is_accepted_as_an_origin_covers_itself(
            origin in prop_oneof![url(), "[ -~]{0,24}", "https?://[!-~]{0,16}"],
        ) {
            let source = AccessToken::new("abcde").expect("a token");
            if TokenCache::builder(source).origin(&origin).build().is_ok() && !origin.contains('*') {
                prop_assert_eq!(now(send(&[&origin], get(&format!("{origin}/stats")))), With, "{}", origin);
            }
        }

        /// The header is what a caller can write freely.
        #[test]
        fn no_host_header_panics_or_opens_another_origin(host in prop::collection::vec(0x20u8..0x7f, 0..40)) {
            let mut request = get("/stats");
            request.headers_mut().insert("host", http::HeaderValue::from_bytes(&host).expect("a value"));
            let api = "https://api.example.com";
            let sent = now(send_to(&[api], Some(api), request));
            prop_assert!(sent != With || host.to_ascii_lowercase().ends_with(b"api.example.com"), "{:?}", host);
        }
    }
}
