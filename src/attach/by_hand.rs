//! Attaching by hand: what the layer and the middleware do, for requests that are sent by other means.

use std::fmt;

use http::{HeaderValue, StatusCode, Uri};

use crate::{
    cache::TokenCache,
    challenge::Challenges,
    error::{Error, ErrorKind},
    origin::{PermittedBy, Target},
    token::AccessToken,
};

impl TokenCache {
    /// The `Authorization` header for a request to this URI, for clients that no adapter supports. Checks that the
    /// token may go there, and waits for the token if none is cached.
    ///
    /// Accepts a string (`url.as_str()`) or an `http::Uri`; only scheme, host and port matter. Pass each response to
    /// [`on_response`](BearerHeader::on_response), so that a rejected token is renewed, and send the request again,
    /// once, with the header that replaces the rejected one:
    ///
    /// ```
    /// use client_credentials::{Error, TokenCache};
    ///
    /// # async fn send(_: &http::HeaderValue) -> http::Response<()> { http::Response::new(()) }
    /// async fn get(tokens: &TokenCache) -> Result<http::Response<()>, Error> {
    ///     let mut header = tokens.header_for("https://api.example.com/stats").await?;
    ///     loop {
    ///         let response = send(header.value()).await;
    ///         if !header.on_response(response.status(), response.headers().get_all("www-authenticate")) {
    ///             return Ok(response);
    ///         }
    ///         header = match header.replaced().await {
    ///             Some(header) => header,
    ///             None => return Ok(response),
    ///         };
    ///     }
    /// }
    /// ```
    ///
    /// The page [Other clients](crate::docs::other_clients) has complete programs. For another scope or resource, call
    /// this on a handle [`with_request`](Self::with_request).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ForeignOrigin`] if the token is not for that origin, [`ErrorKind::InsecureTransport`] if it would
    /// go over plain http to a host that is named with `https` (the log says either once for each origin),
    /// [`ErrorKind::Configuration`] if it is not a URI with a scheme and a host; and those of [`token`](Self::token).
    pub async fn header_for(&self, uri: impl TryInto<Uri>) -> Result<BearerHeader, Error> {
        let permitted_by = self.permit_uri(uri)?;
        Ok(self.header(self.token().await?, permitted_by))
    }

    /// Like [`header_for`](Self::header_for), but does not wait: for interceptors and callbacks that are not async.
    ///
    /// `None`: no token is cached yet, and one is being fetched.
    ///
    /// # Errors
    ///
    /// Those of [`header_for`](Self::header_for). While token requests are held back after a failure, that failure.
    pub fn try_header_for(&self, uri: impl TryInto<Uri>) -> Result<Option<BearerHeader>, Error> {
        let permitted_by = self.permit_uri(uri)?;
        Ok(self.try_hand_out()?.map(|token| self.header(token, permitted_by)))
    }

    /// What permits the token where the URI leads; an error if nothing does.
    fn permit_uri(&self, uri: impl TryInto<Uri>) -> Result<PermittedBy, Error> {
        let uri = uri.try_into().map_err(|_| Error::configuration("uri: is not a URI"))?;
        let target = Target::of_uri(&uri).filter(|_| uri.scheme().is_some()).ok_or_else(|| {
            Error::configuration(
                "uri: has no scheme and host; write where the request goes, such as `https://api.example.com`",
            )
        })?;
        self.permit(&target)?.ok_or_else(|| foreign(&target))
    }

    fn header(&self, token: AccessToken, permitted_by: PermittedBy) -> BearerHeader {
        BearerHeader { tokens: self.clone(), token, permitted_by, replaces: false }
    }
}

fn foreign(target: &Target<'_>) -> Error {
    let what = format!("the token is not for {}, which is not among the origins of its source", target.to_origin());
    Error::new(ErrorKind::ForeignOrigin, what)
        .with_advice("send that request without a token, or name the origin with `.origin(..)`")
}

/// The `Authorization` header of one request, made by [`TokenCache::header_for`].
#[derive(Clone)]
pub struct BearerHeader {
    tokens: TokenCache,
    token: AccessToken,
    permitted_by: PermittedBy,
    /// It replaces a rejected one.
    replaces: bool,
}

impl BearerHeader {
    /// The header's value: `Bearer` and the token. It is marked sensitive.
    pub fn value(&self) -> &HeaderValue {
        self.token.authorization()
    }

    /// The token, for clients that write the header themselves.
    pub fn token(&self) -> &AccessToken {
        &self.token
    }

    /// Reads what a response says about the token, from its status and the values of its `WWW-Authenticate` fields.
    /// Returns whether the response rejects the token. A rejected token is renewed, once for all who use it.
    ///
    /// A 401 rejects the token if its Bearer challenge says so or gives no reason (RFC 6750 section 3), as in the
    /// adapters. Call this for every response, except where the client followed a redirect to another URL: it may have
    /// dropped the header, and then a 401 says nothing about the token.
    pub fn on_response(&self, status: impl Into<u16>, challenges: impl IntoIterator<Item: AsRef<[u8]>>) -> bool {
        let status = status.into();
        let is_401 = status == StatusCode::UNAUTHORIZED.as_u16();
        let challenges = Challenges::read(challenges);
        let rejection = challenges.rejection().filter(|_| is_401);
        if rejection.is_none() && (is_401 || status == StatusCode::FORBIDDEN.as_u16()) {
            self.tokens.refused(self.permitted_by, is_401, &challenges);
        }
        // A server error may come from a proxy that did not check the token.
        let accepted = rejection.is_none() && !is_401 && status < 500;
        let id = self.tokens.id(&self.token);
        if self.replaces {
            self.tokens.replayed(id, self.permitted_by, accepted, rejection.is_some());
        } else if accepted {
            self.tokens.accepted(id, self.permitted_by);
        }
        if let Some(rejection) = rejection {
            self.tokens.reject_at(id, self.permitted_by, rejection);
        }
        rejection.is_some()
    }

    /// Reports a rejection that is not a 401, as [`TokenCache::reject`] does: a gRPC status, a message on a WebSocket,
    /// an error in the body of a 200.
    pub fn reject(&self) {
        self.tokens.reject(&self.token);
    }

    /// The header with another token, to send the request again after its token was rejected. Waits for the renewal.
    ///
    /// `None`: no other token can be obtained, or this header is already a replacement. Return the response to the
    /// caller then.
    pub async fn replaced(self) -> Option<Self> {
        if self.replaces {
            return None;
        }
        let token = self.tokens.another(self.tokens.id(&self.token)).await?;
        Some(Self { token, replaces: true, ..self })
    }
}

impl fmt::Debug for BearerHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerHeader")
            .field("token", &self.token)
            .field("origin", &self.tokens.origins().name(self.permitted_by))
            .finish_non_exhaustive()
    }
}
