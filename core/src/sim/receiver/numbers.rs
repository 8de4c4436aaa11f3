//! Payload types and header extension ids: each producer has its own, and str0m wants to know them before the first is
//! announced.

use str0m::format::Codec as RtcCodec;
use str0m::media::Frequency;
use str0m::rtp::{Extension, ExtensionMap, ExtensionSerializer, ExtensionValues};

use crate::rtp::Codec;

/// Producers use payload types of their own, and str0m must know all of them before the first is announced. Streams and
/// their RTX are told apart by SSRC, so what a number stands for matters for nothing but the clock of the jitter in
/// receiver reports: the server's own numbers and those of browsers are right.
pub(in crate::sim) fn payload_types(own: &[(u8, Codec)]) -> impl Iterator<Item = (u8, RtcCodec, Frequency)> {
    let browsers_opus = 111;
    let opus = (RtcCodec::Opus, Frequency::FORTY_EIGHT_KHZ);
    (0..64).chain(96..128).map(move |payload_type| {
        let of_server = own.iter().find(|(of, _)| *of == payload_type).map(|(_, codec)| *codec);
        let (codec, frequency) = match of_server {
            Some(Codec::Opus) => opus,
            Some(Codec::Pcmu | Codec::Pcma) => (RtcCodec::PCMU, Frequency::EIGHT_KHZ),
            None if payload_type == browsers_opus => opus,
            Some(Codec::Vp8 | Codec::Vp9 | Codec::H264 | Codec::H265) | None => (RtcCodec::Vp8, Frequency::NINETY_KHZ),
        };
        (payload_type, codec, frequency)
    })
}

/// Header extensions of a packet as they came: what their ids stand for is each producer's own.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::sim) struct RawExtensions {
    values: [(u8, [u8; 16]); 14],
}

impl RawExtensions {
    pub(in crate::sim) fn get(&self, id: u8) -> Option<&[u8]> {
        let (length, value) = self.values.get(usize::from(id).checked_sub(1)?)?;
        (*length > 0).then(|| &value[..usize::from(*length)])
    }
}

#[derive(Debug)]
struct RawExtension(u8);

impl ExtensionSerializer for RawExtension {
    fn write_to(&self, _: &mut [u8], _: &ExtensionValues) -> usize {
        0
    }

    fn parse_value(&self, value: &[u8], extensions: &mut ExtensionValues) -> bool {
        let mut raw = extensions.user_values.get::<RawExtensions>().copied().unwrap_or_default();
        if let Some(slot) = raw.values.get_mut(usize::from(self.0) - 1)
            && let Some(room) = slot.1.get_mut(..value.len())
        {
            room.copy_from_slice(value);
            slot.0 = value.len() as u8;
            extensions.user_values.set(raw);
        }
        true
    }

    fn is_video(&self) -> bool {
        true
    }

    fn is_audio(&self) -> bool {
        true
    }
}

pub(in crate::sim) fn raw_extensions() -> ExtensionMap {
    let mut map = ExtensionMap::empty();
    for id in 1..=14 {
        map.set(id, Extension::with_serializer(&format!("raw:{id}"), RawExtension(id)));
    }
    map
}
