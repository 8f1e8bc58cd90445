use std::sync::Arc;

use http::header::AUTHORIZATION;
use middle::{Authorizer, BasicClientCredentialAuthorizer};

use super::{attaching, wait};
use crate::{endpoint::Endpoint, rows::Row};

pub const ROW: Row = Row::new("middle", "none", "middle (looks at no expiry and at no response)", |token| {
    let endpoint = Endpoint::of_one_token(token);
    let url = endpoint.url().parse().expect("a URL");
    let authorizer = wait(BasicClientCredentialAuthorizer::basic_builder("abcde", "12345", url).build());
    let authorizer = authorizer.expect("a token");
    Box::new(move || {
        let authorizer = authorizer.clone();
        attaching(move |mut request| {
            let header = authorizer.authorization_header();
            async move {
                request.headers_mut().insert(AUTHORIZATION, Arc::unwrap_or_clone(header?));
                Ok::<_, middle::error::Error>(request)
            }
        })
    })
});
