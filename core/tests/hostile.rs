//! What someone sends who can write any address into a datagram, and who has listened in: refused, counted, and the session
//! is unharmed. With the modern DTLS: what is counted does not depend on who speaks it.

#![allow(clippy::disallowed_methods)] // a test may ask for the time once

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use aws_lc_rs::hmac;
use common::{all_lost, bytes_held, connection_states, scenario, transport};
use mediasoup_producer::sim::{
    ConnectionId, Direction, RoomServerConfig, Scenario, ScenarioConfig, ServerOutput, Source,
};
use mediasoup_producer::v2::{Event, ProducerEvent, RoomConfig, TransportEvent};
use mediasoup_producer::{DtlsBackend, Receive};
use mediasoup_producer::{DtlsRole, IceProtocol};
use serde_json::json;
use str0m::ice::{StunMessage, TransId};

const TIMES: u64 = 10_000;
const STRANGER: SocketAddr = Scenario::OTHER_CLIENT;

/// Without the usual harness: what is counted is the whole process's.
fn main() {
    for role in [DtlsRole::Client, DtlsRole::Server] {
        attacks_after_the_handshake(role);
        hellos_during_the_handshake(role);
    }
    old_rtcp_is_not_heeded_again();
    an_answer_counts_once_and_from_where_it_was_asked();
    own_addresses_that_the_server_makes_up_are_not_remembered();
    who_knows_the_credentials_gets_no_media_and_stops_none();
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Stun,
    Dtls,
    Rtp,
    Rtcp,
}

fn kind(datagram: &[u8]) -> Kind {
    match datagram {
        [0..=3, ..] => Kind::Stun,
        [20..=63, ..] => Kind::Dtls,
        [_, second, ..] if (64..96).contains(&(second & 0x7f)) => Kind::Rtcp,
        _ => Kind::Rtp,
    }
}

/// A session that has sent for some seconds, and what went over the network meanwhile.
struct Session {
    scenario: Scenario,
    heard: Vec<(Direction, Vec<u8>)>,
}

impl Session {
    fn new(role: DtlsRole, seed: u64) -> Self {
        let mut scenario = scenario(config(role), seed).joined();
        scenario.net.tap(100_000);
        let mut scenario = scenario.sending_with([Source::opus(32_000), Source::vp8(300_000)]);
        scenario.drive(Duration::from_secs(8));
        let heard = scenario.net.tapped().map(|(direction, t)| (direction, t.contents.to_vec())).collect();
        scenario.net.tap(0);
        Self { scenario, heard }
    }

    /// The latest of a kind.
    fn heard(&self, direction: Direction, of: Kind) -> Vec<u8> {
        let found = self.heard.iter().find(|(to, datagram)| *to == direction && kind(datagram) == of);
        found.unwrap_or_else(|| panic!("no {of:?} {direction:?}")).1.clone()
    }

    /// The first handshake message of a type that went over the network in the clear.
    fn hello(&self, kind: u8) -> Vec<u8> {
        let is = |datagram: &[u8]| datagram[0] == 22 && datagram[3..5] == [0, 0] && datagram[13] == kind;
        self.heard.iter().map(|(_, datagram)| datagram).rev().find(|datagram| is(datagram)).expect("a hello").clone()
    }

    fn reach_room(&mut self, source: SocketAddr, contents: Vec<u8>) {
        let now = self.scenario.now();
        self.scenario.room.handle_receive(now, &received(source, Scenario::CLIENT, contents));
    }

    fn reach_server(&mut self, source: SocketAddr, contents: Vec<u8>) {
        let now = self.scenario.now();
        self.scenario.server.handle_receive(now, &received(source, Scenario::SERVER, contents));
    }

    fn forget(&mut self) -> Vec<Event> {
        self.scenario.take_sent();
        self.scenario.take_packets();
        self.scenario.take_messages();
        self.scenario.take_server_events();
        self.scenario.take_events()
    }
}

fn config(role: DtlsRole) -> ScenarioConfig {
    let room = RoomConfig::default().dtls_role(role).dtls_backend(DtlsBackend::Modern);
    let server = RoomServerConfig::default().dtls_backend(DtlsBackend::Modern);
    ScenarioConfig::default().room(room).server(server)
}

