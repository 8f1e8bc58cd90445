//! What to look at, in the words of docs/when-it-does-not-work.md; a test compares them.

use client_credentials::{Error, ErrorKind};

const PAGE: &str = "https://docs.rs/client-credentials/latest/client_credentials/docs/when_it_does_not_work/index.html";

struct Section {
    title: &'static str,
    sentences: &'static [&'static str],
}

const REFUSED_CREDENTIALS: Section = Section {
    title: "The credentials are refused",
    sentences: &[
        "The id or the secret is wrong, or belongs to another environment.",
        "The secret expired or was rotated.",
        "The server expects them elsewhere.",
    ],
};
const NO_GRANT: Section = Section {
    title: "The credentials are refused",
    sentences: &[
        "The server knows the client, but does not allow it this grant.",
        "Servers call the setting \"machine to machine\" or \"service account\".",
    ],
};
const REFUSED_REQUEST: Section = Section {
    title: "The token request is refused",
    sentences: &[
        "The text after the code is the server's own description.",
        "`invalid_request` most often means that something is missing that this server requires: a scope, an audience, \
         a further `.parameter(..)`.",
    ],
};
const UNREADABLE_CREDENTIALS: Section = Section {
    title: "The credentials cannot be read",
    sentences: &[
        "The reason follows the message: a path that is not mounted, a file that the process's user may not read, a \
         vault that does not respond.",
    ],
};
const TLS: Section = Section {
    title: "TLS is missing, or fails",
    sentences: &[
        "For a certificate of a private authority, set `http.ca_file` in the file of settings (the command's \
         `--cacert`).",
        "If the issuer is unknown on one machine only, a proxy there opens TLS, or the root certificates are missing \
         from the container image.",
        "For \"not valid yet\" or \"expired\", check the clock.",
    ],
};
const NO_RESPONSE: Section = Section {
    title: "The token endpoint does not respond",
    sentences: &[
        "Try `curl -v` with that URL, from the same machine or container.",
        "If it fails, check the name, the network policy and the firewall.",
    ],
};
const PROXY: Section = Section {
    title: "The proxy does not let it through",
    sentences: &[
        "\"Refused\" means any status but 200 and 407 to `CONNECT`: 403 if the host is not allowed, 502 or 504 if the \
         proxy itself cannot reach the server.",
    ],
};
const STATUS: Section = Section {
    title: "The token endpoint returns an error",
    sentences: &[
        "An error status without an OAuth code comes from the server itself when it is down, or from a gateway, a \
         proxy or a firewall in front of it.",
        "Check that the URL is the token URL of this server and tenant: the server's \
         `/.well-known/openid-configuration` names it as `token_endpoint`.",
    ],
};
const REDIRECT: Section = Section {
    title: "The token endpoint redirects",
    sentences: &[
        "If the redirect leads to your server, configure that URL: `https` instead of `http`, the new host, with or \
         without a trailing `/`.",
        "A redirect to a login page means that the URL is for browsers.",
    ],
};
const RESPONSE: Section = Section {
    title: "The response is not a token response",
    sentences: &["The URL belongs to another page, or something in front of the server responded instead."],
};
const DISCOVERY: Section = Section {
    title: "The token endpoint is not discovered",
    sentences: &["Check that the issuer is complete, with the path of its realm or tenant."],
};
const REJECTED: Section = Section {
    title: "401 after 401",
    sentences: &[
        "A scope is missing.",
        "The token is for another API: set `.audience(..)` or `.resource(..)`, whichever your server expects.",
        "The API trusts another authorization server, such as production instead of a sandbox.",
        "The clock of the API is slow, and the token is \"not yet valid\" for it.",
    ],
};

/// What to look at after there was no token, to append to the error.
pub(crate) fn failure(error: &Error) -> String {
    let section = match error.kind() {
        _ if error.to_string().starts_with("discovery of") => DISCOVERY,
        ErrorKind::ErrorResponse => match error.response().map(|response| response.error.as_str()) {
            Some("invalid_client") => REFUSED_CREDENTIALS,
            Some("unauthorized_client") => NO_GRANT,
            Some("server_error" | "temporarily_unavailable") => STATUS,
            _ => REFUSED_REQUEST,
        },
        ErrorKind::Status if error.status().is_some_and(|status| status == 401) => REFUSED_CREDENTIALS,
        ErrorKind::Status => STATUS,
        ErrorKind::Credentials => UNREADABLE_CREDENTIALS,
        ErrorKind::TlsMissing | ErrorKind::Tls => TLS,
        ErrorKind::Proxy => PROXY,
        ErrorKind::Redirect => REDIRECT,
        ErrorKind::InvalidResponse => RESPONSE,
        ErrorKind::Dns | ErrorKind::Connect | ErrorKind::Reset | ErrorKind::Timeout | ErrorKind::Transport => {
            NO_RESPONSE
        }
        _ => return String::new(),
    };
    section.text()
}

/// What to look at after an API rejected a new token.
pub(crate) fn rejection() -> String {
    REJECTED.text()
}

impl Section {
    fn text(&self) -> String {
        let anchor = self.title.to_lowercase().replace(' ', "-").replace(',', "");
        let sentences: String = self.sentences.iter().map(|sentence| format!("  - {sentence}\n")).collect();
        format!("\n\n{}:\n{sentences}  {PAGE}#{anchor}", self.title)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_are_those_of_the_page() {
        // The published package is without the repository's pages.
        let pages = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs"));
        if !pages.is_dir() {
            return;
        }
        let page = std::fs::read_to_string(pages.join("when-it-does-not-work.md")).expect("the page");
        let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
        let sections = [
            REFUSED_CREDENTIALS,
            NO_GRANT,
            REFUSED_REQUEST,
            UNREADABLE_CREDENTIALS,
            TLS,
            NO_RESPONSE,
            PROXY,
            STATUS,
            REDIRECT,
            RESPONSE,
            DISCOVERY,
            REJECTED,
        ];
        for section in sections {
            let heading = format!("## {} ", section.title);
            let (_, text) = page.split_once(&heading).unwrap_or_else(|| panic!("no section {:?}", section.title));
            let text = text.split(" ## ").next().unwrap_or_default();
            for sentence in section.sentences {
                assert!(text.contains(sentence), "{:?} has no {sentence:?}", section.title);
            }
        }
    }
}
