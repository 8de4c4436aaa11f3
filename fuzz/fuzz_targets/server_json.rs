//! Whatever the server says, as JSON of every shape.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mediasoup_producer_fuzz::server_json(data));
