//! Boxes (ISO/IEC 14496-12, 4.2), and numbers in them.

use bytes::{Buf, Bytes};

use super::super::{error::Fault, media::Media};

/// A box in memory.
#[derive(Debug, Clone)]
pub(super) struct Box {
    pub(super) kind: [u8; 4],
    pub(super) body: Bytes,
}

/// The boxes in a body. What does not fit ends them.
pub(super) fn boxes(body: &Bytes) -> impl Iterator<Item = Box> + use<> {
    let mut rest = body.clone();
    std::iter::from_fn(move || {
        let (whole, header) = match rest.get(..8)?.first_chunk::<4>().map(|size| u32::from_be_bytes(*size))? {
            0 => (rest.len(), 8),
            1 => {
                let size = rest.get(8..16)?.first_chunk::<8>().map(|size| u64::from_be_bytes(*size))?;
                (usize::try_from(size).ok()?, 16)
            }
            size => (size as usize, 8),
        };
        if whole < header || whole > rest.len() {
            return None;
        }
        let kind = *rest.get(4..)?.first_chunk::<4>()?;
        let part = rest.split_to(whole);
        Some(Box { kind, body: part.slice(header..) })
    })
}

/// The first box of a kind in a body.
pub(super) fn find(body: &Bytes, kind: &[u8; 4]) -> Option<Bytes> {
    boxes(body).find(|part| part.kind == *kind).map(|part| part.body)
}

/// The same down a path of kinds.
pub(super) fn find_in(body: &Bytes, path: &[&[u8; 4]]) -> Option<Bytes> {
    path.iter().try_fold(body.clone(), |body, kind| find(&body, kind))
}

/// The header of the next box of a file: its kind and the size of its body, `None` for one that goes on to the end of the
/// file. `None` at that end.
#[allow(clippy::type_complexity)] // a kind and a size
pub(super) fn header(media: &mut Media) -> Result<Option<([u8; 4], Option<u64>)>, Fault> {
    if media.at_end() {
        return Ok(None);
    }
    let [a, b, c, d, kind @ ..]: [u8; 8] = media.read_array()?;
    let (whole, header) = match u32::from_be_bytes([a, b, c, d]) {
        0 => return Ok(Some((kind, None))),
        1 => (u64::from_be_bytes(media.read_array()?), 16),
        size => (size.into(), 8),
    };
    let size = u64::checked_sub(whole, header).ok_or(Fault::Damaged("a box is shorter than its header"))?;
    Ok(Some((kind, Some(size))))
}

/// The version and the flags at the beginning of a full box, and the rest of it.
pub(super) fn full(mut body: Bytes) -> Option<(u8, u32, Bytes)> {
    let word = body.try_get_u32().ok()?;
    Some(((word >> 24) as u8, word & 0x00ff_ffff, body))
}

/// A table of rows of so many bytes, behind their count.
pub(super) fn rows(mut body: Bytes, bytes: usize) -> Result<Bytes, Fault> {
    let short = || Fault::Damaged("a table is shorter than it says");
    let count = body.try_get_u32().map_err(|_| short())? as usize;
    let size = count.checked_mul(bytes).filter(|size| *size <= body.len()).ok_or_else(short)?;
    Ok(body.split_to(size))
}

/// A number in a table.
pub(super) fn u32_at(table: &[u8], at: usize) -> Option<u32> {
    table.get(at..)?.first_chunk::<4>().map(|bytes| u32::from_be_bytes(*bytes))
}
