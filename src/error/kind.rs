//! The kinds of failure, and the error response of a token endpoint.

use crate::fault::Fault;

/// The error codes of RFC 6749 sections 4.1.2.1 and 5.2 and of RFC 8707 section 2. They are not secret, and few enough
/// for a metric's label.
pub(crate) const OAUTH_CODES: [&str; 10] = [
    "access_denied",
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
    "server_error",
    "temporarily_unavailable",
];

/// The kinds of failure that callers tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting is missing or wrong; reported when something is built.
    Configuration,
    /// The client's id, secret or assertion could not be obtained: a file could not be read, or a function or a signer
    /// failed.
    Credentials,
    /// The HTTP client has no TLS, and the token endpoint is `https`.
    TlsMissing,
    /// The TLS handshake failed, most often because of a certificate; or the port does not speak TLS.
    Tls,
    /// The host name could not be resolved.
    Dns,
    /// No connection could be made (refused, unreachable).
    Connect,
    /// A proxy could not be reached, asked for credentials, or refused to connect to the server.
    Proxy,
    /// The connection, or the HTTP/2 stream, was reset or closed before the response was complete.
    Reset,
    /// A time limit passed.
    Timeout,
    /// Another failure of the HTTP client, or of your own source ([`Error::transient`](crate::Error::transient)).
    Transport,
    /// Your own source or HTTP client refused ([`Error::permanent`](crate::Error::permanent)).
    Refused,
    /// The token endpoint, or the issuer, responded with a redirect, which is never followed.
    Redirect,
    /// The token endpoint returned something other than a token response (RFC 6749 section 5.1), or the issuer's
    /// metadata cannot be used (RFC 8414 section 3.3).
    InvalidResponse,
    /// The token endpoint, or the issuer, responded with an error status and no OAuth error code.
    Status,
    /// The token endpoint responded with an OAuth error code (RFC 6749 section 5.2).
    ErrorResponse,
    /// The request would send the token over plain `http` to a host that is named with `https`.
    InsecureTransport,
    /// The token is not for this origin ([`TokenCache::header_for`](crate::TokenCache::header_for)).
    ForeignOrigin,
    /// Fetching a token needs a tokio runtime with a timer, and the caller had none.
    Runtime,
    /// The source panicked.
    Panicked,
}

/// The error response of a token endpoint (RFC 6749 section 5.2).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ErrorResponse {
    /// The error code, such as `invalid_client`.
    pub error: String,
    /// The server's description of the error, cleaned and shortened.
    pub error_description: Option<String>,
    /// A URI with more information about the error.
    pub error_uri: Option<String>,
}

impl ErrorKind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Credentials => "credentials",
            Self::TlsMissing => "tls_missing",
            Self::Tls => "tls",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Proxy => "proxy",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Transport => "transport",
            Self::Refused => "refused",
            Self::Redirect => "redirect",
            Self::InvalidResponse => "invalid_response",
            Self::Status => "status",
            Self::ErrorResponse => "error_response",
            Self::InsecureTransport => "insecure_transport",
            Self::ForeignOrigin => "foreign_origin",
            Self::Runtime => "runtime",
            Self::Panicked => "panicked",
        }
    }

    /// Whether such a failure never passes on its own.
    pub(super) fn is_lasting(self) -> bool {
        matches!(
            self,
            Self::Configuration
                | Self::TlsMissing
                | Self::Redirect
                | Self::InsecureTransport
                | Self::ForeignOrigin
                | Self::Runtime
        )
    }
}

impl From<Fault> for ErrorKind {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::ProxyCredentials | Fault::ProxyRefused | Fault::ProxyClosed | Fault::ProxyUnreachable => Self::Proxy,
            Fault::TlsMissing => Self::TlsMissing,
            Fault::NotTls
            | Fault::ClientCertificate
            | Fault::HandshakeRefused
            | Fault::ClosedAfterHandshake
            | Fault::Tls => Self::Tls,
            Fault::Dns => Self::Dns,
            Fault::Connect => Self::Connect,
            Fault::NoResponse | Fault::Reset => Self::Reset,
            Fault::Timeout => Self::Timeout,
            Fault::NotHttp | Fault::Other => Self::Transport,
        }
    }
}
