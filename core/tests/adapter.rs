//! What lies between a room and its sockets, whatever loop there is.

use bytes::Bytes;
use mediasoup_producer::adapter::segments;

fn lengths(lengths: &[usize]) -> Vec<Bytes> {
    lengths.iter().map(|length| vec![0; *length].into()).collect()
}

#[test]
fn datagrams_of_one_size_and_a_smaller_last_leave_together() {
    for (datagrams, max, together) in [
        (&[1200, 1200, 1200, 300, 1200][..], 64, 4),
        (&[1200, 300, 300], 64, 2),
        (&[300, 1200, 1200], 64, 1),
        (&[1200, 1200, 1200], 2, 2),
        (&[1200, 1200], 1, 1),
        (&[1200], 0, 1),
        (&[1200, 0], 64, 1),
        (&[0, 0], 64, 1),
        (&[40_000, 40_000], 64, 1),
        (&[], 64, 0),
    ] {
        assert_eq!(segments(&lengths(datagrams), max), together, "{datagrams:?} {max}");
    }
    assert_eq!(segments(&lengths(&[1200; 100]), 64), 54, "no more than one datagram could have");
}
