//! What a mediasoup 3 router says it can route, and what is sent to it then.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mediasoup_producer_fuzz::v3::capabilities(data));
