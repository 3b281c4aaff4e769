//! What the program is made of: versions, licences and sources of every crate in the lock file that a build for
//! [`PLATFORM`] uses, tests and build script included. Every exception has a reason; one that is no longer needed fails.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cargo_metadata::{CargoOpt, Metadata, MetadataCommand, Package};

/// Fixed rather than the machine's own, so that everybody sees the same answer.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// Two versions of one of these would be two types that look alike, or two stacks of protocol code in one binary.
const ONE_VERSION: &[&str] = &["tonic", "prost", "hyper", "axum", "h2", "http", "rustls", "tokio"];

/// Crates in several versions (as far as they are incompatible), and why.
const DUPLICATES: &[(&str, &[&str], &str)] = &[
    ("base64", &["0.22", "0.23"], "tonic, mysql_common and we; pem of rcgen, tests only"),
    ("cpufeatures", &["0.2", "0.3"], "sha1 and sha2 0.10 of mysql_common; chacha20 0.10 of rand"),
    ("foldhash", &["0.1", "0.2"], "comes with both versions of hashbrown"),
    ("getrandom", &["0.2", "0.3", "0.4"], "ring; mysql_common; rand, tempfile and uuid"),
    ("hashbrown", &["0.15", "0.17"], "petgraph of prost-build, build script only; everything else"),
    ("prettyplease", &["0.2", "0.3"], "tonic-build; prost-build; build script only"),
    ("rand", &["0.9", "0.10"], "ids of opentelemetry_sdk; mysql_async"),
    (
        "rand_core",
        &["0.6", "0.9", "0.10"],
        "password-hash of argon2 0.5, of the digest generation of mysql_async; both of rand",
    ),
    ("syn", &["2", "3"], "derive macros are moving to 3; build time only"),
    ("synstructure", &["0.13", "0.14"], "asn1-rs of x509-parser; yoke and zerofrom; derive macros, build time only"),
    ("unicode-width", &["0.1", "0.2"], "miette of protox, build script only; indicatif"),
];

/// Licences that every crate may have.
const LICENCES: &[&str] = &["Apache-2.0", "BSD-3-Clause", "ISC", "MIT", "Unicode-3.0", "Zlib"];

/// Crates under a licence that not every crate may have, and why these may.
const LICENCE_EXCEPTIONS: &[(&str, &str, &str)] =
    &[("webpki-roots", "CDLA-Permissive-2.0", "Mozilla's root certificates as data, free to pass on with the licence")];

#[test]
fn one_version_of_each_crate_that_shares_types() {
    let versions = versions(&metadata());
    for name in ONE_VERSION {
        let found = versions.get(*name).unwrap_or_else(|| panic!("{name} is not used any more: take it off the list"));
        assert_eq!(found.len(), 1, "{name} in several versions: {found:?}");
    }
}

#[test]
fn every_other_duplicate_has_a_reason() {
    let found = duplicates(&versions(&metadata()));
    let listed = DUPLICATES
        .iter()
        .map(|(name, versions, _)| ((*name).to_owned(), versions.iter().map(|v| (*v).to_owned()).collect()))
        .collect();
    assert_eq!(
        found, listed,
        "left: the duplicates there are, right: those in the list; `cargo tree -d` says from where"
    );
}

#[test]
fn every_licence_is_permitted() {
    let metadata = metadata();
    let mut needed = BTreeSet::new();
    let mut wrong = Vec::new();
    for package in used(&metadata) {
        let Some(expression) = &package.license else {
            wrong.push(format!("{} {} states no licence", package.name, package.version));
            continue;
        };
        let exception = LICENCE_EXCEPTIONS.iter().find(|(name, _, _)| *name == package.name.as_str());
        match satisfied(expression, &|term| LICENCES.contains(&term)) {
            Ok(true) => {}
            Ok(false) if exception.is_some_and(|(_, licence, _)| licence == expression) => {
                needed.insert(package.name.as_str());
            }
            Ok(false) => wrong.push(format!("{} {}: {expression}", package.name, package.version)),
            Err(problem) => wrong.push(format!("{} {}: {expression}: {problem}", package.name, package.version)),
        }
    }
    assert!(wrong.is_empty(), "licences that are not permitted:\n  {}", wrong.join("\n  "));
    let listed: BTreeSet<_> = LICENCE_EXCEPTIONS.iter().map(|(name, _, _)| *name).collect();
    assert_eq!(needed, listed, "left: the exceptions that are needed, right: those in the list");
}

#[test]
fn every_permitted_licence_is_needed() {
    let metadata = metadata();
    for licence in LICENCES {
        let without = |term: &str| term != *licence && LICENCES.contains(&term);
        let excepted = |package: &Package| LICENCE_EXCEPTIONS.iter().any(|(name, _, _)| *name == package.name.as_str());
        let needed = used(&metadata)
            .filter(|package| !excepted(package))
            .filter_map(|package| package.license.as_deref())
            .any(|expression| {
                satisfied(expression, &|term| LICENCES.contains(&term)) == Ok(true)
                    && satisfied(expression, &without) == Ok(false)
            });
        assert!(needed, "no crate needs {licence} any more: take it off the list");
    }
}

