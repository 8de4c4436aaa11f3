//! The order of the layers: what is used lies below. Read from the sources, so that a new use upwards fails here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// From the lowest up. Within one, modules may use each other; of the dialects each only itself.
const LAYERS: &[&[&str]] = &[
    // Identifiers, parameters, encoded media, errors and figures. A codec knows its key frames.
    &["id", "rng", "json", "event", "net", "track", "limits", "rtp", "media", "error", "stats", "outputs", "requests"],
    &["connection::engine"],
    &["connection"],
    &["journal"],
    // The dialects.
    &["v2", "v3"],
    &["record", "adapter", "framing", "protoo"],
    &["sim"],
];

/// Know nothing of each other.
const DIALECTS: [(&str, &str); 2] = [("v2", "v3"), ("v3", "v2")];

/// Cryptography and the WebRTC stack are named by the engine, and by the room of `sim`, which is the other end.
const STACK: &[&str] = &["str0m", "dimpl", "aws_lc_rs", "openssl"];

#[test]
fn uses_go_down() {
    let mut upwards = BTreeSet::new();
    for (module, code) in sources() {
        let Some(from) = layer(&module) else { continue };
        for used in uses(&code) {
            if let Some(to) = layer(&used).filter(|to| *to > from) {
                upwards.insert((name(from, &module), name(to, &used)));
            }
        }
    }
    assert!(upwards.is_empty(), "uses that go up: {upwards:?}");
}

#[test]
fn the_dialects_do_not_name_each_other() {
    for (module, code) in sources() {
        for (one, other) in DIALECTS {
            let names_it = uses(&code).iter().any(|used| is_in(used, other));
            assert!(!(is_in(&module, one) && names_it), "{module} names {other}");
        }
    }
}

#[test]
fn only_the_engine_names_the_stack() {
    for (module, code) in sources() {
        if module.starts_with("connection::engine") || module.starts_with("sim") {
            continue;
        }
        let named: Vec<_> = STACK.iter().filter(|name| code.contains(&format!("{name}::"))).collect();
        assert!(named.is_empty(), "{module} names {named:?}");
    }
}

/// The module of each file, and its code: without comments, and without tests.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    assert!(files.len() > 50, "{files:?}");
    let read = |path: &PathBuf| {
        let module = path.strip_prefix(&root).expect("it is in there").with_extension("");
        let module = module.to_str().expect("our names are plain").replace(['/', '\\'], "::");
        let text = fs::read_to_string(path).expect("a source file");
        let code = text.split("#[cfg(test)]\nmod").next().unwrap_or_default();
        let code: Vec<_> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        (module, code.join("\n"))
    };
    files.iter().map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of sources") {
        let path = entry.expect("readable").path();
        match path.file_stem().and_then(|name| name.to_str()) {
            Some("tests" | "lib") => {}
            _ if path.is_dir() => collect(&path, files),
            _ => files.push(path),
        }
    }
}

/// What stands after each `crate::`, one by one where several are taken out of braces.
fn uses(code: &str) -> Vec<String> {
    let mut used = Vec::new();
    for rest in code.split("crate::").skip(1) {
        match rest.strip_prefix('{') {
            None => used.push(path(rest)),
            Some(list) => {
                let (mut depth, mut item) = (0, String::new());
                for letter in list.chars() {
                    match letter {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => used.push(path(std::mem::take(&mut item).trim())),
                        _ => {}
                    }
                    item.push(letter);
                }
                used.push(path(item.trim()));
            }
        }
    }
    used
}

fn path(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || matches!(letter, '_' | ':')).collect()
}

/// The layer of a module, by its longest known beginning. None: it is in none, as what lib.rs re-exports.
fn layer(module: &str) -> Option<usize> {
    let matches = LAYERS.iter().enumerate().flat_map(|(layer, names)| names.iter().map(move |name| (layer, *name)));
    matches.filter(|(_, name)| is_in(module, name)).max_by_key(|(_, name)| name.len()).map(|(layer, _)| layer)
}

fn name(layer: usize, module: &str) -> String {
    let known = LAYERS[layer].iter().find(|known| is_in(module, known));
    (*known.expect("it is in this layer")).to_owned()
}

fn is_in(module: &str, known: &str) -> bool {
    module == known || module.starts_with(&format!("{known}::"))
}
