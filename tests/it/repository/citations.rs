//! What comments and pages cite is there: pages below `docs`, their headings, and in Markdown whatever a relative link
//! names. Each test lists file and line of what does not resolve. A heading is cited by the name that GitHub gives it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Where citations are looked for.
const PLACES: &[&str] = &[
    "src",
    "tests",
    "benches",
    "proto",
    "docs",
    "deploy",
    "scripts",
    "build.rs",
    "Cargo.toml",
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
];

/// Not read: its samples cite what is not there.
const OWN: &str = "tests/it/repository/citations.rs";

/// What comments cited once: pages that are no part of the repository.
const OUTSIDE: &[&str] = &[
    "oceanbase-kernel",
    "ocp-stop-observer",
    "ocp-v2-task-graphs",
    "ocp-v2, section",
    "reference:",
    "DESIGN",
    "2nd reading",
    "second reading",
];

/// A file of the repository, or a heading in it.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    /// From the repository's root.
    file: String,
    /// Its name in links; empty: the file as a whole.
    heading: String,
}

/// A text file of the repository.
struct Text {
    /// From the repository's root.
    name: String,
    content: String,
}

#[test]
fn every_page_and_heading_that_is_cited_is_there() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for text in texts() {
        for (index, line) in text.content.lines().enumerate() {
            for target in cited(line) {
                seen += 1;
                wrong.extend(complaint(&text.name, index + 1, &target));
            }
        }
    }
    assert!(seen > 50, "only {seen} citations were found");
    assert_none("citations of what is not there", &wrong);
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut seen = 0;
    let mut wrong = Vec::new();
    for text in texts().iter().filter(|text| text.name.ends_with(".md")) {
        for (line, target) in links(&text.name, &text.content) {
            seen += 1;
            wrong.extend(complaint(&text.name, line, &target));
        }
    }
    assert!(seen > 10, "only {seen} links were found");
    assert_none("links that lead nowhere", &wrong);
}

#[test]
fn no_comment_cites_a_page_from_outside() {
    let mut wrong = Vec::new();
    for text in texts() {
        for (index, line) in text.content.lines().enumerate() {
            let Some(comment) = comment(&text.name, line) else { continue };
            for outside in OUTSIDE.iter().filter(|outside| comment.contains(**outside)) {
                wrong.push(format!("{}:{}: {outside}", text.name, index + 1));
            }
        }
    }
    assert_none("comments that cite what is not part of the repository", &wrong);
}

fn complaint(file: &str, line: usize, target: &Target) -> Option<String> {
    let why = missing(target)?;
    let mark = if target.heading.is_empty() { "" } else { "#" };
    Some(format!("{file}:{line}: {}{mark}{}: {why}", target.file, target.heading))
}

/// Why a target does not resolve, if it does not.
fn missing(target: &Target) -> Option<&'static str> {
    let path = root().join(&target.file);
    if !path.exists() {
        return Some("there is no such file");
    }
    if target.heading.is_empty() || !target.file.ends_with(".md") {
        return None;
    }
    let text = fs::read_to_string(&path).unwrap();
    if headings(&text).contains(&target.heading) { None } else { Some("it has no such heading") }
}

/// Pages that a line cites from the repository's root: `docs/page.md`, with or without a heading.
fn cited(line: &str) -> Vec<Target> {
    let mut found = Vec::new();
    for (at, _) in line.match_indices("docs/") {
        let before = line[..at].chars().next_back();
        if before.is_some_and(|one| one.is_alphanumeric() || "/._-".contains(one)) {
            continue;
        }
        let path = leading(&line[at..], |one| one.is_ascii_alphanumeric() || "/._-".contains(one));
        let Some(end) = path.find(".md") else { continue };
        let file = &path[..end + ".md".len()];
        let heading = match line[at + file.len()..].strip_prefix('#') {
            Some(rest) => leading(rest, |one| one.is_alphanumeric() || "_-".contains(one)),
            None => "",
        };
        found.push(Target { file: file.to_owned(), heading: heading.to_owned() });
    }
    found
}

