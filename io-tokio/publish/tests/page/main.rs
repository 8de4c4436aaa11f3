//! The page in a real browser: what the program sends to its own room is seen there, moving.
//!
//! They need Chromium: `cargo test -p mediasoup-publish --test page -- --ignored`.

mod browser;

use std::process::Stdio;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use mediasoup_publish::embedded::Room;
use mediasoup_publish::page::Page;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::timeout;

use crate::browser::Browser;

/// Reads the clip's frame number out of the picture: ten blocks along the bottom edge, the first white, the last black,
/// between them eight bits, the highest first (see the clip's README). Null: this is no picture of the clip.
const FRAME_NUMBER: &str = "
    window.frameNumber = () => {
        const [width, height] = [video.videoWidth, video.videoHeight];
        if (!width) return null;
        window.canvas ??= document.createElement('canvas');
        Object.assign(canvas, { width, height });
        const context = canvas.getContext('2d', { willReadFrequently: true });
        context.drawImage(video, 0, 0);
        const levels = Array.from({ length: 10 }, (_, block) => {
            const x = Math.floor(((block + 0.5) / 10) * width);
            const y = Math.floor((17 / 18) * height);
            const { data } = context.getImageData(x - 1, y - 1, 3, 3);
            return data.reduce((sum, value, at) => (at % 4 === 3 ? sum : sum + value), 0) / 27;
        });
        const [white, black] = [levels[0], levels[9]];
        if (white < 180 || black > 75) return null;
        return levels.slice(1, 9).reduce((number, level) => number * 2 + (level > (white + black) / 2), 0);
    };
    window.watch = (milliseconds) => new Promise((done) => {
        const seen = [];
        const began = performance.now();
        const look = (now) => {
            seen.push([now, frameNumber()]);
            if (now - began < milliseconds) video.requestVideoFrameCallback(look);
            else done(seen);
        };
        video.requestVideoFrameCallback(look);
        setTimeout(() => done(seen), milliseconds + 1000);
    });
    window.widerThan = async (width) => {
        const parts = 'html, header > *, .stage, .controls > *, .facts > div, .card, #plot canvas';
        const wider = () => [...document.querySelectorAll(parts)]
            .filter((part) => Math.max(part.getBoundingClientRect().right, part === document.documentElement ? part.scrollWidth : 0) > width)
            .map((part) => `${part.tagName} ${part.id} ${part.className} to ${part.getBoundingClientRect().right}`);
        for (const began = Date.now(); wider().length && Date.now() - began < 5000; )
            await new Promise((done) => setTimeout(done, 20));
        return wider();
    };
    window.decoded = () => Number(document.querySelector('#decoded').textContent.replaceAll(',', ''));
    window.press = (selector) => document.querySelector(selector).click();
    true";

/// The clip is played in a loop of so many frames, so many in a second.
const FRAMES: u32 = 150;
const RATE: f64 = 30.0;

const DIALECTS: [&str; 2] = ["v2", "v3"];

/// Several browsers at once would have too little of a small machine each to keep the clip's pace.
static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// The program as a user starts it, and its page in a browser.
struct Watching {
    browser: Browser,
    _program: Child,
    _turn: MutexGuard<'static, ()>,
}

impl Watching {
    /// The clip, as it is sent where no input is named, in a v2 room.
    async fn start() -> Self {
        Self::start_in("v2").await
    }

    async fn start_in(dialect: &str) -> Self {
        let mut watching = Self::start_with(&["--embedded", dialect]).await;
        watching.browser.until("frameNumber() !== null").await;
        watching
    }

    async fn start_with(input: &[&str]) -> Self {
        let turn = ONE_AT_A_TIME.lock().await;
        let mut program = Command::new(env!("CARGO_BIN_EXE_mediasoup-publish"))
            .args(["--page", "127.0.0.1:0", "--seconds", "120"])
            .args(input)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the program starts");
        let stdout = program.stdout.take().expect("it is piped");
        let url =
            timeout(Duration::from_secs(20), page_url(stdout)).await.expect("the program tells its page's address");
        let mut browser = Browser::open(&url).await;
        let _: bool = browser.value(FRAME_NUMBER).await;
        Self { browser, _program: program, _turn: turn }
    }

    /// The frame numbers of the pictures shown for a while, with the times in milliseconds.
    async fn watch(&mut self, duration: Duration) -> Vec<(f64, u32)> {
        let seen: Vec<(f64, Option<u32>)> = self.browser.value(&format!("watch({})", duration.as_millis())).await;
        let number = |(at, number): (f64, Option<u32>)| (at, number.expect("every picture is one of the clip's"));
        seen.into_iter().map(number).collect()
    }

