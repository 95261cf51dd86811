//! The levels of the modules: a file imports from its own level or a lower one, and no imports form a circle.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests report by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of each level, from the bottom up. The table in `src/lib.rs` documents them.
const LEVELS: [&[&str]; 8] = [
    &[
        "field_error",
        "outcome",
        "json",
        "invocation",
        "http_client",
    ],
    &["aws", "request"],
    &["config", "airbyte"],
    &["credential", "state"],
    &["mint"],
    &["problem", "telemetry"],
    &["lambda"],
    &["app"],
];

/// A module's path below the crate, as in `request::body`, and the modules that it imports.
type Imports = BTreeMap<String, BTreeSet<String>>;

fn level(module: &str) -> usize {
    let top = module.split("::").next().unwrap();
    LEVELS
        .iter()
        .position(|modules| modules.contains(&top))
        .unwrap_or_else(|| {
            panic!("`{top}` has no level: add it to LEVELS and to the table in src/lib.rs")
        })
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The module of a file: `request/body.rs` and `request/body/mod.rs` are both `request::body`.
fn module_of(file: &Path) -> String {
    let path = file.with_extension("");
    let parts: Vec<_> = path.iter().map(|part| part.to_str().unwrap()).collect();
    parts.join("::").trim_end_matches("::mod").to_owned()
}

/// The code without comments and without its tests, which are at the end of each file.
fn production_code(source: &str) -> String {
    let code = source.split("#[cfg(test)]").next().unwrap();
    code.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The paths that follow `prefix` in the code, each with the groups of braces taken apart.
fn paths_after(code: &str, prefix: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        let is_word = code[..at]
            .chars()
            .next_back()
            .is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':');
        if !is_word {
            expand(&code[at + prefix.len()..], "", &mut paths);
        }
    }
    paths
}

/// Takes `a::{b, c::d}` apart into `a::b` and `a::c::d`. Returns the length of what it took.
fn expand(code: &str, prefix: &str, paths: &mut Vec<String>) -> usize {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let end = code.find(|c| !is_path(c)).unwrap_or(code.len());
    let path = format!("{prefix}{}", &code[..end]);
    if !code[end..].starts_with('{') {
        paths.push(path);
        return end;
    }
    let mut at = end + 1;
    loop {
        at += code[at..].find(|c: char| is_path(c) || c == '}').unwrap();
        if code[at..].starts_with('}') {
            return at + 1;
        }
        at += expand(&code[at..], &path, paths);
        // `Trait as _`
        if let Some(rest) = code[at..].strip_prefix(" as ") {
            at += " as ".len() + rest.find([',', '}', '\n']).unwrap();
        }
    }
}

/// The longest module that a path starts with.
fn resolve(path: &str, modules: &BTreeSet<String>) -> Option<String> {
    let parts: Vec<_> = path.split("::").collect();
    (1..=parts.len())
        .rev()
        .map(|length| parts[..length].join("::"))
        .find(|module| modules.contains(module))
}

fn imports() -> Imports {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files: Vec<_> = sources(&root)
        .into_iter()
        .filter(|file| !file.ends_with("lib.rs"))
        .map(|file| {
            (
                module_of(file.strip_prefix(&root).unwrap()),
                fs::read_to_string(&file).unwrap(),
            )
        })
        .collect();
    let modules: BTreeSet<_> = files.iter().map(|(module, _)| module.clone()).collect();
    let mut imports = Imports::new();
    for (module, source) in &files {
        let code = production_code(source);
        let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
        let below = |base: &str, path: String| {
            if base.is_empty() {
                path
            } else {
                format!("{base}::{path}")
            }
        };
        let paths = paths_after(&code, "crate::")
            .into_iter()
            .chain(
                paths_after(&code, "super::")
                    .into_iter()
                    .map(|path| below(parent, path)),
            )
            .chain(
                paths_after(&code, "self::")
                    .into_iter()
                    .map(|path| below(module, path)),
            )
            // A page at the door that declares and re-exports imports what it re-exports.
            .chain(
                paths_after(&code, "use ")
                    .into_iter()
                    .map(|path| below(module, path)),
            );
        let imported = paths
            .filter_map(|path| resolve(&path, &modules))
            .filter(|imported| imported != module)
            .collect();
        imports.insert(module.clone(), imported);
    }
    imports
}

#[test]
fn imports_no_higher_level() {
    let imports = imports();
    assert!(imports.len() > 20, "{} modules", imports.len());
    let upward: Vec<_> = imports
        .iter()
        .flat_map(|(module, imported)| imported.iter().map(move |imported| (module, imported)))
        .filter(|(module, imported)| level(imported) > level(module))
        .map(|(module, imported)| format!("{module} imports {imported}"))
        .collect();
    assert!(
        upward.is_empty(),
        "imports from a higher level: {upward:#?}"
    );
}

#[test]
fn imports_form_no_circle() {
    let mut imports = imports();
    // What imports nothing that is left is on no circle; what remains is, or depends on one.
    loop {
        let free: Vec<_> = imports
            .iter()
            .filter(|(_, imported)| {
                !imported
                    .iter()
                    .any(|imported| imports.contains_key(imported))
            })
            .map(|(module, _)| module.clone())
            .collect();
        if free.is_empty() {
            break;
        }
        for module in free {
            imports.remove(&module);
        }
    }
    assert!(
        imports.is_empty(),
        "modules on a circle, or above one: {imports:#?}"
    );
}

#[test]
fn finds_imports_in_every_form() {
    let code = "use crate::{a::b, c::{D, e as _}};\nfn f() { crate::g::h() } use mycrate::x;";
    assert_eq!(
        paths_after(code, "crate::"),
        ["a::b", "c::D", "c::e", "g::h"]
    );
    let modules = BTreeSet::from(["a".to_owned(), "a::b".to_owned()]);
    assert_eq!(resolve("a::b::C", &modules).as_deref(), Some("a::b"));
    assert_eq!(resolve("a::C", &modules).as_deref(), Some("a"));
    assert_eq!(resolve("std::fmt", &modules), None);
}
