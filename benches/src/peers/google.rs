use google_cloud_auth::credentials::{CacheableResource, Credentials, user_account};
use serde_json::json;

use super::{BoxError, Tokens, attaching, wait};
use crate::{endpoint::Endpoint, rows::Row};

pub const ROW: Row = Row::new("google", "none", "google-cloud-auth", |token| {
    let endpoint = Endpoint::of_one_token(token);
    let credentials = wait(async {
        let credentials = credentials(&endpoint.url());
        credentials.headers(http::Extensions::new()).await.expect("a token");
        credentials
    });
    Box::new(move || {
        let credentials = credentials.clone();
        attaching(move |mut request| {
            let credentials = credentials.clone();
            async move {
                if let CacheableResource::New { data, .. } = credentials.headers(http::Extensions::new()).await? {
                    request.headers_mut().extend(data);
                }
                Ok::<_, BoxError>(request)
            }
        })
    })
});

pub fn start(url: String) -> Tokens {
    let credentials = credentials(&url);
    Box::new(move || {
        let credentials = credentials.clone();
        Box::pin(async move { Ok(credentials.headers(http::Extensions::new()).await.map(drop)?) })
    })
}

/// Those whose token endpoint can be chosen.
fn credentials(url: &str) -> Credentials {
    let user = json!({
        "type": "authorized_user",
        "client_id": "abcde",
        "client_secret": "12345",
        "refresh_token": "a",
    });
    user_account::Builder::new(user).with_token_uri(url).build().expect("the settings are complete")
}
