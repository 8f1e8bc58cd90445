//! One call to Vonage Contact Center, with real credentials from the environment:
//!
//! ```text
//! export VONAGE_REGION=emea VONAGE_CLIENT_ID=… VONAGE_CLIENT_SECRET=… VONAGE_SCOPE=agents-availability:read
//! cargo run --example vonage --features rustls
//! cargo run --example vonage --features rustls -- '/agents-availability?skillNames=support'
//! curl -H "Authorization: Bearer $(cargo run -q --example vonage --features rustls -- --print-token)" …
//! ```

use std::{env, process::ExitCode};

use client_credentials::{BearerAuthMiddleware, ClientCredentials, TokenCache, vonage::Region};

#[tokio::main]
async fn main() -> ExitCode {
    let Err(error) = run().await else { return ExitCode::SUCCESS };
    eprintln!("{error}");
    ExitCode::FAILURE
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let names = ["VONAGE_REGION", "VONAGE_CLIENT_ID", "VONAGE_CLIENT_SECRET", "VONAGE_SCOPE"];
    let values = names.map(|name| env::var(name).unwrap_or_default());
    let missing: Vec<_> =
        names.iter().zip(&values).filter(|(_, value)| value.is_empty()).map(|(name, _)| *name).collect();
    if !missing.is_empty() {
        return Err(format!("set {} in the environment", missing.join(", ")).into());
    }
    let [region, id, secret, scope] = values;
    let region: Region = region.parse()?;
    let tokens = TokenCache::from(ClientCredentials::vonage(region, id, secret).scope(scope).build()?);

    let argument = env::args().nth(1).unwrap_or_else(|| "/agents-availability?skillNames=sales".to_owned());
    if argument == "--print-token" {
        // Nothing else goes to stdout, so that a shell can use it.
        println!("{}", tokens.token().await?.expose_secret());
        return Ok(());
    }
    let client =
        reqwest_middleware::ClientBuilder::new(reqwest::Client::new()).with(BearerAuthMiddleware::new(tokens)).build();
    let response = client
        .get(format!("{}{argument}", region.api_url()))
        .header("accept", "application/vnd.newvoicemedia.v1+json") // without it, Vonage returns 400
        .send()
        .await?;
    let status = response.status();
    println!("{}", response.text().await?);
    if !status.is_success() {
        return Err(
            format!("{argument} returned {status}; Vonage returns 401 for a token without the API's scope").into()
        );
    }
    Ok(())
}
