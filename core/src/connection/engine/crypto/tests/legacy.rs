//! OpenSSL's DTLS against itself, against str0m's, and both against a server with the stock certificate.

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::rsa::Rsa;
use openssl::x509::{X509, X509NameBuilder};

use super::super::CertificateRefusal;
use super::super::legacy_dtls::{LEGACY, LegacyDtls};
use super::*;

/// Stands for a mediasoup v2 server: OpenSSL, which at this level lets it use a certificate as weak as its stock one.
pub(super) static SERVER: LegacyDtls = LegacyDtls { security_level: 0 };

/// As a stock mediasoup v2 makes one for itself: RSA-1024, signed with SHA-1.
pub(super) fn rsa_1024_sha1() -> DtlsCert {
    rsa(1024, MessageDigest::sha1())
}

fn rsa(bits: u32, digest: MessageDigest) -> DtlsCert {
    let key = PKey::from_rsa(Rsa::generate(bits).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "mediasoup").unwrap();
    let name = name.build();
    let mut cert = X509::builder().unwrap();
    cert.set_version(2).unwrap();
    cert.set_serial_number(&BigNum::from_u32(7).unwrap().to_asn1_integer().unwrap()).unwrap();
    cert.set_subject_name(&name).unwrap();
    cert.set_issuer_name(&name).unwrap();
    cert.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
    cert.set_not_after(&Asn1Time::days_from_now(365).unwrap()).unwrap();
    cert.set_pubkey(&key).unwrap();
    cert.sign(&key, digest).unwrap();
    DtlsCert { certificate: cert.build().to_der().unwrap(), private_key: key.private_key_to_der().unwrap() }
}

fn weak(refusal: CertificateRefusal) -> Option<DtlsFailure> {
    Some(DtlsFailure::WeakCertificate { refusal })
}

#[test]
fn modern_client_refuses_a_stock_server_at_once() {
    let link = Link::new((&WatchedDtls, &ecdsa()), (&SERVER, &rsa_1024_sha1())).reliable();
    assert_eq!(link.client.failure(), weak(CertificateRefusal::NoCommonCipher));
    assert!(link.client.error.is_some(), "told as an error, not only noted");
    assert_eq!(link.took(), Duration::ZERO);
}

#[test]
fn modern_server_refuses_a_stock_server_that_is_the_client_at_once() {
    let link = Link::new((&SERVER, &rsa_1024_sha1()), (&WatchedDtls, &ecdsa())).reliable();
    assert_eq!(link.server.failure(), weak(CertificateRefusal::NotShown));
    assert!(link.server.error.is_some(), "told as an error, not only noted");
    assert_eq!(link.took(), Duration::ZERO);
}

#[test]
fn legacy_client_takes_a_stock_server() {
    let (client, server) = (ecdsa(), rsa_1024_sha1());
    let link = Link::new((&LEGACY, &client), (&SERVER, &server)).reliable();
    link.assert_connected(&client, &server);
    assert_eq!(link.took(), Duration::ZERO);
}

#[test]
fn legacy_server_takes_a_stock_server_that_is_the_client() {
    let (client, server) = (rsa_1024_sha1(), ecdsa());
    Link::new((&SERVER, &client), (&LEGACY, &server)).reliable().assert_connected(&client, &server);
}

#[test]
fn legacy_and_modern_connect_in_both_roles() {
    let (client, server) = (ecdsa(), ecdsa());
    let pairs: [(&dyn DtlsProvider, &dyn DtlsProvider); 2] = [(&LEGACY, &WatchedDtls), (&WatchedDtls, &LEGACY)];
    for (a, b) in pairs {
        let link = Link::new((a, &client), (b, &server)).reliable();
        link.assert_connected(&client, &server);
        assert_eq!(link.took(), Duration::ZERO);
    }
}

type Side<'a> = (&'a dyn DtlsProvider, &'a DtlsCert);

