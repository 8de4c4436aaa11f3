//! Datagrams over TCP: two bytes of length before each (RFC 4571 section 2).

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Appends a datagram with its length to what is to be written. False, and nothing is appended, for one longer than
/// 65,535 bytes, which no frame can hold.
pub fn encode(datagram: &[u8], out: &mut BytesMut) -> bool {
    let Ok(length) = u16::try_from(datagram.len()) else { return false };
    out.reserve(2 + datagram.len());
    out.put_u16(length);
    out.put_slice(datagram);
    true
}

/// Cuts what is read from a connection into datagrams. Holds at most one datagram that is not whole yet, 65,537 bytes,
/// beside what was pushed and not polled.
///
/// ```
/// use mediasoup_producer::framing::Decoder;
///
/// let mut decoder = Decoder::default();
/// decoder.push(&[0, 2, b'h']);
/// assert_eq!(decoder.poll(), None);
/// decoder.push(&[b'i', 0]);
/// assert_eq!(decoder.poll().as_deref(), Some(&b"hi"[..]));
/// ```
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: BytesMut,
}

impl Decoder {
    /// Takes what was read.
    pub fn push(&mut self, read: &[u8]) {
        self.buffer.extend_from_slice(read);
    }

    /// The next whole datagram. Empty ones are passed over.
    pub fn poll(&mut self) -> Option<Bytes> {
        loop {
            let length = usize::from(u16::from_be_bytes([*self.buffer.first()?, *self.buffer.get(1)?]));
            if self.buffer.len() < 2 + length {
                return None;
            }
            self.buffer.advance(2);
            let datagram = self.buffer.split_to(length).freeze();
            if !datagram.is_empty() {
                return Some(datagram);
            }
        }
    }
}
