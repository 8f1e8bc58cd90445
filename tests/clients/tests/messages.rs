//! What the compiler says of programs that do not compile: what would.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

/// A program, and what its error has to say.
const CASES: [(&str, &[&str]); 7] = [
    (
        "fn takes<S: tower::Service<reqwest_012::Request>>(_: S) {}
        pub fn example(tokens: client_credentials::TokenCache) {
            let layer = client_credentials::BearerAuthLayer::new(tokens);
            takes(tower::Layer::layer(&layer, reqwest_012::Client::new()));
        }",
        &[
            "error[E0277]: no access token can be attached to a `reqwest::Request`",
            "reqwest 0.13",
            "for reqwest 0.12 and other clients, use `TokenCache::header_for`: see https://docs.rs/client-credentials/latest/client_credentials/docs/other_clients",
        ],
    ),
    (
        "pub fn example(tokens: client_credentials::TokenCache, request: reqwest_012::Request) {
            let layer = client_credentials::BearerAuthLayer::new(tokens);
            let service = tower::Layer::layer(&layer, reqwest_012::Client::new());
            let _ = tower::ServiceExt::oneshot(service, request);
            let service = tower::Layer::layer(&layer, reqwest_012::Client::new());
            use tower::ServiceExt;
            let _ = service.oneshot(request);
        }",
        // Of a method that does not exist, the compiler shows no notes, but a line of the type's source.
        &["no access token can be attached", "not a `Service`? \"If it does not compile\" in `BearerAuthLayer`'s docs"],
    ),
    (
        "fn takes<S: tower::Service<http::Request<String>>>(_: S) {}
        pub fn example(tokens: client_credentials::TokenCache) {
            let layer = client_credentials::BearerAuthLayer::new(tokens);
            let client = tower::service_fn(|_: http::Request<String>| async { Ok::<_, std::io::Error>(200_u16) });
            takes(tower::Layer::layer(&layer, client));
        }",
        &["error[E0277]: a `u16` cannot say that an access token was rejected", "http::Response<B>"],
    ),
    (
        "pub fn example(builder: client_credentials::ClientCredentialsBuilder) {
            let _ = builder.http_client(reqwest_012::Client::new());
        }",
        &[
            "error[E0277]: `Client` cannot send token requests",
            "a client of reqwest 0.12 does not fit: implement `HttpClient`",
        ],
    ),
    (
        "pub fn example() {
            let _ = client_credentials::TokenCache::builder(|_| async { client_credentials::AccessToken::new(\"a\") });
        }",
        &["is not a token source", "a closure becomes one by `token_fn(..)`"],
    ),
    (
        "pub struct Mine;
        pub fn example() {
            let _ = client_credentials::TokenCache::builder(Mine);
        }",
        &["error[E0277]: a `Mine` is not a token source", "`#[async_trait] impl TokenSource for ..`"],
    ),
    (
        "pub async fn example(tokens: client_credentials::TokenCache, url: reqwest_012::Url) {
            let _ = tokens.header_for(url.as_str()).await;
        }",
        // This one is right: the others do not fail for want of a crate.
        &[],
    ),
];

#[test]
fn a_mistake_is_told_with_what_to_write_instead() {
    let crates = crates();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (number, (program, said)) in CASES.iter().enumerate() {
        let file = folder.join(format!("case_{number}.rs"));
        std::fs::write(&file, program).expect("a file");
        let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
        rustc.args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "--out-dir"]).arg(folder).arg(&file);
        for (name, path) in &crates {
            rustc.arg("-L").arg(path.parent().expect("a folder"));
            rustc.arg("--extern").arg(format!("{name}={}", path.display()));
        }
        let output = rustc.output().expect("rustc runs");
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.success(), said.is_empty(), "{program}\n{text}");
        for said in *said {
            assert!(text.contains(said), "{said:?} is not in\n{text}");
        }
    }
}

/// The crates that the programs use, as they were compiled for these tests: Cargo says where they are.
fn crates() -> Vec<(&'static str, PathBuf)> {
    let this = std::env::current_exe().expect("a path");
    let target = this.ancestors().nth(3).expect("target/debug/deps");
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--no-run", "--locked", "--message-format=json", "--manifest-path"]);
    cargo.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).arg("--target-dir").arg(target);
    let output = cargo.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let artifacts = output.stdout.split(|byte| *byte == b'\n').filter_map(|line| {
        let artifact: serde_json::Value = serde_json::from_slice(line).ok()?;
        let package = artifact["package_id"].as_str()?;
        let is = |part| package.contains(part);
        let name = match artifact["target"]["name"].as_str()? {
            "client_credentials" => "client_credentials",
            "reqwest" if is("reqwest@0.12") => "reqwest_012",
            "http" => "http",
            "tower" => "tower",
            _ => return None,
        };
        let files = artifact["filenames"].as_array()?;
        let library = files.iter().filter_map(|file| file.as_str()).find(|file| file.ends_with(".rlib"))?;
        Some((name, PathBuf::from(library)))
    });
    artifacts.collect()
}