fn received(source: SocketAddr, destination: SocketAddr, contents: Vec<u8>) -> Receive {
    Receive { protocol: IceProtocol::Udp, source, destination, contents: contents.into() }
}

/// Something an attacker does again and again, and what counts it.
struct Attack {
    what: &'static str,
    /// The n-th datagram.
    datagram: Box<dyn Fn(u64) -> Vec<u8>>,
    from: SocketAddr,
    counter: Counter,
}

/// Reads a counter of one side: attacks go there.
enum Counter {
    Room(fn(&mediasoup_producer::v2::stats::RoomStats) -> u64),
    Server(fn(&mediasoup_producer::sim::ServerCounters) -> u64),
}

impl Counter {
    fn read(&self, scenario: &Scenario) -> u64 {
        match self {
            Self::Room(read) => read(&scenario.room.stats()),
            Self::Server(read) => read(&scenario.server.counters()),
        }
    }
}

fn attacks(session: &Session, other: &Session) -> Vec<Attack> {
    use Counter::{Room, Server};
    let mut attacks = Vec::new();
    let mut attack = |what, from, counter, datagram: Box<dyn Fn(u64) -> Vec<u8>>| {
        attacks.push(Attack { what, datagram, from, counter });
    };
    let (up, down) = (Direction::Up, Direction::Down);
    let (server, client) = (Scenario::SERVER, Scenario::CLIENT);

    let genuine = session.heard(down, Kind::Rtcp);
    attack("RTCP replayed", server, Room(|stats| stats.rtcp_replayed), again(&genuine));
    attack("RTCP replayed to the server", client, Server(|c| c.rtcp_replayed), again(&session.heard(up, Kind::Rtcp)));
    attack("RTCP with a bit flipped", server, Room(|stats| stats.rtcp_forged), new_index(flipped(&genuine)));
    attack("RTCP of another session, with our SSRC", server, Room(|stats| stats.rtcp_forged), {
        let mut foreign = other.heard(down, Kind::Rtcp);
        foreign[4..8].copy_from_slice(&genuine[4..8]);
        new_index(foreign)
    });
    attack("RTCP of noise", server, Room(|stats| stats.rtcp_forged), noise(0x80, 201));
    attack("RTCP of noise to the server", client, Server(|c| c.rtcp_forged), noise(0x80, 201));
    attack("RTCP from elsewhere", STRANGER, Room(|stats| stats.datagrams_discarded), again(&genuine));

    let media = session.heard(up, Kind::Rtp);
    attack("our RTP sent back", server, Room(|stats| stats.rtp_refused), again(&media));
    attack("RTP of noise with a MID", server, Room(|stats| stats.rtp_refused), with_mid());
    attack("RTP replayed to the server", client, Server(|c| c.rtp_refused), again(&media));
    attack("RTP with a bit flipped to the server", client, Server(|c| c.rtp_refused), flipped_ahead(media.clone()));
    attack("RTP of another session, with our SSRC, to the server", client, Server(|c| c.rtp_refused), {
        let mut foreign = other.heard(up, Kind::Rtp);
        foreign[2..4].copy_from_slice(&media[2..4]);
        foreign[8..12].copy_from_slice(&media[8..12]);
        flipped_ahead(foreign)
    });
    attack("RTP from elsewhere to the server", STRANGER, Server(|c| c.datagrams_discarded), again(&media));

    let request = session.heard(up, Kind::Stun);
    let user = username(&request);
    let swapped = user.split(':').rev().collect::<Vec<_>>().join(":");
    for (what, from) in [("from the server's address", server), ("from elsewhere", STRANGER)] {
        let what = |about: &str| -> &'static str { format!("{about} {what}").leak() };
        let counter = || Room(|stats| stats.stun_refused);
        attack(what("a binding answer replayed"), from, counter(), again(&session.heard(down, Kind::Stun)));
        attack(what("our binding request sent back"), from, counter(), again(&request));
        attack(what("a binding request with a wrong password"), from, counter(), binding(&swapped, Some("wrong")));
        attack(what("a binding request with a wrong name"), from, counter(), binding("wrong:wrong", Some("wrong")));
        attack(what("a binding request with no integrity"), from, counter(), binding(&swapped, None));
        attack(what("a binding answer to nothing"), from, counter(), answer("wrong"));
    }
    for from in [client, STRANGER] {
        let counter = || Server(|c| c.stun_refused);
        attack("a binding request with a wrong password to the server", from, counter(), binding(&user, Some("wrong")));
        attack("one with a wrong name", from, counter(), binding("wrong:wrong", Some("wrong")));
        attack("one with no integrity", from, counter(), binding(&user, None));
    }

    let hello = other.hello(1);
    attack("a second DTLS client", server, Room(|stats| stats.dtls_refused), again(&hello));
    attack("a second DTLS client elsewhere", STRANGER, Room(|stats| stats.datagrams_discarded), again(&hello));
    attack("a second DTLS client at the server", client, Server(|c| c.dtls_refused), again(&hello));
    attack("one elsewhere", STRANGER, Server(|c| c.datagrams_discarded), again(&hello));
    let alert = vec![21, 254, 253, 0, 0, 0, 0, 0, 0, 0, 99, 0, 2, 2, 40];
    attack("a fatal alert in the clear", server, Room(|stats| stats.dtls_refused), again(&alert));
    attack("a fatal alert in the clear to the server", client, Server(|c| c.dtls_refused), again(&alert));
    let protected = vec![21, 254, 253, 0, 1, 0, 0, 0, 0, 0, 99, 0, 26];
    let protected = [protected, vec![7; 26]].concat();
    attack("an alert with a wrong key", server, Room(|stats| stats.dtls_refused), again(&protected));
    attacks
}

