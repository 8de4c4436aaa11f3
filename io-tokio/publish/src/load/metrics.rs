//! A load's numbers for Prometheus, in the text format of OpenMetrics.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::board::Board;
use super::{Distribution, LoadError};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds of what is told of times, in milliseconds.
const BOUNDS_MS: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

/// A door for Prometheus. It is closed when this is dropped.
#[derive(Debug)]
pub(super) struct Metrics {
    address: SocketAddr,
    served: JoinHandle<()>,
}

impl Metrics {
    pub(super) async fn open(address: SocketAddr, board: Arc<Board>) -> Result<Self, LoadError> {
        let refused = |source| LoadError::Metrics { address, source };
        let listener = TcpListener::bind(address).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let mut registry = Registry::with_prefix("mediasoup_publish");
        registry.register_collector(Box::new(Numbers(board)));
        let router = Router::new().route("/metrics", get(metrics)).with_state(Arc::new(registry));
        let served = tokio::spawn(async move {
            // axum's server retries what fails, and ends never.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, served })
    }

    /// Where Prometheus finds them.
    pub(super) fn url(&self) -> String {
        format!("http://{}/metrics", self.address)
    }
}

impl Drop for Metrics {
    fn drop(&mut self) {
        self.served.abort();
    }
}

async fn metrics(State(registry): State<Arc<Registry>>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &registry) {
        Ok(()) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[derive(Debug)]
struct Numbers(Arc<Board>);

impl Collector for Numbers {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (progress, report) = self.0.now();

        let mut family = encoder.encode_descriptor("peers", "Peers by how they are", None, MetricType::Gauge)?;
        for (state, count) in [
            ("waiting", progress.waiting),
            ("connecting", progress.connecting),
            ("connected", progress.connected),
            ("failed", progress.failed),
        ] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            ConstGauge::new(count).encode(family.encode_family(&[("state", state)])?)?;
        }

        let mut family = encoder.encode_descriptor("failures", "Failures by cause", None, MetricType::Counter)?;
        for (cause, failure) in &report.failures {
            ConstCounter::new(failure.count).encode(family.encode_family(&[("cause", cause.as_str())])?)?;
        }

        for (name, help, count) in [
            ("packets", "Packets sent, retransmissions not", report.sent.packets),
            ("frames", "Frames sent; packets for audio", report.sent.frames),
            ("payload_bytes", "Payload bytes sent, retransmissions not", report.sent.bytes),
            ("packets_lost", "Packets that rooms reported lost before they were repaired", report.sent.lost),
            ("packets_retransmitted", "Packets sent again", report.sent.retransmitted),
            ("nacks", "NACK messages received", report.sent.nacks),
            ("key_frame_requests", "Key frame requests received", report.sent.key_frame_requests),
            ("packets_received", "Packets that rooms have received, as they last said", report.received.packets),
            ("media_refused", "Frames and packets that sockets did not take", report.sockets.media_refused),
            ("datagrams_dropped", "Datagrams that sockets did not take", report.sockets.datagrams_dropped),
            ("socket_errors", "Datagrams that the system refused", report.sockets.errors),
        ] {
            let metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(count).encode(metric)?;
        }

        let metric =
            encoder.encode_descriptor("bitrate_bps", "What is sent, bits per second", None, MetricType::Gauge)?;
        ConstGauge::new(i64::try_from(progress.bitrate_bps).unwrap_or(i64::MAX)).encode(metric)?;
        let metric = encoder.encode_descriptor("cpu_cores", "Processors that are busy", None, MetricType::Gauge)?;
        ConstGauge::new(progress.usage.cpu_cores).encode(metric)?;
        let (bytes, help) = (i64::try_from(progress.usage.memory).unwrap_or(i64::MAX), "Resident memory");
        let metric = encoder.encode_descriptor("memory", help, Some(&Unit::Bytes), MetricType::Gauge)?;
        ConstGauge::new(bytes).encode(metric)?;

        for (name, help, times) in [
            ("connect", "From a peer's first attempt to its DTLS being connected", &report.connect),
            ("round_trip", "Round-trip times, of each encoding once a second", &report.round_trip),
            ("late", "How long after it was due a frame was handed in", &report.late),
        ] {
            let mut metric = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), MetricType::Histogram)?;
            let (sum, count) = (times.sum().as_secs_f64(), times.count());
            metric.encode_histogram::<NoLabelSet>(sum, count, &buckets(times), None)?;
        }
        Ok(())
    }
}

/// How many are between each bound and the one before.
fn buckets(times: &Distribution) -> Vec<(f64, u64)> {
    let mut before = 0;
    let mut bucket = |bound: f64, up_to: u64| {
        let count = up_to.saturating_sub(before);
        before = before.max(up_to);
        (bound, count)
    };
    let mut buckets: Vec<_> =
        BOUNDS_MS.iter().map(|ms| bucket(*ms as f64 / 1e3, times.up_to(Duration::from_millis(*ms)))).collect();
    buckets.push(bucket(f64::INFINITY, times.count()));
    buckets
}
