//! Bodies of the fuzz targets. Each takes bytes, and panics where a promise of the library is broken.

mod session;

use mediasoup_producer::protocol::protoo::Protoo;
use mediasoup_producer::{Input, RequestId};

use session::Session;

/// The server says anything at any time: each line is a protoo text frame, of which `$T`, `$P` and `$R` stand for the ids
/// of our transport, of our producer and of the latest request. A line with `+` and a number lets that many milliseconds
/// pass.
pub fn server_message(data: &[u8]) {
    let Some((stage, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let mut session = Session::at(*stage % Session::STAGES);
    let mut protoo = Protoo::new();
    for line in text.lines().take(64) {
        if let Some(milliseconds) = line.strip_prefix('+').and_then(|number| number.parse::<u16>().ok()) {
            session.pass(milliseconds);
            continue;
        }
        let line = line
            .replace("$T", &session.transport().to_string())
            .replace("$P", &session.producer().to_string())
            .replace("$R", &session.latest_request().map_or(0, RequestId::value).to_string());
        if let Ok(received) = protoo.receive(&line)
            && let Some(input) = received.input
        {
            session.input(input);
        }
    }
    session.input(Input::Timeout);
    session.close();
}

#[cfg(test)]
mod tests {
    /// The corpus is kept as a regression test: no toolchain but the usual one is needed for it.
    #[test]
    fn the_corpus_passes() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/corpus/server_message");
        let mut count = 0;
        for entry in std::fs::read_dir(corpus).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            for stage in 0..super::Session::STAGES {
                let mut bytes = bytes.clone();
                if let Some(first) = bytes.first_mut() {
                    *first = stage;
                }
                super::server_message(&bytes);
            }
            count += 1;
        }
        assert!(count > 10, "{count}");
    }
}
