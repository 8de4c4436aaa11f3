//! The page's requests, without a browser: who may ask what, and that nothing is left of a viewer that is gone.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mediasoup_publish::embedded::{EmbeddedRoom, Room};
use mediasoup_publish::page::Page;
use serde_json::{Value, json};
use str0m::Rtc;
use str0m::media::{Direction, MediaKind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A room where nobody publishes, and its page.
struct Bench {
    _room: EmbeddedRoom,
    page: Page,
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("JSON: {self:?}"))
    }
}

impl Bench {
    async fn new() -> Self {
        let room = Room::start().await.expect("a room");
        let page = Page::open(SocketAddr::from(([127, 0, 0, 1], 0)), room.handle.clone()).await.expect("a page");
        Self { _room: room, page }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut stream = TcpStream::connect(self.page.address()).await.expect("the page is open");
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
        if !headers.iter().any(|(name, _)| *name == "host") {
            request += &format!("host: {}\r\n", self.page.address());
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        stream.write_all(format!("{request}\r\n{body}").as_bytes()).await.expect("the request is taken");
        let mut text = Vec::new();
        timeout(Duration::from_secs(10), stream.read_to_end(&mut text)).await.expect("in time").expect("an answer");
        let text = String::from_utf8(text).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok()).expect("a status");
        Answer { status, head: head.to_lowercase(), body: body.to_owned() }
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], &body.to_string()).await
    }

    async fn join(&self) -> Answer {
        self.post("/viewers", &json!({ "sdp": offer(Direction::RecvOnly) })).await
    }
}

/// What a browser that wants to watch offers.
fn offer(direction: Direction) -> String {
    let mut rtc = Rtc::builder().enable_pcmu(true, false).enable_pcma(true, false).build(Instant::now());
    let mut changes = rtc.sdp_api();
    changes.add_media(MediaKind::Video, direction, None, None, None);
    changes.add_media(MediaKind::Audio, direction, None, None, None);
    let (offer, _) = changes.apply().expect("an offer");
    offer.to_sdp_string()
}

#[tokio::test]
async fn the_page_is_complete_and_loads_nothing_from_elsewhere() {
    let bench = Bench::new().await;
    let page = bench.send("GET", "/", &[], "").await;
    assert_eq!(page.status, 200);
    assert!(page.head.contains("content-security-policy: default-src 'self'"), "{}", page.head);
    for link in page.body.split(['"', '\'']).filter(|part| part.contains('.') && part.starts_with('/')) {
        assert_eq!(bench.send("GET", link, &[], "").await.status, 200, "{link}");
    }
    assert!(!page.body.contains("://"), "no address of another site");
}

#[tokio::test]
async fn an_offer_is_answered_in_the_codecs_of_both_sides() {
    let bench = Bench::new().await;
    let answer = bench.join().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    let sdp = answer["sdp"].as_str().expect("an answer");
    for part in ["VP8/90000", "VP9/90000", "H264/90000", "H265/90000", "opus/48000/2", "PCMU/8000", "PCMA/8000"] {
        assert!(sdp.contains(part), "{part} is in {sdp}");
    }
    for part in ["a=ice-lite", "a=sendonly", "a=candidate:", "rtx/90000"] {
        assert!(sdp.contains(part), "{part} is in {sdp}");
    }
    assert!(!sdp.contains("AV1"), "{sdp}");
}

#[tokio::test]
async fn what_is_no_offer_is_refused_and_says_why() {
    let bench = Bench::new().await;
    let refusals = [
        (json!({ "sdp": "v=0" }), 400, "not understood"),
        (json!({ "sdp": "" }), 400, "not understood"),
        (json!({ "sdp": offer(Direction::SendOnly) }), 400, "neither audio nor video"),
        (json!({}), 422, "sdp"),
    ];
    for (body, status, reason) in refusals {
        let answer = bench.post("/viewers", &body).await;
        assert!(answer.status == status && answer.body.contains(reason), "{answer:?}");
    }
    let long = bench.post("/viewers", &json!({ "sdp": "a=x\r\n".repeat(20_000) })).await;
    assert_eq!(long.status, 413);
}

