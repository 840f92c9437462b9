//! Two ends of a bus link on a simulated network.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

mod sim;

use meshring::crypto::Key;
use meshring::engine::{Config, Event, Link, PeerChange, Publish, SendError, BUS_PEER, SECOND};
use meshring::packet::{put_frame, Frames};
use meshring::stream::{Reliability, StreamConfig};
use sim::{for_seeds, Sim, Weather};

const RELIABLE: StreamConfig = StreamConfig {
    reliability: Reliability::Full,
    window: 0,
    weight: 1,
};
const LOOSE: StreamConfig = StreamConfig {
    reliability: Reliability::Once,
    ..RELIABLE
};

/// Initiator 0 and responder 1, in session.
fn meet(seed: u64, extension: bool) -> Sim {
    let mut sim = Sim::new(seed);
    for _ in 0..2 {
        sim.add(|config| {
            config.node_id = 0;
            config.bus = true;
            config.session_timeout = 20 * SECOND;
            config.reconnect = false;
            if !extension {
                config.features = None;
            }
        });
    }
    let now = sim.time(1);
    sim.nodes[1].engine.accept(now, Some(BUS_PEER)).unwrap();
    call(&mut sim);
    sim.run_for(SECOND / 2);
    assert!(sim.nodes.iter().all(|node| node.engine.peer(BUS_PEER).is_some()));
    sim.start(0);
    sim.start(1);
    sim
}

fn call(sim: &mut Sim) {
    let (now, key) = (sim.time(0), *sim.nodes[1].engine.public_key());
    let link = Link::Udp(sim.nodes[1].address);
    sim.nodes[0].engine.connect(now, link, key, BUS_PEER).unwrap();
    sim.touch(0);
}

/// Sends events with rising numbers, a few at a time.
fn send(sim: &mut Sim, from: usize, stream: u64, config: StreamConfig, numbers: std::ops::Range<u64>) {
    let mut next = numbers.start;
    while next < numbers.end {
        let now = sim.time(from);
        let engine = &mut sim.nodes[from].engine;
        let handle = engine.open_stream(now, BUS_PEER, stream, config).unwrap();
        let end = numbers.end.min(next + 10);
        let mut frames = Vec::new();
        for n in next..end {
            put_frame(&mut frames, &n.to_le_bytes());
        }
        match engine.send(
            now,
            handle,
            &frames,
            (end - next) as usize,
            false,
            Publish::default(),
        ) {
            Ok(_) => next = end,
            Err(SendError::Backpressure) => {}
            Err(other) => panic!("{other:?}"),
        }
        sim.touch(from);
        sim.run_for(SECOND / 200);
    }
}

fn received(sim: &Sim, at: usize, stream: u64) -> Vec<u64> {
    let of_stream = sim.nodes[at]
        .inbox
        .iter()
        .filter(|delivery| delivery.stream_id == stream);
    of_stream
        .flat_map(|delivery| Frames::new(&delivery.frames, delivery.count))
        .map(|event| u64::from_le_bytes(event.try_into().unwrap()))
        .collect()
}

fn heard(sim: &Sim, at: usize, change: PeerChange) -> usize {
    let wanted = Event::Peer {
        peer: BUS_PEER,
        change,
    };
    sim.nodes[at]
        .events
        .iter()
        .filter(|event| **event == wanted)
        .count()
}

#[test]
fn acknowledged_streams_are_exact_whatever_the_path_does() {
    for_seeds(20, |seed| {
        let mut sim = meet(seed, true);
        sim.weather = Weather {
            loss: 15,
            duplicates: 10,
            delay: 2000,
            jitter: 6000,
            mtu: 9000,
        };
        send(&mut sim, 0, 3, RELIABLE, 0..2000);
        send(&mut sim, 1, 0, RELIABLE, 0..500);
        sim.weather = sim::FINE;
        sim.run_for(3 * SECOND);
        assert_eq!(received(&sim, 1, 3), (0..2000).collect::<Vec<_>>());
        assert_eq!(received(&sim, 0, 0), (0..500).collect::<Vec<_>>());
        assert!(sim.nodes[0].events.contains(&Event::Flushed { stream: 3 }));
    });
}

