//! Token requests and proxies: those of the environment, each test in a process of its own, and those of a client.

use crate::support::{
    endpoint::{obtain, source, token_response},
    process, received, responding,
    sockets::server,
};

/// What the parent tells the process that a test runs in.
fn told(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

const URL: &str = "TOKEN_URL_OF_THE_TEST";
const PROXY: &str = "http://user:s3cr3t-of-the-proxy@127.0.0.1:";

#[tokio::test(flavor = "multi_thread")]
async fn token_requests_to_loopback_bypass_a_proxy_of_the_environment() {
    let auth = responding(token_response()).await;
    let listening = server(|stream| async move { drop(stream) }).await;
    let proxy = format!("{PROXY}{}", listening.port);
    let urls = ["127.0.0.1", "localhost", "LOCALHOST"].map(|host| auth.uri().replace("127.0.0.1", host)).join(" ");
    for variable in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        process::run("proxies::in_a_process_tokens_come", &[(variable, &proxy), (URL, &urls)]);
    }
    assert_eq!((received(&auth).await.len(), listening.connections()), (12, 0));
    let urls = "http://[::1]:1/token https://[::1]:1/token";
    for variable in ["http_proxy", "HTTPS_PROXY"] {
        process::run("proxies::in_a_process_nobody_listens", &[(variable, &proxy), (URL, urls)]);
    }
    assert_eq!(listening.connections(), 0);
}

#[tokio::test]
#[ignore = "for a process of its own"]
async fn in_a_process_tokens_come() {
    let Some(urls) = told(URL) else { return };
    for url in urls.split(' ') {
        obtain(source(url).allow_plain_http()).await.expect("a token");
    }
}

