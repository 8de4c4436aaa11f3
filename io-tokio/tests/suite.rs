//! The tests that every runtime passes, on tokio.

use std::future::Future;

use mediasoup_producer_tokio::Tokio;

fn run<F: Future<Output = ()>>(test: impl FnOnce(Tokio) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { test(Tokio::default()).await });
}

mediasoup_producer_driver::suite!(run);
