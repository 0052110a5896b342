//! The shape of the repository, as its conventions want it.
//!
//! **Invariant**: each rule names what breaks it; none knows of exceptions that do not stand here.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use rehearsal_sim::{appointments::Appointments, plan::Source};

use crate::binary::repository;

/// Which of our own packages each room may import, tests included.
const IMPORTS: [(&str, &[&str]); 7] = [
    ("core", &[]),
    ("host", &["core"]),
    ("service", &["core", "host"]),
    ("mocks", &["core", "host"]),
    ("replay", &["core", "host"]),
    ("sim", &["core", "host", "service", "mocks", "replay"]),
    (
        "cli",
        &["core", "host", "service", "mocks", "replay", "sim"],
    ),
];

/// What core may depend on: nothing that does I/O, reads a clock, draws a number or starts a task.
const CORE_ALLOWED: [&str; 6] = [
    "jiff",
    "serde",
    "serde_json",
    "sha2",
    "smol_str",
    "thiserror",
];

/// Names for which the noun was not found.
const NAMELESS: [&str; 9] = [
    "utils", "helpers", "common", "misc", "imp", "manager", "types", "traits", "shared",
];

/// Where `unsafe` may stand: the simulated disk under SQLite, and the interposer with the fork of a seed's process.
const UNSAFE: [&str; 3] = ["sim/src/disk/", "sim/src/interpose", "sim/src/child"];

/// Most lines of a source file, its tests included.
const MOST_LINES: usize = 500;
/// Most bytes of any file.
const MOST_BYTES: u64 = 1 << 20;

/// Folders that git does not hold.
const FOREIGN: [&str; 2] = [".git", "target"];

/// Every file of the repository but build output and what runs wrote, relative to its root, in order.
fn files() -> Vec<PathBuf> {
    let root = repository();
    let (mut files, mut folders) = (Vec::new(), vec![root.clone()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            let relative = path.strip_prefix(&root).expect("below the root").to_owned();
            let name = relative
                .file_name()
                .expect("a name")
                .to_string_lossy()
                .into_owned();
            let written = relative.starts_with("results")
                && !["results", "README.md", "baselines"].contains(&name.as_str());
            let leftover = path
                .extension()
                .is_some_and(|extension| extension == "new" || extension == "part");
            if FOREIGN.contains(&name.as_str()) || written || leftover {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                files.push(relative);
            }
        }
    }
    files.sort();
    files
}

fn sources() -> Vec<(PathBuf, String)> {
    let rust = files()
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "rs"));
    rust.map(|file| (file.clone(), read(&file))).collect()
}

