//! Handshakes of a bus link whose messages are late, lost or repeated: one session comes of them, and nothing sent meanwhile is lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

mod sim;

use meshring::engine::{Config, Engine, Event, Link, PeerChange, Publish, BUS_PEER, SECOND};
use meshring::packet::{flags, put_frame, Frames};
use meshring::stream::{Reliability, StreamConfig};
use sim::{address, for_seeds, Sim, Weather, FINE};

const ONCE: StreamConfig = StreamConfig {
    reliability: Reliability::Once,
    window: 0,
    weight: 1,
};

/// An end; `features`: whether it offers the extension.
fn end(config: &mut Config, features: bool) {
    config.node_id = 0;
    config.bus = true;
    config.session_timeout = 20 * SECOND;
    config.reconnect = false;
    if !features {
        config.features = None;
    }
}

/// Initiator 0, that calls, and responder 1, that waits; both are started.
fn ends(seed: u64, features: bool, weather: Weather) -> Sim {
    let mut sim = Sim::new(seed);
    sim.weather = weather;
    for _ in 0..2 {
        sim.add(|config| end(config, features));
    }
    let now = sim.time(1);
    sim.nodes[1].engine.accept(now, Some(BUS_PEER)).unwrap();
    let key = *sim.nodes[1].engine.public_key();
    let link = Link::Udp(sim.nodes[1].address);
    sim.nodes[0].engine.connect(now, link, key, BUS_PEER).unwrap();
    for index in [0, 1] {
        sim.start(index);
    }
    sim
}

fn joined(sim: &Sim, at: usize) -> usize {
    let wanted = Event::Peer {
        peer: BUS_PEER,
        change: PeerChange::Joined,
    };
    sim.nodes[at]
        .events
        .iter()
        .filter(|event| **event == wanted)
        .count()
}

/// Sends a number on stream 0 if there is a session; whether it was.
fn emit(sim: &mut Sim, from: usize, number: u64) -> bool {
    let now = sim.time(from);
    let engine = &mut sim.nodes[from].engine;
    let Ok(handle) = engine.open_stream(now, BUS_PEER, 0, ONCE) else {
        return false;
    };
    let mut frames = Vec::new();
    put_frame(&mut frames, &number.to_le_bytes());
    let sent = engine.send(now, handle, &frames, 1, false, Publish::default());
    sim.touch(from);
    sent.is_ok()
}

fn received(sim: &Sim, at: usize) -> Vec<u64> {
    let inbox = sim.nodes[at].inbox.iter();
    inbox
        .flat_map(|delivery| Frames::new(&delivery.frames, delivery.count))
        .map(|event| u64::from_le_bytes(event.try_into().unwrap()))
        .collect()
}

/// Both ends send each 20 ms, from the moment at which they have a session; what each has sent.
fn talk(sim: &mut Sim, span: u64) -> [Vec<u64>; 2] {
    let mut sent = [Vec::new(), Vec::new()];
    let until = sim.now + span;
    while sim.now < until {
        for (from, sent) in sent.iter_mut().enumerate() {
            let number = sent.len() as u64;
            if emit(sim, from, number) {
                sent.push(number);
            }
        }
        sim.run_for(SECOND / 50);
    }
    sent
}

#[test]
fn first_messages_that_wait_together_make_one_session() {
    for features in [true, false] {
        // Four first messages are under way before the first answer comes back.
        let slow = Weather {
            delay: 300_000,
            ..FINE
        };
        let mut sim = ends(1, features, slow);
        let sent = talk(&mut sim, 4 * SECOND);
        sim.run_for(SECOND);
        for (to, from) in [(0, 1), (1, 0)] {
            assert!(!sent[from].is_empty());
            assert_eq!(received(&sim, to), sent[from], "features {features}");
            assert_eq!(
                (joined(&sim, to), sim.nodes[to].engine.stats().handshakes),
                (1, 1)
            );
        }
    }
}

