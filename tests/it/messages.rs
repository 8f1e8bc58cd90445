//! Every log event and every error that the source code has is in a page, or here with the reason why not.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where messages are that no page lists one by one, and why.
const UNLISTED: [(&str, &str); 12] = [
    ("src/testing/", "for users' tests"),
    ("src/bearer_auth/", "a panic that is a bug of the caller, as with every future"),
    // A setting that is refused when it is built: the message names it and says what would be right.
    ("src/cache/builder.rs", "a setting"),
    ("src/attach/header.rs", "a setting"),
    ("src/client_credentials/authentication/assertion.rs", "a setting"),
    ("src/client_credentials/builder.rs", "a setting"),
    ("src/client_credentials/configuration/", "a setting"),
    ("src/client_credentials/endpoint.rs", "a setting"),
    ("src/client_credentials/header.rs", "a setting"),
    ("src/origin/", "a setting"),
    ("src/token_request.rs", "a setting"),
    ("src/vonage.rs", "a setting"),
];

/// Parts of messages that say nothing without the rest, and texts that are read, not said.
const PARTS: [&str; 18] = [
    "-----BEGIN ",
    "before message completed",
    "connection error received: ",
    " for url (",
    "reading a body",
    "a `*` that is not the whole first label",
    "an IPv4 address that is not written as four",
    "an unknown origin",
    "has a query",
    "is not a URL",
    "nowhere (it has no Location header)",
    "another path on the same origin",
    "an HTML page without a title",
    "without a content type",
    "client-credentials token store 1",
    "can't run this command",
    "TLS, the feature is not enabled",
    ". script: ",
];

fn source_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            source_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The string literals of a program, but for comments, attributes, constants and unit tests.
fn literals(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '\'', '/', '#', 'c', 'r']) {
        let here = &rest[at..];
        let before = &source[..source.len() - here.len()];
        let starts_word = before.ends_with(['\n', ' ']);
        rest = match here.as_bytes() {
            [b'/', b'/', ..] => here.split_once('\n').map_or("", |(_, rest)| rest),
            [b'#', b'[', ..] | [b'#', b'!', b'[', ..] => here.split_once("]\n").map_or("", |(_, rest)| rest),
            _ if starts_word && here.starts_with("const ") && !here.starts_with("const fn") => {
                here.split_once(";\n").map_or("", |(_, rest)| rest)
            }
            [b'r', b'"', ..] if starts_word || before.ends_with('(') => {
                let (text, rest) = here[2..].split_once('"').unwrap_or_default();
                found.push(text.to_owned());
                rest
            }
            [b'\'', b'\\', _, b'\'', ..] => &here[4..],
            [b'\'', ..] if here.chars().nth(2) == Some('\'') => {
                let quoted = here.chars().take(3).map(char::len_utf8).sum();
                &here[quoted..]
            }
            [b'"', ..] => {
                let (text, rest) = literal(&here[1..]);
                found.push(text);
                rest
            }
            _ => &here[1..],
        };
    }
    found
}

fn literal(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &text[at + 1..]),
            '\\' => match characters.next() {
                Some((_, '\n')) => {
                    let rest = characters.as_str().trim_start();
                    let skipped = characters.as_str().len() - rest.len();
                    characters.by_ref().take(skipped).for_each(drop);
                }
                Some((_, escaped)) => value.push(escaped),
                None => {}
            },
            _ => value.push(character),
        }
    }
    (value, "")
}

/// The longest part of a message that is the same each time.
fn fixed(message: &str) -> &str {
    let pieces = message.split('{').map(|piece| piece.split_once('}').map_or(piece, |(_, fixed)| fixed));
    pieces.max_by_key(|piece| piece.len()).unwrap_or_default().trim_matches([' ', ':'])
}

fn messages() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    source_files(&root.join("src"), &mut files);
    let mut found = Vec::new();
    for file in files {
        let name = file.strip_prefix(root).expect("below it").to_string_lossy().replace('\\', "/");
        let source = fs::read_to_string(&file).expect("a source file");
        let texts = literals(&source).into_iter().filter(|text| text.matches(' ').count() >= 2);
        found.extend(texts.map(|text| (name.clone(), text)));
    }
    found
}

fn pages() -> String {
    let docs = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")).expect("a folder");
    let pages =
        docs.map(|entry| entry.expect("an entry").path()).filter(|path| path.extension() == Some("md".as_ref()));
    let text: String = pages.map(|path| fs::read_to_string(path).expect("a page")).collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn every_message_is_in_a_page() {
    let (messages, pages) = (messages(), pages());
    assert!(messages.len() > 150, "{} messages", messages.len());
    let unlisted = messages.iter().filter(|(file, text)| {
        let fixed = fixed(text);
        let known = pages.contains(fixed) || PARTS.iter().any(|part| text.contains(part));
        !known && !UNLISTED.iter().any(|(place, _)| file.starts_with(place))
    });
    let unlisted: Vec<_> = unlisted.collect();
    assert!(unlisted.is_empty(), "neither in docs/*.md nor excepted: {unlisted:#?}");
}

#[test]
fn nothing_is_excepted_in_vain() {
    let (messages, pages) = (messages(), pages());
    let unlisted: Vec<_> = messages.iter().filter(|(_, text)| !pages.contains(fixed(text))).collect();
    for (place, why) in UNLISTED {
        assert!(unlisted.iter().any(|(file, _)| file.starts_with(place)), "{place}: {why}");
    }
    for part in PARTS {
        assert!(unlisted.iter().any(|(_, text)| text.contains(part)), "{part}");
    }
}

#[test]
fn the_table_of_other_messages_has_only_what_is_said() {
    let said: Vec<_> = messages().into_iter().map(|(_, text)| text).collect();
    let page = include_str!("../../docs/when-it-does-not-work.md");
    let (_, table) = page.split_once("\n## Other messages\n").expect("the section");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` |"));
    let rows: Vec<_> = rows.map(|(message, _)| message.trim_matches('`').trim()).collect();
    assert!(rows.len() > 20, "{rows:?}");
    for row in rows {
        let longest = row.split('…').max_by_key(|piece| piece.len()).unwrap_or_default().trim();
        assert!(said.iter().any(|text| text.contains(longest)), "nobody says {row:?}");
    }
}

#[test]
fn the_table_of_what_happens_to_a_store_quotes_what_is_said() {
    let said: Vec<_> = messages().into_iter().map(|(_, text)| text).collect();
    let page = include_str!("../../docs/sharing-tokens.md");
    let (_, table) =
        page.split_once("| what happens | what callers notice | what the log says |\n").expect("the table");
    let cells = table.lines().take_while(|line| line.starts_with('|')).filter_map(|line| line.rsplit(" | ").next());
    let quotes: Vec<_> = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect();
    assert!(quotes.len() > 20, "{quotes:?}");
    // What is between them varies, or is in a message of its own.
    let pieces = quotes.iter().flat_map(|quote| quote.split(['…', ':'])).map(str::trim);
    for piece in pieces.filter(|piece| piece.contains(' ')) {
        assert!(said.iter().any(|text| text.contains(piece)), "nobody says {piece:?}");
    }
}
