//! Handshakes between two DTLS instances, back to back, on a virtual clock and over a link that loses what it is told.

#[cfg(feature = "legacy-dtls")]
mod legacy;
mod modern;
mod rtc;
#[cfg(all(feature = "sim", feature = "record"))]
pub(super) mod secrets;

use std::time::{Duration, Instant};

use str0m::crypto::dtls::{DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, DtlsVersion, SrtpProfile};

use super::watch::WatchedDtls;
use super::{DtlsFailure, DtlsWatch, stock};

const MTU: usize = 1150;

/// The time of an instance that has nothing to do is further away than this.
const PATIENCE: Duration = Duration::from_secs(300);

#[expect(clippy::disallowed_methods, reason = "a virtual clock has to start somewhere")]
fn some_time() -> Instant {
    Instant::now()
}

fn ecdsa() -> DtlsCert {
    stock().dtls_provider.generate_certificate().unwrap()
}

/// One side of a link, and all its DTLS has said.
struct End {
    dtls: Box<dyn DtlsInstance>,
    watch: DtlsWatch,
    deadline: Instant,
    outbox: Vec<Vec<u8>>,
    /// Datagrams put on the link.
    sent: usize,
    peer_cert: Option<Vec<u8>>,
    keys: Option<(Vec<u8>, SrtpProfile)>,
    connected: bool,
    close_notify: bool,
    data: Vec<Vec<u8>>,
    error: Option<DtlsImplError>,
}

impl End {
    fn new(provider: &dyn DtlsProvider, cert: &DtlsCert, active: bool, now: Instant) -> End {
        End::with_mtu(provider, cert, active, now, MTU)
    }

    /// Started as str0m starts it.
    fn with_mtu(provider: &dyn DtlsProvider, cert: &DtlsCert, active: bool, now: Instant, mtu: usize) -> End {
        let (dtls, watch) = DtlsWatch::over(|| provider.new_dtls(cert, now, DtlsVersion::Dtls12, Some(mtu)).unwrap());
        let mut end = End {
            dtls,
            watch,
            deadline: now,
            outbox: Vec::new(),
            sent: 0,
            peer_cert: None,
            keys: None,
            connected: false,
            close_notify: false,
            data: Vec::new(),
            error: None,
        };
        end.dtls.set_active(active);
        let started = end.dtls.handle_timeout(now);
        end.note(started);
        if active {
            let _ = end.dtls.handle_packet(&[]);
        }
        end.drain();
        end
    }

    /// What has failed hears no more: str0m's owner drops it.
    fn receive(&mut self, datagram: &[u8]) {
        if self.error.is_some() {
            return;
        }
        let result = self.dtls.handle_packet(datagram);
        self.note(result);
        self.drain();
    }

    fn tick(&mut self, now: Instant) {
        if self.next() <= now {
            let result = self.dtls.handle_timeout(now);
            self.note(result);
            self.drain();
        }
    }

    fn drain(&mut self) {
        let mut buf = [0; 2000];
        loop {
            match self.dtls.poll_output(&mut buf) {
                DtlsOutput::Packet(datagram) => self.outbox.push(datagram.to_vec()),
                DtlsOutput::PeerCert(der) => self.peer_cert = Some(der.to_vec()),
                DtlsOutput::KeyingMaterial(keys, profile) => {
                    assert!(self.peer_cert.is_some(), "keys before the certificate is known");
                    self.keys = Some((keys.as_ref().to_vec(), profile));
                }
                DtlsOutput::Connected => self.connected = true,
                DtlsOutput::ApplicationData(data) => self.data.push(data.to_vec()),
                DtlsOutput::CloseNotify => self.close_notify = true,
                DtlsOutput::Timeout(at) => {
                    self.deadline = at;
                    return;
                }
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    fn note(&mut self, result: Result<(), DtlsImplError>) {
        if let Err(error) = result {
            self.error.get_or_insert(error);
        }
    }

    /// str0m asks nothing more of an instance that has failed.
    fn next(&self) -> Instant {
        self.deadline + if self.error.is_some() { 2 * PATIENCE } else { Duration::ZERO }
    }

    fn settled(&self) -> bool {
        self.connected || self.error.is_some()
    }

    fn failure(&self) -> Option<DtlsFailure> {
        self.watch.failure().cloned()
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum From {
    Client,
    Server,
}

/// A client and a server, and the time.
struct Link {
    start: Instant,
    now: Instant,
    client: End,
    server: End,
}

impl Link {
    fn new(client: (&dyn DtlsProvider, &DtlsCert), server: (&dyn DtlsProvider, &DtlsCert)) -> Link {
        let now = some_time();
        Link {
            start: now,
            now,
            client: End::new(client.0, client.1, true, now),
            server: End::new(server.0, server.1, false, now),
        }
    }

    /// Delivers what is under way, and what comes of it. `lose` is asked for each datagram, counted from 0 each way.
    fn exchange(&mut self, lose: &mut dyn FnMut(From, usize) -> bool) {
        for _ in 0..1000 {
            if self.client.outbox.is_empty() && self.server.outbox.is_empty() {
                return;
            }
            for datagram in std::mem::take(&mut self.client.outbox) {
                self.client.sent += 1;
                if !lose(From::Client, self.client.sent - 1) {
                    self.server.receive(&datagram);
                }
            }
            for datagram in std::mem::take(&mut self.server.outbox) {
                self.server.sent += 1;
                if !lose(From::Server, self.server.sent - 1) {
                    self.client.receive(&datagram);
                }
            }
        }
        panic!("the two never stop talking");
    }

    /// Until both are connected or have failed, or until neither has anything left to do.
    fn run(mut self, mut lose: impl FnMut(From, usize) -> bool) -> Link {
        for _ in 0..1000 {
            self.exchange(&mut lose);
            let next = self.client.next().min(self.server.next()).max(self.now);
            if (self.client.settled() && self.server.settled()) || next > self.start + PATIENCE {
                return self;
            }
            self.now = next;
            self.client.tick(next);
            self.server.tick(next);
        }
        panic!("the clock stands still: {:?} {:?}", self.client.dtls, self.server.dtls);
    }

    fn reliable(self) -> Link {
        self.run(|_, _| false)
    }

    fn took(&self) -> Duration {
        self.now - self.start
    }

    #[track_caller]
    fn assert_connected(&self, client_cert: &DtlsCert, server_cert: &DtlsCert) {
        assert_eq!((&self.client.error, &self.server.error), (&None, &None));
        assert!(self.client.connected && self.server.connected, "after {:?}", self.took());
        assert_eq!(self.client.peer_cert.as_ref(), Some(&server_cert.certificate));
        assert_eq!(self.server.peer_cert.as_ref(), Some(&client_cert.certificate));
        assert!(self.client.keys.is_some());
        assert_eq!(self.client.keys, self.server.keys);
    }
}
