//! The visitor's side of the room's door: JSON, a line for each message.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::{Value, json};

/// No message is longer.
const LONGEST: usize = 1 << 20;

/// A connection to a room. In your application a WebSocket may stand here, or an HTTP client.
pub(crate) struct Lines<S = TcpStream> {
    stream: S,
    /// What came and is no whole line yet.
    came: Vec<u8>,
}

/// An answer.
pub(crate) struct Reply {
    /// Under which it was asked.
    pub(crate) number: u64,
    /// What the room has done, or its words why it has not.
    pub(crate) result: Result<Value, String>,
}

impl Lines {
    /// Knocks at a room.
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { stream: TcpStream::connect(address)?, came: Vec::new() })
    }

    /// Asks, and waits for the answer. Nothing else may be asked meanwhile.
    pub(crate) fn request(&mut self, what: &str, with: Value) -> Result<Value, Box<dyn Error>> {
        self.stream.set_nonblocking(false)?;
        self.ask(0, what, with)?;
        loop {
            if let Some(Reply { number: 0, result }) = self.hear()? {
                self.stream.set_nonblocking(true)?;
                return Ok(result?);
            }
        }
    }

    /// Which of this machine's addresses leads to the room.
    pub(crate) fn local_address(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// The same connection for an event loop.
    pub(crate) fn map<S>(self, map: impl FnOnce(TcpStream) -> S) -> Lines<S> {
        Lines { stream: map(self.stream), came: self.came }
    }
}

impl<S: Read + Write> Lines<S> {
    /// Asks under a number that the answer will have, too. A room that does not read is an error.
    pub(crate) fn ask(&mut self, number: u64, what: &str, with: Value) -> io::Result<()> {
        let message = json!({ "ask": number, "what": what, "with": with });
        self.stream.write_all(format!("{message}\n").as_bytes())
    }

    /// The next answer; `None` when no more has come.
    pub(crate) fn hear(&mut self) -> Result<Option<Reply>, Box<dyn Error>> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(end) = self.came.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.came.drain(..=end).collect();
                let mut message: Value = serde_json::from_slice(&line)?;
                let number = message["answer"].as_u64().ok_or("a line that is no answer")?;
                let result = match message["error"].as_str() {
                    Some(words) => Err(words.to_owned()),
                    None => Ok(message["ok"].take()),
                };
                return Ok(Some(Reply { number, result }));
            }
            if self.came.len() > LONGEST {
                return Err("a line without an end".into());
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err("the room has closed its door".into()),
                Ok(length) => self.came.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The connection itself, for an event loop.
    pub(crate) fn stream(&mut self) -> &mut S {
        &mut self.stream
    }
}
