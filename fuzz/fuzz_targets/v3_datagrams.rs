//! Datagrams that nobody sent, to a device and to a router.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mediasoup_producer_fuzz::v3::datagrams(data));
