//! The configuration of a client.

use std::{
    sync::{Arc, Mutex, atomic::AtomicI64},
    time::Duration,
};

use http::HeaderMap;

use super::{
    ClientAuthentication, ClientCredentials, ClientSettings, EndpointSource, Secret,
    authentication::{History, Id},
    discovery::Discovery,
    endpoint::{EndpointConfig, TokenEndpoint},
    header,
    transport::Transport,
};
use crate::{
    error::Error,
    http_client::{HttpClient, IntoHttpClient},
    origin::Origins,
    report::{Mentions, log},
    source::TokenSource,
    token_request::{TokenRequest, TokenRequestBuilder},
};

/// Builds a [`ClientCredentials`].
///
/// With the feature `serde`, it can be read from a configuration file or from environment variables; the fields are
/// listed at its `Deserialize` implementation.
#[derive(Clone)]
#[must_use]
pub struct ClientCredentialsBuilder {
    pub(super) settings: ClientSettings,
    endpoint: EndpointConfig,
    /// `None`: not yet set.
    pub(super) authentication: Option<ClientAuthentication>,
    request: TokenRequestBuilder,
    pub(super) scope_required: bool,
    pub(super) transport: Transport,
    wraps: Vec<Arc<Wrap>>,
    /// Fields that are ignored because another one replaces them.
    pub(super) overridden: Vec<&'static str>,
    refused: Option<Error>,
}

type Wrap = dyn Fn(Arc<dyn HttpClient>) -> Arc<dyn HttpClient> + Send + Sync;

impl ClientCredentials {
    /// Starts a builder for the token endpoint at `token_url`. If `authentication` is a string or a [`Secret`], it is
    /// the client's secret, sent in the body (`client_secret_post`). Both id and secret can change at run time.
    pub fn builder(
        token_url: impl Into<String>,
        client_id: impl Into<Secret>,
        authentication: impl Into<ClientAuthentication>,
    ) -> ClientCredentialsBuilder {
        let settings = ClientSettings {
            server: token_url.into(),
            client_id: client_id.into(),
            grant_type: "client_credentials".to_owned(),
            comma_separated_scopes: false,
            headers: HeaderMap::new(),
            origins: Origins::default(),
            timeout: Duration::from_secs(28),
            token_types: Vec::new(),
        };
        ClientCredentialsBuilder {
            settings,
            endpoint: EndpointConfig::default(),
            authentication: Some(authentication.into()),
            request: TokenRequest::builder(),
            scope_required: false,
            transport: Transport::Default,
            wraps: Vec::new(),
            overridden: Vec::new(),
            refused: None,
        }
    }

    /// Starts a builder for the token endpoint in an issuer's metadata (OpenID Connect Discovery 1.0, RFC 8414). The
    /// document is read from `{issuer}/.well-known/openid-configuration`, or else from
    /// `/.well-known/oauth-authorization-server` before or after the issuer's path.
    ///
    /// `issuer` is compared with the document's issuer as a string, so write it exactly as the server does (Auth0's
    /// ends in `/`). The token endpoint must be on the issuer's host, or at a
    /// [`token_endpoint_origin`](ClientCredentialsBuilder::token_endpoint_origin), and must use `https` as for
    /// [`builder`](Self::builder). Otherwise the token request fails, and nothing is sent to that endpoint.
    ///
    /// The audience of a signed assertion is the issuer, unless its [`audience`](crate::ClientAssertion::audience) is
    /// set.
    ///
    /// The document is fetched with the first token request, and again after a day or when the token endpoint seems to
    /// have moved: [Discovery](crate::docs::providers#discovery).
    pub fn discover(
        issuer: impl Into<String>,
        client_id: impl Into<Secret>,
        authentication: impl Into<ClientAuthentication>,
    ) -> ClientCredentialsBuilder {
        let mut builder = Self::builder(issuer, client_id, authentication);
        builder.endpoint.is_discovered = true;
        builder
    }
}

impl ClientCredentialsBuilder {
    /// A builder whose `build` fails with this error, whatever else is set.
    #[cfg(feature = "serde")]
    pub(super) fn refused(error: Error) -> Self {
        Self { refused: Some(error), ..ClientCredentials::builder("", "", ClientAuthentication::none()) }
    }

    /// Replaces the client authentication.
    pub fn authentication(mut self, authentication: impl Into<ClientAuthentication>) -> Self {
        self.authentication = Some(authentication.into());
        self
    }

    /// Adds one scope, or several separated by spaces (RFC 6749 section 3.3).
    pub fn scope(mut self, scope: impl AsRef<str>) -> Self {
        self.request = self.request.scope(scope);
        self
    }

