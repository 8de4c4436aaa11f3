//! Whatever happens, in step with the reference model.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mediasoup_producer_fuzz::operations(data));