#[tokio::test]
#[ignore = "for a process of its own"]
async fn in_a_process_nobody_listens() {
    let Some(urls) = told(URL) else { return };
    for url in urls.split(' ') {
        let error = obtain(source(url)).await.expect_err("nobody listens");
        assert!(!error.to_string().contains("proxy"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn token_requests_to_other_hosts_use_the_proxy_of_the_environment() {
    let proxy = responding(token_response()).await;
    for variable in ["http_proxy", "HTTP_PROXY", "ALL_PROXY"] {
        let variables = [(variable, &*proxy.uri()), (URL, "http://auth.invalid/token")];
        process::run("proxies::in_a_process_tokens_come", &variables);
    }
    assert_eq!(received(&proxy).await.len(), 3);
}

#[test]
fn the_proxy_variable_to_set_is_named_where_none_is_set() {
    process::run("proxies::in_a_process_the_variable_is_named", &[(URL, "")]);
}

#[tokio::test]
#[ignore = "for a process of its own"]
async fn in_a_process_the_variable_is_named() {
    if told(URL).is_none() {
        return;
    }
    for scheme in ["http", "https"] {
        if scheme == "https" && !cfg!(any(feature = "rustls", feature = "native-tls")) {
            continue;
        }
        let source = source(format!("{scheme}://auth.invalid/token")).allow_plain_http();
        let text = obtain(source).await.expect_err("no such host").to_string();
        assert!(text.contains(&format!("set `{}_PROXY`", scheme.to_uppercase())), "{text}");
    }
}

#[cfg(feature = "rustls")]
mod tunnels {
    use client_credentials::{Error, ErrorKind, HttpClient, IntoHttpClient};
    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::support::{Nobody, sockets};

    /// Proxies that let nobody through: their port, what an error says, and whether it may pass. At the last port,
    /// nobody listens.
    async fn proxies() -> (Vec<(u16, &'static str, bool)>, Nobody) {
        let mut proxies = Vec::new();
        for (status, says, transient) in [
            ("407 Proxy Authentication Required", "asks for credentials (put them into the proxy's URL", false),
            ("403 Forbidden", "refused to connect to the server (allow the server's host at the proxy", true),
            ("502 Bad Gateway", "refused to connect to the server (allow the server's host at the proxy", true),
            ("", "closed the connection", true),
        ] {
            let proxy = server(move |mut stream| async move {
                sockets::read_some(&mut stream).await;
                if !status.is_empty() {
                    let head = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
                    let _ = stream.write_all(head.as_bytes()).await;
                }
            })
            .await;
            proxies.push((proxy.port, says, transient));
        }
        let nobody = Nobody::new();
        proxies.push((nobody.port(), "cannot be reached (check the proxy's URL", true));
        (proxies, nobody)
    }

    fn check(error: &Error, port: u16, says: &str, transient: bool) {
        assert_eq!((error.kind(), error.is_transient()), (ErrorKind::Proxy, transient), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(&format!("failed: the proxy http://127.0.0.1:{port} {says}")), "{text}");
        assert!(!text.contains("HTTPS_PROXY") && !format!("{error:?}{error}").contains("s3cr3t"), "{error:?}");
    }

    #[tokio::test]
    async fn a_proxy_that_lets_nobody_through_is_named() {
        let (proxies, _nobody) = proxies().await;
        for (port, says, transient) in proxies {
            let builder = || reqwest::Client::builder().tls_backend_rustls();
            #[cfg(feature = "native-tls")]
            let builders = [builder(), reqwest::Client::builder().tls_backend_native()];
            #[cfg(not(feature = "native-tls"))]
            let builders = [builder()];
            for builder in builders {
                let builder = builder.proxy(reqwest::Proxy::all(format!("{PROXY}{port}")).expect("a proxy"));
                let client = builder.into_http_client().expect("a client");
                let source = source("https://auth.invalid/token").http_client(client);
                check(&obtain(source).await.expect_err("a proxy"), port, says, transient);
            }
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_proxy_of_the_environment_that_lets_nobody_through_is_named() {
        let (proxies, _nobody) = proxies().await;
        for (port, says, transient) in proxies {
            let proxy = format!("{PROXY}{port}");
            let told = format!("{port} {transient} {says}");
            process::run("proxies::tunnels::in_a_process_a_proxy_fails", &[("HTTPS_PROXY", &proxy), (URL, &told)]);
        }
    }

    #[tokio::test]
    #[ignore = "for a process of its own"]
    async fn in_a_process_a_proxy_fails() {
        let Some(told) = told(URL) else { return };
        let mut told = told.splitn(3, ' ');
        let mut next = || told.next().expect("told");
        let (port, transient) = (next().parse().expect("a port"), next() == "true");
        check(&obtain(source("https://auth.invalid/token")).await.expect_err("a proxy"), port, next(), transient);
    }

    /// reqwest then speaks HTTP to it.
    #[tokio::test]
    async fn a_socks_proxy_without_the_feature_for_it_is_named() {
        let server = sockets::closing().await;
        let proxy = reqwest::Proxy::all(format!("socks5://127.0.0.1:{}", server.port)).expect("a proxy");
        let client = reqwest::Client::builder().tls_backend_rustls().proxy(proxy);
        let source = source("https://auth.invalid/token").http_client(client);
        let error = obtain(source).await.expect_err("a proxy").to_string();
        assert!(error.ends_with("(for a SOCKS proxy, reqwest needs its feature `socks`)"), "{error}");
    }

    #[tokio::test]
    async fn a_proxy_through_tls_and_one_over_socks_are_failures_of_the_proxy_as_well() {
        for words in ["tunnel error: io error establishing tunnel", "SOCKS error: failed parsing server response"] {
            let failing = tower::service_fn(move |_: http::Request<bytes::Bytes>| async move {
                Err::<http::Response<String>, _>(std::io::Error::other(words))
            });
            let client = client_credentials::TowerClient::new(failing);
            let source = source("https://auth.invalid/token").http_client(client);
            assert_eq!(obtain(source).await.expect_err("a proxy").kind(), ErrorKind::Proxy, "{words}");
        }
    }

    #[tokio::test]
    async fn a_host_that_no_proxy_leads_to_is_no_fault_of_the_proxy() {
        let builder = reqwest::Client::builder().proxy(
            reqwest::Proxy::all("http://127.0.0.1:1")
                .expect("a proxy")
                .no_proxy(reqwest::NoProxy::from_string("auth.invalid")),
        );
        let client: std::sync::Arc<dyn HttpClient> = builder.into_http_client().expect("a client");
        let error = obtain(source("https://auth.invalid/token").http_client(client)).await.expect_err("no such host");
        assert_eq!(error.kind(), ErrorKind::Dns);
        let says =
            "(the HTTP client uses the proxy http://127.0.0.1:1 for such URLs, unless `NO_PROXY` lists the host)";
        assert!(error.to_string().ends_with(says), "{error}");
    }
}