#[test]
fn repeated_and_reordered_messages_make_one_session() {
    for_seeds(30, |seed| {
        let wild = Weather {
            duplicates: 60,
            delay: 1000,
            jitter: 700_000,
            ..FINE
        };
        let mut sim = ends(seed, seed % 2 == 0, wild);
        assert!(sim.run_while(5 * SECOND, |sim| (0..2)
            .any(|at| sim.nodes[at].engine.peer(BUS_PEER).is_none())));
        sim.run_for(2 * SECOND);
        // Whatever is left of the handshake has arrived and changes nothing.
        sim.weather.jitter = 0;
        let sent = talk(&mut sim, SECOND);
        sim.run_for(SECOND);
        for (to, from) in [(0, 1), (1, 0)] {
            assert_eq!(received(&sim, to), sent[from]);
            assert_eq!(joined(&sim, to), 1);
        }
    });
}

#[test]
fn a_lost_answer_is_given_again_for_the_same_session() {
    for_seeds(30, |seed| {
        let mut sim = ends(seed, true, Weather { loss: 50, ..FINE });
        assert!(sim.run_while(20 * SECOND, |sim| !(0..2)
            .all(|at| sim.nodes[at].engine.peer(BUS_PEER).is_some())));
        sim.weather = FINE;
        let within_an_attempt = sim.now < 5 * SECOND;
        sim.run_for(SECOND);
        let session = |at: usize| sim.nodes[at].engine.peer(BUS_PEER).map(|peer| peer.session_id);
        assert_eq!(session(0), session(1));
        if within_an_attempt {
            assert_eq!((joined(&sim, 0), joined(&sim, 1)), (1, 1));
        }
    });
}

#[test]
fn what_is_sent_on_a_superseded_session_arrives() {
    for features in [true, false] {
        // The first answer comes after the second attempt has begun, which makes a session of its own at the responder.
        let far = Weather {
            delay: 3 * SECOND,
            ..FINE
        };
        let mut sim = ends(1, features, far);
        let sent = talk(&mut sim, 25 * SECOND);
        sim.run_for(4 * SECOND);
        assert_eq!((joined(&sim, 0), joined(&sim, 1)), (2, 2));
        for (to, from) in [(0, 1), (1, 0)] {
            assert!(sent[from].len() > 500);
            assert_eq!(received(&sim, to), sent[from], "features {features}, from {from}");
        }
        // Every packet of the initiator was on a session that the responder could still read.
        assert_eq!(sim.nodes[1].engine.stats().unknown_session, 0);
    }
}

fn transmits(engine: &mut Engine, now: u64) -> Vec<Vec<u8>> {
    std::iter::from_fn(|| engine.poll_transmit(now).map(|transmit| transmit.bytes)).collect()
}

fn is_handshake(packet: &[u8]) -> bool {
    packet[3] & flags::HANDSHAKE != 0
}

#[test]
fn only_the_caller_gets_its_answer_again_and_only_until_it_has_it() {
    let mut sim = Sim::new(7);
    for _ in 0..2 {
        sim.add(|config| end(config, true));
    }
    let now = sim.now;
    let (caller, other) = (Link::Udp(address(0)), Link::Udp(address(5)));
    let callee = Link::Udp(address(1));
    let (a, b) = sim.nodes.split_at_mut(1);
    let (a, b) = (&mut a[0].engine, &mut b[0].engine);
    b.start(now);
    b.accept(now, Some(BUS_PEER)).unwrap();
    a.connect(now, callee, *b.public_key(), BUS_PEER).unwrap();
    let first = transmits(a, now).remove(0);
    let mut hear = |link: Link, now: u64| {
        b.handle_datagram(now, link, &mut first.clone());
        let mut out = transmits(b, now);
        out.retain(|packet| is_handshake(packet));
        out
    };
    let answer = hear(caller, now).remove(0);
    assert_eq!(hear(caller, now + 10), std::slice::from_ref(&answer));
    assert!(hear(other, now + 20).is_empty(), "somebody else's copy");
    assert_eq!(hear(caller, now + 30), std::slice::from_ref(&answer));
    // The caller's first packet shows that it has the session; the same answer twice does not begin it anew.
    a.handle_datagram(now + 40, callee, &mut answer.clone());
    let alive = transmits(a, now + 40);
    assert!(!alive.is_empty());
    a.handle_datagram(now + 50, callee, &mut answer.clone());
    assert_eq!(a.stats().handshakes, 1);
    for mut packet in alive {
        b.handle_datagram(now + 60, caller, &mut packet);
    }
    b.handle_datagram(now + 70, caller, &mut first.clone());
    assert!(!transmits(b, now + 70).iter().any(|packet| is_handshake(packet)));
    assert_eq!(b.stats().handshakes, 1);
}