/// Loses the n-th datagram of either side, and the first n of both.
#[test]
fn lost_datagrams_are_sent_again() {
    let (cert, weak) = (ecdsa(), rsa_1024_sha1());
    let ends: [(&str, Side<'_>, Side<'_>); 4] = [
        ("legacy client, modern server", (&LEGACY, &cert), (&WatchedDtls, &cert)),
        ("modern client, legacy server", (&WatchedDtls, &cert), (&LEGACY, &cert)),
        ("legacy client, stock server", (&LEGACY, &cert), (&SERVER, &weak)),
        ("stock client, legacy server", (&SERVER, &weak), (&LEGACY, &cert)),
    ];
    for (name, client, server) in ends {
        let openssl_at_both = !name.contains("modern");
        for (from, lost) in [(From::Client, 0), (From::Client, 1), (From::Server, 0), (From::Server, 1)] {
            if openssl_at_both && (from, lost) == LAST_FLIGHT {
                continue;
            }
            let link = Link::new(client, server).run(|side, index| (side, index) == (from, lost));
            link.assert_connected(client.1, server.1);
            assert!(link.took() <= Duration::from_secs(2), "{name}: {from:?} {lost}: {:?}", link.took());
        }
        // str0m's own DTLS gives up after four resends.
        for first in 1..=3 {
            let link = Link::new(client, server).run(|_, index| index < first);
            link.assert_connected(client.1, server.1);
        }
    }
}

/// Of a server, when nothing else was lost: a handshake takes two datagrams each way.
const LAST_FLIGHT: (From, usize) = (From::Server, 1);

/// The one case that hangs on OpenSSL's own timer, and so the one test that has to wait for the wall clock.
#[test]
fn lost_last_flight_of_an_openssl_server_is_sent_again_after_a_second_of_wall_clock() {
    let (client, server) = (ecdsa(), rsa_1024_sha1());
    let mut link = Link::new((&LEGACY, &client), (&SERVER, &server));
    link.exchange(&mut |side, index| (side, index) == LAST_FLIGHT);
    assert!(link.server.connected && !link.client.connected);
    // The timer of the flight is set when the time is told.
    link.client.tick(link.now);

    std::thread::sleep(Duration::from_millis(1050));
    link.now += Duration::from_millis(1050);
    link.client.tick(link.now);
    link.exchange(&mut |_, _| false);
    link.assert_connected(&client, &server);
}

#[test]
fn handshake_without_an_answer_is_a_timeout() {
    let cert = ecdsa();
    let link = Link::new((&LEGACY, &cert), (&WatchedDtls, &cert)).run(|_, _| true);
    assert_eq!(link.client.failure(), Some(DtlsFailure::Timeout));
    assert_eq!(link.took(), Duration::from_secs(40));
    assert_eq!(link.client.sent, 6, "after 0, 1, 3, 7, 15 and 31 seconds");
}

#[test]
fn close_notify_is_sent_and_answered_by_either_side() {
    let cert = ecdsa();
    let ends: [(&dyn DtlsProvider, &dyn DtlsProvider); 3] =
        [(&LEGACY, &WatchedDtls), (&WatchedDtls, &LEGACY), (&LEGACY, &LEGACY)];
    for (client, server) in ends {
        for closer in [From::Client, From::Server] {
            let mut link = Link::new((client, &cert), (server, &cert)).reliable();
            let (near, far) = match closer {
                From::Client => (&mut link.client, &mut link.server),
                From::Server => (&mut link.server, &mut link.client),
            };
            near.dtls.close().unwrap();
            assert!(near.dtls.is_closing() && !near.dtls.is_closed(), "the alert is not polled yet");
            near.drain();
            assert!(near.dtls.is_closed());
            let alert = near.outbox.pop().unwrap();
            assert!(near.outbox.is_empty());

            far.receive(&alert);
            assert!(far.close_notify);
            far.dtls.close().unwrap();
            far.drain();
            assert!(far.dtls.is_closed());
            assert_eq!((near.failure(), far.failure()), (None, None));

            link.exchange(&mut |_, _| false);
            assert!(link.client.error.is_none() && link.server.error.is_none());
        }
    }
}

#[test]
fn closed_before_the_handshake_ends_says_nothing() {
    let mut client = End::new(&LEGACY, &ecdsa(), true, some_time());
    client.outbox.clear();
    client.dtls.close().unwrap();
    client.drain();
    assert!(client.dtls.is_closed() && client.outbox.is_empty());
    client.receive(&[22; 100]);
    assert!(client.error.is_none());
    assert_eq!(client.dtls.send_application_data(b"x"), Err(DtlsImplError::ConnectionClosed));
}

