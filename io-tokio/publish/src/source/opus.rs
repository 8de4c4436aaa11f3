use std::time::Duration;

/// How long an Opus packet sounds, by its TOC byte (RFC 6716, 3.1); `None` for what is no Opus packet: empty, without
/// its frame count, or of more than 120 ms (rules R1 and R5 of 3.4).
pub(super) fn duration(packet: &[u8]) -> Option<Duration> {
    let toc = *packet.first()?;
    let config = toc >> 3;
    let frame_us: u32 = match config {
        // SILK: 10, 20, 40, 60 ms.
        0..=11 => [10_000, 20_000, 40_000, 60_000][usize::from(config & 3)],
        // Hybrid: 10, 20 ms.
        12..=15 => [10_000, 20_000][usize::from(config & 1)],
        // CELT: 2.5, 5, 10, 20 ms.
        _ => [2_500, 5_000, 10_000, 20_000][usize::from(config & 3)],
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        // Code 3: the next byte's lower six bits count the frames.
        _ => u32::from(packet.get(1)? & 0x3f),
    };
    let us = frame_us * frames;
    (1..=120_000).contains(&us).then(|| Duration::from_micros(us.into()))
}

/// The number of channels in an identification header (RFC 7845, 5.1).
pub(super) fn head_channels(head: &[u8]) -> Option<u8> {
    let rest = head.strip_prefix(b"OpusHead")?;
    // The upper four bits of the version are the major one; only 0 is known.
    let (version, channels) = (*rest.first()?, *rest.get(1)?);
    (version >> 4 == 0 && channels > 0).then_some(channels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_configuration_has_its_duration() {
        let ms = |toc: u8| duration(&[toc, 1]).unwrap().as_secs_f64() * 1000.0;
        // One of each row of RFC 6716 table 2, and the four frame count codes.
        assert_eq!([0, 1, 2, 3].map(|config| ms(config << 3)), [10.0, 20.0, 40.0, 60.0]);
        assert_eq!([12, 13].map(|config| ms(config << 3)), [10.0, 20.0]);
        assert_eq!([28, 29, 30, 31].map(|config| ms(config << 3)), [2.5, 5.0, 10.0, 20.0]);
        assert_eq!([0, 1, 2, 3].map(|code| ms(31 << 3 | code)), [20.0, 40.0, 40.0, 20.0]);
    }

    #[test]
    fn what_is_no_packet_has_none() {
        assert_eq!(duration(&[]), None);
        assert_eq!(duration(&[3]), None, "no frame count");
        assert_eq!(duration(&[3, 0]), None, "no frame");
        assert_eq!(duration(&[3 << 3 | 3, 3]), None, "180 ms");
    }
}
