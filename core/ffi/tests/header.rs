//! The header is that of the code. `UPDATE_HEADER=1 cargo test --test header` writes it anew, if that is meant.

use std::path::Path;

#[test]
fn the_header_is_that_of_the_code() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(here.join("cbindgen.toml")).unwrap();
    let mut sources = cbindgen::Builder::new().with_config(config);
    for name in ["status", "media", "session", "output", "lib"] {
        sources = sources.with_src(here.join(format!("src/{name}.rs")));
    }
    let mut made = Vec::new();
    sources.generate().unwrap().write(&mut made);
    let made = String::from_utf8(made).unwrap();
    let file = here.join("include/mediasoup_producer.h");
    if std::env::var_os("UPDATE_HEADER").is_some() {
        std::fs::write(&file, made).unwrap();
    } else {
        let kept = std::fs::read_to_string(&file).unwrap();
        assert_eq!(made, kept, "UPDATE_HEADER=1 writes it anew, if this is meant");
    }
}
