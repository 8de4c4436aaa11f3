use super::{MAX_FRAME, ebml};

/// Splits a block that holds several frames (RFC 9559, 10.3); `lacing` is the two bits of its flags. `None` if the sizes
/// do not fit the block.
pub(super) fn split(lacing: u8, mut data: &[u8]) -> Option<Vec<&[u8]>> {
    if lacing == 0 {
        return Some(vec![data]);
    }
    let (more, rest) = data.split_first()?;
    data = rest;
    let more = usize::from(*more);
    let sizes = match lacing {
        1 => xiph(&mut data, more)?,
        3 => ebml(&mut data, more)?,
        _ => {
            let size = data.len() / (more + 1);
            if size * (more + 1) != data.len() {
                return None;
            }
            vec![size; more]
        }
    };
    let mut frames = Vec::with_capacity(more + 1);
    for size in sizes {
        let (frame, rest) = data.split_at_checked(size)?;
        frames.push(frame);
        data = rest;
    }
    // The last frame is what is left.
    frames.push(data);
    Some(frames)
}

/// 10.3.2: a size is a sum of bytes, which a byte below 255 ends.
fn xiph(data: &mut &[u8], more: usize) -> Option<Vec<usize>> {
    let mut sizes = Vec::with_capacity(more);
    for _ in 0..more {
        let mut size = 0;
        loop {
            let (byte, rest) = data.split_first()?;
            *data = rest;
            size += usize::from(*byte);
            if *byte < 255 {
                break;
            }
        }
        sizes.push(size);
    }
    Some(sizes)
}

/// 10.3.3: the first size as it is, each other as the difference to the one before.
fn ebml(data: &mut &[u8], more: usize) -> Option<Vec<usize>> {
    let mut sizes = Vec::with_capacity(more);
    let mut size = 0i64;
    for at in 0..more {
        let (value, width) = ebml::take_vint(data)?;
        let value = value as i64;
        size = if at == 0 { value } else { size + value - ((1 << (7 * width - 1)) - 1) };
        sizes.push(usize::try_from(size).ok().filter(|size| *size <= MAX_FRAME)?);
    }
    Some(sizes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lacing_splits() {
        assert_eq!(split(0, &[1, 2]), Some(vec![&[1, 2][..]]));
        assert_eq!(split(1, &[2, 1, 2, 7, 8, 8, 9]), Some(vec![&[7][..], &[8, 8], &[9]]));
        assert_eq!(split(2, &[1, 7, 8]), Some(vec![&[7][..], &[8]]));
        // 1, then +1 (0x80 + 1 + 63).
        assert_eq!(split(3, &[2, 0x81, 0xc0, 7, 8, 8, 9]), Some(vec![&[7][..], &[8, 8], &[9]]));
    }

    #[test]
    fn xiph_sizes_go_beyond_a_byte() {
        let mut block = vec![1, 255, 0];
        block.extend([5; 256]);
        assert_eq!(split(1, &block).map(|frames| frames[0].len()), Some(255));
    }

    #[test]
    fn sizes_that_do_not_fit_are_refused() {
        assert_eq!(split(1, &[1, 9, 1]), None);
        assert_eq!(split(2, &[1, 7, 8, 9]), None);
        assert_eq!(split(3, &[2, 0x81, 0x80, 1, 2]), None, "a negative size");
        assert_eq!(split(1, &[]), None);
    }
}