fn attacks_after_the_handshake(role: DtlsRole) {
    let mut session = Session::new(role, 1);
    let other = Session::new(role, 2);
    for Attack { what, datagram, from, counter } in attacks(&session, &other) {
        session.forget();
        let before = counter.read(&session.scenario);
        let mut held = Vec::new();
        for n in 0..TIMES {
            match counter {
                Counter::Room(_) => session.reach_room(from, datagram(n)),
                Counter::Server(_) => session.reach_server(from, datagram(n)),
            }
            if n % 100 == 99 {
                session.scenario.drive(Duration::from_millis(20));
                let events = session.forget();
                assert!(unharmed(&events), "{what}: {events:?}");
            }
            if n == TIMES / 10 || n == TIMES - 1 {
                held.push(bytes_held());
            }
        }
        let counted = counter.read(&session.scenario) - before;
        println!("{role:?}: {what}: {counted} of {TIMES} counted, {} bytes held, then {}", held[0], held[1]);
        assert_eq!(counted, TIMES, "{what}");
        // Media goes on all the while, and a few packets more or less are under way.
        assert!(held[1] < held[0] + 64 * 1024, "{what}: {held:?}");
    }
    let arrived = |scenario: &Scenario| scenario.received().iter().map(|encoding| encoding.packets).sum::<u64>();
    let before = arrived(&session.scenario);
    session.scenario.drive(Duration::from_secs(2));
    assert!(arrived(&session.scenario) > before + 100);
    session.scenario.stop_media();
    session.scenario.drive(Duration::from_secs(2));
    assert_eq!(all_lost(&session.scenario.received()), 0);
    let producers: Vec<_> = session.scenario.room.producers().map(|producer| producer.id()).collect();
    for id in producers {
        let sent = session.scenario.room.outbound_stats(id)[0].packets_sent;
        let received = &session.scenario.server.encodings(id)[0];
        assert_eq!((received.packets, received.packets_repaired), (sent, 0));
    }
    assert!(session.scenario.connected());
}

/// Nothing but what the encoder hears anyway.
fn unharmed(events: &[Event]) -> bool {
    events.iter().all(|event| matches!(event, Event::Producer { event: ProducerEvent::TargetBitrate { .. }, .. }))
}

