//! str0m's own DTLS under the watch.

use super::*;

/// A `Certificate` message that says it has `len` bytes, in a datagram of its own.
fn certificate_of(len: u32) -> Vec<u8> {
    let mut datagram = vec![22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 16];
    datagram.push(11);
    datagram.extend_from_slice(&len.to_be_bytes()[1..]);
    datagram.extend_from_slice(&[0, 1, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0]);
    datagram
}

#[test]
fn watched_dtls_still_connects() {
    let (client, server) = (ecdsa(), ecdsa());
    let link = Link::new((&WatchedDtls, &client), (&WatchedDtls, &server)).reliable();
    link.assert_connected(&client, &server);
    assert_eq!((link.client.failure(), link.server.failure()), (None, None));
}

#[test]
fn handshake_without_an_answer_is_a_timeout() {
    let cert = ecdsa();
    let link = Link::new((&WatchedDtls, &cert), (&WatchedDtls, &cert)).run(|_, _| true);
    assert_eq!(link.client.failure(), Some(DtlsFailure::Timeout));
    assert!(link.took() < Duration::from_secs(60), "{:?}", link.took());
}

#[test]
fn certificate_too_large_for_str0m_is_an_error_not_a_panic() {
    let mut client = End::new(&WatchedDtls, &ecdsa(), true, some_time());
    client.receive(&certificate_of(2001));
    let Some(DtlsFailure::Handshake(reason)) = client.failure() else {
        panic!("{:?}", client.failure());
    };
    assert!(reason.contains("2001 bytes"), "{reason}");
    assert!(client.error.is_some());
}

#[test]
fn garbage_does_not_end_a_handshake() {
    let (client, server) = (ecdsa(), ecdsa());
    let mut link = Link::new((&WatchedDtls, &client), (&WatchedDtls, &server));
    let hello = link.client.outbox[0].clone();
    for cut in 1..hello.len() {
        link.client.receive(&hello[..cut]);
        link.client.receive(&vec![22; cut]);
    }
    link.reliable().assert_connected(&client, &server);
}
