//! What the README says of JSON and of structs is so.

use mediasoup_producer::v3;

/// The lines of the README's blocks of JSON.
fn json(block: usize) -> impl Iterator<Item = &'static str> {
    let blocks: Vec<_> = include_str!("../README.md").split("```json\n").skip(1).collect();
    assert_eq!(blocks.len(), 2);
    blocks[block].split("```").next().unwrap().lines()
}

#[test]
fn the_commands_of_the_readme_are_understood() {
    for line in json(0) {
        let command = serde_json::from_str::<v3::Command>(line);
        assert!(command.is_ok(), "{line}: {command:?}");
    }
}

#[test]
fn the_events_of_the_readme_look_so() {
    for line in json(1) {
        let event: v3::Event = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(serde_json::to_string(&event).unwrap(), line);
    }
}

#[test]
#[cfg(target_pointer_width = "64")]
fn the_structs_have_the_sizes_that_bindings_count_on() {
    use mediasoup_producer_ffi::{Accepted, Address, Datagram, Frame, Output, Packet};
    let sizes = [
        size_of::<Address>(),
        size_of::<Datagram>(),
        size_of::<Frame>(),
        size_of::<Packet>(),
        size_of::<Accepted>(),
        size_of::<Output>(),
    ];
    assert_eq!(sizes, [24, 72, 40, 32, 24, 112]);
}
