//! The commands and their flags.

use std::ffi::OsString;

use clap::{
    Arg, ArgAction, ArgGroup, ArgMatches, Command,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{
    failure::Failure,
    settings::{self, FLAGS, Flag},
    time,
};

/// Spellings of a flag that would have the secret as its value.
const SECRETS: [&str; 5] = ["--client-secret", "--client_secret", "--secret", "--password", "--user"];

const ABOUT: &str = "Gets OAuth 2.0 client_credentials tokens, and tries token endpoints out";

const EXAMPLES: &str = "\
Without credentials, on loopback:
  client-credentials check --demo
Does this client get a token, and does the API accept it?
  client-credentials check --token-url https://auth.example.com/oauth2/token --client-id abcde \\
      --client-secret-file secret.txt --scope stats --api https://api.example.com/stats
A token for curl:
  client-credentials token --config app.toml --table auth --curl | curl -K - https://api.example.com/stats

Standard output has the result or nothing. Exit codes: 0; 1 refused; 2 usage or settings; 75 may pass on its own.";

const CHECK_EXAMPLES: &str = "\
Examples:
  The settings in the table [auth] of an application's own file:
      client-credentials check --config app.toml --table auth
  An issuer, whose metadata names the token endpoint, and a secret from standard input:
      pass show auth | client-credentials check --issuer https://auth.example.com --client-id abcde \\
          --client-secret-file -
  From the environment (the names of the flags, in capitals):
      export CLIENT_CREDENTIALS_TOKEN_URL=… CLIENT_CREDENTIALS_CLIENT_ID=… CLIENT_CREDENTIALS_CLIENT_SECRET=…
      client-credentials check
  Vonage Contact Center, with VONAGE_CLIENT_ID, VONAGE_CLIENT_SECRET and VONAGE_SCOPE from the environment:
      client-credentials check --vonage emea
  A client with a certificate:
      client-credentials check --token-url … --client-id abcde --authentication tls_client_auth --cert c.pem --key k.pem

At most three token requests are sent. Standard output has the setting that worked, in TOML.";

const TOKEN_EXAMPLES: &str = "\
Examples:
  The token alone:
      client-credentials token --config app.toml --table auth
  For curl, so that the token is in no list of processes:
      client-credentials token --config app.toml --table auth --curl | curl -K - https://api.example.com/stats
  For a job that runs twenty minutes:
      client-credentials token --config app.toml --table auth --valid-for 20m
  After an API rejected the token:
      client-credentials token --config app.toml --table auth --fresh

Tokens are kept in the user's cache folder, so that many calls make one token request for each lifetime.";

/// Reads the arguments. Prints the help, and ends, if that is wanted.
pub(crate) fn read(arguments: impl Iterator<Item = OsString>) -> Result<ArgMatches, Failure> {
    let arguments: Vec<_> = arguments.collect();
    if arguments.iter().filter_map(|argument| argument.to_str()).any(has_secret) {
        return Err(Failure::usage(SECRET_AS_FLAG));
    }
    command().try_get_matches_from(arguments).map_err(|error| {
        if !error.use_stderr() {
            error.exit();
        }
        if error.kind() == ErrorKind::UnknownArgument { unknown(&error) } else { Failure::raw(error.to_string()) }
    })
}

/// Whether the argument has the secret, or is the flag before it. `-u` and a form's field are curl's.
fn has_secret(argument: &str) -> bool {
    let name = argument.split('=').next().unwrap_or_default();
    SECRETS.contains(&name) || argument.starts_with("-u") || argument.contains("client_secret=")
}

const SECRET_AS_FLAG: &str = "\
a secret is not accepted as a flag: it is in your shell's history now, and was in the list of processes. If others can \
read those, replace the secret at the server.
Write it to a file that only you can read (`--client-secret-file FILE`), pipe it (`--client-secret-file -`), or set \
CLIENT_CREDENTIALS_CLIENT_SECRET.";

/// An argument that nobody knows. It may be what another tool calls a flag. It may also be a secret, if it is no flag.
fn unknown(error: &clap::Error) -> Failure {
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(argument)) if argument.starts_with('-') => argument.as_str(),
        _ => {
            return Failure::usage(
                "an argument that belongs to no flag (a token URL is `--token-url URL`); see `--help`",
            );
        }
    };
    let name = argument.trim_start_matches('-');
    let field = settings::meant(name).unwrap_or_else(|| name.to_owned());
    match settings::of_field(&field) {
        _ if field == "client_secret" => Failure::usage(SECRET_AS_FLAG),
        Some(flag) => Failure::usage(format!("`{argument}` is not a flag; write `--{flag}`")),
        None => Failure::raw(error.to_string()),
    }
}

fn command() -> Command {
    let command = Command::new("client-credentials").about(ABOUT).version(env!("CARGO_PKG_VERSION"));
    command
        .after_help(EXAMPLES)
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(check())
        .subcommand(token())
}

fn check() -> Command {
    let check = Command::new("check").about("Tries a server out, and prints the setting that worked");
    let api = Arg::new("api").long("api").value_name("URL").help("Send one GET with the token there");
    check.after_help(CHECK_EXAMPLES).arg(api).arg(demo().conflicts_with("api")).args(settings_flags())
}

fn token() -> Command {
    let switch =
        |name: &'static str, help: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue).help(help);
    let time = Arg::new("valid-for").long("valid-for").value_name("TIME").value_parser(time::parse);
    let token = Command::new("token").about("Prints a token, and nothing else").after_help(TOKEN_EXAMPLES);
    token
        .arg(switch("header", "Print the header: `Authorization: Bearer …`"))
        .arg(switch("curl", "Print the header as curl reads it: `| curl -K - URL`"))
        .arg(switch("json", "Print the members of RFC 6749: access_token, expires_in and so on"))
        .group(ArgGroup::new("output").args(["header", "curl", "json"]))
        .arg(time.help("A token that can be used for at least that long, such as 20m"))
        .arg(switch("fresh", "A new token, even if there is one"))
        .arg(switch("no-store", "Neither read nor store a token"))
        .arg(demo())
        .args(settings_flags())
}

fn demo() -> Arg {
    let help = "Use a server and an API on loopback, which end with this command";
    let demo = Arg::new("demo").long("demo").action(ArgAction::SetTrue).help(help);
    demo.conflicts_with("config").conflicts_with_all(FLAGS.iter().map(|flag| flag.name))
}

fn settings_flags() -> Vec<Arg> {
    let file = Arg::new("config").long("config").value_name("FILE").help("A file in TOML");
    let table = Arg::new("table").long("table").value_name("NAME").requires("config");
    let of_file = [file, table.help("The table in it that has the settings, such as auth")];
    let of_file = of_file.map(|arg| arg.help_heading("Settings"));
    of_file.into_iter().chain(FLAGS.iter().map(Flag::arg)).collect()
}
