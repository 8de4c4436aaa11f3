//! What a packet says in the clear.

/// The header of an RTP packet (RFC 3550 section 5.1), which SRTP does not encrypt.
#[derive(Debug, Clone, Copy)]
pub(in crate::sim) struct Header<'a> {
    pub(in crate::sim) payload_type: u8,
    pub(in crate::sim) ssrc: u32,
    /// Whether padding follows the payload; how much is encrypted with it.
    pub(in crate::sim) padded: bool,
    /// Where the payload begins.
    pub(in crate::sim) bytes: usize,
    /// Whether ids and lengths take a byte each (RFC 8285 section 4.3), not half a byte.
    two_bytes: bool,
    extensions: &'a [u8],
}

impl<'a> Header<'a> {
    pub(in crate::sim) fn parse(packet: &'a [u8]) -> Option<Self> {
        let [first, second, _, _, _, _, _, _, s0, s1, s2, s3, rest @ ..] = packet else { return None };
        let rest = rest.get(4 * usize::from(first & 0x0f)..)?;
        let mut header = Self {
            payload_type: second & 0x7f,
            padded: first & 0x20 != 0,
            bytes: packet.len() - rest.len(),
            ssrc: u32::from_be_bytes([*s0, *s1, *s2, *s3]),
            two_bytes: false,
            extensions: &[],
        };
        if first & 0x10 != 0 {
            let [p0, p1, l0, l1, rest @ ..] = rest else { return None };
            let profile = u16::from_be_bytes([*p0, *p1]);
            let (extensions, payload) = rest.split_at_checked(4 * usize::from(u16::from_be_bytes([*l0, *l1])))?;
            header.bytes = packet.len() - payload.len();
            header.two_bytes = profile & 0xfff0 == 0x1000;
            if header.two_bytes || profile == 0xbede {
                header.extensions = extensions;
            }
        }
        Some(header)
    }

    /// A header extension. Id 0 is padding, and 15 ends a header of half bytes.
    pub(in crate::sim) fn extension(&self, wanted: u8) -> Option<&'a [u8]> {
        let mut rest = self.extensions;
        while let [first, after @ ..] = rest {
            if *first == 0 {
                rest = after;
                continue;
            }
            let (id, length, after) = match (self.two_bytes, after) {
                (true, [length, after @ ..]) => (*first, usize::from(*length), after),
                (true, []) => return None,
                (false, after) => (first >> 4, usize::from(first & 0x0f) + 1, after),
            };
            if !self.two_bytes && id == 15 {
                return None;
            }
            let value = after.get(..length)?;
            if id == wanted && wanted != 0 {
                return Some(value);
            }
            rest = &after[length..];
        }
        None
    }
}
