//! The preset for Vonage Contact Center.

use crate::support::endpoint::auth_responding;
use client_credentials::{
    BearerAuthLayer, ClientCredentials, ClientCredentialsBuilder, ErrorKind, TokenCache, testing::MockResponse,
    vonage::Region,
};
use http::{Request, Response, header};
use tower::ServiceExt;

const REGIONS: [(Region, &str, &str); 3] =
    [(Region::Emea, "emea", "emea"), (Region::Usa, "nam", "usa"), (Region::Apac, "apac", "apac")];

fn vonage(region: Region) -> ClientCredentialsBuilder {
    let body = r#"{"access_token":"abcde12345","expires_in":7200,"token_type":"Bearer"}"#;
    let auth = auth_responding(MockResponse::status(200).with_body(body));
    ClientCredentials::vonage(region, "abcde", "12345").http_client(auth)
}

#[test]
fn a_region_knows_its_urls() {
    for (region, name, _) in REGIONS {
        assert_eq!(region.token_url(), format!("https://{name}.cc.vonage.com/Auth/connect/token"));
        assert_eq!(region.base_url(), format!("https://{name}.cc.vonage.com"));
        assert_eq!(region.api_url(), format!("https://{name}.api.cc.vonage.com"));
    }
}

#[test]
fn a_region_is_parsed_from_its_names_in_any_case_and_with_white_space_around() {
    for (region, name, other) in REGIONS {
        for name in [name, other] {
            let capital = format!("{}{}", name[..1].to_uppercase(), &name[1..]);
            for written in [name.to_owned(), name.to_uppercase(), capital, format!(" {name}\r\n")] {
                assert_eq!(written.parse::<Region>().expect("a region"), region);
                let read: Region = serde_json::from_str(&format!("{written:?}")).expect("a region");
                assert_eq!(read, region);
            }
        }
        assert_eq!(region.to_string(), name);
    }
    for written in ["", "eu", "em ea", "us", "s3cr3t"] {
        let error = written.parse::<Region>().expect_err("no region");
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().starts_with("region: ") && !error.to_string().contains("s3cr3t"), "{error}");
        let error = serde_json::from_value::<Region>(written.into()).expect_err("no region");
        assert!(error.to_string().contains("`apac`"), "{error}");
    }
    assert!(serde_json::from_str::<Region>("7").is_err());
}

#[test]
fn a_scope_is_required() {
    let builder = vonage(Region::Emea);
    let error = builder.clone().build().expect_err("no scope");
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("the token endpoint requires one"), "{error}");
    builder.scope("a").build().expect("complete");
}

/// Sends a request and says what came with it.
async fn authorization(tokens: &TokenCache, url: &str) -> Option<String> {
    let service = tower::service_fn(|request: Request<String>| async move {
        let value = request.headers().get(header::AUTHORIZATION);
        let value = value.map(|value| value.to_str().expect("ASCII").to_owned());
        Ok::<_, std::convert::Infallible>(Response::new(value))
    });
    let service = tower::ServiceBuilder::new().layer(BearerAuthLayer::new(tokens.clone())).service(service);
    let request = Request::get(url).body(String::new()).expect("a request");
    service.oneshot(request).await.expect("a response").into_body()
}

#[tokio::test]
async fn tokens_go_to_the_hosts_of_the_region_and_nowhere_else() {
    for (region, name, _) in REGIONS {
        let tokens = TokenCache::from(vonage(region).scope("a").build().expect("complete"));
        let hosts = ["cc.vonage.com", "api.cc.vonage.com", "newvoicemedia.com", "api.newvoicemedia.com"];
        for host in hosts {
            let sent = authorization(&tokens, &format!("https://{name}.{host}/agents")).await;
            assert_eq!(sent.as_deref(), Some("Bearer abcde12345"), "{name}.{host}");
        }
        let other = if name == "emea" { "apac" } else { "emea" };
        for host in hosts {
            assert_eq!(authorization(&tokens, &format!("https://{other}.{host}/agents")).await, None);
            assert_eq!(authorization(&tokens, &format!("https://{host}/agents")).await, None);
            assert_eq!(authorization(&tokens, &format!("https://{name}.{host}.example.com/agents")).await, None);
        }
        assert_eq!(authorization(&tokens, "https://api.vonage.com/agents").await, None);
    }
}
