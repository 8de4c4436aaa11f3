//! A page that plays what an embedded room receives, live, in any browser.
//!
//! | request                              | answer                                                              |
//! |--------------------------------------|---------------------------------------------------------------------|
//! | `GET /`                              | the page, complete: it loads nothing from elsewhere                 |
//! | `POST /viewers {sdp}`                | `{viewer, sdp}`: WebRTC, the browser's offer and our answer         |
//! | `POST /viewers/ID/layer {profile}`   | shows that layer from its next key frame on                         |
//! | `POST /viewers/ID/close`             | ends it; so does closing the connection                             |
//! | `POST /producers/pause {peer, producer}`, `/producers/resume` | pauses it from the server's side           |
//! | `GET /events?viewer=ID`              | server-sent events: `history`, then a `sample` four times a second  |

mod answer;
mod descriptor;
mod forward;
mod http;
mod key_frame;
mod samples;
mod viewer;
mod viewers;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;

use self::samples::Samples;
use self::viewers::Viewers;
use crate::embedded::Handle;

/// An open page. It is closed when this is dropped.
#[derive(Debug)]
pub struct Page {
    address: SocketAddr,
    _open: watch::Sender<()>,
}

/// Why the page cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("the page cannot be opened at {address}: {source}; choose another address with --page, or none with --no-page")]
pub struct OpenError {
    address: SocketAddr,
    source: io::Error,
}

impl Page {
    /// Opens the page of a room at `address`; port 0 lets the operating system choose one. Needs a tokio runtime. It is
    /// found under an IP address of this machine, and as `localhost`.
    pub async fn open(address: SocketAddr, room: Handle) -> Result<Self, OpenError> {
        Self::open_as(address, Vec::new(), room).await
    }

    /// The same, found under these host names, too. Under any other it does not answer: another site could make a name of
    /// its own point here, and so read what its visitor's browser may (DNS rebinding).
    pub async fn open_as(address: SocketAddr, names: Vec<String>, room: Handle) -> Result<Self, OpenError> {
        let refused = |source| OpenError { address, source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let (open, closed) = watch::channel(());
        let samples = Samples::take(room.clone(), closed.clone());
        let state =
            http::State { room, names: names.into(), viewers: Viewers::default(), samples: Arc::new(samples), closed };
        tokio::spawn(http::serve(listener, state));
        Ok(Self { address, _open: open })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What to type into a browser on this machine.
    pub fn url(&self) -> String {
        let mut reachable = self.address;
        if reachable.ip().is_unspecified() {
            reachable.set_ip(if reachable.is_ipv4() { [127, 0, 0, 1].into() } else { [0, 0, 0, 0, 0, 0, 0, 1].into() });
        }
        format!("http://{reachable}/")
    }
}