#[test]
fn application_data_keeps_its_boundaries() {
    let cert = ecdsa();
    let mut link = Link::new((&LEGACY, &cert), (&WatchedDtls, &cert));
    assert_eq!(link.client.dtls.send_application_data(b"too early"), Ok(0));
    link = link.reliable();
    for _ in 0..2 {
        assert_eq!(link.client.dtls.send_application_data(b"from the client"), Ok(15));
        assert_eq!(link.server.dtls.send_application_data(b"from the server"), Ok(15));
    }
    link.client.drain();
    link.server.drain();
    link.exchange(&mut |_, _| false);
    assert_eq!(link.server.data, [b"from the client"; 2]);
    assert_eq!(link.client.data, [b"from the server"; 2]);
}

#[test]
fn received_data_that_nobody_polls_is_bounded() {
    let cert = ecdsa();
    let mut link = Link::new((&LEGACY, &cert), (&LEGACY, &cert)).reliable();
    for _ in 0..1000 {
        link.client.dtls.send_application_data(b"flood").unwrap();
        link.client.drain();
    }
    for datagram in std::mem::take(&mut link.client.outbox) {
        link.server.dtls.handle_packet(&datagram).unwrap();
    }
    link.server.drain();
    assert_eq!(link.server.data.len(), 64);
}

#[test]
fn no_datagram_of_a_handshake_exceeds_the_mtu() {
    // Larger than a datagram.
    let client = rsa(2048, MessageDigest::sha256());
    assert!(client.certificate.len() > 576);
    let server = client.clone();
    let now = some_time();
    let mut link = Link {
        start: now,
        now,
        client: End::with_mtu(&LEGACY, &client, true, now, 576),
        server: End::with_mtu(&LEGACY, &server, false, now, 576),
    };
    for _ in 0..10 {
        for end in [&link.client, &link.server] {
            assert!(end.outbox.iter().all(|datagram| datagram.len() <= 576));
        }
        let (from_client, from_server) =
            (std::mem::take(&mut link.client.outbox), std::mem::take(&mut link.server.outbox));
        from_client.iter().for_each(|datagram| link.server.receive(datagram));
        from_server.iter().for_each(|datagram| link.client.receive(datagram));
    }
    link.assert_connected(&client, &server);
}

#[test]
fn buffer_too_small_for_the_certificate_lets_nothing_pass_it() {
    let (client, server) = (ecdsa(), rsa_1024_sha1());
    let mut link = Link::new((&LEGACY, &client), (&SERVER, &server));
    for _ in 0..2 {
        for datagram in std::mem::take(&mut link.client.outbox) {
            link.server.receive(&datagram);
        }
        for datagram in std::mem::take(&mut link.server.outbox) {
            link.client.dtls.handle_packet(&datagram).unwrap();
        }
        let mut buf = [0; 2000];
        while link.client.outbox.is_empty() && link.client.dtls.protocol_version().is_none() {
            if let DtlsOutput::Packet(datagram) = link.client.dtls.poll_output(&mut buf) {
                link.client.outbox.push(datagram.to_vec());
            }
        }
    }
    let needed = server.certificate.len();
    for _ in 0..3 {
        match link.client.dtls.poll_output(&mut [0; 100]) {
            DtlsOutput::BufferTooSmall { needed: said } => assert_eq!(said, needed),
            other => panic!("{other:?}"),
        }
    }
    link.client.drain();
    assert_eq!(link.client.peer_cert, Some(server.certificate));
    assert!(link.client.connected);
}

#[test]
fn garbage_does_not_end_a_handshake_or_a_connection() {
    let (client, server) = (ecdsa(), rsa_1024_sha1());
    let mut link = Link::new((&LEGACY, &client), (&SERVER, &server));
    let hello = link.client.outbox[0].clone();
    let garbage = |link: &mut Link| {
        for cut in 1..hello.len() {
            link.client.receive(&hello[..cut]);
            link.server.receive(&vec![22; cut]);
            link.client.receive(&vec![23; cut]);
        }
    };
    garbage(&mut link);
    let mut link = link.reliable();
    link.assert_connected(&client, &server);
    garbage(&mut link);
    assert!(link.client.error.is_none() && link.server.error.is_none());
}

#[test]
fn unusable_key_fails_the_handshake_not_the_process() {
    let broken = DtlsCert { private_key: vec![1, 2, 3], ..ecdsa() };
    let mut client = End::new(&LEGACY, &broken, true, some_time());
    assert!(client.error.is_some());
    assert!(matches!(client.failure(), Some(DtlsFailure::Handshake(_))), "{:?}", client.failure());
    client.receive(b"anything");
    assert_eq!(client.dtls.handle_timeout(some_time()), Ok(()), "said once");
    client.dtls.close().unwrap();
    assert!(client.dtls.is_closed());
}

