//! Whatever happens to a device of mediasoup 3, in step with the reference model.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mediasoup_producer_fuzz::v3::operations(data));
