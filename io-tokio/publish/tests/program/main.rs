//! The program as its users run it: the built binary, its output, its exit status.

mod bundled;
mod demo;
mod errors;
mod files;
mod harness;
mod load;
mod manners;
mod pipes;
mod reconnect;
mod recording;
mod rooms;
mod rtp;
mod v3;
