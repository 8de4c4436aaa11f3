use std::io::{ErrorKind, Read};

use super::error::Fault;

/// How far back a pipe can be gone: to what an opened format has looked at, and to the beginning of a group of blocks.
const BEHIND: usize = 1 << 20;

/// Bytes that are asked for at once.
const CHUNK: usize = 64 << 10;

/// What comes through a pipe: read front to back, with what was read last kept.
pub(super) struct Pipe {
    from: Box<dyn Read + Send>,
    kept: Vec<u8>,
    /// Where the first of what is kept stands in the whole.
    begins: u64,
    ended: bool,
}

impl Pipe {
    pub(super) fn new(from: impl Read + Send + 'static) -> Self {
        Self { from: Box::new(from), kept: Vec::new(), begins: 0, ended: false }
    }

    /// So many bytes from `pos` on; fewer at the end.
    pub(super) fn at(&mut self, pos: u64, bytes: usize) -> Result<&[u8], Fault> {
        loop {
            let start = pos.checked_sub(self.begins).ok_or(Fault::Damaged("it goes too far back for a pipe"))?;
            let passed = usize::try_from(start).unwrap_or(usize::MAX).min(self.kept.len());
            if passed > 2 * BEHIND {
                self.forget(passed - BEHIND);
                continue;
            }
            if self.ended || self.kept.len() as u64 >= start.saturating_add(bytes as u64) {
                let end = passed.saturating_add(bytes).min(self.kept.len());
                return Ok(&self.kept[passed..end]);
            }
            self.read()?;
        }
    }

    /// What there is at `pos`, without waiting for more than something; empty at the end.
    pub(super) fn some_at(&mut self, pos: u64) -> Result<&[u8], Fault> {
        self.at(pos, 1)?;
        let start = usize::try_from(pos - self.begins).unwrap_or(usize::MAX);
        Ok(self.kept.get(start..).unwrap_or_default())
    }

    fn forget(&mut self, bytes: usize) {
        self.kept.drain(..bytes);
        self.begins += bytes as u64;
    }

    fn read(&mut self) -> Result<(), Fault> {
        let before = self.kept.len();
        self.kept.resize(before + CHUNK, 0);
        let read = loop {
            match self.from.read(&mut self.kept[before..]) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.kept.truncate(before + *read.as_ref().unwrap_or(&0));
        self.ended = read? == 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_front_to_back_and_a_little_back_again() {
        let whole: Vec<u8> = (0..5_000_000u32).map(|at| (at % 251) as u8).collect();
        let mut pipe = Pipe::new(std::io::Cursor::new(whole.clone()));
        for pos in [0, 100, 16, 70_000, 0, 2_500_000, 2_499_000, 4_999_990] {
            let expected = &whole[pos..(pos + 1000).min(whole.len())];
            assert_eq!(pipe.at(pos as u64, 1000).unwrap(), expected, "at {pos}");
        }
        assert!(pipe.at(5_000_000, 1).unwrap().is_empty() && pipe.at(9_000_000, 1).unwrap().is_empty());
        assert!(pipe.at(0, 1).is_err());
        assert!(pipe.kept.len() < 4 << 20, "{} bytes are kept", pipe.kept.len());
    }
}
