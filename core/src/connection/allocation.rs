//! Who gets what of the limit the server states (REMB): audio is left alone, video layers are filled from the lowest up.

use std::collections::BTreeMap;

/// Below this a video layer is not worth sending.
const MIN_LAYER_BPS: u64 = 30_000;

/// What is set aside for each audio stream: Opus for speech and music at its usual best, with headers.
pub(crate) const AUDIO_BPS: u64 = 64_000;

/// Divides `limit_bps` among layers, each with the most it should take (none: all it can get), lowest first. The lowest
/// layer of each producer always gets [`MIN_LAYER_BPS`]: v2's estimate follows what is sent, and nothing would come of
/// nothing.
///
/// Layers are given as `(index of producer, maximum)`, each producer's lowest first.
pub(crate) fn allocate(limit_bps: u64, audio_streams: u64, layers: &[(usize, Option<u64>)]) -> Vec<u64> {
    let mut left = limit_bps.saturating_sub(AUDIO_BPS * audio_streams);
    let mut shares = vec![0; layers.len()];
    // A layer's rank within its producer.
    let mut seen = BTreeMap::new();
    let ranks: Vec<usize> = layers
        .iter()
        .map(|(producer, _)| {
            let count = seen.entry(*producer).or_insert(0);
            *count += 1;
            *count - 1
        })
        .collect();

    for rank in 0..=ranks.iter().copied().max().unwrap_or(0) {
        let mut peers: Vec<usize> = (0..layers.len()).filter(|index| ranks[*index] == rank).collect();
        // Those that want least first, so that what they leave goes to the others.
        peers.sort_by_key(|index| layers[*index].1.unwrap_or(u64::MAX));
        let mut waiting = peers.len() as u64;
        for index in peers {
            let fair = left / waiting;
            let share = layers[index].1.map_or(fair, |max| max.min(fair));
            let share = if share >= MIN_LAYER_BPS.min(layers[index].1.unwrap_or(u64::MAX)) {
                share
            } else if rank == 0 {
                layers[index].1.unwrap_or(u64::MAX).min(MIN_LAYER_BPS)
            } else {
                0
            };
            shares[index] = share;
            left = left.saturating_sub(share);
            waiting -= 1;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIMULCAST: [(usize, Option<u64>); 3] = [(0, Some(100_000)), (0, Some(300_000)), (0, Some(1_500_000))];

    #[test]
    fn layers_fill_from_the_lowest() {
        assert_eq!(allocate(5_000_000, 0, &SIMULCAST), [100_000, 300_000, 1_500_000]);
        assert_eq!(allocate(600_000, 0, &SIMULCAST), [100_000, 300_000, 200_000]);
        assert_eq!(allocate(200_000, 0, &SIMULCAST), [100_000, 100_000, 0]);
    }

    #[test]
    fn the_lowest_layer_never_starves() {
        assert_eq!(allocate(10_000, 1, &SIMULCAST), [30_000, 0, 0]);
    }

    #[test]
    fn audio_comes_first() {
        assert_eq!(allocate(264_000, 1, &SIMULCAST), [100_000, 100_000, 0]);
    }

    #[test]
    fn producers_share_and_what_one_leaves_goes_to_the_other() {
        assert_eq!(allocate(1_000_000, 0, &[(0, None), (1, Some(100_000))]), [900_000, 100_000]);
    }
}