#[test]
fn every_crate_is_from_crates_io() {
    let metadata = metadata();
    let wrong: Vec<_> = used(&metadata)
        .filter(|package| !metadata.workspace_members.contains(&package.id))
        .filter(|package| !package.source.as_ref().is_some_and(cargo_metadata::Source::is_crates_io))
        .map(|package| &package.id.repr)
        .collect();
    assert!(wrong.is_empty(), "not from crates.io: {wrong:#?}");
}

/// With all features, for one platform; needs no network when the crates were downloaded for the build.
fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .features(CargoOpt::AllFeatures)
        .other_options(["--locked", "--filter-platform", PLATFORM].map(String::from))
        .exec()
        .unwrap()
}

/// The packages that the graph of this platform reaches; `packages` lists more.
fn used(metadata: &Metadata) -> impl Iterator<Item = &Package> {
    let nodes = &metadata.resolve.as_ref().unwrap().nodes;
    let used: BTreeSet<_> = nodes.iter().map(|node| &node.id).collect();
    metadata.packages.iter().filter(move |package| used.contains(&package.id))
}

fn versions(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    let mut versions = BTreeMap::<String, BTreeSet<String>>::new();
    for package in used(metadata) {
        versions.entry(package.name.to_string()).or_default().insert(package.version.to_string());
    }
    versions
}

/// The crates with several versions, each version shortened to what makes it incompatible.
fn duplicates(versions: &BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, BTreeSet<String>> {
    let several = versions.iter().filter(|(_, versions)| versions.len() > 1);
    several.map(|(name, versions)| (name.clone(), versions.iter().map(|v| compatible(v)).collect())).collect()
}

/// `0.2` of 0.2.17, `3` of 3.0.10, `0.0.4` of 0.0.4.
fn compatible(version: &str) -> String {
    let parts: Vec<&str> = version.split('.').collect();
    let significant = parts.iter().position(|part| *part != "0").unwrap_or(2);
    parts[..=significant.min(parts.len() - 1)].join(".")
}

/// Whether `permitted` licences satisfy an SPDX expression; `/` is how old manifests write OR.
fn satisfied(expression: &str, permitted: &dyn Fn(&str) -> bool) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let (value, rest) = any_of(&words, permitted)?;
    if rest.is_empty() { Ok(value) } else { Err(format!("not understood from {:?} on", rest.join(" "))) }
}

type Parsed<'a> = Result<(bool, &'a [&'a str]), String>;

fn any_of<'a>(words: &'a [&'a str], permitted: &dyn Fn(&str) -> bool) -> Parsed<'a> {
    let (mut value, mut rest) = all_of(words, permitted)?;
    while let ["OR", tail @ ..] = rest {
        let (next, tail) = all_of(tail, permitted)?;
        (value, rest) = (value | next, tail);
    }
    Ok((value, rest))
}

fn all_of<'a>(words: &'a [&'a str], permitted: &dyn Fn(&str) -> bool) -> Parsed<'a> {
    let (mut value, mut rest) = term(words, permitted)?;
    while let ["AND", tail @ ..] = rest {
        let (next, tail) = term(tail, permitted)?;
        (value, rest) = (value & next, tail);
    }
    Ok((value, rest))
}

fn term<'a>(words: &'a [&'a str], permitted: &dyn Fn(&str) -> bool) -> Parsed<'a> {
    match words {
        ["(", rest @ ..] => match any_of(rest, permitted)? {
            (value, [")", rest @ ..]) => Ok((value, rest)),
            _ => Err("a parenthesis is not closed".to_owned()),
        },
        [] | [")" | "OR" | "AND" | "WITH", ..] => Err("a licence is missing".to_owned()),
        [licence, "WITH", exception, rest @ ..] => Ok((permitted(&format!("{licence} WITH {exception}")), rest)),
        [licence, rest @ ..] => Ok((permitted(licence), rest)),
    }
}

#[test]
fn licence_expressions_are_read_term_by_term() {
    let permitted = |term: &str| ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].contains(&term);
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("MIT AND GPL-3.0", false),
        ("MIT AND ISC", true),
        ("GPL-3.0 AND ISC OR MIT", true),
        ("GPL-3.0 AND (ISC OR MIT)", false),
        ("(ISC OR GPL-3.0) AND MIT", true),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("Apache-2.0", false),
        ("MIT WITH Some-exception", false),
    ] {
        assert_eq!(satisfied(expression, &permitted), Ok(expected), "{expression}");
    }
    for broken in ["", "MIT OR", "(MIT", "MIT)", "MIT ISC", "AND MIT"] {
        assert!(satisfied(broken, &permitted).is_err(), "{broken}");
    }
}

#[test]
fn versions_are_shortened_to_what_makes_them_incompatible() {
    let shortened = ["3.0.10", "0.2.17", "0.0.4", "0.0.0"].map(compatible);
    assert_eq!(shortened, ["3", "0.2", "0.0.4", "0.0.0"]);
}
