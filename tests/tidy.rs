//! House rules that no compiler checks: the docs tell the truth, and what belongs together is together.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Longer than this, a source file is more than one thing.
const LINES_MAX: usize = 600;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files below `dir` with their paths from the root, sorted; what .gitignore leaves out is left out.
fn files(dir: &str) -> Vec<String> {
    const MADE: &[&str] =
        &[".git", "target", "node_modules", "build", ".tools", ".dev", ".wrangler", "__pycache__"];
    let mut found = Vec::new();
    let mut open = vec![root().join(dir)];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display())) {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let from_root = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
            if MADE.contains(&name.as_str()) || name.starts_with(".venv") || from_root == "bench/out" {
                continue;
            }
            if path.is_dir() { open.push(path) } else { found.push(from_root) }
        }
    }
    found.sort();
    found
}

fn sources() -> Vec<String> {
    files("src").into_iter().filter(|path| path.ends_with(".rs")).collect()
}

fn is_test(path: &str) -> bool {
    path.ends_with("/tests.rs")
}

/// A source file up to its tests.
fn code(path: &str) -> String {
    let text = read(path);
    text.split("\n#[cfg(test)]\nmod tests {").next().unwrap().to_owned()
}

fn documents() -> Vec<String> {
    let all = files("").into_iter().filter(|path| path.ends_with(".md"));
    all.filter(|path| !path.contains('/') || path.starts_with("docs/") || path == "bench/README.md").collect()
}

/// What stands in code: inline spans, and the lines of fenced blocks.
fn code_spans(text: &str) -> Vec<String> {
    let mut spans = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            spans.push(line.to_owned());
        } else {
            spans.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    spans
}

/// Texts that follow `before`, up to the first character that `ends` them.
fn between<'a>(
    text: &'a str,
    before: &'a str,
    ends: impl Fn(char) -> bool + 'a,
) -> impl Iterator<Item = &'a str> {
    text.split(before)
        .skip(1)
        .map(move |rest| rest.find(&ends).and_then(|end| rest.get(..end)).unwrap_or(rest))
}