#[test]
fn without_acknowledgements_a_gap_stops_nothing_and_nothing_comes_twice() {
    for_seeds(20, |seed| {
        for extension in [true, false] {
            let mut sim = meet(seed, extension);
            sim.weather = Weather {
                loss: 30,
                duplicates: 20,
                delay: 1000,
                jitter: 4000,
                mtu: 9000,
            };
            send(&mut sim, 0, 1, LOOSE, 0..3000);
            sim.weather = sim::FINE;
            send(&mut sim, 0, 1, LOOSE, 3000..3010);
            sim.run_for(SECOND);
            let mut numbers = received(&sim, 1, 1);
            assert!(numbers.ends_with(&[3009]) && numbers.len() > 1000);
            let all = numbers.len();
            numbers.sort_unstable();
            numbers.dedup();
            assert_eq!(numbers.len(), all);
        }
    });
}

#[test]
fn to_a_0_19_end_only_handshakes_heartbeats_and_events_leave() {
    let mut sim = meet(1, false);
    send(&mut sim, 0, 2, LOOSE, 0..100);
    send(&mut sim, 1, 2, RELIABLE, 0..100);
    let before: Vec<u64> = sim
        .nodes
        .iter()
        .map(|node| node.engine.stats().datagrams_out)
        .collect();
    sim.run_for(SECOND);
    // Five heartbeats a second, no pingwave, no grant.
    for (node, before) in sim.nodes.iter().zip(before) {
        assert!((4..=6).contains(&(node.engine.stats().datagrams_out - before)));
        assert_eq!(node.engine.stats().junk, 0);
    }
    for at in [0, 1] {
        assert_eq!(received(&sim, at, 2), (0..100).collect::<Vec<_>>());
        assert_eq!(
            sim.nodes[at]
                .inbox
                .iter()
                .map(|d| u32::from(d.count))
                .sum::<u32>(),
            100
        );
    }
}

#[test]
fn silence_ends_the_session_and_a_call_begins_another() {
    let mut sim = meet(2, true);
    sim.cut(0, 1);
    sim.run_for(22 * SECOND);
    assert!((0..2).all(|at| heard(&sim, at, PeerChange::Left) == 1));
    sim.heal();
    call(&mut sim);
    sim.run_for(SECOND);
    send(&mut sim, 1, 7, RELIABLE, 0..10);
    sim.run_for(SECOND);
    assert_eq!(received(&sim, 0, 7), (0..10).collect::<Vec<_>>());
}

#[test]
fn an_initiator_calls_a_restarted_responder_before_the_session_times_out() {
    let mut sim = Sim::new(3);
    let link = |config: &mut Config| {
        config.node_id = 0;
        config.bus = true;
        config.session_timeout = 100 * SECOND;
    };
    sim.add(link);
    let lasting = |config: &mut Config| {
        link(config);
        config.static_secret = Key::from([7; 32]);
    };
    sim.add(lasting);
    let mut again = sim.config(1);
    lasting(&mut again);
    let now = sim.time(1);
    sim.nodes[1].engine.accept(now, Some(BUS_PEER)).unwrap();
    call(&mut sim);
    sim.run_for(SECOND);
    sim.start(0);
    sim.start(1);
    sim.run_for(SECOND);
    sim.restart(1, again);
    sim.run_for(3 * SECOND);
    assert_eq!(heard(&sim, 0, PeerChange::Joined), 2);
    send(&mut sim, 0, 0, RELIABLE, 0..10);
    sim.run_for(SECOND);
    assert_eq!(received(&sim, 1, 0), (0..10).collect::<Vec<_>>());
}
