//! The default client where reqwest has no TLS: without the features `rustls` and `native-tls`.
#![cfg(all(feature = "reqwest-middleware", not(any(feature = "rustls", feature = "native-tls"))))]

#[path = "it/support/mod.rs"]
mod support;

use std::sync::Arc;

use client_credentials::{ErrorKind, HttpClient};
use support::{
    endpoint::{ask, source, with_client},
    process, sockets,
};

#[tokio::test]
async fn the_error_says_which_feature_to_enable() {
    let error = ask(&source("https://127.0.0.1:1/token").build().expect("complete")).await.expect_err("no TLS");
    assert_eq!(error.kind(), ErrorKind::TlsMissing, "{error:?}");
    assert!(!error.is_transient());
    for advice in ["`rustls`", "`native-tls`", ".http_client(..)"] {
        assert!(error.to_string().contains(advice), "{error}");
    }
}

/// reqwest without TLS would send the request to the proxy in the clear.
#[tokio::test(flavor = "multi_thread")]
async fn no_proxy_gets_the_secret() {
    let listening = sockets::server(|stream| async move { drop(stream) }).await;
    let proxy = listening.origin();
    for variable in ["https_proxy", "ALL_PROXY"] {
        process::run("in_a_process_tls_is_missing", &[(variable, &proxy)]);
    }
    let url: reqwest::Url = proxy.parse().expect("a URL");
    for proxy in
        [reqwest::Proxy::all(url.clone()).expect("a proxy"), reqwest::Proxy::custom(move |_| Some(url.clone()))]
    {
        let client = reqwest::Client::builder().proxy(proxy);
        let source = source("https://auth.invalid/token").http_client(client).build().expect("complete");
        assert_eq!(ask(&source).await.expect_err("no TLS").kind(), ErrorKind::TlsMissing);
    }
    assert_eq!(listening.connections(), 0);
}

#[tokio::test]
#[ignore = "for a process of its own"]
async fn in_a_process_tls_is_missing() {
    let finished: Arc<dyn HttpClient> = Arc::new(reqwest::Client::new());
    for client in [None, Some(finished)] {
        let source = with_client(source("https://auth.invalid/token"), client).build().expect("complete");
        let error = ask(&source).await.expect_err("no TLS");
        assert_eq!(error.kind(), ErrorKind::TlsMissing, "{error:?}");
    }
}

#[test]
#[ignore = "for `--features reqwest/rustls-no-provider`, where reqwest panics as long as no provider is installed"]
fn without_a_provider_the_default_client_is_refused_when_built() {
    let error = source("https://auth.example.com/token").build().expect_err("no provider");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("TLS provider"), "{error}");
}
