//! What peers say to a mediasoup 3 router.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mediasoup_producer_fuzz::v3::router(data));