/// Before the handshake ends nothing in it is authentic. What is refused is what our role can tell: a second client's first
/// words to a client, a second server's to a server. (A first flight of the right kind, from the server's own address and
/// before the server's, makes the handshake fail, as in every DTLS 1.2.)
fn hellos_during_the_handshake(role: DtlsRole) {
    let other = Session::new(role, 3);
    let (client_hello, server_hello) = (other.hello(1), other.hello(2));
    let wrong_way = match role {
        DtlsRole::Client => &client_hello,
        DtlsRole::Server => &server_hello,
    };
    let mut scenario = scenario(config(role), 5).joined();
    let id = scenario.create_transport();
    scenario.send(id, Source::opus(32_000));
    let end = scenario.now() + Duration::from_secs(60);
    let mut injected = 0;
    let mut held = Vec::new();
    while !scenario.connected() {
        assert!(scenario.now() < end, "it never connects");
        scenario.step_until(end);
        let now = scenario.now();
        for _ in 0..1_000 {
            for hello in [&client_hello, &server_hello] {
                scenario.room.handle_receive(now, &received(STRANGER, Scenario::CLIENT, hello.clone()));
            }
            scenario.room.handle_receive(now, &received(Scenario::SERVER, Scenario::CLIENT, wrong_way.clone()));
            injected += 1;
            if injected == 1_000 {
                held.push(bytes_held());
            }
        }
    }
    held.push(bytes_held());
    let stats = scenario.room.stats();
    println!("{role:?}: {injected} hellos during the handshake, {held:?} bytes held: {stats:?}");
    assert!(stats.dtls_refused > 1_000 && stats.datagrams_discarded >= 2 * injected, "{stats:?}");
    // A transport with its engine came into being meanwhile.
    assert!(held[1] < held[0] + 512 * 1024, "{held:?}");
    let events = scenario.take_events();
    assert_eq!(connection_states(&events).len(), 2, "connecting, connected: {events:?}");
    scenario.drive(Duration::from_secs(2));
    assert_eq!(all_lost(&scenario.received()), 0);
    assert!(scenario.received()[0].packets > 50);
}

/// The server allowed little once, and more since.
fn old_rtcp_is_not_heeded_again() {
    let mut session = Session::new(DtlsRole::Client, 6);
    session.scenario.server.set_bitrate_cap_bps(Some(120_000));
    session.scenario.net.tap(2000);
    session.scenario.drive(Duration::from_secs(2));
    let low: Vec<_> = session
        .scenario
        .net
        .tapped()
        .filter(|(direction, t)| *direction == Direction::Down && kind(&t.contents) == Kind::Rtcp)
        .map(|(_, t)| t.contents.to_vec())
        .collect();
    assert!(low.len() >= 5, "REMB comes every 0.2 s: {}", low.len());
    session.scenario.server.set_bitrate_cap_bps(None);
    session.scenario.drive(Duration::from_secs(10));
    session.forget();
    let before = session.scenario.room.stats().rtcp_replayed;
    for contents in &low {
        session.reach_room(Scenario::SERVER, contents.clone());
    }
    assert_eq!(session.scenario.room.stats().rtcp_replayed, before + low.len() as u64);
    let events = session.scenario.take_events();
    assert_eq!(events, [], "nothing was heeded");
}

fn an_answer_counts_once_and_from_where_it_was_asked() {
    let mut session = Session::new(DtlsRole::Client, 7);
    let password = known_password(&mut session);
    let transaction = unanswered_check(&mut session);
    let refused = |session: &Session| session.scenario.room.stats().stun_refused;
    let before = refused(&session);
    let genuine = || sealed(StunMessage::binding_reply(transaction, Scenario::CLIENT), Some(&password));
    let forged = sealed(StunMessage::binding_reply(transaction, Scenario::CLIENT), Some("wrong"));
    session.reach_room(Scenario::SERVER, forged);
    session.reach_room(STRANGER, genuine());
    assert_eq!(refused(&session), before + 2);
    session.reach_room(Scenario::SERVER, genuine());
    assert_eq!(refused(&session), before + 2, "the answer");
    session.reach_room(Scenario::SERVER, genuine());
    assert_eq!(refused(&session), before + 3, "the answer once more");
    assert!(unharmed(&session.forget()));
}

