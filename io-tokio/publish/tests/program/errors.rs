//! Bad input of every kind: one line that says what is wrong and what to do, and exit status 1.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;

use crate::harness::{Program, clip, media};

#[track_caller]
fn assert_says(line: &str, words: &[&str]) {
    assert!(words.iter().all(|words| line.contains(words)), "{line}\nis to say {words:?}");
}

async fn fails(args: &[&str], words: &[&str]) {
    let run = Program::run(args).await;
    assert_says(run.assert_one_line(), words);
    assert!(run.encodings().is_empty(), "{run:#?}");
}

#[tokio::test]
async fn files_that_cannot_be_played() {
    fails(&["--video", "nowhere.ivf"], &["nowhere.ivf: no such file", "check the path"]).await;
    fails(&["--video", &media("empty.ivf")], &["empty.ivf", "is empty", "make or copy it again"]).await;
    fails(&["--video", &media("truncated.ivf")], &["truncated.ivf", "cut off", "make or copy it again"]).await;
    fails(&["--video", &media("truncated.webm")], &["truncated.webm", "cut off", "make or copy it again"]).await;
    fails(&["--video", &media("foreign.ivf")], &["foreign.ivf", "not a format", "convert it"]).await;
    fails(&["--video", &media("")], &["not a regular file", "name a media file"]).await;
    fails(&["--audio", &media("vp8.ivf")], &["vp8.ivf", "no audio", "name another file"]).await;
    fails(&["--video", &media("opus.ogg")], &["opus.ogg", "no video", "name another file"]).await;
}

#[tokio::test]
async fn layers_that_are_none() {
    let [vp8, vp9, low] = [media("vp8.ivf"), media("vp9.ivf"), clip("low.ivf")];
    fails(&["--video", &vp8, &vp9, &vp8], &["vp9.ivf: has another codec", "encoded alike"]).await;
    fails(&["--video", &vp8, &low, &vp8], &["low.ivf: has another length", "encoded alike"]).await;
    fails(&["--video", &vp8, &vp8], &["one file, or three"]).await;
    fails(&["--simulcast", "--video", &vp8], &["--simulcast needs three files"]).await;
    let any = "127.0.0.1:0";
    fails(&["--video-rtp", any, any], &["--video-rtp takes one address, or three"]).await;
    fails(&["--simulcast", "--video-rtp", any], &["--simulcast needs three files or addresses"]).await;
}

#[tokio::test]
async fn addresses_in_use() {
    let page = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = page.local_addr().unwrap().to_string();
    fails(&["--page", &address], &[&address, "in use", "--page", "--no-page"]).await;

    let rtp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = rtp.local_addr().unwrap().to_string();
    fails(&["--audio-rtp", &address], &["--audio-rtp", &address, "in use", "free address"]).await;
}

#[tokio::test]
async fn a_room_that_is_not_there() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("ws://{closed}/?roomId=r");
    fails(&["--room", &url], &[&closed.to_string(), "refused", "is the server running"]).await;
    fails(&["--room", "http://127.0.0.1:1/"], &["http://127.0.0.1:1/", "ws://"]).await;
    fails(&["--room", "nonsense"], &["nonsense", "wss://host:3443"]).await;
}

#[tokio::test]
async fn a_server_that_is_no_room() {
    for answer in
        ["HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", "HTTP/1.0 200 OK\r\n\r\nhello", "SSH-2.0-x\r\n", ""]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}", listener.local_addr().unwrap());
        let server = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let _request = stream.read(&mut [0; 4096]).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
        };
        let (args, words) = (["--room", &url], ["is this the URL of a mediasoup v2 room?"]);
        tokio::join!(server, fails(&args, &words));
    }
}

#[tokio::test]
async fn a_room_that_is_silent() {
    // Taken up by the operating system, and then nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    fails(&["--timeout", "1", "--room", &url], &["within 1s", "is this the URL"]).await;

    // A WebSocket on which nothing is answered.
    let server = async {
        // The connection of before stands in the queue.
        drop(listener.accept().await.unwrap());
        let (stream, _) = listener.accept().await.unwrap();
        tokio_tungstenite::accept_hdr_async(stream, protoo).await.unwrap()
    };
    let (args, words) = (["--timeout", "1", "--room", &url], ["did not answer queryRoom", "is this the URL"]);
    let (_socket, ()) = tokio::join!(server, fails(&args, &words));
}

#[tokio::test]
async fn a_room_that_closes_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    let server = async {
        let (stream, _) = listener.accept().await.unwrap();
        tokio_tungstenite::accept_hdr_async(stream, protoo).await.unwrap().close(None).await.unwrap();
    };
    let (args, words) = (["--room", &url], ["connection", "join again"]);
    tokio::join!(server, fails(&args, &words));
}

/// Agrees to the sub-protocol.
#[allow(clippy::result_large_err, clippy::unnecessary_wraps)] // the callback's signature
fn protoo(_: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    response.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("protoo"));
    Ok(response)
}
