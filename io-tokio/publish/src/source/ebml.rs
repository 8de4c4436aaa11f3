use super::{error::Fault, media::Media};

/// An element's head (RFC 8794, 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) id: u32,
    /// `None`: unknown, as live recordings leave it; it ends where an element comes that cannot be in it.
    pub(super) size: Option<u64>,
}

impl Element {
    pub(super) fn read(media: &mut Media) -> Result<Self, Fault> {
        let [first] = media.read_array()?;
        let mut head = [0; 4];
        let width = width(first).filter(|width| *width <= 4).ok_or(Fault::Damaged("an element has no valid id"))?;
        head[0] = first;
        media.read_exact(&mut head[1..width])?;
        let id = head[..width].iter().fold(0, |id, byte| id << 8 | u32::from(*byte));
        Ok(Self { id, size: read_vint(media)? })
    }

    /// The size of an element that may not leave it open.
    pub(super) fn known_size(self) -> Result<u64, Fault> {
        self.size.ok_or(Fault::Damaged("an element does not tell its size"))
    }
}

/// A variable-size integer; `None` if all its bits are set, which means "unknown".
pub(super) fn read_vint(media: &mut Media) -> Result<Option<u64>, Fault> {
    let [first] = media.read_array()?;
    let width = width(first).ok_or(Fault::Damaged("an element has no valid size"))?;
    let mut bytes = [first, 0, 0, 0, 0, 0, 0, 0];
    media.read_exact(&mut bytes[1..width])?;
    Ok(vint(&bytes[..width]))
}

/// 1 to 8 bytes, by the position of the first bit set.
fn width(first: u8) -> Option<usize> {
    (first != 0).then(|| first.leading_zeros() as usize + 1)
}

fn vint(bytes: &[u8]) -> Option<u64> {
    let bits = 7 * bytes.len();
    let mask = (1u64 << bits) - 1;
    let value = bytes.iter().fold(0u64, |value, byte| value << 8 | u64::from(*byte)) & mask;
    (value != mask).then_some(value)
}

/// Takes a variable-size integer from the front: its value and the number of its bytes.
pub(super) fn take_vint(data: &mut &[u8]) -> Option<(u64, usize)> {
    let width = width(*data.first()?)?;
    let (bytes, rest) = data.split_at_checked(width)?;
    *data = rest;
    Some((vint(bytes)?, width))
}

/// The elements in a master element's body. Stops at the first that is broken or reaches beyond the body.
pub(super) fn children(mut body: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    std::iter::from_fn(move || {
        let width = width(*body.first()?).filter(|width| *width <= 4)?;
        let (id, rest) = body.split_at_checked(width)?;
        body = rest;
        let (size, _) = take_vint(&mut body)?;
        let (child, rest) = body.split_at_checked(usize::try_from(size).ok()?)?;
        body = rest;
        Some((id.iter().fold(0, |id, byte| id << 8 | u32::from(*byte)), child))
    })
}

/// An unsigned integer; an empty body is 0 (RFC 8794, 7.2).
pub(super) fn unsigned(body: &[u8]) -> Result<u64, Fault> {
    if body.len() > 8 {
        return Err(Fault::Damaged("an integer is too long"));
    }
    Ok(body.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
}

/// A string without the zeros that may fill it up (RFC 8794, 7.4).
pub(super) fn string(body: &[u8]) -> String {
    let end = body.iter().position(|byte| *byte == 0).unwrap_or(body.len());
    String::from_utf8_lossy(&body[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_each_width() {
        let take = |bytes: &[u8]| take_vint(&mut &bytes[..]);
        // RFC 8794, table 4: 2 in one to four bytes.
        assert_eq!(take(&[0x82]), Some((2, 1)));
        assert_eq!(take(&[0x40, 2]), Some((2, 2)));
        assert_eq!(take(&[0x20, 0, 2]), Some((2, 3)));
        assert_eq!(take(&[0x10, 0, 0, 2]), Some((2, 4)));
        assert_eq!(take(&[1, 0, 0, 0, 0, 0, 0, 2]), Some((2, 8)));
        assert_eq!(take(&[0x40]), None, "cut off");
        assert_eq!(take(&[0]), None, "wider than 8 bytes");
    }

    #[test]
    fn all_ones_mean_unknown() {
        assert_eq!(vint(&[0xff]), None);
        assert_eq!(vint(&[0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
        assert_eq!(vint(&[0x40, 0x7f]), Some(127));
    }

    #[test]
    fn children_end_where_they_break() {
        let body = [0xd7, 0x81, 7, 0x42, 0x86, 0x80, 0xd7, 0x85, 1];
        assert_eq!(children(&body).collect::<Vec<_>>(), [(0xd7, &[7][..]), (0x4286, &[])]);
    }
}
