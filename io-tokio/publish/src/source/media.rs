use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::PathBuf,
};

use bytes::Bytes;

use super::{
    MAX_FRAME,
    error::{Fault, SourceError},
};

/// Where media comes from: a file on disk, or bytes built into the program.
#[derive(Debug, Clone)]
pub enum Input {
    /// A file, read as it is played.
    File(PathBuf),
    /// Bytes in memory under a name for messages.
    Bytes {
        /// The name messages use.
        name: String,
        /// The content, as a file would hold it.
        data: Bytes,
    },
}

impl Input {
    /// Bytes built into the program, as `include_bytes!` gives them.
    pub fn bundled(name: &str, data: &'static [u8]) -> Self {
        Self::Bytes { name: name.to_owned(), data: Bytes::from_static(data) }
    }

    /// The name messages use.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Bytes { name, .. } => name.clone(),
        }
    }

    pub(super) fn open(&self) -> Result<Media, SourceError> {
        let media = match self {
            Self::File(path) => open_file(path).map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => SourceError::Missing { file: self.name() },
                _ => SourceError::Unreadable { file: self.name(), source },
            })?,
            Self::Bytes { data, .. } => {
                Some(Media { len: data.len() as u64, pos: 0, inner: Inner::Bytes(data.clone()) })
            }
        };
        let media = media.ok_or_else(|| SourceError::NotAFile { file: self.name() })?;
        if media.len == 0 {
            return Err(SourceError::Empty { file: self.name() });
        }
        Ok(media)
    }
}

impl<P: Into<PathBuf>> From<P> for Input {
    fn from(path: P) -> Self {
        Self::File(path.into())
    }
}

/// `None`: something that is no regular file. Asked before opening, for opening a pipe would wait for its writer.
fn open_file(path: &PathBuf) -> io::Result<Option<Media>> {
    if !std::fs::metadata(path)?.is_file() {
        return Ok(None);
    }
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    Ok(Some(Media { len, pos: 0, inner: Inner::File(BufReader::with_capacity(64 << 10, file)) }))
}

/// A file being read. Knows its length, so that no reader allocates for bytes that are not there.
pub(super) struct Media {
    inner: Inner,
    pos: u64,
    len: u64,
}

enum Inner {
    File(BufReader<File>),
    Bytes(Bytes),
}

impl Media {
    pub(super) fn pos(&self) -> u64 {
        self.pos
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    pub(super) fn at_end(&self) -> bool {
        self.pos >= self.len
    }

    /// The next bytes, without taking them; fewer only where the file ends.
    pub(super) fn peek(&mut self, up_to: usize) -> Result<Vec<u8>, Fault> {
        let start = self.pos;
        let mut head = vec![0; self.remaining().min(up_to as u64) as usize];
        self.read_exact(&mut head)?;
        self.seek(start)?;
        Ok(head)
    }

    pub(super) fn read_exact(&mut self, into: &mut [u8]) -> Result<(), Fault> {
        if self.remaining() < into.len() as u64 {
            return Err(Fault::Truncated);
        }
        match &mut self.inner {
            Inner::File(file) => file.read_exact(into)?,
            Inner::Bytes(data) => into.copy_from_slice(&data[self.pos as usize..][..into.len()]),
        }
        self.pos += into.len() as u64;
        Ok(())
    }

    pub(super) fn read_array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut array = [0; N];
        self.read_exact(&mut array)?;
        Ok(array)
    }

    /// Reads a frame or a header of a size that the file itself claims.
    pub(super) fn read_vec(&mut self, size: u64) -> Result<Vec<u8>, Fault> {
        if size > MAX_FRAME as u64 {
            return Err(Fault::TooLarge);
        }
        if size > self.remaining() {
            return Err(Fault::Truncated);
        }
        let mut data = vec![0; size as usize];
        self.read_exact(&mut data)?;
        Ok(data)
    }

    pub(super) fn skip(&mut self, size: u64) -> Result<(), Fault> {
        if size > self.remaining() {
            return Err(Fault::Truncated);
        }
        if let Inner::File(file) = &mut self.inner {
            // Unlike `seek`, this keeps what is buffered.
            file.seek_relative(i64::try_from(size).map_err(|_| Fault::Truncated)?)?;
        }
        self.pos += size;
        Ok(())
    }

    pub(super) fn seek(&mut self, pos: u64) -> Result<(), Fault> {
        if let Inner::File(file) = &mut self.inner {
            file.seek(SeekFrom::Start(pos))?;
        }
        self.pos = pos;
        Ok(())
    }

    /// What is buffered, or more from the file; empty at its end. To be followed by [`Media::consume`].
    pub(super) fn fill_buf(&mut self) -> Result<&[u8], Fault> {
        match &mut self.inner {
            Inner::File(file) => Ok(file.fill_buf()?),
            Inner::Bytes(data) => Ok(data.get(self.pos as usize..).unwrap_or_default()),
        }
    }

    pub(super) fn consume(&mut self, size: usize) {
        if let Inner::File(file) = &mut self.inner {
            file.consume(size);
        }
        self.pos += size as u64;
    }

    fn remaining(&self) -> u64 {
        self.len.saturating_sub(self.pos)
    }
}
