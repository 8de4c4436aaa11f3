use std::time::Duration;

use super::{FileSource, SourceError};

/// Makes sources loop side by side: each pass takes as long as the longest of them, so that sound and picture, or the
/// layers of a simulcast, never drift apart however often they are played.
pub fn loop_together(sources: &mut [&mut FileSource]) -> Result<Duration, SourceError> {
    let mut period = Duration::ZERO;
    for source in sources.iter() {
        period = period.max(source.length()?);
    }
    for source in sources {
        source.loop_every(period);
    }
    Ok(period)
}

/// Whether files can be layers of one simulcast: one codec, one frame rate, one length.
pub fn check_layers(layers: &[&FileSource]) -> Result<(), SourceError> {
    let Some((first, others)) = layers.split_first() else {
        return Ok(());
    };
    for layer in others {
        if let Some(what) = difference(first, layer)? {
            return Err(SourceError::LayersDiffer { file: layer.name(), other: first.name(), what });
        }
    }
    Ok(())
}

fn difference(first: &FileSource, layer: &FileSource) -> Result<Option<&'static str>, SourceError> {
    let (a, b) = (first.info(), layer.info());
    if a.codec != b.codec {
        return Ok(Some("has another codec"));
    }
    let (Some(a), Some(b)) = (a.frame_duration, b.frame_duration) else {
        return Ok(None);
    };
    // A percent is what a coarse time base may cost.
    if a.abs_diff(b) > a / 100 {
        return Ok(Some("has another frame rate"));
    }
    Ok((first.length()?.abs_diff(layer.length()?) > a).then_some("has another length"))
}
