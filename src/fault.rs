//! Classifies a failure of a transport: first by the types and I/O kinds in its chain of causes, then by their texts.
//!
//! Most connectors keep their error types private, and each of the types of h2 or of a TLS library would need a
//! dependency.

use std::{borrow::Cow, error::Error, io};

/// What happened between the client and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    ProxyCredentials,
    ProxyRefused,
    ProxyClosed,
    ProxyUnreachable,
    TlsMissing,
    /// A TLS handshake with a port that speaks something else.
    NotTls,
    ClientCertificate,
    HandshakeRefused,
    /// Before the request was sent, for a reason that hyper does not report: a server that demands a certificate looks
    /// like this, too, if its alert came early.
    ClosedAfterHandshake,
    Tls,
    Dns,
    Connect,
    /// Reset or closed before a response to plain http. A TLS port does that, too.
    NoResponse,
    Reset,
    Timeout,
    /// The response to plain http. The port may speak TLS.
    NotHttp,
    Other,
}

/// In lower case. The first match decides.
const PROXY: [(&str, Fault); 7] = [
    ("tunnel error: proxy authorization required", Fault::ProxyCredentials),
    ("tunnel error: failed to create underlying connection", Fault::ProxyUnreachable),
    ("tunnel error: unsuccessful", Fault::ProxyRefused),
    ("tunnel error: ", Fault::ProxyClosed),
    ("socks error: credentials not accepted", Fault::ProxyCredentials),
    ("socks error: failed to create underlying connection", Fault::ProxyUnreachable),
    ("socks error: ", Fault::ProxyRefused),
];

/// In lower case, for failures that neither a type nor an I/O kind classifies. The first match decides.
const WORDS: [(&str, Fault); 43] = [
    ("scheme is not http", Fault::TlsMissing),
    // h2 shows what it received, and drops the type of an I/O error.
    ("stream error received", Fault::Reset),
    ("connection error received", Fault::Reset),
    ("keep-alive timed out", Fault::Reset),
    ("connection closed before message completed", Fault::Reset),
    ("incompletemessage", Fault::Reset),
    ("connection reset", Fault::Reset),
    ("broken pipe", Fault::Reset),
    // OpenSSL's text for a connection that was closed during the handshake.
    ("unexpected eof", Fault::Reset),
    ("operation was canceled", Fault::ClosedAfterHandshake),
    ("channel closed", Fault::ClosedAfterHandshake),
    // rustls, then OpenSSL.
    ("invalidcontenttype", Fault::NotTls),
    ("wrong version number", Fault::NotTls),
    ("packet length too long", Fault::NotTls),
    ("unknown protocol", Fault::NotTls),
    // A server's alerts are about the client's certificate.
    ("alert: certificate", Fault::ClientCertificate),
    ("alert certificate", Fault::ClientCertificate),
    ("alert: badcertificate", Fault::ClientCertificate),
    ("alert bad certificate", Fault::ClientCertificate),
    ("alert: unsupportedcertificate", Fault::ClientCertificate),
    ("alert unsupported certificate", Fault::ClientCertificate),
    ("alert: unknownca", Fault::ClientCertificate),
    ("alert unknown ca", Fault::ClientCertificate),
    ("alert: accessdenied", Fault::ClientCertificate),
    ("alert access denied", Fault::ClientCertificate),
    ("alert: handshakefailure", Fault::HandshakeRefused),
    ("alert handshake failure", Fault::HandshakeRefused),
    ("certificate", Fault::Tls),
    ("handshake", Fault::Tls),
    ("tls ", Fault::Tls),
    ("fatal alert", Fault::Tls),
    ("peer is incompatible", Fault::Tls),
    ("peer misbehaved", Fault::Tls),
    ("corrupt message", Fault::Tls),
    ("cannot decrypt", Fault::Tls),
    ("ssl routines", Fault::Tls),
    ("dns error", Fault::Dns),
    ("failed to lookup address", Fault::Dns),
    ("timed out", Fault::Timeout),
    ("invalid http ", Fault::NotHttp),
    ("tcp connect error", Fault::Connect),
    ("error (connect)", Fault::Connect),
    ("connection refused", Fault::Connect),
];