/// Each would become a candidate, and ICE forgets none; but a client behind NAT, or over TCP, has a new one again and again.
fn own_addresses_that_the_server_makes_up_are_not_remembered() {
    let mut session = Session::new(DtlsRole::Client, 8);
    let before = session.scenario.room.stats().stun_refused;
    let password = known_password(&mut session);
    let mut held = Vec::new();
    for n in 0..1_000_u16 {
        let transaction = unanswered_check(&mut session);
        let made_up = SocketAddr::new([10, 1, 1, 1].into(), n + 1);
        let contents = sealed(StunMessage::binding_reply(transaction, made_up), Some(&password));
        session.reach_room(Scenario::SERVER, contents);
        session.forget();
        if n == 100 || n == 999 {
            held.push(bytes_held());
        }
    }
    let refused = session.scenario.room.stats().stun_refused - before;
    println!("1000 made-up addresses: {refused} refused, {held:?} bytes held");
    assert_eq!(refused, 0);
    assert!(held[1] < held[0] + 64 * 1024);
    session.scenario.drive(Duration::from_secs(30));
    assert!(session.scenario.connected());
}

/// ICE credentials are all that ICE asks for, here as in the real server: who has them can have the server's RTCP, which is
/// encrypted, until the next check of the real peer. DTLS and media are not his.
fn who_knows_the_credentials_gets_no_media_and_stops_none() {
    let mut session = Session::new(DtlsRole::Client, 9);
    let other = Session::new(DtlsRole::Client, 10);
    let id = transport(&session.scenario);
    let password = known_password(&mut session);
    session.scenario.net.tap(1000);
    session.scenario.drive(Duration::from_secs(5));
    let check = session.scenario.net.tapped().find(|(_, t)| t.contents.starts_with(&[0, 1])).expect("a check");
    let user = username(&check.1.contents);
    session.scenario.net.tap(0);
    session.forget();
    let before = session.scenario.server.counters();
    let nominating = StunMessage::binding_request(&user, TransId::new(), true, 1, 100, true);
    session.reach_server(STRANGER, sealed(nominating, Some(&password)));
    assert_eq!(session.scenario.server.transport(id).unwrap().path().unwrap().2, STRANGER);
    for _ in 0..TIMES {
        session.reach_server(STRANGER, other.hello(1));
    }
    session.reach_server(STRANGER, other.heard(Direction::Up, Kind::Rtp));
    let after = session.scenario.server.counters();
    assert_eq!(after.dtls_refused - before.dtls_refused, TIMES);
    assert_eq!(after.rtp_refused - before.rtp_refused, 1);
    session.scenario.drive(Duration::from_secs(5));
    assert_eq!(session.scenario.server.transport(id).unwrap().path().unwrap().2, Scenario::CLIENT);
    let events = session.forget();
    assert!(unharmed(&events), "{events:?}");
    session.scenario.stop_media();
    session.scenario.drive(Duration::from_secs(1));
    assert_eq!(all_lost(&session.scenario.received()), 0);

    // And more addresses than it remembers.
    for n in 1..=TIMES as u16 {
        let source = SocketAddr::new([10, 1, 1, 1].into(), n);
        let request = StunMessage::binding_request(&user, TransId::new(), true, 1, 100, false);
        session.reach_server(source, sealed(request, Some(&password)));
        if n % 100 == 0 {
            session.scenario.drive(Duration::from_millis(1));
        }
    }
    let refused = session.scenario.server.counters().addresses_refused;
    assert_eq!(refused, TIMES - (1024 - 2), "the room remembers 1024, the peer and the stranger among them");
    session.scenario.resume_media();
    session.scenario.drive(Duration::from_secs(1));
    assert!(session.scenario.connected());
    assert!(
        !session.forget().iter().any(|e| matches!(e, Event::Transport { event: TransportEvent::Close { .. }, .. }))
    );
}

/// The password of the server's side, as one knows who has seen the signalling: it is a new one.
fn known_password(session: &mut Session) -> String {
    let scenario = &mut session.scenario;
    let id = transport(scenario);
    let now = scenario.now();
    let request = json!({ "method": "restartTransport", "target": "peer", "id": id });
    scenario.server.handle_request(now, ConnectionId(0), 1, &request);
    let answer = std::iter::from_fn(|| scenario.server.poll_output()).find_map(|output| match output {
        ServerOutput::Response { result, .. } => result.ok(),
        _ => None,
    });
    let answer = answer.expect("new credentials");
    scenario.answer("restartTransport", Ok(answer.clone()));
    scenario.room.transport(id).unwrap().restart_ice(now).unwrap();
    scenario.drive(Duration::from_secs(1));
    session.forget();
    answer["iceParameters"]["password"].as_str().expect("a password").to_owned()
}