#[tokio::test]
async fn viewers_are_bounded_and_a_place_is_free_again_once_one_has_left() {
    let bench = Bench::new().await;
    let mut viewers = Vec::new();
    let refused = loop {
        let answer = bench.join().await;
        if answer.status != 200 {
            break answer;
        }
        viewers.push(answer.json()["viewer"].as_u64().expect("an id"));
        assert!(viewers.len() < 100, "there is a bound");
    };
    assert_eq!((refused.status, viewers.len()), (503, 16));
    assert!(refused.body.contains("close one of them"), "{refused:?}");

    let left = viewers.remove(3);
    assert_eq!(bench.post(&format!("/viewers/{left}/close"), &json!({})).await.status, 204);
    // It has gone when nobody knows it any more.
    let gone = async { while bench.post(&format!("/viewers/{left}/close"), &json!({})).await.status != 404 {} };
    timeout(Duration::from_secs(10), gone).await.expect("it goes");
    assert_eq!(bench.join().await.status, 200);
}

#[tokio::test]
async fn commands_to_who_is_not_there_are_refused() {
    let bench = Bench::new().await;
    let unknown = [
        ("/viewers/9/layer", json!({ "profile": "low" })),
        ("/viewers/9/close", json!({})),
        ("/producers/pause", json!({ "peer": "nobody", "producer": 1 })),
        ("/producers/resume", json!({ "peer": "nobody", "producer": 1 })),
    ];
    for (path, body) in unknown {
        let answer = bench.post(path, &body).await;
        assert!(answer.status == 404 && answer.body.contains("there is no"), "{path}: {answer:?}");
    }
    let viewer = bench.join().await.json()["viewer"].as_u64().expect("an id");
    let layer = format!("/viewers/{viewer}/layer");
    assert_eq!(bench.post(&layer, &json!({ "profile": "huge" })).await.status, 422);
    assert_eq!(bench.post(&layer, &json!({ "profile": "low" })).await.status, 204);
}

#[tokio::test]
async fn other_sites_in_the_same_browser_are_kept_out() {
    let bench = Bench::new().await;
    let own = bench.page.url();
    let own = own.trim_end_matches('/');
    let port = bench.page.address().port();
    let rebound = format!("evil.example:{port}");
    let localhost = format!("localhost:{port}");
    for (name, value, status) in [
        ("origin", "https://evil.example", 403),
        ("origin", "null", 403),
        ("origin", own, 200),
        ("host", rebound.as_str(), 403),
        ("host", localhost.as_str(), 200),
    ] {
        assert_eq!(bench.send("GET", "/", &[(name, value)], "").await.status, status, "{name}: {value}");
    }
}

/// A name of another site can be made to point at any address of this machine, not only at the loopback interface's.
#[tokio::test]
async fn on_every_address_only_names_that_were_given_are_answered_to() {
    let room = Room::start().await.expect("a room");
    let names = vec!["studio.example".to_owned()];
    let page = Page::open_as(([0, 0, 0, 0], 0).into(), names, room.handle.clone()).await.expect("a page");
    let port = page.address().port();
    let bench = Bench { _room: room, page };
    for (host, status) in [
        (format!("127.0.0.1:{port}"), 200),
        (format!("192.0.2.7:{port}"), 200),
        (format!("[2001:db8::7]:{port}"), 200),
        (format!("localhost:{port}"), 200),
        (format!("Studio.Example:{port}"), 200),
        ("studio.example".to_owned(), 200),
        (format!("evil.example:{port}"), 403),
        (format!("studio.example.evil.example:{port}"), 403),
        (format!("127.0.0.1.evil.example:{port}"), 403),
        (String::new(), 403),
    ] {
        let answer = bench.send("GET", "/", &[("host", &host)], "").await;
        assert_eq!(answer.status, status, "{host}");
        assert!(status == 200 || answer.body.contains("--page-host"), "it says what to do: {answer:?}");
    }
    let origin = [("host", "studio.example"), ("origin", "https://studio.example")];
    assert_eq!(bench.send("GET", "/", &origin, "").await.status, 200, "behind a proxy that adds TLS");
}

#[tokio::test]
async fn a_port_in_use_is_told_with_what_to_do() {
    let bench = Bench::new().await;
    let error = Page::open(bench.page.address(), bench._room.handle.clone()).await.expect_err("it is in use");
    let text = error.to_string();
    assert!(text.contains(&bench.page.address().to_string()) && text.contains("--no-page"), "{text}");
}

#[tokio::test]
async fn a_page_that_is_dropped_is_closed() {
    let bench = Bench::new().await;
    let address = bench.page.address();
    drop(bench.page);
    let closed = async { while TcpStream::connect(address).await.is_ok() {} };
    timeout(Duration::from_secs(10), closed).await.expect("it closes");
}
