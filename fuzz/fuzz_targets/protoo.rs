//! Whatever comes over the WebSocket.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mediasoup_producer_fuzz::protoo(data));
