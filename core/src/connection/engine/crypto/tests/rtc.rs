//! What reaches the owner of an `Rtc`: a sender built by us, against an ICE-lite server.

use std::net::SocketAddr;
use std::sync::Arc;

use str0m::config::Fingerprint;
use str0m::crypto::CryptoProvider;
use str0m::net::{Protocol, Receive, Transmit};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig, RtcError};

use super::super::{DtlsBackend, build};
use super::*;

struct Side {
    rtc: Rtc,
    deadline: Instant,
    outbox: Vec<Transmit>,
    connected: bool,
    error: Option<RtcError>,
}

impl Side {
    fn new(rtc: Rtc, now: Instant) -> Side {
        Side { rtc, deadline: now, outbox: Vec::new(), connected: false, error: None }
    }

    fn input(&mut self, input: Input<'_>) {
        if let Err(error) = self.rtc.handle_input(input) {
            self.error.get_or_insert(error);
        }
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => break self.deadline = at,
                Ok(Output::Transmit(transmit)) => self.outbox.push(transmit),
                Ok(Output::Event(event)) => self.connected |= matches!(event, Event::Connected),
                Err(error) => {
                    self.error.get_or_insert(error);
                    break;
                }
            }
        }
    }
}

/// What a sender hears when it connects to such a server, and how long after the start.
fn connect(backend: DtlsBackend, active: bool, server: RtcConfig, signalled: Option<Fingerprint>) -> Outcome {
    let start = some_time();
    let (sender_at, server_at): (SocketAddr, SocketAddr) =
        ("10.0.0.1:40000".parse().unwrap(), "10.0.0.2:50000".parse().unwrap());

    let (mut sender, watch) = build(Rtc::builder(), backend, start);
    let mut server = server.set_ice_lite(true).build(start);
    for (rtc, local, remote) in [(&mut sender, sender_at, server_at), (&mut server, server_at, sender_at)] {
        rtc.add_local_candidate(Candidate::host(local, Protocol::Udp).unwrap());
        rtc.add_remote_candidate(Candidate::host(remote, Protocol::Udp).unwrap());
    }
    let (ours, theirs) = (credentials(&mut sender), credentials(&mut server));
    for (rtc, (ice, fingerprint), controlling) in
        [(&mut sender, (theirs.0, signalled.unwrap_or(theirs.1)), true), (&mut server, ours, false)]
    {
        let mut api = rtc.direct_api();
        api.set_ice_controlling(controlling);
        api.set_remote_ice_credentials(ice);
        api.set_remote_fingerprint(fingerprint);
        api.start_dtls(controlling == active).unwrap();
    }

    let (mut sender, mut server) = (Side::new(sender, start), Side::new(server, start));
    let mut now = start;
    while !(sender.connected && server.connected) && sender.error.is_none() && now < start + PATIENCE {
        sender.input(Input::Timeout(now));
        server.input(Input::Timeout(now));
        for _ in 0..100 {
            for transmit in std::mem::take(&mut sender.outbox) {
                server.input(Input::Receive(now, Receive::try_from(&transmit).unwrap()));
            }
            for transmit in std::mem::take(&mut server.outbox) {
                sender.input(Input::Receive(now, Receive::try_from(&transmit).unwrap()));
            }
        }
        // str0m may want to be called again at the same time.
        now = sender.deadline.min(server.deadline).max(now + Duration::from_millis(1));
    }
    Outcome {
        connected: sender.connected && server.connected,
        failure: sender.error.as_ref().and_then(|error| watch.explain(error)),
        error: sender.error.map(|error| error.to_string()),
        took: now - start,
    }
}

#[derive(Debug)]
struct Outcome {
    connected: bool,
    failure: Option<DtlsFailure>,
    error: Option<String>,
    took: Duration,
}

impl Outcome {
    #[track_caller]
    fn assert_connected(&self) {
        assert_eq!(self.error, None);
        // Half a second of it is ICE's.
        assert!(self.connected && self.took < Duration::from_secs(1), "{self:?}");
    }
}

fn credentials(rtc: &mut Rtc) -> (str0m::IceCreds, Fingerprint) {
    let api = rtc.direct_api();
    (api.local_ice_credentials(), api.local_dtls_fingerprint().clone())
}

fn some_fingerprint() -> Fingerprint {
    Fingerprint { hash_func: "sha-256".into(), bytes: vec![7; 32] }
}

fn server_over(dtls_provider: &'static dyn DtlsProvider) -> RtcConfig {
    Rtc::builder().set_crypto_provider(Arc::new(CryptoProvider { dtls_provider, ..stock() }))
}

const BACKENDS: &[DtlsBackend] = &[
    DtlsBackend::Modern,
    #[cfg(feature = "legacy-dtls")]
    DtlsBackend::Legacy,
];

#[test]
fn our_parts_connect_to_a_server_with_an_ecdsa_certificate_in_both_roles() {
    for active in [true, false] {
        for &backend in BACKENDS {
            let outcome = connect(backend, active, server_over(stock().dtls_provider), None);
            outcome.assert_connected();
        }
    }
}

#[test]
fn certificate_other_than_the_signalled_one_is_a_fingerprint_mismatch() {
    for &backend in BACKENDS {
        for active in [true, false] {
            let server = server_over(stock().dtls_provider);
            let outcome = connect(backend, active, server, Some(some_fingerprint()));
            assert_eq!(outcome.failure, Some(DtlsFailure::FingerprintMismatch), "{outcome:?}");
        }
    }
}

#[test]
fn error_that_is_not_of_dtls_is_not_explained() {
    assert_eq!(DtlsWatch::default().explain(&RtcError::NoSenderSource), None);
}

#[cfg(feature = "legacy-dtls")]
mod stock_server {
    use super::super::legacy::{SERVER, rsa_1024_sha1};
    use super::*;
    use crate::v2::RoomConfig;

    #[test]
    fn modern_dtls_tells_its_owner_at_once() {
        for active in [true, false] {
            let outcome =
                connect(DtlsBackend::Modern, active, server_over(&SERVER).set_dtls_cert(rsa_1024_sha1()), None);
            let Some(failure @ DtlsFailure::WeakCertificate { .. }) = &outcome.failure else {
                panic!("{outcome:?}");
            };
            assert!(failure.to_string().contains("ECDSA P-256"), "{failure}");
            assert!(outcome.took < Duration::from_secs(1), "by the answer, not by a timeout: {outcome:?}");
        }
    }

    /// Whoever else in the dependency graph switches the feature on.
    #[test]
    fn the_feature_alone_changes_nothing_and_the_error_names_the_call() {
        let backend = RoomConfig::default().dtls_backend;
        for active in [true, false] {
            let outcome = connect(backend, active, server_over(&SERVER).set_dtls_cert(rsa_1024_sha1()), None);
            let Some(failure @ DtlsFailure::WeakCertificate { .. }) = &outcome.failure else {
                panic!("{outcome:?}");
            };
            assert!(failure.to_string().contains("RoomConfig::dtls_backend(DtlsBackend::Legacy)"), "{failure}");
        }
    }

    #[test]
    fn legacy_dtls_connects_in_both_roles() {
        for active in [true, false] {
            let outcome =
                connect(DtlsBackend::Legacy, active, server_over(&SERVER).set_dtls_cert(rsa_1024_sha1()), None);
            outcome.assert_connected();
        }
    }
}