fn complain(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn javascript_is_named_in_the_edge_alone() {
    let foreign = ["wasm_bindgen", "js_sys", "web_sys", "worker::", "JsValue", "getrandom"];
    let mut problems = Vec::new();
    for path in sources() {
        if path == "src/edge.rs" || path.starts_with("src/edge/") {
            continue;
        }
        for (line, text) in read(&path).lines().enumerate() {
            for name in foreign.iter().filter(|name| text.contains(*name)) {
                problems.push(format!("{path}:{}: {name} belongs into src/edge", line + 1));
            }
        }
    }
    complain(&problems);
}

#[test]
fn every_provider_has_its_file_and_every_file_its_provider() {
    let registered: BTreeSet<String> =
        edgehold::provider::PROVIDERS.iter().map(|provider| provider.name.replace('-', "_")).collect();
    let present: BTreeSet<String> = files("src/provider")
        .iter()
        .filter_map(|path| path.strip_prefix("src/provider/")?.strip_suffix(".rs").map(str::to_owned))
        .filter(|name| !["tests", "ability", "endpoint"].contains(&name.as_str()))
        .collect();
    assert_eq!(registered, present, "left: PROVIDERS, right: src/provider/");
    let documented = read("docs/config.md");
    for provider in edgehold::provider::PROVIDERS {
        let row = format!("| `{}` |", provider.name);
        assert!(
            documented.contains(&row),
            "docs/config.md has no row for the provider kind {}",
            provider.name
        );
        let asked_there = provider.name != "mock" && provider.binding().is_none();
        for word in provider.base_url.iter().filter(|_| asked_there).chain(provider.model_prefixes) {
            assert!(documented.contains(&format!("`{word}`")), "docs/config.md does not name `{word}`");
        }
    }
}

#[test]
fn files_that_documents_name_exist() {
    const PLACES: &[&str] =
        &["src/", "tests/", "docs/", "scripts/", "bench/", "examples/", "migrations/", "fuzz/", ".ci/"];
    // What a run makes.
    const MADE: &[&str] = &["bench/out"];
    let mut problems = Vec::new();
    for document in documents() {
        let text = read(&document);
        let folder = Path::new(&document).parent().unwrap().to_owned();
        for span in code_spans(&text) {
            let words = span.split(|c: char| !(c.is_ascii_alphanumeric() || "/._-{}*…,[]".contains(c)));
            for word in words.map(|word| word.trim_end_matches(['.', ','])) {
                let pattern = word.contains(['{', '}', '*', '…', '[', ']', ',']);
                let named = PLACES.iter().any(|place| word.starts_with(place))
                    || (!word.contains('/') && root_file(word) && document != "bench/README.md");
                let there = root().join(word).exists() || root().join(&folder).join(word).exists();
                if named && !pattern && !there && !MADE.iter().any(|made| word.starts_with(made)) {
                    problems.push(format!("{document}: `{word}` does not exist"));
                }
            }
        }
        let mut fenced = false;
        for line in text.lines() {
            fenced ^= line.trim_start().starts_with("```");
            if fenced {
                continue;
            }
            for link in between(line, "](", |c| c == ')').filter(|link| !link.contains("://")) {
                let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
                let target = if path.is_empty() { PathBuf::from(&document) } else { folder.join(path) };
                if !root().join(&target).exists() {
                    problems.push(format!("{document}: link to {link}: no such file"));
                } else if !anchor.is_empty() && !anchors(&root().join(&target)).contains(anchor) {
                    problems.push(format!("{document}: link to {link}: no such heading"));
                }
            }
        }
    }
    for path in files("src").iter().chain(&files("tests")).chain(&files("scripts")) {
        let Ok(text) = fs::read_to_string(root().join(path)) else { continue };
        for number in between(&text, "docs/decisions/", |c: char| !c.is_ascii_digit()) {
            if number.len() == 4 && !decisions().iter().any(|name| name.starts_with(number)) {
                problems.push(format!("{path}: there is no decision {number}"));
            }
        }
    }
    complain(&problems);
}

/// Whether a word looks like a file at the root.
fn root_file(word: &str) -> bool {
    const KINDS: &[&str] = &[".md", ".toml", ".yaml"];
    KINDS.iter().any(|kind| word.len() > kind.len() && word.ends_with(kind))
        && word.starts_with(|c: char| c.is_ascii_alphabetic())
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let headings =
        text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    headings
        .map(|heading| {
            let kept = heading.to_lowercase();
            kept.chars()
                .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
                .map(|c| if c == ' ' { '-' } else { c })
                .collect()
        })
        .collect()
}

fn decisions() -> Vec<String> {
    files("docs/decisions")
        .iter()
        .filter_map(|path| path.strip_prefix("docs/decisions/").map(str::to_owned))
        .collect()
}

fn numbered_without_gaps(names: &[String], what: &str) {
    for (index, name) in names.iter().enumerate() {
        let number = format!("{:04}", index + 1);
        assert!(name.starts_with(&number), "{what}: {name} should be number {number}");
    }
    assert!(!names.is_empty(), "{what}: there are none");
}

#[test]
fn migrations_and_decisions_are_numbered_without_gaps() {
    let migrations: Vec<String> = files("migrations")
        .iter()
        .filter_map(|path| path.strip_prefix("migrations/").map(str::to_owned))
        .collect();
    assert!(migrations.iter().all(|name| name.ends_with(".sql")), "{migrations:?}");
    numbered_without_gaps(&migrations, "migrations");
    numbered_without_gaps(&decisions(), "docs/decisions");
}

#[test]
fn make_targets_that_documents_name_exist() {
    let makefile = read("Makefile");
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter_map(|line| line.split_once(':').map(|(name, _)| name))
        .filter(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase()))
        .collect();
    assert!(targets.contains("test"), "{targets:?}");
    let mut problems = Vec::new();
    for document in documents() {
        for span in code_spans(&read(&document)) {
            let words: Vec<&str> = span.split_whitespace().collect();
            for pair in words.windows(2) {
                let target = pair[1].trim_matches(|c: char| !c.is_ascii_alphanumeric());
                if pair[0] == "make" && !target.is_empty() && !targets.contains(target) {
                    problems.push(format!("{document}: there is no `make {target}`"));
                }
            }
        }
    }
    complain(&problems);
}

#[test]
fn bindings_that_the_edge_uses_are_in_wrangler_toml() {
    let wrangler = read("wrangler.toml");
    let mut used = BTreeSet::new();
    for path in files("src/edge").into_iter().filter(|path| path.ends_with(".js")) {
        for name in between(&read(&path), "env.", |c: char| !(c.is_ascii_uppercase() || c == '_')) {
            if !name.is_empty() {
                used.insert(name.to_owned());
            }
        }
    }
    assert!(used.contains("DB") && used.contains("KV") && used.contains("LEDGER"), "{used:?}");
    for name in used {
        let bound = [format!("binding = \"{name}\""), format!("name = \"{name}\"")];
        assert!(bound.iter().any(|line| wrangler.contains(line)), "wrangler.toml does not bind {name}");
    }
}