/// The links of a page to files and headings of the repository, with their lines.
fn links(page: &str, text: &str) -> Vec<(usize, Target)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let line = without_code(line);
        let mut targets: Vec<&str> = line.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
        // `[name]: target`; a footnote is `[^name]: text`.
        if line.starts_with('[') && !line.starts_with("[^") {
            targets.extend(line.split_once("]: ").map(|(_, target)| target));
        }
        for target in targets {
            if let Some(target) = resolved(page, target) {
                found.push((number, target));
            }
        }
    }
    found
}

/// What a link on a page names; `None`: something outside the repository.
fn resolved(page: &str, link: &str) -> Option<Target> {
    let link = link.trim().trim_start_matches('<');
    let link = leading(link, |one| !one.is_whitespace() && one != '>');
    if link.is_empty() || link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, heading) = link.split_once('#').unwrap_or((link, ""));
    let file = if path.is_empty() {
        page.to_owned()
    } else if let Some(from_root) = path.strip_prefix('/') {
        normal(from_root)
    } else {
        let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
        normal(&format!("{folder}/{path}"))
    };
    Some(Target { file, heading: heading.to_owned() })
}

/// A path without `.` and `..`.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// The headings of a page by the names that links use for them.
fn headings(text: &str) -> BTreeSet<String> {
    let mut times: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = BTreeSet::new();
    for (_, line) in prose(text) {
        let marks = leading(line, |one| one == '#').len();
        if !(1..=6).contains(&marks) {
            continue;
        }
        let Some(title) = line[marks..].strip_prefix(' ') else { continue };
        let name = slug(title);
        let before = times.get(&name).copied().unwrap_or(0);
        found.insert(if before == 0 { name.clone() } else { format!("{name}-{before}") });
        times.insert(name, before + 1);
    }
    found
}

/// Small letters, punctuation dropped, blanks as hyphens.
fn slug(title: &str) -> String {
    let title = without_links(title).to_lowercase();
    let mut name = String::new();
    for one in title.trim().trim_end_matches('#').trim_end().chars() {
        match one {
            ' ' => name.push('-'),
            '-' | '_' => name.push(one),
            one if one.is_alphanumeric() => name.push(one),
            _ => {}
        }
    }
    name
}

/// Links as their words alone.
fn without_links(title: &str) -> String {
    let mut text = title.to_owned();
    while let Some(middle) = text.find("](") {
        let (Some(open), Some(length)) = (text[..middle].rfind('['), text[middle..].find(')')) else { break };
        let words = text[open + 1..middle].to_owned();
        text.replace_range(open..middle + length + 1, &words);
    }
    text
}

/// The lines of a page that are not in a fence, with their numbers.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fence = "";
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let run = fence_mark(line.trim());
        if fence.is_empty() {
            if run.is_empty() {
                found.push((index + 1, line));
            }
            fence = run;
        } else if run.starts_with(fence) && run.len() == line.trim().len() {
            fence = "";
        }
    }
    found
}

/// The backticks or tildes that open or close a fence; empty: the line does neither.
fn fence_mark(line: &str) -> &str {
    let backticks = leading(line, |one| one == '`');
    let tildes = leading(line, |one| one == '~');
    let run = if backticks.is_empty() { tildes } else { backticks };
    // Behind the backticks of a fence stands no other: that would be code within a line.
    if run.len() < 3 || (!backticks.is_empty() && line[run.len()..].contains('`')) { "" } else { run }
}

/// A line without what stands between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// What a text begins with, as far as it is made of such characters.
fn leading(text: &str, belongs: impl Fn(char) -> bool) -> &str {
    let end = text.find(|one: char| !belongs(one)).unwrap_or(text.len());
    &text[..end]
}

/// The comment of a line, by the name of its file; pages have none.
fn comment<'a>(file: &str, line: &'a str) -> Option<&'a str> {
    let extension = file.rsplit_once('.').map_or("", |(_, extension)| extension);
    let mark = match extension {
        "rs" | "proto" | "c" => "//",
        "sql" => "--",
        "md" | "snap" => return None,
        _ => "#",
    };
    line.find(mark).map(|at| &line[at..])
}

fn texts() -> Vec<Text> {
    let mut paths = Vec::new();
    for place in PLACES {
        collect(&root().join(place), &mut paths);
    }
    paths.sort();
    let mut texts = Vec::new();
    for path in paths {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        // What is not text cites nothing.
        let Ok(content) = fs::read_to_string(&path) else { continue };
        if name != OWN {
            texts.push(Text { name, content });
        }
    }
    texts
}

