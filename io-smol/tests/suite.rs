//! The tests that every runtime passes, on smol.

use std::future::Future;

use mediasoup_producer_smol::Smol;

fn run<F: Future<Output = ()>>(test: impl FnOnce(Smol) -> F) {
    smol::block_on(test(Smol::default()));
}

mediasoup_producer_driver::suite!(run);