#[test]
fn source_files_are_short() {
    let mut problems = Vec::new();
    for path in sources() {
        let text = read(&path);
        // Generated files say so, and what makes them.
        if is_test(&path) || text.lines().take(3).any(|line| line.contains("Made by scripts/")) {
            continue;
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            problems.push(format!("{path} has {lines} lines; more than {LINES_MAX} are more than one thing"));
        }
    }
    complain(&problems);
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    let places = ["work", "tmp", "home", "root", "Users"].map(|name| format!("/{name}/"));
    let mut problems = Vec::new();
    for path in files("") {
        let Ok(text) = fs::read_to_string(root().join(&path)) else { continue };
        for (line, text) in text.lines().enumerate() {
            for place in &places {
                for (at, _) in text.match_indices(place.as_str()) {
                    let before = text.get(..at).unwrap().chars().next_back();
                    // Within a longer path, or a URL, it is another place.
                    if !before.is_some_and(|c| c.is_alphanumeric() || "._-}*".contains(c)) {
                        problems.push(format!("{path}:{}: an absolute path: {}", line + 1, text.trim()));
                    }
                }
            }
        }
    }
    complain(&problems);
}

/// A string literal at the beginning of `text`, and what follows it.
fn literal(text: &str) -> Option<(&str, &str)> {
    text.trim_start().strip_prefix('"')?.split_once('"')
}

/// Error codes in the sources, with their status where the source says it.
fn codes() -> BTreeMap<String, (Option<u16>, String)> {
    let mut codes = BTreeMap::new();
    for path in sources().into_iter().filter(|path| !is_test(path)) {
        let text = code(&path);
        let mut found = |status, code: &str| codes.insert(code.to_owned(), (status, path.clone()));
        for maker in ["Refusal::new(", "Self::new("] {
            for rest in text.split(maker).skip(1) {
                let Some((status, rest)) = rest.split_once(',') else { continue };
                let Some((_, rest)) = literal(rest) else { continue };
                let Some((code, _)) = rest.trim_start().strip_prefix(',').and_then(literal) else { continue };
                found(status.trim().parse::<u16>().ok(), code);
            }
        }
        for (maker, status) in [("bad_request(", 400), ("bad_param(", 400), ("unauthorized(", 401)] {
            for rest in text.split(maker).skip(1) {
                if let Some((code, _)) = literal(rest) {
                    found(Some(status), code);
                }
            }
        }
        for rest in
            between(&text, "\"stream_", |c| c == '"').filter(|rest| !rest.contains(char::is_whitespace))
        {
            if path == "src/pipeline.rs" || path == "src/idempotency.rs" {
                found(None, &format!("stream_{rest}"));
            }
        }
    }
    for path in files("src/edge").into_iter().filter(|path| path.ends_with(".js")) {
        for code in between(&read(&path), "code: \"", |c| c == '"') {
            codes.insert(code.to_owned(), (None, path.clone()));
        }
    }
    codes
}

#[test]
fn every_error_code_is_documented_with_its_status_and_every_documented_one_exists() {
    let documented = read("docs/api.md");
    let section = documented.split("\n## ").find(|section| section.starts_with("Errors\n")).unwrap();
    let rows: Vec<(&str, Vec<&str>)> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .filter_map(|line| {
            let (status, rest) = line.split_once(" | ")?;
            let codes = rest.split(" | ").next()?;
            Some((status, codes.split('`').skip(1).step_by(2).collect()))
        })
        .collect();
    let codes = codes();
    assert!(codes.len() > 25, "the sources were not understood: {codes:?}");
    let mut problems = Vec::new();
    for (code, (status, path)) in &codes {
        match rows.iter().find(|(_, names)| names.contains(&code.as_str())) {
            None => problems.push(format!("docs/api.md does not document {code} ({path})")),
            Some((row, _)) if status.is_some_and(|status| *row != status.to_string()) => {
                problems.push(format!("docs/api.md says {row} for {code}; {path} says {status:?}"));
            }
            Some(_) => {}
        }
    }
    for (_, names) in &rows {
        for name in names.iter().filter(|name| !codes.contains_key(**name)) {
            problems.push(format!("docs/api.md documents {name}, which nothing answers"));
        }
    }
    complain(&problems);
}

#[test]
fn every_column_of_the_ledger_is_documented() {
    let documented = read("docs/api.md");
    let section = documented.split("\n## ").find(|section| section.starts_with("Ledger rows")).unwrap();
    let mut columns = Vec::new();
    for path in files("migrations") {
        let text = read(&path);
        for table in between(&text, "CREATE TABLE ledger (", |c| c == ';') {
            columns.extend(
                table
                    .lines()
                    .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
                    .filter(|word| word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')),
            );
        }
    }
    assert!(columns.len() > 20, "{columns:?}");
    for column in columns {
        assert!(
            section.contains(&format!("`{column}`")),
            "docs/api.md does not document the column {column}"
        );
    }
}

#[test]
fn the_map_shows_every_module() {
    let map = read("ARCHITECTURE.md");
    let mut problems = Vec::new();
    for path in sources().into_iter().filter(|path| !is_test(path)) {
        let folder = format!("`{}/`", Path::new(&path).parent().unwrap().display());
        if !map.contains(&format!("`{path}`")) && !map.contains(&folder) {
            problems.push(format!("ARCHITECTURE.md shows neither `{path}` nor {folder}"));
        }
    }
    complain(&problems);
}