impl Fault {
    /// `https`: whether the request was to be sent over TLS.
    pub(crate) fn of(error: &(dyn Error + 'static), https: bool) -> Self {
        let by_type = chain(error).filter_map(|link| link.downcast_ref().and_then(of_io)).last();
        let words = chain(error).map(said).collect::<Vec<_>>().join("\n");
        let find =
            |table: &[(&str, Self)]| table.iter().find(|(text, _)| words.contains(text)).map(|(_, fault)| *fault);
        let before_response = ["connection reset", "before message completed"].iter().any(|text| words.contains(text))
            && !words.contains("reading a body");
        match find(&PROXY).or(by_type).or_else(|| find(&WORDS)).unwrap_or(Self::Other) {
            Self::Reset if before_response && !https => Self::NoResponse,
            Self::ClosedAfterHandshake if !https => Self::Reset,
            Self::NotHttp if https => Self::Other,
            fault => fault,
        }
    }

    /// The message of the error; `proxy` is a space and the proxy's URL, or empty.
    pub(crate) fn message(self, proxy: &str) -> Cow<'static, str> {
        let message = match self {
            Self::ProxyCredentials => return format!("the proxy{proxy} asks for credentials").into(),
            Self::ProxyRefused => return format!("the proxy{proxy} refused to connect to the server").into(),
            Self::ProxyClosed => return format!("the proxy{proxy} closed the connection").into(),
            Self::ProxyUnreachable => return format!("the proxy{proxy} cannot be reached").into(),
            Self::TlsMissing => "the HTTP client has no TLS",
            Self::NotTls => "the server's port does not speak TLS",
            Self::ClientCertificate => "the server demands a client certificate, and got none that it accepts",
            Self::HandshakeRefused => "the server refused the TLS handshake",
            Self::ClosedAfterHandshake => "the server closed the connection after the TLS handshake",
            Self::Tls => "the TLS connection failed",
            Self::Dns => "the host name could not be resolved",
            Self::Connect => "no connection could be made",
            Self::NoResponse | Self::Reset => "the connection was closed before the response was complete",
            Self::Timeout => "the HTTP client's time limit passed",
            Self::NotHttp => "the response is not HTTP",
            Self::Other => "the HTTP client failed",
        };
        message.into()
    }

    pub(crate) fn advice(self) -> Option<&'static str> {
        let advice = match self {
            Self::ProxyCredentials => "put them into the proxy's URL, as `http://user:password@proxy.example.com:3128`",
            Self::ProxyRefused => {
                "allow the server's host at the proxy, or name it in `NO_PROXY` to go around the proxy"
            }
            Self::ProxyUnreachable => {
                "check the proxy's URL, or name the server's host in `NO_PROXY` to go around the proxy"
            }
            Self::TlsMissing => {
                "enable the feature `rustls` or `native-tls` of client-credentials, or pass a client to \
                 `.http_client(..)`"
            }
            Self::NotTls => "check the scheme and the port of the URL",
            Self::ClientCertificate => "pass a `reqwest::ClientBuilder` with an `identity(..)` to `.http_client(..)`",
            Self::HandshakeRefused | Self::ClosedAfterHandshake => {
                "it may demand a client certificate: pass a `reqwest::ClientBuilder` with an `identity(..)` to \
                 `.http_client(..)`"
            }
            Self::NoResponse | Self::NotHttp => "if the port speaks TLS, write the URL with `https`",
            _ => return None,
        };
        Some(advice)
    }
}

/// An error and its causes. They include the error that an [`io::Error`] wraps, which its `source` skips.
pub(crate) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => error.source(),
    }
}

fn of_io(error: &io::Error) -> Option<Fault> {
    match error.kind() {
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::NotConnected
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::UnexpectedEof => Some(Fault::Reset),
        io::ErrorKind::TimedOut => Some(Fault::Timeout),
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable => Some(Fault::Connect),
        // Windows reports failures of TLS as HRESULTs, which are negative, with texts in the user's language.
        _ => error.raw_os_error().filter(|code| *code < 0).map(|_| Fault::Tls),
    }
}

/// An error's own text, in lower case. reqwest appends the URL, which must not be matched.
fn said(error: &(dyn Error + 'static)) -> String {
    let text = error.to_string().to_ascii_lowercase();
    text.split(" for url (").next().unwrap_or_default().to_owned()
}

/// The same failure without the server's text in a GOAWAY frame, which may repeat the secret that was sent.
pub(crate) fn without_debug_data(cause: Box<dyn Error + Send + Sync>) -> Box<dyn Error + Send + Sync> {
    let text = chain(&*cause).map(ToString::to_string).find(|text| text.starts_with("connection error received: "));
    match text.as_deref().and_then(|text| text.split_once(" (b\"")) {
        Some((reason, _)) => reason.into(),
        None => cause,
    }
}
