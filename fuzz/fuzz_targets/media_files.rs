//! Whatever is in a media file or an RTP datagram of the program.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| mediasoup_producer_fuzz::media_files(data));