    /// Adds a resource (RFC 8707 section 2): the absolute URI of an API that the tokens are for, without a fragment.
    pub fn resource(mut self, resource: impl Into<String>) -> Self {
        self.request = self.request.resource(resource);
        self
    }

    /// Sets the audience, for servers that require one (Auth0).
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.request = self.request.audience(audience);
        self
    }

    /// Adds an extra parameter to the token request; a name may be repeated. If the server repeats a value of at least
    /// eight characters, errors and logs do not show it; a shorter value is not hidden.
    pub fn parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.request = self.request.parameter(name, value);
        self
    }

    /// Separates scopes with commas instead of the spaces of RFC 6749 section 3.3, for servers that expect commas.
    pub fn comma_separated_scopes(mut self) -> Self {
        self.settings.comma_separated_scopes = true;
        self
    }

    /// Adds a header to the token requests, for servers that require one (UPS: `x-merchant-id`); a name may be
    /// repeated. Its value is marked sensitive, and is hidden in errors if it has at least eight characters. Headers
    /// that the token request or the HTTP client sets, such as `Authorization` and `Content-Type`, are refused.
    pub fn header(mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        if let Some((name, value)) = self.note(header::checked(name.as_ref(), value.as_ref())) {
            self.settings.headers.append(name, value);
        }
        self
    }

    /// Sets `grant_type`, for servers that use another name (Zoom: `account_credentials`).
    pub fn grant_type(mut self, name: impl Into<String>) -> Self {
        self.settings.grant_type = name.into();
        self
    }

    /// Allows tokens to be sent to an origin, such as `https://api.example.com`. Call it once for each origin.
    pub fn origin(mut self, origin: impl AsRef<str>) -> Self {
        if let Some(origins) = self.note(Origins::new([origin])) {
            self.settings.origins.extend(origins);
        }
        self
    }

    /// Allows tokens to be sent to every `https` origin, and to loopback.
    pub fn any_origin(mut self) -> Self {
        self.settings.origins.extend(Origins::any());
        self
    }

    /// Allows a [discovered](ClientCredentials::discover) token endpoint at this origin, for issuers that have it on
    /// another host (Amazon Cognito: the user pool's domain). The client's secret is sent there.
    pub fn token_endpoint_origin(mut self, origin: impl AsRef<str>) -> Self {
        if let Some(origins) = self.note(Origins::new([origin]).map_err(|error| error.about("token_endpoint_origin"))) {
            self.endpoint.origins.extend(origins);
        }
        self
    }

    /// Uses the token endpoint for clients with a TLS certificate, if the [discovered](ClientCredentials::discover)
    /// document has one (`mtls_endpoint_aliases`, RFC 8705 section 5). Clients that authenticate with a certificate
    /// always do so; this is for clients that only want tokens bound to their certificate.
    pub fn mtls_endpoint_aliases(mut self) -> Self {
        self.endpoint.mtls_aliases = true;
        self
    }

    /// Sets the HTTP client that sends the token requests, for instance for a proxy, a private certificate authority or
    /// a client certificate. It is a `reqwest::ClientBuilder`, whose redirects and `Referer` are turned off; a finished
    /// `reqwest::Client`; a [`TowerClient`](crate::TowerClient); or your own [`HttpClient`](crate::HttpClient).
    ///
    /// The secret never follows a redirect. The log warns about a finished `reqwest::Client` that may follow redirects:
    /// on a 301, 302 or 303 from the token endpoint, it sends a request without the secret to the other host, with the
    /// headers of [`header`](Self::header), and with the token URL and its query as the `Referer`.
    pub fn http_client(mut self, client: impl IntoHttpClient) -> Self {
        if let Some(client) = self.note(client.into_http_client()) {
            self.transport = Transport::Own(client);
        }
        self
    }

    /// Wraps the HTTP client that sends the token requests, whichever it is and whatever its settings: to count or to
    /// record what is sent, or to change it. `wrap` is called by [`build`](Self::build).
    ///
    /// The body has the client's secret, and the response the token: keep both out of logs.
    ///
    /// ```
    /// use std::sync::Arc;
    ///
    /// use client_credentials::{ClientCredentials, Error, HttpClient, SecretBody, async_trait};
    /// use http::{Request, Response};
    ///
    /// struct Said(Arc<dyn HttpClient>);
    ///
    /// #[async_trait]
    /// impl HttpClient for Said {
    ///     async fn send(&self, request: Request<SecretBody>) -> Result<Response<SecretBody>, Error> {
    ///         eprintln!("{} {}", request.method(), request.uri().path());
    ///         self.0.send(request).await
    ///     }
    /// }
    ///
    /// let builder = ClientCredentials::builder("https://auth.example.com/oauth2/token", "abcde", "12345")
    ///     .map_http_client(Said);
    /// ```
    pub fn map_http_client<C: HttpClient>(
        mut self,
        wrap: impl Fn(Arc<dyn HttpClient>) -> C + Send + Sync + 'static,
    ) -> Self {
        self.wraps.push(Arc::new(move |client| Arc::new(wrap(client))));
        self
    }

    /// Sets the time limit of one exchange with the token endpoint, including the body. The default is 28 seconds, the
    /// maximum a day.
    pub fn timeout(mut self, limit: Duration) -> Self {
        if limit.is_zero() {
            self.refused.get_or_insert(Error::configuration("timeout: zero; every token request would time out"));
        }
        // Additions to it must not overflow a clock.
        self.settings.timeout = limit.min(Duration::from_secs(24 * 60 * 60));
        self
    }

    /// Allows plain `http` to a token endpoint that is not on loopback. Anyone on the network path can then read the
    /// secret.
    pub fn allow_plain_http(mut self) -> Self {
        self.endpoint.plain_http = true;
        self
    }

    /// Treats this `token_type` as `Bearer`, ignoring case, for servers that use another name, such as `BearerToken`.
    pub fn accept_token_type(mut self, token_type: impl Into<String>) -> Self {
        self.settings.token_types.push(token_type.into());
        self
    }

    /// Checks the configuration, and builds the client.
    ///
    /// # Errors
    ///
    /// The error names the first setting that is missing or wrong, and what would be right.
    pub fn build(self) -> Result<ClientCredentials, Error> {
        if let Some(error) = self.refused {
            return Err(error);
        }
        let authentication = self.authentication.clone().ok_or_else(|| {
            Error::configuration(
                "client_secret: missing; set `client_secret_file` (preferred), `client_secret` or `authentication`",
            )
        })?;
        let endpoint = self.endpoint(&authentication)?;
        authentication.check(&self.settings.client_id)?;
        if self.settings.grant_type.is_empty() {
            return Err(Error::configuration("grant_type: empty"));
        }
        let defaults = self.request.build()?;
        if self.scope_required && defaults.scope().is_none() {
            return Err(Error::configuration(
                "scope: missing; the token endpoint requires one, such as `agents-availability:read`",
            ));
        }
        if self.settings.origins.is_empty() {
            return Err(Origins::missing());
        }
        let source = ClientCredentials {
            settings: self.settings,
            endpoint,
            http_client: self.wraps.iter().fold(self.transport.client(&authentication)?, |client, wrap| wrap(client)),
            authentication,
            defaults,
            history: History::default(),
            clock_ahead: AtomicI64::default(),
            mentions: Mentions::default(),
            last_secrets: Mutex::default(),
        };
        if source.http_client.follows_redirects() {
            log::follows_redirects(source.name());
        }
        self.overridden.iter().for_each(|field| log::overridden(source.name(), field));
        Ok(source)
    }

    /// Keeps the first error for `build`.
    fn note<T>(&mut self, outcome: Result<T, Error>) -> Option<T> {
        outcome.map_err(|error| self.refused.get_or_insert(error)).ok()
    }

    fn endpoint(&self, authentication: &ClientAuthentication) -> Result<EndpointSource, Error> {
        let (server, mut config) = (&self.settings.server, self.endpoint.clone());
        if config.is_discovered {
            config.mtls_aliases |= authentication.uses_tls_certificate();
            return Ok(EndpointSource::Discovered(Box::new(Discovery::new(server.clone(), config)?)));
        }
        if !config.origins.is_empty() || config.mtls_aliases {
            return Err(Error::configuration(
                "token_endpoint_origin, mtls_endpoint_aliases: require a discovered token endpoint; use `ClientCredentials::discover`, or omit them",
            ));
        }
        let endpoint = TokenEndpoint::read(server, config.plain_http).map_err(|what| {
            Error::configuration(format!("token_url: {what}; write it as `https://auth.example.com/oauth2/token`"))
        })?;
        Ok(EndpointSource::Configured(Arc::new(endpoint)))
    }
}

impl std::fmt::Debug for ClientCredentialsBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientCredentialsBuilder")
            .field("client_id", &Id(&self.settings.client_id))
            .field("authentication", &self.authentication)
            .field("request", &self.request)
            .field("headers", &self.settings.headers.keys().collect::<Vec<_>>())
            .field("origins", &self.settings.origins)
            .finish_non_exhaustive()
    }
}