fn collect(path: &Path, found: &mut Vec<PathBuf>) {
    if path.is_file() {
        found.push(path.to_owned());
        return;
    }
    let Ok(entries) = fs::read_dir(path) else { return };
    for entry in entries {
        collect(&entry.unwrap().path(), found);
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn assert_none(what: &str, wrong: &[String]) {
    assert!(wrong.is_empty(), "{what}:\n  {}", wrong.join("\n  "));
}

/// The readers themselves, on small samples.
mod samples {
    use super::*;

    fn target(file: &str, heading: &str) -> Target {
        Target { file: file.to_owned(), heading: heading.to_owned() }
    }

    #[test]
    fn citations_are_found_with_and_without_heading() {
        assert_eq!(
            cited("/// Two (docs/a.md#one-two, docs/b/c.md)."),
            [target("docs/a.md", "one-two"), target("docs/b/c.md", "")]
        );
        assert_eq!(
            cited("//! As docs/a.md#one_2 says. docs/a.md."),
            [target("docs/a.md", "one_2"), target("docs/a.md", "")]
        );
        for line in ["https://example.org/docs/a.md", "src/docs/a.md", "below docs/", "docs/a.txt", "../docs/a.md"] {
            assert!(cited(line).is_empty(), "{line}");
        }
    }

    #[test]
    fn links_are_read_from_where_they_stand() {
        let text = "[a](b.md#c), [d](../e.rs) and [f](#g)\n\n[h]: /i.md\n[^1]: no\n\
                    `[j](k.md)` [l](https://m.org/n.md)\n```\n[o](p.md)\n```\n![q](r/s.png \"t\")\n";
        assert_eq!(
            links("docs/x/page.md", text),
            [
                (1, target("docs/x/b.md", "c")),
                (1, target("docs/e.rs", "")),
                (1, target("docs/x/page.md", "g")),
                (3, target("i.md", "")),
                (9, target("docs/x/r/s.png", "")),
            ]
        );
        assert_eq!(links("page.md", "[a](docs/b.md)"), [(1, target("docs/b.md", ""))]);
    }

    #[test]
    fn headings_are_named_as_github_names_them() {
        let text = "# One, `two`: three?\n## GV$OB_LOG_STAT\n### 1. Nothing - lost\n## One two three\n## A\n## A\n\
                    ## A\n#none\n```sh\n# a comment\n```\n## See [that](page.md#x) ##\n####### seven\n\
                    ~~~~\n```\n# no\n~~~~\n## Größe\n";
        let expected = [
            "one-two-three",
            "gvob_log_stat",
            "1-nothing---lost",
            "one-two-three-1",
            "a",
            "a-1",
            "a-2",
            "see-that",
            "größe",
        ];
        let expected: BTreeSet<String> = expected.into_iter().map(String::from).collect();
        assert_eq!(headings(text), expected);
    }

    #[test]
    fn what_is_not_there_is_said() {
        assert_eq!(missing(&target("docs/nothing.md", "")), Some("there is no such file"));
        assert_eq!(missing(&target("docs/oceanbase.md", "nothing")), Some("it has no such heading"));
        assert_eq!(missing(&target("docs/oceanbase.md", "stop-server-majority-check")), None);
        assert_eq!(missing(&target("src/main.rs", "L1")), None);
        let wrong = complaint("src/a.rs", 7, &target("docs/nothing.md", "x"));
        assert_eq!(wrong.as_deref(), Some("src/a.rs:7: docs/nothing.md#x: there is no such file"));
    }

    #[test]
    fn comments_are_told_from_code() {
        assert_eq!(comment("src/a.rs", "let x = 1; // reference: y"), Some("// reference: y"));
        assert_eq!(comment("src/a.rs", "let reference: u8 = 1;"), None);
        assert_eq!(comment("scripts/test", "run # DESIGN"), Some("# DESIGN"));
        assert_eq!(comment("a.sql", "SELECT 1; -- x"), Some("-- x"));
        assert_eq!(comment("docs/a.md", "# DESIGN"), None);
    }
}
