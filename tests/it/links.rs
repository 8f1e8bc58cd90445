//! The links of the documents lead somewhere: in the repository, in the registry, and in rustdoc, where the pages of
//! `docs/` are modules.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

const DOCS_RS: &str = "https://docs.rs/client-credentials/latest/client_credentials/";
const SOURCE: &str = "https://docs.rs/crate/client-credentials/latest/source/";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of the pages, such as `in-production`.
fn pages() -> Vec<String> {
    let files = fs::read_dir(root().join("docs")).expect("the pages").map(|file| file.expect("a file").path());
    let pages = files.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    pages.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect()
}

/// Without its programs.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

/// Where `[text](target)` leads.
fn inline(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect()
}

/// `[label]: target`, by label.
fn definitions(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix('[')?.split_once("]: "));
    lines.map(|(label, target)| (label.to_owned(), target.to_owned())).collect()
}

fn targets(text: &str) -> Vec<String> {
    let text = prose(text);
    let mut targets = inline(&text);
    targets.extend(definitions(&text).into_values());
    targets
}

/// As GitHub and rustdoc make it of a heading.
fn anchor_of(heading: &str) -> String {
    let words = heading.trim_start_matches(['#', '/', '!', ' ']).trim().to_lowercase().replace(' ', "-");
    words.chars().filter(|character| character.is_alphanumeric() || "-_".contains(*character)).collect()
}

fn has_anchor(text: &str, anchor: &str) -> bool {
    let headings = text.lines().filter(|line| line.starts_with('#') || line.starts_with("//! #"));
    anchor.is_empty() || headings.map(anchor_of).any(|of| of == anchor)
}

/// A file of the repository, for a page of docs.rs.
fn file_of(page: &str) -> PathBuf {
    if let Some(module) = page.strip_prefix("docs/").and_then(|rest| rest.strip_suffix("/index.html")) {
        assert!(read("src/docs/mod.rs").contains(&format!("pub mod {module} {{}}")), "no module {module}");
        return format!("docs/{}.md", module.replace('_', "-")).into();
    }
    if page == "docs/index.html" {
        return "src/docs/mod.rs".into();
    }
    let file = page.rsplit_once('/').map_or("src/lib.rs".into(), |(module, _)| format!("src/{module}/mod.rs"));
    if let Some(item) = page.strip_suffix(".html").and_then(|page| page.split('.').nth(1)) {
        assert!(read(&file).contains(item), "nothing is called {item}");
    }
    file.into()
}

#[test]
fn links_of_the_repository_lead_somewhere() {
    let mut documents = ["README", "CHANGELOG", "CONTRIBUTING", "SECURITY"].map(|name| format!("{name}.md")).to_vec();
    documents.extend(pages().iter().map(|page| format!("docs/{page}.md")));
    let mut links = 0;
    for document in documents {
        for target in targets(&read(&document)) {
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let path = if let Some(page) = file.strip_prefix(DOCS_RS) {
                file_of(page)
            } else if let Some(source) = file.strip_prefix(SOURCE) {
                source.into()
            } else if file.starts_with("https://") {
                continue;
            } else if file.is_empty() {
                PathBuf::from(&document)
            } else {
                Path::new(&document).with_file_name(file)
            };
            assert!(has_anchor(&read(path), anchor), "{document}: {target}");
            links += 1;
        }
    }
    assert!(links > 80, "{links} links");
}

/// The registry shows it, and knows no other file.
#[test]
fn the_readme_has_absolute_links_only() {
    let relative: Vec<_> = targets(&read("README.md")).into_iter().filter(|target| !target.contains("://")).collect();
    assert!(relative.iter().all(|target| target.starts_with('#')), "{relative:?}");
}

/// What rustdoc has for a link of a page to another.
fn in_rustdoc(target: &str) -> String {
    let (file, anchor) = target.split_once('#').map_or((target, String::new()), |(file, of)| (file, format!("#{of}")));
    if let Some(item) = file.strip_prefix(DOCS_RS) {
        let (module, item) = item.rsplit_once('/').map_or(("", item), |(module, item)| (module, item));
        let item = item.trim_end_matches(".html").rsplit('.').next().expect("a name");
        return ["crate", module, item].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("::");
    }
    // A picture that docs.rs does not serve is within the page.
    if file == "dashboard.svg" {
        return "crate::docs::in_production#the-dashboard".to_owned();
    }
    match (file.strip_prefix("../"), file.strip_suffix(".md")) {
        (Some(above), _) => format!("{SOURCE}{above}{anchor}"),
        (None, Some(page)) => format!("crate::docs::{}{anchor}", page.replace('-', "_")),
        (None, None) => format!("{SOURCE}docs/{file}{anchor}"),
    }
}

#[test]
fn pages_link_to_each_other_by_references_which_rustdoc_replaces() {
    let mut expected = BTreeMap::new();
    for page in pages() {
        let text = prose(&read(format!("docs/{page}.md")));
        let inline: Vec<_> =
            inline(&text).into_iter().filter(|to| !to.contains("://") && !to.starts_with('#')).collect();
        assert!(inline.is_empty(), "{page}: in rustdoc these lead nowhere: {inline:?}; write them as references");
        for (label, target) in definitions(&text) {
            let target = in_rustdoc(&target);
            let other = expected.insert(label.clone(), target.clone());
            assert!(other.is_none_or(|other| other == target), "{page}: {label} leads elsewhere than on another page");
        }
    }
    assert_eq!(definitions(&read("src/docs/links.md")), expected);
}

#[test]
fn each_page_is_a_module_and_on_every_list_of_pages() {
    let [modules, front, readme] = ["src/docs/mod.rs", "src/lib.rs", "README.md"].map(read);
    for page in pages() {
        let module = page.replace('-', "_");
        let shown = modules.split_once(&format!("#[doc = include_str!(\"../../docs/{page}.md\")]\n"));
        let of = shown.and_then(|(_, rest)| rest.lines().find(|line| line.starts_with("pub mod ")));
        assert_eq!(of, Some(format!("pub mod {module} {{}}").as_str()), "src/docs/mod.rs has no module of {page}");
        assert!(modules.contains(&format!("]({module})")), "src/docs/mod.rs does not list {page}");
        assert!(front.contains(&format!("](docs::{module})")), "the front page does not list {page}");
        assert!(readme.contains(&format!("{DOCS_RS}docs/{module}/index.html")), "the README does not list {page}");
    }
}

/// docs.rs shows the sources that are in the package.
#[test]
fn what_the_documents_show_is_in_the_package() {
    let manifest = read("Cargo.toml");
    let include = manifest.lines().find(|line| line.starts_with("include = ")).expect("the list");
    let included: BTreeSet<_> = include.split('"').skip(1).step_by(2).collect();
    for target in definitions(&read("src/docs/links.md")).into_values().chain(targets(&read("README.md"))) {
        let Some(path) = target.strip_prefix(SOURCE) else { continue };
        let first = path.split('/').next().unwrap_or_default();
        assert!(included.contains(format!("/{first}").as_str()), "{path} is not in the package");
    }
}
