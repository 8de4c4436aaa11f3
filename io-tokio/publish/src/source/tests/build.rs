//! Small files for what no encoder makes.

/// Frames in a file of [`webm`].
pub(super) const FRAMES: u64 = 3;

/// Whether segment and cluster tell their size, or leave it open as a live recording does.
#[derive(Clone, Copy)]
pub(super) enum Sizes {
    Known,
    Unknown,
}

pub(super) fn element(id: &[u8], body: &[u8]) -> Vec<u8> {
    // 8 bytes: any size fits.
    [id, &(body.len() as u64 | 1 << 56).to_be_bytes(), body].concat()
}

fn open_ended(id: &[u8], body: &[u8], sizes: Sizes) -> Vec<u8> {
    match sizes {
        Sizes::Known => element(id, body),
        Sizes::Unknown => [id, &[0x01, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], body].concat(),
    }
}

/// A WebM of one video track with [`FRAMES`] frames at 0, 40, 80 ms, the last one in a BlockGroup.
pub(super) fn webm(codec: &str, sizes: Sizes) -> Vec<u8> {
    let key = [0x10, 0, 0, 0x9d, 0x01, 0x2a, 160, 0, 90, 0];
    let block = |ms: u8, frame: &[u8]| [&[0x81, 0, ms, 0x80], frame].concat();
    let group = [element(&[0xa1], &block(80, &[0x11, 0, 0])), element(&[0x9b], &[40])].concat();
    let cluster = [
        element(&[0xe7], &[0]),
        element(&[0xa3], &block(0, &key)),
        element(&[0xa3], &block(40, &[0x11, 0, 0])),
        element(&[0xa0], &group),
    ];
    segment(&[element(&[0xd7], &[1]), element(&[0x83], &[1]), element(&[0x86], codec.as_bytes())], &cluster, sizes)
}

/// A WebM of one track entry and one cluster.
pub(super) fn segment(entry: &[Vec<u8>], cluster: &[Vec<u8>], sizes: Sizes) -> Vec<u8> {
    let tracks = element(&[0x16, 0x54, 0xae, 0x6b], &element(&[0xae], &entry.concat()));
    let cluster = open_ended(&[0x1f, 0x43, 0xb6, 0x75], &cluster.concat(), sizes);
    let header = element(&[0x1a, 0x45, 0xdf, 0xa3], &element(&[0x42, 0x82], b"webm"));
    [header, open_ended(&[0x18, 0x53, 0x80, 0x67], &[tracks, cluster].concat(), sizes)].concat()
}

/// An Ogg of one stream, a page for each packet, with right checksums.
pub(super) fn ogg(packets: &[&[u8]]) -> Vec<u8> {
    use ogg::{PacketWriteEndInfo as End, PacketWriter};
    let mut writer = PacketWriter::new(Vec::new());
    for (at, packet) in packets.iter().enumerate() {
        let end = if at + 1 == packets.len() { End::EndStream } else { End::EndPage };
        writer.write_packet(packet.to_vec(), 7, end, at as u64).expect("a vector takes all");
    }
    writer.into_inner()
}
