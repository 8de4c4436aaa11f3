//! Whatever the server says, as protoo text frames.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mediasoup_producer_fuzz::server_message(data));
