//! What the command line is, for shells and for `man`.

use std::io::{self, Write};

use clap_complete::Shell;
use clap_mangen::Man;

use crate::args::Args;

const NAME: &str = "mediasoup-publish";

/// Writes the completions for a shell to standard output. True: that went well.
pub fn completions(shell: Shell) -> bool {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command_line(), NAME, &mut script);
    write(&script)
}

/// Writes the manual page to standard output. True: that went well.
pub fn page() -> bool {
    let mut page = Vec::new();
    // A vector takes everything.
    Man::new(Args::command_line()).render(&mut page).is_ok() && write(&page)
}

fn write(text: &[u8]) -> bool {
    let written = io::stdout().write_all(text).and_then(|()| io::stdout().flush());
    written.map_err(|error| eprintln!("{NAME}: cannot write to standard output: {error}")).is_ok()
}
