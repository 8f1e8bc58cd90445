//! What a failure of a transport was: by the types and the I/O kinds in its chain of causes first, by their words last.
//!
//! Most connectors keep their error types private, and naming those of h2 or of a TLS library would be a dependency
//! each.

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
    /// How a demanded certificate looks, too, where the server's alert came before hyper could report it.
    ClosedAfterHandshake,
    Tls,
    Dns,
    Connect,
    /// The connection ended before the request was sent, for a reason that hyper does not say.
    Unsent,
    /// Reset, or closed, before a response; over plain http, a port of TLS does that, too.
    NoResponse,
    Reset,
    Timeout,
    /// Over plain http: perhaps it is TLS.
    NotHttp,
    Other,
}

/// In lower case; the first that is found decides.
const PROXY: [(&str, Fault); 7] = [
    ("tunnel error: proxy authorization required", Fault::ProxyCredentials),
    ("tunnel error: failed to create underlying connection", Fault::ProxyUnreachable),
    ("tunnel error: unsuccessful", Fault::ProxyRefused),
    ("tunnel error: ", Fault::ProxyClosed),
    ("socks error: credentials not accepted", Fault::ProxyCredentials),
    ("socks error: failed to create underlying connection", Fault::ProxyUnreachable),
    ("socks error: ", Fault::ProxyRefused),
];

/// Likewise, where neither a type nor an I/O kind says what it was.
const WORDS: [(&str, Fault); 42] = [
    ("scheme is not http", Fault::TlsMissing),
    // h2 shows what was received, and loses the type of an I/O error.
    ("stream error received", Fault::Reset),
    ("connection error received", Fault::Reset),
    ("keep-alive timed out", Fault::Reset),
    ("connection closed before message completed", Fault::Reset),
    ("incompletemessage", Fault::Reset),
    ("connection reset", Fault::Reset),
    ("broken pipe", Fault::Reset),
    // OpenSSL's word for a connection that was closed in the handshake.
    ("unexpected eof", Fault::Reset),
    ("operation was canceled", Fault::Unsent),
    ("channel closed", Fault::Unsent),
    // rustls, then OpenSSL.
    ("invalidcontenttype", Fault::NotTls),
    ("wrong version number", Fault::NotTls),
    ("packet length too long", Fault::NotTls),
    ("unknown protocol", Fault::NotTls),
    // Alerts of a server are about the client's certificate.
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
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        let mut by_type = None;
        let mut words = String::new();
        for link in chain(error) {
            by_type = link.downcast_ref().and_then(of_io).or(by_type);
            words.push_str(&said(link));
            words.push('\n');
        }
        let find =
            |table: &[(&str, Self)]| table.iter().find(|(text, _)| words.contains(text)).map(|(_, fault)| *fault);
        let before_response = ["connection reset", "before message completed"].iter().any(|text| words.contains(text))
            && !words.contains("reading a body");
        match find(&PROXY).or(by_type).or_else(|| find(&WORDS)).unwrap_or(Self::Other) {
            Self::Reset if before_response => Self::NoResponse,
            fault => fault,
        }
    }

    /// The same, of a request that was sent over `https` or not.
    pub(crate) fn over(self, https: bool) -> Self {
        match self {
            Self::Unsent if https => Self::ClosedAfterHandshake,
            Self::NoResponse if https => Self::Reset,
            Self::NotHttp if https => Self::Other,
            fault => fault,
        }
    }

    /// What errors say; `proxy` is its URL behind a blank, or empty.
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
            Self::Unsent | Self::NoResponse | Self::Reset => {
                "the connection was closed before the response was complete"
            }
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
                "enable this crate's feature `rustls` or `native-tls`, or bring a client with `.http_client(..)`"
            }
            Self::NotTls => "check the scheme and the port of the URL",
            Self::ClientCertificate => "give `.http_client(..)` a `reqwest::ClientBuilder` with an `identity(..)`",
            Self::HandshakeRefused | Self::ClosedAfterHandshake => {
                "it may demand a client certificate: give `.http_client(..)` a `reqwest::ClientBuilder` with an \
                 `identity(..)`"
            }
            Self::NoResponse | Self::NotHttp => "if the port speaks TLS, write the URL with `https`",
            _ => return None,
        };
        Some(advice)
    }
}

/// An error and its causes. What an [`io::Error`] wraps is a cause, too; its `source` skips it.
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
        _ => None,
    }
}

/// What an error says itself, in lower case. reqwest quotes the URL, whose words are nobody's failure.
fn said(error: &(dyn Error + 'static)) -> String {
    let text = error.to_string().to_ascii_lowercase();
    text.split(" for url (").next().unwrap_or_default().to_owned()
}

/// The same failure without what the server wrote into a GOAWAY frame, which may be the secret that it was sent.
pub(crate) fn without_debug_data(cause: Box<dyn Error + Send + Sync>) -> Box<dyn Error + Send + Sync> {
    let text = chain(&*cause).map(ToString::to_string).find(|text| text.starts_with("connection error received: "));
    match text.as_deref().and_then(|text| text.split_once(" (b\"")) {
        Some((reason, _)) => reason.into(),
        None => cause,
    }
}
