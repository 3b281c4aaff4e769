//! The layers of the source and the rules that the compiler does not know. Each test names file, line and what is wrong.
//!
//! Code under `#[cfg(test)]` may use any layer. What a macro expands to is not seen (see `source.rs`).

mod source;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use source::Source;

/// One top-level module.
struct Layer {
    name: &'static str,
    uses: Uses,
}

enum Uses {
    /// Every layer below, except those that [`ONLY_FOR`] keeps for others.
    Below,
    /// These alone: a layer, or one item of a layer (`clock::Timestamp`).
    Only(&'static [&'static str]),
}

const fn layer(name: &'static str, uses: Uses) -> Layer {
    Layer { name, uses }
}

/// Top to bottom; a layer may use only those below it.
const LAYERS: &[Layer] = &[
    // The crate roots: `main` starts the command line, `lib` only declares modules.
    // A simulated observer is this same program under another name.
    layer("main", Uses::Only(&["cli", "sim"])),
    layer("lib", Uses::Only(&[])),
    layer("cli", Uses::Below),
    layer("app", Uses::Below),
    layer("api", Uses::Below),
    layer("service", Uses::Below),
    layer("watch", Uses::Below),
    // Tells others what happened; what it has to know of tasks and clusters beside the log is told to it.
    layer("notify", Uses::Only(&["store", "domain", "net", "config", "clock"])),
    layer("operations", Uses::Below),
    layer("engine", Uses::Below),
    layer("inventory", Uses::Below),
    layer("access", Uses::Only(&["store", "domain", "clock", "net::certificate"])),
    layer("store", Uses::Only(&["domain", "clock", "proto", "telemetry::metrics"])),
    layer("oceanbase", Uses::Only(&["domain", "clock", "telemetry::metrics", "telemetry::traces"])),
    layer("host", Uses::Only(&["agent", "domain", "net", "clock", "proto", "telemetry::metrics", "telemetry::traces"])),
    layer("agent", Uses::Only(&["domain", "net", "clock", "proto", "telemetry"])),
    // Pure: it knows moments, but no clock to read them from.
    layer("domain", Uses::Only(&["clock::Timestamp"])),
    // Sends the spans of traces over a connection of its own.
    layer("telemetry", Uses::Only(&["config", "clock", "net"])),
    layer("net", Uses::Only(&["config", "clock"])),
    layer("config", Uses::Only(&[])),
    layer("proto", Uses::Only(&[])),
    layer("clock", Uses::Only(&[])),
    // Written from OceanBase's behaviour, not from `domain`, so that each can catch the other's mistakes.
    layer("sim", Uses::Only(&[])),
];

/// Layers that only the layers named here may use.
const ONLY_FOR: &[(&str, &[&str])] = &[("sim", &["cli", "main"])];

/// The files that may read a clock, and so carry `allow(clippy::disallowed_methods)`.
const CLOCKS: &[&str] = &["src/clock.rs", "src/sim/time.rs"];

/// Names that say nothing about what a file holds.
const EMPTY_NAMES: &[&str] = &["helper", "helpers", "util", "utils", "common"];

const LONGEST_FILE: usize = 600;
const LONG_FILE: usize = 400;

#[test]
fn each_layer_uses_only_the_layers_of_its_row() {
    let files = source_files();
    let test_modules: BTreeSet<_> = files.iter().flat_map(|file| file.source.test_modules.iter().cloned()).collect();
    let wrong: Vec<String> = files
        .iter()
        .filter(|file| !test_modules.iter().any(|module| file.module.starts_with(module)))
        .flat_map(|file| wrong_edges(&file.name, file.root(), &file.source))
        .collect();
    assert_none("edges that are not in the table of layers", &wrong);
}

#[test]
fn each_row_of_the_table_points_downwards() {
    let rank = |name: &str| LAYERS.iter().position(|layer| layer.name == name);
    for (above, layer) in LAYERS.iter().enumerate() {
        if let Uses::Only(used) = layer.uses {
            for used in used {
                let used = used.split("::").next().unwrap();
                let below = rank(used).unwrap_or_else(|| panic!("{}: {used} has no row", layer.name));
                assert!(below > above, "{} stands below {used} and may not use it", layer.name);
            }
        }
    }
}

#[test]
fn only_the_engine_issues_permits() {
    let wrong: Vec<String> = source_files().iter().flat_map(|file| foreign_permits(&file.name, &file.source)).collect();
    assert_none("permits issued outside src/engine", &wrong);
}

