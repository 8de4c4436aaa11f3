//! What a mediasoup 3 server says of its transports, and in answer to what it is asked.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mediasoup_producer_fuzz::v3::answers(data));