#[test]
fn alert_of_the_server_is_named() {
    let mut client = End::new(&LEGACY, &ecdsa(), true, some_time());
    client.receive(&[21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 2, 40]);
    let failure = client.failure().unwrap();
    assert_eq!(failure, DtlsFailure::Alert { description: 40 });
    assert!(failure.to_string().contains("handshake_failure (40)"), "{failure}");
    assert_eq!(
        client.error.unwrap().to_string(),
        DtlsImplError::SecurityError(dimpl::SecurityError::FatalAlert { description: 40 }).to_string()
    );
}

#[test]
fn peer_without_a_certificate_is_refused_at_once() {
    let server = forged_client(&LEGACY, None);
    let Some(DtlsFailure::Handshake(reason)) = server.failure() else {
        panic!("{:?}", server.failure());
    };
    assert!(reason.contains("certificate"), "{reason}");
    assert!(server.peer_cert.is_none() && !server.connected);
    assert!(!server.outbox.is_empty(), "the peer is told by an alert");
}

/// OpenSSL 1.1.0, which a stock mediasoup brings along, may show its RSA certificate even to a server that asks for
/// ECDSA, and sign with SHA-1. Later ones, like the one of these tests, do not, so that flight is forged.
#[test]
fn modern_server_refuses_an_rsa_certificate_shown_all_the_same() {
    let server = forged_client(&WatchedDtls, Some(rsa_1024_sha1().certificate));
    assert_eq!(server.failure(), weak(CertificateRefusal::NotEcdsa));
    assert!(server.error.is_some() && !server.connected);
}

/// A server after a client flight with `certificate` (or none) and, if there is one, a signature by RSA over SHA-1.
fn forged_client(server: &dyn DtlsProvider, certificate: Option<Vec<u8>>) -> End {
    const CERTIFICATE: u8 = 11;
    const CERTIFICATE_VERIFY: u8 = 15;
    const CLIENT_KEY_EXCHANGE: u8 = 16;

    let now = some_time();
    let mut client = End::new(&SERVER, &rsa_1024_sha1(), true, now);
    let mut server = End::new(server, &ecdsa(), false, now);
    server.receive(&client.outbox.remove(0));
    std::mem::take(&mut server.outbox).iter().for_each(|datagram| client.receive(datagram));
    let flight: Vec<_> = client.outbox.iter().flat_map(|datagram| messages(datagram)).collect();
    let body_of = |kind| flight.iter().find(|message| message.0 == kind).unwrap();

    let (_, seq, _) = body_of(CERTIFICATE);
    let list = certificate.as_ref().map_or(Vec::new(), |der| [&be24(der.len()), &der[..]].concat());
    server.receive(&datagram(CERTIFICATE, *seq, &[&be24(list.len()), &list[..]].concat()));
    let (_, seq, key) = body_of(CLIENT_KEY_EXCHANGE);
    server.receive(&datagram(CLIENT_KEY_EXCHANGE, *seq, key));
    if certificate.is_some() {
        let rsa_with_sha1 = [&[2, 1, 0, 128], &[7; 128][..]].concat();
        server.receive(&datagram(CERTIFICATE_VERIFY, *seq + 1, &rsa_with_sha1));
    }
    server
}

fn be24(value: usize) -> [u8; 3] {
    let [.., a, b, c] = value.to_be_bytes();
    [a, b, c]
}

/// One handshake message in one record.
fn datagram(kind: u8, seq: u16, body: &[u8]) -> Vec<u8> {
    let record_len = u16::try_from(body.len() + 12).unwrap().to_be_bytes();
    let record = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 1, 0, u8::try_from(seq).unwrap(), record_len[0], record_len[1]];
    let [len, none] = [be24(body.len()), be24(0)];
    [&record[..], &[kind], &len, &seq.to_be_bytes(), &none, &len, body].concat()
}

/// The unencrypted, unfragmented handshake messages of a datagram: kind, number, body.
fn messages(mut datagram: &[u8]) -> Vec<(u8, u16, Vec<u8>)> {
    let mut found = Vec::new();
    while !datagram.is_empty() {
        let len = usize::from(u16::from_be_bytes([datagram[11], datagram[12]]));
        let (record, rest) = datagram.split_at(13 + len);
        if record[0] == 22 && record[3..5] == [0, 0] {
            found.push((record[13], u16::from_be_bytes([record[17], record[18]]), record[25..].to_vec()));
        }
        datagram = rest;
    }
    found
}