#[test]
fn only_the_clocks_read_clocks() {
    let wrong: Vec<String> = source_files().iter().flat_map(|file| clock_reads(&file.name, &file.source)).collect();
    assert_none("clocks read outside src/clock.rs and src/sim/time.rs", &wrong);
}

#[test]
fn each_file_name_says_what_it_holds() {
    let wrong: Vec<String> = ["src", "tests", "benches"]
        .iter()
        .flat_map(|folder| rust_files(&root().join(folder)))
        .map(|path| relative(&path))
        .filter(|name| has_empty_name(name))
        .collect();
    assert_none("files named after nothing", &wrong);
}

#[test]
fn no_file_is_too_long_to_read() {
    let mut wrong = Vec::new();
    for path in rust_files(&root().join("src")) {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        if lines > LONGEST_FILE {
            wrong.push(format!("{}: {lines} lines", relative(&path)));
        } else if lines > LONG_FILE {
            println!("warning: {}: {lines} lines, more than {LONG_FILE}", relative(&path));
        }
    }
    assert_none(&format!("files longer than {LONGEST_FILE} lines"), &wrong);
}

/// The edges of one file that are not in the table.
fn wrong_edges(file: &str, file_root: &str, source: &Source) -> Vec<String> {
    source
        .paths
        .iter()
        .filter(|path| !path.test)
        .filter_map(|path| {
            let from = path.from.first().map_or(file_root, String::as_str);
            let reason = forbidden(from, &path.to)?;
            Some(format!("{file}:{}: {from} -> {}: {reason}", path.line, path.to.join("::")))
        })
        .collect()
}

/// Why the layer `from` may not name `to`, if it may not.
fn forbidden(from: &str, to: &[String]) -> Option<&'static str> {
    let Some(target) = to.first() else { return Some("names the whole crate") };
    if target == from {
        return None;
    }
    let rank = |name: &str| LAYERS.iter().position(|layer| layer.name == name);
    let (Some(above), Some(below)) = (rank(from), rank(target)) else {
        return Some("one of the two has no row in the table");
    };
    let kept = ONLY_FOR.iter().any(|(layer, users)| layer == target && !users.contains(&from));
    let permitted = match LAYERS[above].uses {
        Uses::Below => below > above && !kept,
        Uses::Only(used) => used.iter().any(|used| {
            let used: Vec<&str> = used.split("::").collect();
            to.len() >= used.len() && used.iter().zip(to).all(|(used, to)| used == to)
        }),
    };
    (!permitted).then_some("not in the table")
}

/// Calls of `Permit::issue` outside the engine, also through another name for `Permit`.
fn foreign_permits(file: &str, source: &Source) -> Vec<String> {
    if file.starts_with("src/engine/") {
        return Vec::new();
    }
    let mut sequences: Vec<&[&str]> =
        vec![&["Permit", "::", "issue"], &["Permit", ">", "::", "issue"], &["Permit", "as"]];
    if source.lines_of(&["struct", "Permit"]).next().is_some() {
        sequences.push(&["Self", "::", "issue"]);
    }
    found(file, source, &sequences, |token| !token.test)
}

/// Clocks read, or the lint against it switched off, outside [`CLOCKS`]; in tests too.
fn clock_reads(file: &str, source: &Source) -> Vec<String> {
    if CLOCKS.contains(&file) {
        return Vec::new();
    }
    let sequences: &[&[&str]] = &[
        &["disallowed_methods"],
        &["Instant", "::", "now"],
        &["SystemTime", "::", "now"],
        &["Timestamp", "::", "now"],
        &["ZonedDateTime", "::", "now"],
        &["clock_gettime"],
    ];
    found(file, source, sequences, |_| true)
}

fn found(file: &str, source: &Source, sequences: &[&[&str]], counts: impl Fn(&source::Token) -> bool) -> Vec<String> {
    let lines = |sequence: &&[&str]| {
        let text = sequence.concat();
        let tokens = source.lines_of(sequence).filter(|token| counts(token));
        tokens.map(|token| format!("{file}:{}: {text}", token.line)).collect::<Vec<_>>()
    };
    sequences.iter().flat_map(lines).collect()
}

fn has_empty_name(file: &str) -> bool {
    file.trim_end_matches(".rs").split('/').any(|part| EMPTY_NAMES.contains(&part))
}

