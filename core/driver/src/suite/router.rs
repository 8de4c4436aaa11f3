//! The simulated router of mediasoup 3 on real sockets, and an application's server that does at once what it is asked for.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::time::Instant;

use mediasoup_producer::sim::v3::{Router, RouterConfig, RouterError, RouterOutput, WebRtcTransportOptions};
use mediasoup_producer::v3::{Answer, Refusal, Request, TransportParameters};
use mediasoup_producer::{IceProtocol, Receive, Transmit};

use super::bench::Bench;
use super::server::{Machine, TestServer};
use crate::runtime::Runtime;
use crate::v3::{AnsweredBy, answered_by};

pub(crate) type TestRouter<R> = TestServer<R, Router>;

impl Machine for Router {
    /// All is asked for in passing.
    type Message = Infallible;

    fn handle_message(&mut self, _: Instant, message: Infallible) {
        match message {}
    }

    fn handle_receive(&mut self, now: Instant, receive: &Receive) {
        Self::handle_receive(self, now, receive);
    }

    fn handle_timeout(&mut self, now: Instant) {
        Self::handle_timeout(self, now);
    }

    fn poll_transmit(&mut self) -> Option<Transmit> {
        loop {
            if let RouterOutput::Transmit(transmit) = self.poll_output()? {
                return Some(transmit);
            }
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        Self::poll_timeout(self)
    }
}

impl<R: Runtime> TestRouter<R> {
    pub(crate) fn start(runtime: &Bench<R>, protocols: &[IceProtocol]) -> Arc<Self> {
        Arc::new(Self::serve(runtime, protocols, |addresses| {
            let config = addresses
                .into_iter()
                .fold(RouterConfig::default(), |config, (protocol, address)| config.address(protocol, address));
            Router::new(config, 1)
        }))
    }

    /// A new transport, as the application tells it.
    pub(crate) fn transport(&self) -> TransportParameters {
        self.act(|router, now| router.create_web_rtc_transport(now, WebRtcTransportOptions::default())).unwrap()
    }

    /// Does what is asked for.
    pub(crate) fn answer(&self, request: &Request) -> Result<Answer, Refusal> {
        self.act(|router, now| match request {
            Request::Connect { transport_id, dtls_parameters, .. } => {
                router.connect(now, transport_id, dtls_parameters).map(|()| Answer::Connected)
            }
            Request::Produce { transport_id, kind, rtp_parameters, .. } => {
                router.produce(now, transport_id, *kind, rtp_parameters).map(|id| Answer::Produced { id })
            }
            other => unreachable!("{other:?}"),
        })
        .map_err(|error: RouterError| Refusal::new(error.to_string()))
    }

    /// A device's signalling with it.
    pub(crate) fn signalling(self: &Arc<Self>) -> AnsweredBy {
        let router = Arc::clone(self);
        answered_by(move |request| ready(router.answer(&request)))
    }
}
