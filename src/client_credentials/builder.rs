//! What a user configures.

use std::{sync::Arc, time::Duration};

use http::HeaderMap;

use super::{
    ClientAuthentication, ClientCredentials, EndpointSource, Secret,
    authentication::{History, Id, ServerClock},
    discovery::{Discovery, DiscoveryConfig},
    endpoint::TokenEndpoint,
    exchange::LastExchange,
    header,
    notices::Notices,
    transport::Transport,
};
use crate::{
    error::Error,
    http_client::IntoHttpClient,
    origin::Origins,
    report::log,
    source::TokenSource,
    token_request::{TokenRequest, TokenRequestBuilder},
};

/// Makes a [`ClientCredentials`].
///
/// With the feature `serde` it can be read from an application's own file, or from its environment; its `Deserialize`
/// has the fields.
#[derive(Clone)]
#[must_use]
pub struct ClientCredentialsBuilder {
    server: ServerUrl,
    /// Where a discovered token endpoint may be, beside the issuer's host.
    token_endpoint_origins: Origins,
    mtls_endpoint_aliases: bool,
    client_id: Secret,
    /// `None`: to be set yet.
    pub(super) authentication: Option<ClientAuthentication>,
    grant_type: String,
    request: TokenRequestBuilder,
    comma_separated_scopes: bool,
    headers: HeaderMap,
    pub(crate) origins: Origins,
    pub(crate) scope_required: bool,
    pub(super) transport: Transport,
    timeout: Duration,
    plain_http: bool,
    token_types: Vec<String>,
    /// Fields that another one replaces.
    pub(super) overridden: Vec<&'static str>,
    refused: Option<Error>,
}

#[derive(Clone)]
enum ServerUrl {
    Token(String),
    Issuer(String),
}

impl ClientCredentials {
    /// For the token endpoint at `token_url`. A string, or a [`Secret`] that changes, as `authentication` is the
    /// client's secret, sent in the body (`client_secret_post`). The id can change, too.
    pub fn builder(
        token_url: impl Into<String>,
        client_id: impl Into<Secret>,
        authentication: impl Into<ClientAuthentication>,
    ) -> ClientCredentialsBuilder {
        ClientCredentialsBuilder::new(ServerUrl::Token(token_url.into()), client_id.into(), authentication.into())
    }

    /// For the token endpoint that an issuer's metadata names (OpenID Connect Discovery 1.0, RFC 8414): the document at
    /// `{issuer}/.well-known/openid-configuration`, or else at `/.well-known/oauth-authorization-server` in front of
    /// the issuer's path, or behind it.
    ///
    /// `issuer` is compared with the document's as a string, so it is written exactly as the server does (Auth0's ends
    /// in `/`). The token endpoint must be on the issuer's host, or at a
    /// [`token_endpoint_origin`](ClientCredentialsBuilder::token_endpoint_origin); `https` as for
    /// [`builder`](Self::builder). Otherwise there is an error, and nothing is sent there.
    ///
    /// A signed assertion is meant for the issuer, unless its [`audience`](crate::ClientAssertion::audience) was set.
    ///
    /// The document is asked for with the first token request, and the [`timeout`](ClientCredentialsBuilder::timeout)
    /// covers both. It is asked for again after a day, and a minute after it was last asked for where the token
    /// endpoint fails otherwise than by an OAuth error code. If that fails, the old one stays in use; if there is none,
    /// it is a failed token request like any other.
    pub fn discover(
        issuer: impl Into<String>,
        client_id: impl Into<Secret>,
        authentication: impl Into<ClientAuthentication>,
    ) -> ClientCredentialsBuilder {
        ClientCredentialsBuilder::new(ServerUrl::Issuer(issuer.into()), client_id.into(), authentication.into())
    }
}

impl ClientCredentialsBuilder {
    fn new(server: ServerUrl, client_id: Secret, authentication: ClientAuthentication) -> Self {
        Self {
            server,
            token_endpoint_origins: Origins::default(),
            mtls_endpoint_aliases: false,
            client_id,
            authentication: Some(authentication),
            grant_type: "client_credentials".to_owned(),
            request: TokenRequest::builder(),
            comma_separated_scopes: false,
            headers: HeaderMap::new(),
            origins: Origins::default(),
            scope_required: false,
            transport: Transport::Default,
            timeout: Duration::from_secs(28),
            plain_http: false,
            token_types: Vec::new(),
            overridden: Vec::new(),
            refused: None,
        }
    }