struct File {
    /// From the repository's root, `src/engine/step.rs`.
    name: String,
    module: Vec<String>,
    source: Source,
}

impl File {
    /// The row of what stands in the file itself rather than in a module: only the crate roots have such.
    fn root(&self) -> &'static str {
        if self.name == "src/main.rs" { "main" } else { "lib" }
    }
}

fn source_files() -> Vec<File> {
    let paths = rust_files(&root().join("src"));
    assert!(paths.len() > 5, "found only {} files in src", paths.len());
    let read = |path: &PathBuf| {
        let name = relative(path);
        let module = module_of(&name);
        let own_names: &[&str] = if name == "src/main.rs" { &["obsteward"] } else { &[] };
        let source = source::read(&fs::read_to_string(path).unwrap(), &module, own_names);
        File { name, module, source }
    };
    paths.iter().map(read).collect()
}

/// `["engine", "step"]` for `src/engine/step.rs`, nothing for a crate root.
fn module_of(file: &str) -> Vec<String> {
    let mut module: Vec<String> = file.trim_end_matches(".rs").split('/').skip(1).map(String::from).collect();
    let is_own_file = module.last().is_some_and(|last| last != "mod");
    let is_crate_root = module.len() == 1 && ["main", "lib"].contains(&module[0].as_str());
    if !is_own_file || is_crate_root {
        module.pop();
    }
    module
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn assert_none(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n  {}", wrong.join("\n  "));
}

/// The checks themselves, on small samples: each must find what it is there to find, and nothing else.
mod samples {
    use super::*;

    fn edges(file: &str, text: &str) -> Vec<String> {
        let own_names: &[&str] = if file == "src/main.rs" { &["obsteward"] } else { &[] };
        let source = source::read(text, &module_of(file), own_names);
        let file_root = if file == "src/main.rs" { "main" } else { "lib" };
        wrong_edges(file, file_root, &source)
    }

    fn named(text: &str) -> Vec<String> {
        let module = ["engine".to_owned(), "step".to_owned()];
        source::read(text, &module, &[]).paths.iter().map(|path| path.to.join("::")).collect()
    }

    #[test]
    fn an_upward_edge_is_named_with_file_and_line() {
        assert_eq!(
            edges("src/store/sqlite.rs", "//! Head.\n\nuse crate::engine::Step;\n"),
            ["src/store/sqlite.rs:3: store -> engine::Step: not in the table"],
        );
    }

    #[test]
    fn downward_edges_and_the_own_layer_are_free() {
        assert!(
            edges("src/engine/step.rs", "use crate::{store::Store, engine::Permit, domain::{ids, task}};").is_empty()
        );
        assert!(edges("src/cli/sim.rs", "use crate::sim::Net;").is_empty());
        assert!(edges("src/main.rs", "fn main() { obsteward::cli::run() }").is_empty());
    }

    #[test]
    fn forbidden_edges_are_found() {
        for (file, text) in [
            ("src/domain/task.rs", "use crate::clock::Clock;"),
            ("src/domain/task.rs", "use crate::clock::*;"),
            ("src/domain/task.rs", "use crate::{clock::{Timestamp, Clock}};"),
            ("src/domain/task.rs", "fn f() { crate::store::open() }"),
            ("src/domain/mod.rs", "use super::store::Store;"),
            ("src/domain/task.rs", "mod inner { use super::super::super::store::Store; }"),
            ("src/domain/task.rs", "macro_rules! m { () => { $crate::store::open() } }"),
            ("src/domain/task.rs", "for x in crate::store::all() {}"),
            ("src/engine/step.rs", "use crate::sim::rules;"),
            ("src/sim/rules.rs", "use crate::domain::ids;"),
            ("src/agent/mod.rs", "use crate::host::Host;"),
            ("src/oceanbase/session.rs", "use crate::proto::v1;"),
            ("src/main.rs", "fn main() { obsteward::app::run() }"),
            ("src/lib.rs", "pub use crate::domain::ids;"),
            ("src/lib.rs", "pub mod domain { use crate::store::Store; }"),
            ("src/engine/step.rs", "use crate::unheard_of::Thing;"),
            ("src/unheard_of.rs", "use crate::domain::ids;"),
            ("src/engine/step.rs", "use crate::*;"),
            ("src/engine/step.rs", "use crate::{self as root};"),
            ("src/store/mod.rs", "fn f(x: Vec<crate::engine::Step>) {}"),
            ("src/store/mod.rs", "const A: char = '\"'; use crate::engine::Step; const B: char = '\"';"),
            ("src/store/mod.rs", "#[cfg(test)] use std::fmt; use crate::engine::Step;"),
            ("src/store/mod.rs", "#[cfg(test)] mod tests { fn f() {} } use crate::engine::Step;"),
            ("src/store/mod.rs", "#[cfg(not(test))] mod m { use crate::engine::Step; }"),
        ] {
            assert_eq!(edges(file, text).len(), 1, "{file}: {text}");
        }
    }

    #[test]
    fn comments_literals_tests_and_visibilities_are_no_edges() {
        for text in [
            "/// Like [`crate::engine`].\n// crate::engine::x\n/* crate::engine::x /* */ crate::engine::y */",
            "const A: &str = \"crate::engine::x \\\" crate::engine::y\";",
            "const A: &str = r#\"crate::engine::x \" crate::engine::y\"#; const B: &[u8] = b\"crate::engine::x\";",
            "#[cfg(test)]\n#[allow(dead_code)]\npub(crate) mod tests { use crate::engine::x; }",
            "#[cfg(all(test, feature = \"sim\"))] mod tests { use crate::sim::x; }",
            "#[cfg(test)] use crate::engine::{x, y};",
            "#[cfg(test)] fn f(a: [u8; 2]) { crate::engine::x() }",
            "#![cfg(test)]\nuse crate::engine::x;",
            "pub(in crate::store) fn f() {} pub(crate) fn g<'a>(self: &'a str) -> Self { Self::x() }",
        ] {
            assert_eq!(edges("src/store/mod.rs", text), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn groups_unfold_to_whole_paths() {
        assert_eq!(
            named("use crate::{a::{self, b as c, d::*}, e};\nuse super::{graph, retry::Retry};"),
            ["a", "a::b", "a::d::*", "e", "engine::graph", "engine::retry::Retry"],
        );
        assert_eq!(named("crate::a::f::<u8>(self::x, super::super::b::y)"), ["a::f", "engine::step::x", "b::y"]);
        assert_eq!(named("let r#type = crate::a::B { c: 1 };"), ["a::B"]);
    }

    #[test]
    fn modules_declared_for_tests_are_known() {
        let module = ["engine".to_owned()];
        let source = source::read("#[cfg(test)]\nmod crashes;\nmod step;", &module, &[]);
        assert_eq!(source.test_modules, [["engine", "crashes"]]);
    }

    #[test]
    fn foreign_permits_are_found() {
        let permits = |file: &str, text: &str| foreign_permits(file, &source::read(text, &module_of(file), &[])).len();
        assert_eq!(permits("src/engine/executor.rs", "let p = Permit::issue(task);"), 0);
        assert_eq!(permits("src/operations/a.rs", "let p = effect::Permit::issue(task);"), 1);
        assert_eq!(permits("src/operations/a.rs", "let p = <Permit>::issue(task);"), 1);
        assert_eq!(permits("src/operations/a.rs", "use crate::domain::effect::Permit as P;"), 1);
        assert_eq!(permits("src/domain/effect.rs", "pub struct Permit; fn f() { Self::issue() }"), 1);
        assert_eq!(permits("src/domain/effect.rs", "pub struct Permit; impl Permit { fn issue() {} }"), 0);
        assert_eq!(permits("src/host/a.rs", "#[cfg(test)] mod tests { fn f() { Permit::issue() } }"), 0);
    }

    #[test]
    fn clock_reads_are_found() {
        let reads = |file: &str, text: &str| clock_reads(file, &source::read(text, &module_of(file), &[])).len();
        let text = "#![allow(clippy::disallowed_methods)]\nfn f() { std::time::Instant::now() }";
        assert_eq!(reads("src/engine/retry.rs", text), 2);
        assert_eq!(reads("src/clock.rs", text), 0);
        assert_eq!(reads("src/engine/retry.rs", "fn f(clock: &Clock) { clock.now() } // Instant::now()"), 0);
    }

    #[test]
    fn empty_names_are_found() {
        assert!(has_empty_name("src/engine/utils.rs"));
        assert!(has_empty_name("tests/it/common/mod.rs"));
        assert!(!has_empty_name("src/domain/common_prefix.rs"));
    }
}
