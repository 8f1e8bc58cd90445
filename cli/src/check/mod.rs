//! `client-credentials check`: tries a server out.

mod api;
mod attempts;
mod exchange;
mod methods;
mod report;
mod setting;

use clap::ArgMatches;
use reqwest::Url;
use toml::Value;

use crate::{demo::Demo, failure::Failure, settings::Settings};

pub(crate) async fn run(options: &ArgMatches) -> Result<String, Failure> {
    let demo = if options.get_flag("demo") { Some(Demo::start().await) } else { None };
    let mut settings = match &demo {
        Some(demo) => demo.settings(),
        None => Settings::read(options)?,
    };
    let api = demo.as_ref().map(Demo::api).or_else(|| options.get_one::<String>("api").cloned());
    let api = api.map(|url| url.parse::<Url>()).transpose();
    let api = api.map_err(|error| Failure::usage(format!("--api: is not a URL: {error}")))?;
    if let Some(api) = &api {
        name_origin(&mut settings, api);
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

/// The API's origin is named by its URL, unless the settings say where tokens may go.
fn name_origin(settings: &mut Settings, api: &Url) {
    if !["origins", "any_origin", "vonage"].iter().any(|field| settings.has(field)) {
        let origin = Value::Array(vec![Value::String(api.origin().ascii_serialization())]);
        settings.table.insert("origins".to_owned(), origin);
    }
}