/// The next check of the room, which the network loses before it is answered.
fn unanswered_check(session: &mut Session) -> TransId {
    let scenario = &mut session.scenario;
    scenario.net.tap(1000);
    scenario.net.set_cut(Direction::Down, true);
    let is_check = |(direction, t): (Direction, &mediasoup_producer::Transmit)| {
        (direction == Direction::Up && t.contents.starts_with(&[0, 1])).then(|| t.contents.to_vec())
    };
    scenario.drive_until("a check", |scenario| scenario.net.tapped().find_map(is_check).is_some());
    let check = scenario.net.tapped().find_map(is_check).expect("just seen");
    scenario.net.tap(0);
    scenario.net.set_cut(Direction::Down, false);
    StunMessage::parse(&check).expect("a check").trans_id()
}

fn again(datagram: &[u8]) -> Box<dyn Fn(u64) -> Vec<u8>> {
    let datagram = datagram.to_vec();
    Box::new(move |_| datagram.clone())
}

/// Each with another bit wrong, of those after the header and before what says which packet it is.
fn flipped(datagram: &[u8]) -> Vec<u8> {
    let mut datagram = datagram.to_vec();
    datagram[9] ^= 4;
    datagram
}

/// SRTCP with an index that was not used yet, in the places that both kinds of protection have for it.
fn new_index(datagram: Vec<u8>) -> Box<dyn Fn(u64) -> Vec<u8>> {
    Box::new(move |n| {
        let mut datagram = datagram.clone();
        let end = datagram.len();
        let index = (1 << 31) + 1_000_000 + n as u32;
        datagram[end - 4..].copy_from_slice(&index.to_be_bytes());
        datagram
    })
}

/// RTP that claims to be some packets ahead, each with another bit wrong.
fn flipped_ahead(datagram: Vec<u8>) -> Box<dyn Fn(u64) -> Vec<u8>> {
    Box::new(move |n| {
        let mut datagram = datagram.clone();
        let number = u16::from_be_bytes([datagram[2], datagram[3]]).wrapping_add(n as u16 % 3000);
        datagram[2..4].copy_from_slice(&number.to_be_bytes());
        let at = 20 + n as usize % (datagram.len() - 20);
        datagram[at] ^= 1 << (n % 8);
        datagram
    })
}

fn noise(first: u8, second: u8) -> Box<dyn Fn(u64) -> Vec<u8>> {
    Box::new(move |n| {
        let mut state = n + 1;
        let mut datagram: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .take(60)
        .collect();
        datagram[..2].copy_from_slice(&[first, second]);
        datagram
    })
}

/// Each with another SSRC, and a header extension for each id that the room might have for the MID.
fn with_mid() -> Box<dyn Fn(u64) -> Vec<u8>> {
    let noise = noise(0x90, 101);
    Box::new(move |n| {
        let mut datagram = noise(n);
        let extensions: Vec<u8> = (1..=6).flat_map(|id| [id << 4, b'0']).collect();
        datagram[12..16].copy_from_slice(&[0xbe, 0xde, 0, 3]);
        datagram[16..28].copy_from_slice(&extensions);
        datagram
    })
}

fn username(request: &[u8]) -> String {
    StunMessage::parse(request).expect("a request").username().expect("requests have one").to_owned()
}

fn binding(user: &str, password: Option<&'static str>) -> Box<dyn Fn(u64) -> Vec<u8>> {
    let user = user.to_owned();
    Box::new(move |_| sealed(StunMessage::binding_request(&user, TransId::new(), true, 1, 100, true), password))
}

fn answer(password: &'static str) -> Box<dyn Fn(u64) -> Vec<u8>> {
    Box::new(move |_| sealed(StunMessage::binding_reply(TransId::new(), Scenario::CLIENT), Some(password)))
}

fn sealed(message: StunMessage<'_>, password: Option<&str>) -> Vec<u8> {
    let mut bytes = vec![0; 500];
    let length = message.to_bytes(password.map(str::as_bytes), &mut bytes, sha1_hmac).expect("it has space");
    bytes.truncate(length);
    bytes
}

fn sha1_hmac(key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key));
    payloads.iter().for_each(|payload| context.update(payload));
    context.sign().as_ref().try_into().expect("20 bytes")
}
