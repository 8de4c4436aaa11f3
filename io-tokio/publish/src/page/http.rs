//! The page's requests.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Path, Query, Request, State as Shared};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::sse::{self, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use futures_util::{Stream, StreamExt, stream};
use mediasoup_producer::ProducerId;
use mediasoup_producer::v2::Profile;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::samples::{Sample, Samples};
use super::viewer::{View, ViewerError};
use super::viewers::{CommandError, JoinError, Viewers};
use crate::embedded::{Handle, ProducerKey};

/// An offer takes about 8 kB.
const BODY_BYTES: usize = 64 * 1024;

const FILES: [(&str, &str, &str); 6] = [
    ("/", "text/html; charset=utf-8", include_str!("../../page/index.html")),
    ("/page.css", "text/css; charset=utf-8", include_str!("../../page/page.css")),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("../../page/page.js")),
    ("/icon.svg", "image/svg+xml", include_str!("../../page/icon.svg")),
    ("/vendor/uPlot.min.css", "text/css; charset=utf-8", include_str!("../../page/vendor/uPlot.min.css")),
    (
        "/vendor/uPlot.iife.min.js",
        "text/javascript; charset=utf-8",
        include_str!("../../page/vendor/uPlot.iife.min.js"),
    ),
];

/// What all requests share.
#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) room: Handle,
    /// Host names under which the page may be found, beside `localhost`.
    pub(crate) names: Arc<[String]>,
    pub(crate) viewers: Viewers,
    pub(crate) samples: Arc<Samples>,
    /// Changes when the page is closed.
    pub(crate) closed: watch::Receiver<()>,
}

/// Serves until the page is closed.
pub(crate) async fn serve(listener: TcpListener, state: State) {
    let mut closed = state.closed.clone();
    let mut router = Router::new()
        .route("/viewers", post(join))
        .route("/viewers/{id}/layer", post(layer))
        .route("/viewers/{id}/close", post(close))
        .route("/producers/pause", post(pause))
        .route("/producers/resume", post(resume))
        .route("/events", get(events));
    for (path, content_type, content) in FILES {
        router = router.route(path, get(move || async move { ([(CONTENT_TYPE, content_type)], content) }));
    }
    let router = router
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .layer(middleware::from_fn(headers))
        .layer(middleware::from_fn_with_state(Arc::clone(&state.names), own_page_only))
        .with_state(state);
    let served = axum::serve(listener, router.into_make_service_with_connect_info::<Local>());
    // It ends with the page alone: errors of a connection stay with it.
    let _ = served
        .with_graceful_shutdown(async move {
            let _ = closed.changed().await;
        })
        .await;
}

/// The address of ours that a browser has reached.
#[derive(Debug, Clone, Copy)]
struct Local(IpAddr);

impl Connected<IncomingStream<'_, TcpListener>> for Local {
    fn connect_info(stream: IncomingStream<'_, TcpListener>) -> Self {
        Self(stream.io().local_addr().map_or(Ipv4Addr::LOCALHOST.into(), |address| address.ip().to_canonical()))
    }
}

impl Local {
    /// Where the browser can send media. Browsers leave the loopback interface out of their own addresses, and not all
    /// reach it from another: on the same machine the address towards the outside serves, and loopback where there is
    /// none.
    fn media_ip(self) -> IpAddr {
        if !self.0.is_loopback() {
            return self.0;
        }
        // Nothing is sent: this asks the routing table. The address is one of those for documentation (RFC 5737).
        let outward = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
            .and_then(|socket| socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).map(|()| socket))
            .and_then(|socket| socket.local_addr());
        outward.map_or(Ipv4Addr::LOCALHOST.into(), |address| address.ip())
    }
}

/// Other sites in the same browser can send requests here, too. Those carry their site's name as the origin, or, where a
/// name of theirs is made to point here, as the host: to whatever address we listen on. No name can be made of an address.
async fn own_page_only(Shared(names): Shared<Arc<[String]>>, request: Request, next: Next) -> Response {
    let host = header(request.headers(), HOST.as_str());
    let origin = header(request.headers(), ORIGIN.as_str());
    if !host.is_some_and(|host| names_this_machine(host, &names)) {
        let remedy = "this page is found under an IP address only: use that, or name this host with --page-host";
        return (StatusCode::FORBIDDEN, remedy).into_response();
    }
    if origin.is_some_and(|origin| origin.split_once("://").map(|(_, host)| host) != host) {
        return (StatusCode::FORBIDDEN, "only this page itself may ask").into_response();
    }
    next.run(request).await
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn names_this_machine(host: &str, names: &[String]) -> bool {
    let Ok(uri) = host.parse::<Uri>() else { return false };
    uri.host().is_some_and(|name| {
        name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
            || name.eq_ignore_ascii_case("localhost")
            || names.iter().any(|known| name.eq_ignore_ascii_case(known))
    })
}

/// The page needs nothing from elsewhere, and is told so. `unsafe-inline` styles: uPlot sets sizes.
async fn headers(request: Request, next: Next) -> Response {
    const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'";
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, axum::http::HeaderValue::from_static(POLICY));
    headers.entry(CACHE_CONTROL).or_insert(axum::http::HeaderValue::from_static("no-cache"));
    response
}

