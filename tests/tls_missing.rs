//! The default client where reqwest has no TLS: without the features `rustls` and `native-tls`.
#![cfg(all(feature = "reqwest-middleware", not(any(feature = "rustls", feature = "native-tls"))))]

#[path = "it/support/mod.rs"]
mod support;

use client_credentials::ErrorKind;
use support::endpoint::{ask, source};

#[tokio::test]
async fn the_error_says_which_feature_to_enable() {
    let error = ask(&source("https://127.0.0.1:1/token").build().expect("complete")).await.expect_err("no TLS");
    assert_eq!(error.kind(), ErrorKind::TlsMissing, "{error:?}");
    assert!(!error.is_transient());
    for advice in ["`rustls`", "`native-tls`", ".http_client(..)"] {
        assert!(error.to_string().contains(advice), "{error}");
    }
}

#[test]
#[ignore = "for `--features reqwest/rustls-no-provider`, where reqwest panics as long as no provider is installed"]
fn without_a_provider_the_default_client_is_refused_when_built() {
    let error = source("https://auth.example.com/token").build().expect_err("no provider");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("TLS provider"), "{error}");
}
