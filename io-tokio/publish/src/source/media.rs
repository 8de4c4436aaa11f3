use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::PathBuf,
};

use bytes::Bytes;

use super::{
    MAX_FRAME,
    error::{Fault, SourceError},
    pipe::Pipe,
};

/// Where media comes from: a file on disk, a pipe, or bytes built into the program.
#[derive(Debug, Clone)]
pub enum Input {
    /// A file, read as it is played; or a named pipe.
    File(PathBuf),
    /// Standard input.
    Stdin,
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
            Self::Stdin => "standard input".to_owned(),
            Self::Bytes { name, .. } => name.clone(),
        }
    }

    /// Whether it is a pipe: it comes as fast as somebody writes it, and once.
    pub fn is_pipe(&self) -> bool {
        match self {
            Self::File(path) => std::fs::metadata(path).is_ok_and(|data| is_pipe(&data)),
            Self::Stdin => true,
            Self::Bytes { .. } => false,
        }
    }

    pub(super) fn open(&self) -> Result<Media, SourceError> {
        let media = match self {
            Self::File(path) => open_file(path).map_err(|source| match source.kind() {
                io::ErrorKind::NotFound => SourceError::Missing { file: self.name() },
                _ => SourceError::Unreadable { file: self.name(), source },
            })?,
            Self::Stdin => Some(Media::of_pipe(io::stdin())),
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

/// `None`: neither a regular file nor a pipe. A pipe is opened when somebody writes to it.
fn open_file(path: &PathBuf) -> io::Result<Option<Media>> {
    let data = std::fs::metadata(path)?;
    if is_pipe(&data) {
        return Ok(Some(Media::of_pipe(File::open(path)?)));
    }
    if !data.is_file() {
        return Ok(None);
    }
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    Ok(Some(Media { len, pos: 0, inner: Inner::File(BufReader::with_capacity(64 << 10, file)) }))
}

#[cfg(unix)]
fn is_pipe(data: &std::fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&data.file_type())
}

#[cfg(not(unix))]
fn is_pipe(_: &std::fs::Metadata) -> bool {
    false
}

/// A file being read. Knows its length, so that no reader allocates for bytes that are not there; of a pipe it is the largest
/// there is.
pub(super) struct Media {
    inner: Inner,
    pos: u64,
    len: u64,
}

enum Inner {
    File(BufReader<File>),
    Bytes(Bytes),
    Pipe(Pipe),
}

impl Media {
    fn of_pipe(from: impl Read + Send + 'static) -> Self {
        Self { inner: Inner::Pipe(Pipe::new(from)), pos: 0, len: u64::MAX }
    }

    /// Whether it comes through a pipe: then its end is not known before it is there, and one cannot go far back.
    pub(super) fn is_pipe(&self) -> bool {
        match self.inner {
            Inner::Pipe(_) => true,
            Inner::File(_) | Inner::Bytes(_) => false,
        }
    }

    pub(super) fn pos(&self) -> u64 {
        self.pos
    }

    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Of a pipe that is not known before something comes or it is closed. If it fails, who reads on is told.
    pub(super) fn at_end(&mut self) -> bool {
        match &mut self.inner {
            Inner::Pipe(pipe) => pipe.at(self.pos, 1).is_ok_and(<[u8]>::is_empty),
            Inner::File(_) | Inner::Bytes(_) => self.pos >= self.len,
        }
    }

    /// The next bytes, without taking them; fewer only where the file ends.
    pub(super) fn peek(&mut self, up_to: usize) -> Result<Vec<u8>, Fault> {
        if let Inner::Pipe(pipe) = &mut self.inner {
            return Ok(pipe.at(self.pos, up_to)?.to_vec());
        }
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
            Inner::Pipe(pipe) => {
                let data = pipe.at(self.pos, into.len())?;
                if data.len() < into.len() {
                    return Err(Fault::Truncated);
                }
                into.copy_from_slice(data);
            }
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
            Inner::Pipe(pipe) => pipe.some_at(self.pos),
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
