//! What the server calls our transports and producers: as we do, unless another peer has the name already.

use std::collections::BTreeMap;

use crate::rng::Rng;
use crate::v2::id::ServerId;

/// Handles of ours, and what the server calls them.
#[derive(Debug)]
pub(crate) struct Names<H> {
    names: BTreeMap<H, ServerId>,
    handles: BTreeMap<ServerId, H>,
}

impl<H: Copy + Ord + From<u32>> Names<H> {
    pub(crate) const fn new() -> Self {
        Self { names: BTreeMap::new(), handles: BTreeMap::new() }
    }

    /// A new handle: none of ours, and nothing the server calls one of ours. It is called so by the server, too.
    pub(crate) fn add(&mut self, rng: &mut Rng) -> (H, ServerId) {
        let (handle, name) = self.draw(rng);
        self.names.insert(handle, name);
        self.handles.insert(name, handle);
        (handle, name)
    }

    /// Another name for the same, if it is still there.
    pub(crate) fn rename(&mut self, handle: H, rng: &mut Rng) -> Option<ServerId> {
        let (_, name) = self.draw(rng);
        let before = self.names.get_mut(&handle)?;
        self.handles.remove(&std::mem::replace(before, name));
        self.handles.insert(name, handle);
        Some(name)
    }

    pub(crate) fn remove(&mut self, handle: H) {
        if let Some(name) = self.names.remove(&handle) {
            self.handles.remove(&name);
        }
    }

    pub(crate) fn handle(&self, name: ServerId) -> Option<H> {
        self.handles.get(&name).copied()
    }

    fn draw(&self, rng: &mut Rng) -> (H, ServerId) {
        loop {
            let id = rng.eight_digits();
            let (handle, name) = (H::from(id), ServerId::new(id));
            if !self.names.contains_key(&handle) && !self.handles.contains_key(&name) {
                return (handle, name);
            }
        }
    }
}
