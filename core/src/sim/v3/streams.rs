//! Which producer, and which of its encodings, a packet belongs to: by SSRC, then by MID, then by RID.

use std::collections::{BTreeMap, btree_map::Entry};

use super::error::RouterError;
use super::parameters::{Producing, StreamExtensions};
use crate::id::ProducerId;
use crate::sim::receiver::header::Header;

/// The streams of a transport.
#[derive(Debug, Default)]
pub(super) struct Streams {
    extensions: StreamExtensions,
    ssrcs: BTreeMap<u32, ProducerId>,
    mids: BTreeMap<String, ProducerId>,
    rids: BTreeMap<String, ProducerId>,
    producers: BTreeMap<ProducerId, Vec<Encoding>>,
}

/// An encoding of a producer, with its stream once there is one.
#[derive(Debug, Clone)]
struct Encoding {
    ssrc: Option<u32>,
    rtx: Option<u32>,
    rid: Option<String>,
    payload_type: u8,
    rtx_payload_type: Option<u8>,
    stream: Option<u32>,
    stream_rtx: Option<u32>,
}

/// What a packet of an SSRC that was not met before is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// The first of an encoding; its RTX, if that was signalled.
    Media { producer: ProducerId, layer: usize, rtx: Option<u32> },
    /// The first that repairs the stream of this SSRC.
    Repair { producer: ProducerId, layer: usize, ssrc: u32 },
}

impl Streams {
    /// Makes room for a producer, if none of what names its streams is taken.
    pub(super) fn add(&mut self, id: ProducerId, mid: Option<&str>, producing: &Producing) -> Result<(), RouterError> {
        let result = self.try_add(id, mid, producing);
        match result {
            Ok(()) => self.extensions.take(producing.extensions),
            Err(_) => self.remove(id),
        }
        result
    }

    fn try_add(&mut self, id: ProducerId, mid: Option<&str>, producing: &Producing) -> Result<(), RouterError> {
        let mid = mid.filter(|mid| !mid.is_empty());
        let taken = |words: String| Err(RouterError::Other(words));
        for encoding in &producing.encodings {
            for (what, ssrc) in [("ssrc", encoding.ssrc), ("RTX ssrc", encoding.rtx.map(|rtx| rtx.ssrc))] {
                let Some(ssrc) = ssrc.filter(|ssrc| *ssrc != 0) else { continue };
                match self.ssrcs.entry(ssrc) {
                    Entry::Vacant(vacant) => drop(vacant.insert(id)),
                    Entry::Occupied(_) => return taken(format!("{what} already exists in RTP listener [ssrc:{ssrc}]")),
                }
            }
        }
        if let Some(mid) = mid {
            match self.mids.entry(mid.to_owned()) {
                Entry::Vacant(vacant) => drop(vacant.insert(id)),
                Entry::Occupied(_) => return taken(format!("MID already exists in RTP listener [mid:{mid}]")),
            }
        }
        for rid in producing.encodings.iter().filter_map(|encoding| encoding.rid.as_deref()) {
            match self.rids.entry(rid.to_owned()) {
                Entry::Vacant(vacant) => drop(vacant.insert(id)),
                Entry::Occupied(_) if mid.is_some() => {}
                Entry::Occupied(_) => {
                    return taken(format!("RID already exists in RTP listener and no MID is given [rid:{rid}]"));
                }
            }
        }
        let encodings = producing.encodings.iter().map(|encoding| Encoding {
            ssrc: encoding.ssrc.filter(|ssrc| *ssrc != 0),
            rtx: encoding.rtx.map(|rtx| rtx.ssrc).filter(|ssrc| *ssrc != 0),
            rid: encoding.rid.clone().filter(|rid| !rid.is_empty()),
            payload_type: producing.payload_type,
            rtx_payload_type: producing.rtx_payload_type,
            stream: None,
            stream_rtx: None,
        });
        self.producers.insert(id, encodings.collect());
        Ok(())
    }

    /// The id of absolute send times; none: no producer declares it.
    pub(super) fn abs_send_time(&self) -> Option<u8> {
        Some(self.extensions.abs_send_time).filter(|id| *id != 0)
    }

    pub(super) fn remove(&mut self, id: ProducerId) {
        self.ssrcs.retain(|_, of| *of != id);
        self.mids.retain(|_, of| *of != id);
        self.rids.retain(|_, of| *of != id);
        self.producers.remove(&id);
    }

    /// The SSRC of an encoding's stream, and of what repairs it, as far as packets have come.
    pub(super) fn stream(&self, id: ProducerId, layer: usize) -> (Option<u32>, Option<u32>) {
        let encoding = self.producers.get(&id).and_then(|encodings| encodings.get(layer));
        encoding.map_or((None, None), |encoding| (encoding.stream, encoding.stream_rtx))
    }

    /// What a packet is whose SSRC was not met before; none: it belongs to no producer, or cannot be taken yet.
    pub(super) fn meet(&self, packet: &[u8]) -> Option<Met> {
        let header = Header::parse(packet)?;
        let read = |id: u8| header.extension(id).and_then(|value| std::str::from_utf8(value).ok());
        let mid = read(self.extensions.mid);
        let rid = read(self.extensions.rid).or_else(|| read(self.extensions.repaired_rid));
        let by_ssrc = self.ssrcs.get(&header.ssrc);
        let by_rid = || if mid.is_none() { self.rids.get(rid?) } else { None };
        let producer = *by_ssrc.or_else(|| self.mids.get(mid?)).or_else(by_rid)?;
        let encodings = self.producers.get(&producer)?;
        let layers = || encodings.iter().zip(0..);
        let ssrc = header.ssrc;
        let signalled = layers().find(|(encoding, _)| match header.payload_type {
            of if of == encoding.payload_type => encoding.ssrc == Some(ssrc),
            of if Some(of) == encoding.rtx_payload_type => encoding.rtx == Some(ssrc),
            _ => false,
        });
        let by_rid = || layers().find(|(encoding, _)| rid.is_some() && encoding.rid.as_deref() == rid);
        let only = || match encodings.as_slice() {
            [encoding] if rid.is_none() && encoding.ssrc.is_none() && encoding.rid.is_none() => Some((encoding, 0)),
            _ => None,
        };
        let (encoding, layer) = signalled.or_else(by_rid).or_else(only)?;
        match (encoding.stream, header.payload_type) {
            (None, of) if of == encoding.payload_type => Some(Met::Media { producer, layer, rtx: encoding.rtx }),
            (Some(repaired), of) if Some(of) == encoding.rtx_payload_type && encoding.stream_rtx.is_none() => {
                Some(Met::Repair { producer, layer, ssrc: repaired })
            }
            // Repair of what has not come, or another SSRC for what has one.
            _ => None,
        }
    }

    /// The packet was authentic.
    pub(super) fn learn(&mut self, ssrc: u32, met: Met) {
        let (Met::Media { producer, layer, .. } | Met::Repair { producer, layer, .. }) = met;
        let encodings = self.producers.get_mut(&producer);
        let Some(encoding) = encodings.and_then(|encodings| encodings.get_mut(layer)) else { return };
        match met {
            Met::Media { rtx, .. } => (encoding.stream, encoding.stream_rtx) = (Some(ssrc), rtx),
            Met::Repair { .. } => encoding.stream_rtx = Some(ssrc),
        }
        self.ssrcs.insert(ssrc, producer);
    }
}
