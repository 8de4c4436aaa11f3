//! Who gets what of the limit the server states (REMB): audio is left alone, video layers are filled from the lowest up.

use std::collections::BTreeMap;

/// Below this a video layer is not worth sending.
const MIN_LAYER_BPS: u64 = 30_000;

/// What is set aside for each audio stream: Opus for speech and music at its usual best, with headers.
pub(crate) const AUDIO_BPS: u64 = 64_000;

/// What a lowest layer that nobody has set a maximum for is worth, when there are others above it. Each layer is worth
/// [`STEP`] times the one below: its picture has four times the pixels.
const LOWEST_BPS: u64 = 100_000;
const STEP: u64 = 3;

/// Divides `limit_bps` among layers, each with the most it should take, lowest first. Without one the highest layer takes all
/// that it can get, and one below it leaves those above theirs. The lowest layer of each producer always gets
/// [`MIN_LAYER_BPS`]: the server's estimate follows what is sent, and nothing would come of nothing.
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
            let share = match layers[index].1 {
                Some(max) => max.min(fair),
                None => unbounded(fair, rank, above(layers, &ranks, index)),
            };
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

/// How many layers of the same producer take something, and are above this one.
fn above(layers: &[(usize, Option<u64>)], ranks: &[usize], index: usize) -> usize {
    let (producer, _) = layers[index];
    let later = layers.iter().zip(ranks).filter(|((of, max), _)| *of == producer && *max != Some(0));
    later.filter(|(_, rank)| **rank > ranks[index]).count()
}

/// The share of a layer without a maximum, of what is left for it and the layers of its producer above it.
fn unbounded(left: u64, rank: usize, above: usize) -> u64 {
    if above == 0 {
        return left;
    }
    let power = |exponent: usize| STEP.saturating_pow(u32::try_from(exponent).unwrap_or(u32::MAX));
    let parts = (0..=above).fold(0_u64, |parts, exponent| parts.saturating_add(power(exponent)));
    (left / parts).max(LOWEST_BPS.saturating_mul(power(rank))).min(left)
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
    fn layers_without_a_maximum_leave_room_for_those_above() {
        let layers = [(0, None); 3];
        assert_eq!(allocate(2_600_000, 0, &layers), [200_000, 600_000, 1_800_000]);
        assert_eq!(allocate(600_000, 0, &layers), [100_000, 300_000, 200_000]);
        assert_eq!(allocate(200_000, 0, &layers), [100_000, 100_000, 0]);
        assert_eq!(allocate(200_000, 0, &layers[..1]), [200_000]);
        // Those above are switched off.
        assert_eq!(allocate(200_000, 0, &[(0, None), (0, Some(0))]), [200_000, 0]);
    }

    #[test]
    fn producers_share_and_what_one_leaves_goes_to_the_other() {
        assert_eq!(allocate(1_000_000, 0, &[(0, None), (1, Some(100_000))]), [900_000, 100_000]);
    }
}
