//! `client-credentials check`: tries a server out.

mod api;
mod attempts;
mod exchange;
mod methods;
mod report;
mod setting;

use clap::ArgMatches;
use reqwest::Url;

use crate::{demo::Demo, failure::Failure, settings::Settings};

pub(crate) async fn run(options: &ArgMatches, mut settings: Settings, demo: Option<&Demo>) -> Result<String, Failure> {
    let api = demo.map(Demo::api).or_else(|| options.get_one::<String>("api").cloned());
    let api = api.map(|url| url_of_api(&url)).transpose()?;
    if let Some(api) = api.as_ref().filter(|_| !settings.names_origins()) {
        settings.table.insert("origins".to_owned(), vec![api.origin().ascii_serialization()].into());
    }
    settings.say_replaced();
    let obtained = attempts::run(&settings).await?;
    report::show(&obtained);
    if let Some(api) = &api {
        api::call(&settings, &obtained, api).await?;
    }
    setting::explain(&settings);
    Ok(setting::text(&settings, obtained.method))
}

fn url_of_api(text: &str) -> Result<Url, Failure> {
    match text.parse::<Url>() {
        Ok(url) if matches!(url.scheme(), "http" | "https") => Ok(url),
        _ => Err(Failure::usage("--api: is not a URL; write it as `https://api.example.com/stats`")),
    }
}
