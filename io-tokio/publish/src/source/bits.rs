/// Reads bits, the highest of each byte first. Every method gives `None` behind the last bit.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Bits<'a> {
    pub(super) fn new(data: &'a [u8]) -> Self {
        Self { data, at: 0 }
    }

    pub(super) fn bit(&mut self) -> Option<bool> {
        let byte = *self.data.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(bit == 1)
    }

    /// `u(n)`, at most 32 bits.
    pub(super) fn u(&mut self, bits: u32) -> Option<u32> {
        debug_assert!(bits <= 32);
        let mut value = 0;
        for _ in 0..bits {
            value = value << 1 | u32::from(self.bit()?);
        }
        Some(value)
    }

    pub(super) fn skip(&mut self, bits: usize) -> Option<()> {
        self.at += bits;
        (self.at <= self.data.len() * 8).then_some(())
    }

    /// `ue(v)`: unsigned Exp-Golomb, H.264 9.1.
    pub(super) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            // The longest codeNum of either standard has 32 bits less one.
            if zeros > 31 {
                return None;
            }
        }
        Some((1u32 << zeros) - 1 + self.u(zeros)?)
    }

    /// `se(v)`, where only its length matters to us: the signed and the unsigned code are one code, read differently.
    pub(super) fn skip_se(&mut self) -> Option<()> {
        self.ue().map(|_| ())
    }

    /// `ue(v)` that counts things, so that a hostile count does not keep us busy.
    pub(super) fn count(&mut self, most: u32) -> Option<u32> {
        self.ue().filter(|count| *count <= most)
    }
}

/// A NAL unit's payload without its emulation prevention bytes (H.264 7.3.1, H.265 7.3.1.1); at most its first 4 KiB,
/// which no parameter set in use exceeds.
pub(super) fn rbsp(nal: &[u8]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(nal.len().min(4096));
    let mut zeros = 0;
    for &byte in nal.iter().take(4096) {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        payload.push(byte);
    }
    payload
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_golomb_codes_read_as_the_standard_lists_them() {
        // H.264 table 9-2: 1, 010, 011, 00100, 00101.
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        assert_eq!([(); 5].map(|()| bits.ue()), [Some(0), Some(1), Some(2), Some(3), Some(4)]);
    }

    #[test]
    fn the_largest_code_fits() {
        let mut bits = Bits::new(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe]);
        assert_eq!(bits.ue(), Some(u32::MAX - 1));
        assert_eq!(Bits::new(&[0; 16]).ue(), None);
    }

    #[test]
    fn emulation_prevention_is_taken_out() {
        assert_eq!(rbsp(&[1, 0, 0, 3, 1, 0, 0, 3, 0, 0, 3, 3]), [1, 0, 0, 1, 0, 0, 0, 0, 3]);
    }
}