    /// One that `build` refuses, whatever else is set.
    #[cfg(feature = "serde")]
    pub(super) fn refused(error: Error) -> Self {
        let nowhere = ServerUrl::Token(String::new());
        Self { refused: Some(error), ..Self::new(nowhere, "".into(), ClientAuthentication::none()) }
    }

    /// Replaces how the client authenticates.
    pub fn authentication(mut self, authentication: impl Into<ClientAuthentication>) -> Self {
        self.authentication = Some(authentication.into());
        self
    }

    /// Adds scopes (RFC 6749 section 3.3): one, or several separated by spaces.
    pub fn scope(mut self, scope: impl AsRef<str>) -> Self {
        self.request = self.request.scope(scope);
        self
    }

    /// Adds a resource (RFC 8707 section 2): the absolute URI of an API that the tokens are for, without a fragment.
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.request = self.request.resource(resource);
        self
    }

    /// Sets the audience, for servers that want one (Auth0).
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.request = self.request.audience(audience);
        self
    }

    /// Adds a further parameter of the token request; a name may be repeated. Errors and logs do not show a value of
    /// eight characters or more that the server repeats; a shorter one is most often a word.
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request = self.request.parameter(name, value);
        self
    }

    /// Divides several scopes by commas instead of spaces (RFC 6749 section 3.3 wants spaces), for servers that read
    /// them so.
    pub fn comma_separated_scopes(mut self) -> Self {
        self.comma_separated_scopes = true;
        self
    }

    /// Adds a header to the token requests, for servers that want one (UPS: `x-merchant-id`); a name may be repeated.
    /// Its value is marked sensitive, and hidden in errors if it has at least eight characters. Headers that the token
    /// request always has, such as `Authorization` and `Content-Type`, are refused.
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        match header::checked(name.as_ref(), value.as_ref()) {
            Ok((name, value)) => {
                self.headers.append(name, value);
            }
            Err(error) => {
                self.refused.get_or_insert(error);
            }
        }
        self
    }

    /// Sets the grant's name, for servers that call it otherwise (Zoom: `account_credentials`).
    pub fn grant_type(mut self, name: impl Into<String>) -> Self {
        self.grant_type = name.into();
        self
    }

    /// Names an origin that the tokens may be sent to, such as `https://api.example.com`; as often as needed.
    pub fn origin(mut self, origin: impl AsRef<str>) -> Self {
        match Origins::new([origin]) {
            Ok(origins) => self.origins.extend(origins),
            Err(error) => {
                self.refused.get_or_insert(error);
            }
        }
        self
    }

    /// Lets the tokens go to any `https` origin, and to loopback.
    pub fn any_origin(mut self) -> Self {
        self.origins.extend(Origins::any());
        self
    }

    /// Names an origin where a [discovered](ClientCredentials::discover) token endpoint may be, for issuers that have
    /// it on another host (Amazon Cognito: the user pool's domain). It gets the client's secret.
    pub fn token_endpoint_origin(mut self, origin: impl AsRef<str>) -> Self {
        match Origins::new([origin]) {
            Ok(origins) => self.token_endpoint_origins.extend(origins),
            Err(error) => {
                self.refused.get_or_insert(error.about("token_endpoint_origin"));
            }
        }
        self
    }

    /// Uses the token endpoint that a [discovered](ClientCredentials::discover) document names for clients with a TLS
    /// certificate (`mtls_endpoint_aliases`, RFC 8705 section 5), if it names one. Clients that authenticate by their
    /// certificate do so anyway; this is for those that want tokens bound to it.
    pub fn mtls_endpoint_aliases(mut self) -> Self {
        self.mtls_endpoint_aliases = true;
        self
    }

    /// Sends the token requests with this client: a `reqwest::ClientBuilder`, whose redirects and `Referer` are turned
    /// off; a finished `reqwest::Client`; a [`TowerClient`](crate::TowerClient); or an
    /// [`HttpClient`](crate::HttpClient) of your own. For proxies, private certificate authorities and client
    /// certificates.
    ///
    /// Redirects are never followed with the secret. The log warns about a finished `reqwest::Client` that may follow
    /// them: a 301, 302 or 303 of the token endpoint makes it ask the other host, with the headers of
    /// [`header`](Self::header), and with the token URL and its query as the `Referer`.
    pub fn http_client(mut self, client: impl IntoHttpClient) -> Self {
        match client.into_http_client() {
            Ok(client) => self.transport = Transport::Own(client),
            Err(error) => {
                self.refused.get_or_insert(error);
            }
        }
        self
    }

    /// The time limit of one exchange with the token endpoint, body included; 28 seconds, and a day at most.
    pub fn timeout(mut self, limit: Duration) -> Self {
        if limit.is_zero() {
            self.refused.get_or_insert(Error::configuration("timeout: zero; no exchange would ever end well"));
        }
        // So that nothing that is added to it is more than a clock can count.
        self.timeout = limit.min(Duration::from_secs(24 * 60 * 60));
        self
    }

    /// Allows plain `http` to a token endpoint that is not on loopback. The secret is then readable to everybody on the
    /// way.
    pub fn allow_plain_http(mut self) -> Self {
        self.plain_http = true;
        self
    }

    /// Treats this `token_type` (in any case) as `Bearer`, for servers with names of their own, such as `BearerToken`.
    pub fn accept_token_type(mut self, token_type: impl Into<String>) -> Self {
        self.token_types.push(token_type.into());
        self
    }

    /// Checks and finishes it.
    ///
    /// # Errors
    ///
    /// The first thing that is missing or wrong, by its name, and what would be right.
    pub fn build(self) -> Result<ClientCredentials, Error> {
        if let Some(error) = self.refused {
            return Err(error);
        }
        let Some(authentication) = self.authentication.clone() else { return Err(no_secret()) };
        let endpoint = self.endpoint(&authentication)?;
        authentication.check(&self.client_id)?;
        if self.grant_type.is_empty() {
            return Err(Error::configuration("grant_type: empty"));
        }
        let defaults = self.request.build()?;
        if self.scope_required && defaults.scope().is_none() {
            return Err(no_scope());
        }
        if self.origins.is_empty() {
            return Err(Origins::missing());
        }
        let source = ClientCredentials {
            endpoint,
            client_id: self.client_id,
            http_client: self.transport.client(&authentication)?,
            authentication,
            grant_type: self.grant_type,
            defaults,
            comma_separated_scopes: self.comma_separated_scopes,
            headers: self.headers,
            origins: self.origins,
            timeout: self.timeout,
            token_types: self.token_types,
            history: History::default(),
            clock: ServerClock::default(),
            notices: Notices::default(),
            last_exchange: LastExchange::default(),
        };
        source.log_what_is_odd(&self.overridden);
        Ok(source)
    }

    fn endpoint(&self, authentication: &ClientAuthentication) -> Result<EndpointSource, Error> {
        Ok(match &self.server {
            ServerUrl::Token(_) if !self.token_endpoint_origins.is_empty() || self.mtls_endpoint_aliases => {
                return Err(only_discovered());
            }
            ServerUrl::Token(url) => {
                EndpointSource::Configured(Arc::new(TokenEndpoint::configured(url, self.plain_http)?))
            }
            ServerUrl::Issuer(issuer) => EndpointSource::Discovered(Box::new(Discovery::new(DiscoveryConfig {
                issuer: issuer.clone(),
                origins: self.token_endpoint_origins.clone(),
                mtls: self.mtls_endpoint_aliases || authentication.uses_tls_certificate(),
                plain_http: self.plain_http,
            })?)),
        })
    }
}

impl ClientCredentials {
    fn log_what_is_odd(&self, overridden: &[&str]) {
        if self.http_client.follows_redirects() {
            log::follows_redirects(self.name());
        }
        for field in overridden {
            log::overridden(self.name(), field);
        }
    }
}

fn no_secret() -> Error {
    Error::configuration(
        "client_secret: missing; write it, or better `client_secret_file`, or how else the client authenticates",
    )
}

fn no_scope() -> Error {
    Error::configuration(
        "scope: none; the token endpoint requires a scope, such as `.scope(\"agents-availability:read\")`",
    )
}

fn only_discovered() -> Error {
    Error::configuration(
        "token_endpoint_origin, mtls_endpoint_aliases: are for a token endpoint that is discovered; use `ClientCredentials::discover`, or leave them out",
    )
}

impl std::fmt::Debug for ClientCredentialsBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCredentialsBuilder")
            .field("client_id", &Id(&self.client_id))
            .field("authentication", &self.authentication)
            .field("request", &self.request)
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("origins", &self.origins)
            .finish_non_exhaustive()
    }
}
