//! The loop in the README is that of the example `udp_loop`, which is compiled and run.
//! `UPDATE_README=1 cargo test --test readme` puts it there, if that is meant.

use std::path::Path;

#[test]
fn the_loop_of_the_readme_is_the_example() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = std::fs::read_to_string(here.join("examples/udp_loop.rs")).unwrap();
    let readme_file = here.join("../README.md");
    let readme = std::fs::read_to_string(&readme_file).unwrap();
    let (_, _, of_example) = around(&example, "// README, from here\n", "// to here\n");
    let (before, after, in_readme) = around(&readme, "<!-- udp_loop -->\n", "<!-- udp_loop: end -->\n");
    let meant = format!("```rust,ignore\n{of_example}```\n");
    if std::env::var_os("UPDATE_README").is_some() {
        std::fs::write(&readme_file, format!("{before}{meant}{after}")).unwrap();
    } else {
        assert_eq!(in_readme, meant, "UPDATE_README=1 writes it anew, if this is meant");
    }
}

/// What is before and after two marks, marks included, and what is between them.
fn around<'a>(text: &'a str, begin: &str, end: &str) -> (&'a str, &'a str, &'a str) {
    let from = text.find(begin).unwrap_or_else(|| panic!("{begin:?} is missing")) + begin.len();
    let to = from + text[from..].find(end).unwrap_or_else(|| panic!("{end:?} is missing"));
    (&text[..from], &text[to..], &text[from..to])
}