fn read(file: &Path) -> String {
    fs::read_to_string(repository().join(file))
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// Fails with everything that breaks a rule.
fn none(rule: &str, broken: impl IntoIterator<Item = String>) {
    let broken: Vec<String> = broken.into_iter().collect();
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

fn dependencies(manifest: &toml::Table) -> BTreeSet<&str> {
    let tables = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = tables
        .iter()
        .filter_map(|name| manifest.get(*name)?.as_table());
    tables
        .flat_map(|table| table.keys().map(String::as_str))
        .collect()
}

#[test]
fn imports_run_one_way() {
    let mut broken = Vec::new();
    for (room, allowed) in IMPORTS {
        let manifest: toml::Table = read(&Path::new(room).join("Cargo.toml"))
            .parse()
            .expect("a manifest");
        for name in dependencies(&manifest)
            .into_iter()
            .filter_map(|name| name.strip_prefix("rehearsal-"))
        {
            if !allowed.contains(&name) {
                broken.push(format!("{room} imports {name}"));
            }
        }
        if room == "core" {
            let own = manifest["dependencies"].as_table().expect("a table").keys();
            broken.extend(
                own.filter(|name| !CORE_ALLOWED.contains(&name.as_str()))
                    .map(|name| format!("core depends on {name}")),
            );
        }
    }
    none(
        "core <- host <- service, mocks, replay <- sim <- cli",
        broken,
    );
}

#[test]
fn the_harness_knows_no_appointments() {
    let harness = |file: &Path| {
        file.starts_with("sim/src")
            && !file.starts_with("sim/src/appointments")
            && file != Path::new("sim/src/lib.rs")
    };
    let knows = |text: &str| {
        text.contains("crate::appointments")
            || text.contains("rehearsal_service")
            || text.contains("rehearsal_mocks")
    };
    let broken = sources()
        .into_iter()
        .filter(|(file, text)| harness(file) && knows(text));
    none(
        "sim outside appointments/ imports no system",
        broken.map(|(file, _)| file.display().to_string()),
    );
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let sources = sources();
    assert!(
        sources.len() > 100,
        "only {} source files were found",
        sources.len()
    );
    let long = |text: &str| text.lines().count() > MOST_LINES;
    none(
        "a source file has at most 500 lines",
        sources
            .iter()
            .filter(|(_, text)| long(text))
            .map(|(file, text)| format!("{}: {}", file.display(), text.lines().count())),
    );
    none(
        "a source file opens with //!",
        sources
            .iter()
            .filter(|(_, text)| !text.starts_with("//!"))
            .map(|(file, _)| file.display().to_string()),
    );
}

#[test]
fn modules_are_named_after_nouns() {
    let nameless = |file: &PathBuf| {
        let rust = file.extension().is_some_and(|extension| extension == "rs");
        let parts = file
            .components()
            .filter_map(|part| part.as_os_str().to_str());
        rust && parts
            .map(|part| part.trim_end_matches(".rs"))
            .any(|part| NAMELESS.contains(&part))
    };
    none(
        "no module is called utils or the like",
        files()
            .into_iter()
            .filter(nameless)
            .map(|file| file.display().to_string()),
    );
}

#[test]
fn unsafe_stands_in_its_places_alone() {
    let mut broken = Vec::new();
    for (file, text) in sources() {
        let name = file.to_string_lossy();
        let allowed = UNSAFE.iter().any(|place| name.starts_with(place));
        let code = |line: &&str| !line.trim_start().starts_with("//");
        let block = |line: &str| {
            [
                concat!("unsafe", " {"),
                concat!("unsafe", " fn"),
                concat!("unsafe", " impl"),
                concat!("unsafe", " extern"),
            ]
            .iter()
            .any(|word| line.contains(word))
        };
        if !allowed && text.lines().filter(code).any(block) {
            broken.push(format!("{name} has unsafe code"));
        }
        let root = ["lib.rs", "main.rs"].contains(
            &file
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default(),
        );
        let of_a_room = IMPORTS
            .iter()
            .any(|(room, _)| file.parent() == Some(&Path::new(room).join("src")));
        if root
            && of_a_room
            && !file.starts_with("sim")
            && !text.contains("#![forbid(unsafe_code)]")
        {
            broken.push(format!("{name} does not forbid unsafe code"));
        }
    }
    none("unsafe code is the disk's and the interposer's", broken);
}

#[test]
fn nothing_is_left_to_be_done() {
    let words = [
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("todo", "!("),
        concat!("unimplemented", "!("),
        concat!("dbg", "!("),
        concat!("#[", "ignore"),
        concat!("#[", "should_panic"),
        concat!("#[", "allow("),
        concat!("#![", "allow("),
    ];
    let found = |text: &str| words.iter().find(|word| text.contains(**word));
    let broken = sources()
        .into_iter()
        .filter_map(|(file, text)| Some(format!("{}: {}", file.display(), found(&text)?)));
    none("no stub, no skipped test, no silenced lint", broken);
}

#[test]
fn scenarios_can_be_planned_and_ask_a_question() {
    let broken = |file: &PathBuf| {
        let source = match Source::<Appointments>::load(&repository().join(file)) {
            Ok(source) => source,
            Err(refused) => return Some(refused.to_string()),
        };
        let Source::Scenario(scenario) = &source else {
            return Some(format!("{}: is no scenario", file.display()));
        };
        let name = file.file_stem().and_then(|name| name.to_str());
        if name != Some(&scenario.name) {
            return Some(format!("{}: is named {:?}", file.display(), scenario.name));
        }
        if !scenario.question.trim().ends_with('?') {
            return Some(format!(
                "{}: asks no question: {:?}",
                file.display(),
                scenario.question
            ));
        }
        source
            .plan(file, 1)
            .err()
            .map(|refused| refused.to_string())
    };
    let scenarios = files().into_iter().filter(|file| {
        let own = file.starts_with("scenarios")
            && !file.starts_with("scenarios/rules")
            && !file.starts_with("scenarios/captures");
        own && file
            .extension()
            .is_some_and(|extension| extension == "toml")
    });
    let scenarios: Vec<PathBuf> = scenarios.collect();
    let acceptance = [
        "happy_path",
        "provider_timeout",
        "flaky_provider",
        "persistent_failure",
        "idempotency",
        "circuit_breaker",
    ];
    for name in acceptance {
        assert!(
            scenarios.contains(&PathBuf::from(format!("scenarios/{name}.toml"))),
            "scenarios/{name}.toml is missing"
        );
    }
    none(
        "a scenario is named after its file and asks one question",
        scenarios.iter().filter_map(broken),
    );
}

#[test]
fn the_readmes_map_is_the_tree() {
    let readme = read(Path::new("README.md"));
    let map = readme
        .split("## The map")
        .nth(1)
        .expect("a section called \"The map\"")
        .split("\n## ")
        .next()
        .expect("its text");
    let named = map
        .lines()
        .filter_map(|line| line.strip_prefix("    ")?.split_whitespace().next());
    let named: BTreeSet<String> = named
        .map(|name| name.trim_end_matches('/').to_owned())
        .collect();
    let hidden = |name: &str| name.starts_with('.') && name != ".ci";
    let folders = files()
        .into_iter()
        .filter(|file| file.components().count() > 1);
    let tree: BTreeSet<String> = folders
        .filter_map(|file| {
            Some(
                file.components()
                    .next()?
                    .as_os_str()
                    .to_string_lossy()
                    .into_owned(),
            )
        })
        .filter(|name| !hidden(name))
        .collect();
    none(
        "a folder has a line in the README's map",
        tree.difference(&named).cloned(),
    );
    none(
        "a line of the README's map is there",
        named
            .iter()
            .filter(|name| !repository().join(name).exists())
            .cloned(),
    );
}

#[test]
fn no_file_is_large() {
    let size = |file: &PathBuf| fs::metadata(repository().join(file)).map_or(0, |file| file.len());
    let large = files().into_iter().filter(|file| size(file) > MOST_BYTES);
    none(
        "no file is above 1 MiB",
        large.map(|file| file.display().to_string()),
    );
}
