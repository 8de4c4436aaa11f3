//! Why a load did not run.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::embedded::StartError;
use crate::run::RunError;
use crate::source::SourceError;

/// Why a load did not run, or reports could not be merged: one line each, what is wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// What is to be published, and signals.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A file.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The embedded rooms.
    #[error(transparent)]
    Embedded(#[from] StartError),
    /// It comes once, and peers play it over and over.
    #[error("a load plays what it reads over and over, and a pipe comes once; name a file")]
    Pipe,
    /// All peers would be in one room.
    #[error("--rooms {rooms}: the URL leads to one room; name it by {{room}}, for example ?roomId=load-{{room}}")]
    OneRoom {
        /// How many there are to be.
        rooms: u32,
    },
    /// All peers would have one name.
    #[error("the URL has one {key} for all peers; leave it out, or give {key}={{peer}}")]
    OnePeer {
        /// What the dialect calls it.
        key: &'static str,
    },
    /// Prometheus's address.
    #[error("metrics cannot be served at {address}: {source}; choose another address with --metrics")]
    Metrics {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        source: io::Error,
    },
    /// The report cannot be written.
    #[error("cannot write the report {}: {source}; name a file in a folder that can be written to", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// A report cannot be read.
    #[error("cannot read the report {}: {source}; check the path", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// It is none.
    #[error("{} is no report of a load: {reason}; name files that --report has written", path.display())]
    NoReport {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}