    async fn show_layer(&mut self, profile: &str, width: u32) {
        self.browser.until(&format!("!document.querySelector('[data-profile={profile}]').disabled")).await;
        let _: Option<bool> = self.browser.value(&format!("press('[data-profile={profile}]')")).await;
        self.browser.until(&format!("video.videoWidth === {width} && frameNumber() !== null")).await;
    }
}

/// From the first line that has it; all further ones are read so that the program never waits.
async fn page_url(stdout: tokio::process::ChildStdout) -> String {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some(url) = line.split_whitespace().find(|word| word.starts_with("http://")) {
            let url = url.to_owned();
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return url;
        }
    }
    panic!("the program ended before it told its page's address");
}

/// Frames from the first number to the last, in a loop.
fn advance(seen: &[(f64, u32)]) -> u32 {
    seen.windows(2).map(|pair| (pair[1].1 + FRAMES - pair[0].1) % FRAMES).sum()
}

#[tokio::test]
#[ignore = "needs Chromium"]
async fn the_clip_is_seen_moving_at_its_own_pace() {
    for dialect in DIALECTS {
        let mut watching = Watching::start_in(dialect).await;
        watching.show_layer("high", 640).await;
        let before: u64 = watching.browser.value("decoded()").await;
        let seen = watching.watch(Duration::from_secs(4)).await;

        let seconds = (seen.last().unwrap().0 - seen[0].0) / 1000.0;
        let rate = f64::from(advance(&seen)) / seconds;
        assert!((rate - RATE).abs() < 2.0, "{rate} frames a second: {seen:?}");
        for pair in seen.windows(2) {
            let step = (pair[1].1 + FRAMES - pair[0].1) % FRAMES;
            assert!(step <= 15, "no jump, in particular none backwards: {pair:?}");
        }
        let after: u64 = watching.browser.value("decoded()").await;
        assert!(after > before + 60, "decoded {before}, then {after}");
        assert_eq!(watching.browser.complaints(), Vec::<String>::new());
    }
}

#[tokio::test]
#[ignore = "needs Chromium"]
async fn each_layer_is_shown_in_its_own_size_without_a_break() {
    for dialect in DIALECTS {
        let mut watching = Watching::start_in(dialect).await;
        for (profile, width) in
            [("low", 160), ("high", 640), ("medium", 320), ("low", 160), ("medium", 320), ("high", 640)]
        {
            watching.show_layer(profile, width).await;
            watching.browser.until(&format!("document.querySelector('#effective').textContent === '{profile}'")).await;
            let seen = watching.watch(Duration::from_secs(1)).await;
            assert!(advance(&seen) >= 20, "{profile} moves on: {seen:?}");
        }
        let frozen: f64 = watching.browser.value("video.getVideoPlaybackQuality().droppedVideoFrames").await;
        assert!(frozen < 30.0, "{frozen} frames dropped");
        assert_eq!(watching.browser.complaints(), Vec::<String>::new());
    }
}

#[tokio::test]
#[ignore = "needs Chromium"]
async fn a_pause_from_the_page_stops_the_picture_and_resuming_brings_it_back() {
    for dialect in DIALECTS {
        let mut watching = Watching::start_in(dialect).await;
        for _ in 0..2 {
            // The picture may be there before the first numbers are.
            watching.browser.until("!document.querySelector('#pause').disabled").await;
            let _: Option<bool> = watching.browser.value("press('#pause')").await;
            watching
                .browser
                .until("document.querySelector('#message-title').textContent === 'Paused by the room'")
                .await;
            // What is under way arrives; then nothing more.
            let _: Vec<(f64, Option<u32>)> = watching.browser.value("watch(500)").await;
            let before: (u64, u32) = watching.browser.value("[decoded(), frameNumber()]").await;
            let seen: Vec<(f64, Option<u32>)> = watching.browser.value("watch(1500)").await;
            let after: (u64, u32) = watching.browser.value("[decoded(), frameNumber()]").await;
            assert_eq!((before, seen.len()), (after, 0), "nothing moves");

            let _: Option<bool> = watching.browser.value("press('#pause')").await;
            watching.browser.until("document.querySelector('#status').textContent === 'live'").await;
            watching.browser.until(&format!("decoded() > {}", after.0 + 10)).await;
            let seen = watching.watch(Duration::from_secs(1)).await;
            assert!(advance(&seen) >= 20, "it moves again: {seen:?}");
        }
        assert_eq!(watching.browser.complaints(), Vec::<String>::new());
    }
}