#[derive(Deserialize)]
struct Offer {
    sdp: String,
}

#[derive(Serialize)]
struct Answer {
    viewer: u64,
    sdp: String,
}

async fn join(
    Shared(state): Shared<State>,
    ConnectInfo(local): ConnectInfo<Local>,
    Json(offer): Json<Offer>,
) -> Result<Json<Answer>, JoinError> {
    let (viewer, sdp) = state.viewers.join(&offer.sdp, local.media_ip(), state.room).await?;
    Ok(Json(Answer { viewer, sdp }))
}

#[derive(Deserialize)]
struct Layer {
    profile: Profile,
}

async fn layer(
    Shared(state): Shared<State>,
    Path(viewer): Path<u64>,
    Json(layer): Json<Layer>,
) -> Result<StatusCode, CommandError> {
    state.viewers.prefer(viewer, layer.profile)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn close(Shared(state): Shared<State>, Path(viewer): Path<u64>) -> Result<StatusCode, CommandError> {
    state.viewers.close(viewer)?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct Which {
    peer: String,
    producer: ProducerId,
}

async fn pause(Shared(state): Shared<State>, Json(which): Json<Which>) -> Result<StatusCode, UnknownProducer> {
    let producer = known(&state, which)?;
    state.room.pause(producer).await;
    Ok(StatusCode::NO_CONTENT)
}

async fn resume(Shared(state): Shared<State>, Json(which): Json<Which>) -> Result<StatusCode, UnknownProducer> {
    let producer = known(&state, which)?;
    state.room.resume(producer).await;
    Ok(StatusCode::NO_CONTENT)
}

fn known(state: &State, which: Which) -> Result<ProducerKey, UnknownProducer> {
    let key = ProducerKey { peer: which.peer.into(), producer: which.producer };
    if state.room.producers().borrow().contains_key(&key) { Ok(key) } else { Err(UnknownProducer(key)) }
}

#[derive(Deserialize)]
struct Follow {
    viewer: Option<u64>,
}

/// One look at the room, with how the viewer does that asks.
#[derive(Serialize)]
struct Sampled<'a> {
    #[serde(flatten)]
    sample: &'a Sample,
    viewer: Option<View>,
    viewers: usize,
}

async fn events(
    Shared(state): Shared<State>,
    Query(follow): Query<Follow>,
) -> Sse<impl Stream<Item = Result<sse::Event, Infallible>>> {
    let (kept, latest) = state.samples.follow();
    let history =
        stream::once(async move { event("history", &kept.iter().map(|sample| &**sample).collect::<Vec<_>>()) });
    let samples = stream::unfold((latest, state), move |(mut latest, mut state)| async move {
        tokio::select! {
            changed = latest.changed() => changed.ok()?,
            _ = state.closed.changed() => return None,
        }
        let sample = latest.borrow_and_update().clone();
        let viewer = follow.viewer.and_then(|id| state.viewers.view(id));
        let sampled = Sampled { sample: &sample, viewer, viewers: state.viewers.count() };
        Some((event("sample", &sampled), (latest, state)))
    });
    Sse::new(history.chain(samples))
}

fn event(name: &str, data: &impl Serialize) -> Result<sse::Event, Infallible> {
    // It fails for maps with keys that are no strings, of which there are none.
    Ok(sse::Event::default().event(name).json_data(data).unwrap_or_default())
}

#[derive(Debug, thiserror::Error)]
#[error("there is no producer {} of {}: it was closed, or was never there", .0.producer, .0.peer)]
struct UnknownProducer(ProducerKey);

impl IntoResponse for UnknownProducer {
    fn into_response(self) -> Response {
        (StatusCode::NOT_FOUND, self.to_string()).into_response()
    }
}

impl IntoResponse for CommandError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Unknown(_) => StatusCode::NOT_FOUND,
            Self::Busy(_) => StatusCode::TOO_MANY_REQUESTS,
        };
        (status, self.to_string()).into_response()
    }
}

impl IntoResponse for JoinError {
    fn into_response(self) -> Response {
        let status = match self {
            Self::Full => StatusCode::SERVICE_UNAVAILABLE,
            Self::Viewer(ViewerError::Offer(_)) => StatusCode::BAD_REQUEST,
            Self::Viewer(ViewerError::Socket(_)) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        (status, self.to_string()).into_response()
    }
}
