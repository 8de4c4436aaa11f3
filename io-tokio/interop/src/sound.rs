//! What the viewer plays, heard again.

/// The seconds between one beat and the next: where it is loud after a tenth of a second that was not.
///
/// # Panics
/// When there is nothing but silence.
pub fn beats(pieces: &[(f64, f64)]) -> Vec<f64> {
    let loudest = pieces.iter().map(|(_, loudness)| *loudness).fold(0.0, f64::max);
    assert!(loudest > 0.01, "silence");
    let (mut now, mut loud_at, mut beats) = (0.0, f64::NEG_INFINITY, Vec::new());
    for (length, loudness) in pieces {
        if *loudness > loudest / 3.0 {
            if now - loud_at > 0.1 {
                beats.push(now);
            }
            loud_at = now;
        }
        now += length;
    }
    beats.windows(2).map(|pair| pair[1] - pair[0]).collect()
}
