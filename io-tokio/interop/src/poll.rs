//! Waiting without sleeping for a guess.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// How long anything may take on a machine with two busy cores.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The first value that `probe` gives, asked ten times a second.
///
/// # Panics
/// When it gives none within [`PATIENCE`].
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = probe().await {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        sleep(Duration::from_millis(100)).await;
    }
}

/// What `future` gives.
///
/// # Panics
/// When it gives nothing within `limit`.
pub async fn within<T>(limit: Duration, what: &str, future: impl Future<Output = T>) -> T {
    match timeout(limit, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {limit:?}: {what}"),
    }
}
