//! What happens inside, for those who look for a fault.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

/// Writes what happens inside to standard error: as much as `filter` says, or `RUST_LOG` without that; without both, nothing.
pub fn to_stderr(filter: Option<&str>) {
    let of_environment = || std::env::var(EnvFilter::DEFAULT_ENV).ok().filter(|filter| !filter.is_empty());
    let Some(filter) = filter.map(str::to_owned).or_else(of_environment) else { return };
    let terminal = io::stderr().is_terminal();
    let filter = EnvFilter::builder().parse_lossy(filter);
    let logger = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_ansi(terminal);
    // Refused when the process logs already.
    let _ = logger.try_init();
}