#[tokio::test]
#[ignore = "needs Chromium"]
async fn every_encoding_has_its_row_and_its_line_and_the_beat_is_heard() {
    let mut watching = Watching::start().await;
    let _: Option<bool> = watching.browser.value("press('#mute')").await;
    watching
        .browser
        .until("[...document.querySelectorAll('#encodings tr')].filter((row) => !row.innerText.includes('silent')).length === 4")
        .await;
    let rows: String = watching.browser.value("document.querySelector('#encodings').innerText").await;
    for encoding in ["video low", "video medium", "video high", "audio", "VP8", "opus"] {
        assert!(rows.contains(encoding), "{encoding} is in {rows}");
    }
    watching
        .browser
        .until(
            "(() => {
                const canvas = document.querySelector('#plot canvas');
                const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
                const colours = new Set();
                for (let at = 0; at < data.length; at += 4)
                    if (data[at + 3] === 255) colours.add(data.slice(at, at + 3).join());
                const drawn = (name) => {
                    const probe = document.createElement('span');
                    probe.style.color = getComputedStyle(document.documentElement).getPropertyValue(name);
                    document.body.append(probe);
                    const [r, g, b] = getComputedStyle(probe).color.match(/\\d+/g);
                    probe.remove();
                    return colours.has([r, g, b].join());
                };
                return ['--low', '--medium', '--high', '--audio'].every(drawn);
            })()",
        )
        .await;
    watching
        .browser
        .until(
            "await new Promise(async (done) => {
                const context = window.context ??= new AudioContext();
                const analyser = window.analyser ??= (() => {
                    const node = context.createAnalyser();
                    context.createMediaStreamSource(video.srcObject).connect(node);
                    return node;
                })();
                const levels = new Float32Array(analyser.fftSize);
                analyser.getFloatTimeDomainData(levels);
                done(Math.max(...levels) > 0.01);
            })",
        )
        .await;
    assert_eq!(watching.browser.complaints(), Vec::<String>::new());
}

#[tokio::test]
#[ignore = "needs Chromium"]
async fn the_other_codecs_play_as_well_or_the_page_says_that_this_browser_cannot() {
    for (file, codec, always) in [("vp9.ivf", "VP9", true), ("h264.h264", "H264", false), ("h265.h265", "H265", false)]
    {
        let file = format!("{}/tests/media/{file}", env!("CARGO_MANIFEST_DIR"));
        let mut watching = Watching::start_with(&["--video", &file, "--loop"]).await;
        let cannot =
            format!("document.querySelector('#message-title').textContent === 'This browser does not play {codec}'");
        watching.browser.until(&format!("decoded() > 60 || {cannot}")).await;
        let refused: bool = watching.browser.value(&cannot).await;
        println!("{codec}: {}", if refused { "not played by this browser" } else { "plays" });
        assert!(!(always && refused), "every Chromium plays {codec}");
        assert_eq!(watching.browser.complaints(), Vec::<String>::new());
    }
}

#[tokio::test]
#[ignore = "needs Chromium"]
async fn a_room_where_nobody_publishes_is_called_silent() {
    let _turn = ONE_AT_A_TIME.lock().await;
    let room = Room::start().await.expect("a room");
    let page = Page::open(([127, 0, 0, 1], 0).into(), room.handle.clone()).await.expect("a page");
    let mut browser = Browser::open(&page.url()).await;
    browser.until("document.querySelector('#message-title').textContent === 'The room is silent'").await;
    drop(page);
    browser.until("document.querySelector('#message-title').textContent === 'The program does not answer'").await;
}

/// In a window that was wide when the plot was drawn, and is no more.
#[tokio::test]
#[ignore = "needs Chromium"]
async fn in_a_narrow_window_everything_wraps() {
    let mut watching = Watching::start().await;
    watching.browser.resize(1280, 720).await;
    watching.browser.until("document.querySelector('#plot canvas').clientWidth > 400").await;
    for width in [599, 360, 320] {
        watching.browser.resize(width, 640).await;
        let wider: Vec<String> = watching.browser.value(&format!("widerThan({width})")).await;
        assert_eq!(wider, Vec::<String>::new(), "in a window of {width} pixels");
    }
    if let Some(file) = std::env::var_os("NARROW_SCREENSHOT") {
        let picture = watching.browser.screenshot(360, 1200, false).await;
        std::fs::write(file, BASE64_STANDARD.decode(picture).expect("base64")).expect("the file can be written");
    }
}

/// `SCREENSHOT=FILE cargo test -p mediasoup-publish --test page -- --ignored screenshot`: the one in the README, which has
/// then been brought down to 256 colours. `DARK=1` for the dark one, `DIALECT=v3` for a v3 room.
#[tokio::test]
#[ignore = "needs Chromium"]
async fn screenshot() {
    let Some(file) = std::env::var_os("SCREENSHOT") else { return };
    let mut watching = Watching::start_in(&std::env::var("DIALECT").unwrap_or_else(|_| "v2".to_owned())).await;
    // Long enough for lines in the plot.
    watching.browser.until_within("Number(decoded()) > 1200", Duration::from_secs(90)).await;
    let dark = std::env::var_os("DARK").is_some();
    let picture = watching.browser.screenshot(1280, 720, dark).await;
    std::fs::write(file, BASE64_STANDARD.decode(picture).expect("base64")).expect("the file can be written");
}
