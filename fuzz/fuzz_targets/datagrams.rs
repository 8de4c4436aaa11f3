//! Whatever comes over the network, amid real traffic.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mediasoup_producer_fuzz::datagrams(data));
