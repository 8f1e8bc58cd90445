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
    let api = api.map(|url| url.parse::<Url>()).transpose();
    let api = api.map_err(|error| Failure::usage(format!("--api: is not a URL: {error}")))?;
    if let Some(api) = api.as_ref().filter(|_| !settings.names_origins()) {
        settings.table.insert("origins".to_owned(), vec![api.origin().ascii_serialization()].into());
    }
    settings.say_replaced();
    let obtained = attempts::run(&settings).await?;
    report::show(&settings, &obtained);
    if let Some(api) = &api {
        api::call(&settings, &obtained, api).await?;
    }
    setting::explain(&settings);
    Ok(setting::text(&settings, obtained.method))
}
