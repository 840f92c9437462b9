//! Calls and answers: who gets which, how long they wait, and how many there may be.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod sim;

use meshring::engine::{ConnectError, Event, HandshakeFailure, Link, Publish, SECOND};
use meshring::packet::{put_frame, subprotocol, Header, HEADER_LEN};
use meshring::stream::{Reliability, StreamConfig};
use sim::raw::{noise, route, Raw};
use sim::{address, Sim};
use std::collections::BTreeMap;

fn nodes(count: usize, old: bool) -> Sim {
    let mut sim = Sim::new(1);
    for _ in 0..count {
        sim.add(|config| {
            config.heartbeat_interval = 5 * SECOND;
            config.session_timeout = 30 * SECOND;
            if old {
                config.features = None;
            }
        });
    }
    sim
}

/// Handshakes of a node: call → peer.
fn handshakes(sim: &Sim, node: usize) -> BTreeMap<u64, u64> {
    let of = |event: &Event| match event {
        Event::Handshake { id, peer, .. } => Some((*id, *peer)),
        _ => None,
    };
    sim.nodes[node].events.iter().filter_map(of).collect()
}

fn failures(sim: &Sim, node: usize) -> BTreeMap<u64, HandshakeFailure> {
    let of = |event: &Event| match event {
        Event::HandshakeFailed { id, reason } => Some((*id, *reason)),
        _ => None,
    };
    sim.nodes[node].events.iter().filter_map(of).collect()
}

#[test]
fn of_many_calls_each_gets_its_own_answer_and_the_others_end_in_time() {
    for old in [false, true] {
        let mut sim = nodes(121, old);
        for node in 1..=100 {
            sim.start(node);
        }
        sim.start(0);
        let begin = sim.now;
        let mut expected = BTreeMap::new();
        // Started nodes, silent ones, and one that has another key than the caller thinks.
        for node in 1..=120 {
            let id = sim.connect(0, node);
            expected.insert(id, sim.nodes[node].id);
        }
        let (now, key) = (sim.time(0), *sim.nodes[1].engine.public_key());
        let engine = &mut sim.nodes[0].engine;
        let wrong = engine
            .connect(now, Link::Udp(address(2)), key, 0x9999_0000_0000)
            .unwrap();
        sim.touch(0);
        let first_silent = *expected.keys().nth(100).unwrap();
        let silent = expected.split_off(&first_silent);
        sim.run_until(begin + 15_300_000 - 1);
        assert_eq!(handshakes(&sim, 0), expected, "old: {old}");
        assert!(failures(&sim, 0).is_empty());
        sim.run_until(begin + 15_300_000);
        let late = failures(&sim, 0);
        assert!(late.keys().eq(silent.keys().chain([&wrong])));
        assert!(late.values().all(|reason| *reason == HandshakeFailure::Timeout));
        sim.run_for(20 * SECOND);
        assert_eq!(sim.nodes[0].engine.tables().handshakes, 0);
    }
}

#[test]
fn each_accept_gets_the_node_that_it_names_whatever_else_arrives() {
    for (old, started) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut sim = nodes(9, old);
        if started {
            sim.start(0);
        }
        let now = sim.time(0);
        let mut expected = BTreeMap::new();
        for node in 1..8 {
            let peer = sim.nodes[node].id;
            let id = sim.nodes[0].engine.accept(now, Some(peer)).unwrap();
            expected.insert(id, peer);
        }
        let absent = sim.nodes[8].id;
        let lonely = sim.nodes[0].engine.accept(now, Some(absent)).unwrap();
        sim.touch(0);
        for port in 0..300 {
            let mut junk = noise(&mut sim.rng);
            if port % 2 == 0 {
                junk = [route(port, sim.nodes[0].id, 16), junk].concat();
            }
            sim.inject(0, address(20 + port as usize), junk);
        }
        sim.run_for(2 * SECOND);
        for node in (1..8).rev() {
            sim.connect(node, 0);
        }
        sim.run_until(now + 15_300_000 - 1);
        assert_eq!(handshakes(&sim, 0), expected, "old: {old}, started: {started}");
        assert!(failures(&sim, 0).is_empty());
        sim.run_until(now + 15_300_000);
        assert_eq!(
            failures(&sim, 0),
            BTreeMap::from([(lonely, HandshakeFailure::Timeout)])
        );
        assert!((1..8).all(|node| sim.are_connected(0, node)));
    }
}

#[test]
fn a_caller_sends_one_kind_of_call_at_a_time() {
    let mut sim = nodes(1, false);
    let link = Link::Udp(address(50));
    let now = sim.time(0);
    sim.nodes[0].engine.connect(now, link, [9; 32], 0x1234).unwrap();
    let mut calls = Vec::new();
    for at in (now..now + 16 * SECOND).step_by(10_000) {
        let engine = &mut sim.nodes[0].engine;
        engine.handle_timeout(at);
        let mut together = 0;
        while let Some(transmit) = engine.poll_transmit(at) {
            calls.push(transmit.bytes.starts_with(&[0x52, 0x54]));
            together += 1;
        }
        assert!(together <= 1, "a node that leaves accept could take both");
    }
    assert_eq!(calls, [false, true, false, true, false, true]);
}

#[test]
fn ids_with_the_same_low_half_are_not_called_at_once() {
    let (one, other) = (0x1111_0000_0042, 0x2222_0000_0042);
    for routed in [false, true] {
        let mut sim = nodes(1, false);
        let (now, link) = (sim.time(0), Link::Udp(address(50)));
        let engine = &mut sim.nodes[0].engine;
        let call = |engine: &mut meshring::engine::Engine, peer| {
            if routed {
                engine.connect_via(now, link, [9; 32], peer)
            } else {
                engine.connect(now, link, [9; 32], peer)
            }
        };
        let first = call(engine, one).unwrap();
        assert_eq!(
            engine.connect_via(now, link, [9; 32], other),
            Err(ConnectError::InFlight)
        );
        assert_eq!(
            engine.connect(now, link, [9; 32], other),
            Err(ConnectError::InFlight)
        );
        // To the same node a new call takes the place of the older one.
        let second = engine.connect(now, link, [9; 32], one).unwrap();
        assert_eq!(
            engine.poll_event(),
            Some(Event::HandshakeFailed {
                id: first,
                reason: HandshakeFailure::Superseded
            })
        );
        engine.cancel(second);
        assert!(engine.connect(now, link, [9; 32], other).is_ok());
    }
}

#[test]
fn calls_answers_and_peers_are_limited() {
    let mut sim = nodes(1, false);
    let (now, link) = (sim.time(0), Link::Udp(address(50)));
    let engine = &mut sim.nodes[0].engine;
    for peer in 0..1024 {
        engine.connect(now, link, [9; 32], 5000 + peer).unwrap();
        engine.accept(now, Some(9000 + peer)).unwrap();
    }
    assert_eq!(engine.connect(now, link, [9; 32], 1), Err(ConnectError::TooMany));
    assert_eq!(
        engine.connect_via(now, link, [9; 32], 1),
        Err(ConnectError::TooMany)
    );
    assert_eq!(engine.accept(now, None), Err(ConnectError::TooMany));
    assert_eq!(engine.tables().handshakes, 2048);
    sim.touch(0);
    sim.run_for(16 * SECOND);
    assert_eq!(failures(&sim, 0).len(), 2048);
    assert_eq!(sim.nodes[0].engine.tables().handshakes, 0);

    let mut sim = Sim::new(1);
    let node = sim.add(|config| config.max_peers = 4);
    sim.start(node);
    for n in 0..10u64 {
        let known = Raw::call(&mut sim, node, 0x77_0000_0000 + n, address(60 + n as usize));
        assert_eq!(known.is_some(), n < 4);
    }
    let tables = sim.nodes[node].engine.tables();
    assert_eq!((tables.peers, tables.sessions, tables.links), (4, 4, 4));
    // Who has a place keeps it.
    sim.run_for(2 * SECOND);
    assert!(Raw::call(&mut sim, node, 0x77_0000_0003, address(63)).is_some());
    assert_eq!(sim.nodes[node].engine.peer_count(), 4);
}

#[test]
fn a_bus_link_works_on_few_calls_of_a_source_and_keeps_its_session() {
    let mut sim = Sim::new(1);
    for _ in 0..2 {
        let node = sim.add(|config| {
            config.bus = true;
            config.node_id = 0;
        });
        sim.nodes[node].id = meshring::engine::BUS_PEER;
        sim.start(node);
    }
    let (now, key) = (sim.time(0), *sim.nodes[1].engine.public_key());
    let link = Link::Udp(sim.nodes[1].address);
    sim.nodes[1].engine.accept(now, Some(1)).unwrap();
    sim.nodes[0].engine.connect(now, link, key, 1).unwrap();
    sim.touch(0);
    assert!(sim.run_while(5 * SECOND, |sim| !sim.are_connected(0, 1)));
    sim.run_for(2 * SECOND);
    let before = *sim.nodes[1].engine.stats();
    for _ in 0..100 {
        let junk = noise(&mut sim.rng);
        sim.inject(1, address(70), junk);
    }
    let after = sim.nodes[1].engine.stats();
    assert_eq!(after.handshakes_refused - before.handshakes_refused, 5);
    assert_eq!(after.handshakes_limited - before.handshakes_limited, 95);
    assert!(sim.are_connected(0, 1));
}

#[test]
fn credit_of_a_packet_that_never_left_comes_back_to_its_own_life_only() {
    let mut sim = nodes(1, false);
    sim.start(0);
    let raw = Raw::call(&mut sim, 0, 0x7777, address(90)).expect("an answer");
    let (now, config) = (
        sim.time(0),
        StreamConfig {
            reliability: Reliability::Once,
            window: 1000,
            weight: 1,
        },
    );
    let engine = &mut sim.nodes[0].engine;
    let mut frames = Vec::new();
    put_frame(&mut frames, &[0; 316]);
    let send = |engine: &mut meshring::engine::Engine| {
        let handle = engine.open_stream(now, raw.id, 7, config).unwrap();
        engine
            .send(now, handle, &frames, 1, false, Publish::default())
            .unwrap();
        let mut origin = None;
        while let Some(transmit) = engine.poll_transmit(now) {
            origin = origin.or(transmit.origin);
        }
        origin.expect("a datagram of the stream")
    };
    let left = |engine: &meshring::engine::Engine| {
        let stats = engine.stream_stats(raw.id, 7).unwrap();
        (stats.tx_credit_remaining, stats.tx_seq)
    };
    let first = send(engine);
    assert_eq!(left(engine), (600, 1));
    engine.unsent(first);
    assert_eq!(left(engine), (1000, 1));
    let second = send(engine);
    engine.close_stream(now, raw.id, 7);
    let _ = send(engine);
    assert_eq!(left(engine), (600, 3));
    engine.unsent(second);
    assert_eq!(left(engine), (600, 3), "another life of the stream");
}

#[test]
fn what_waits_for_the_application_is_bounded_and_what_is_dropped_is_counted() {
    for (max_events, max_bytes, length) in [(500, 1 << 20, 10), (100_000, 40_000, 1000)] {
        let mut sim = Sim::new(1);
        let node = sim.add(|config| {
            config.max_inbound_events = max_events;
            config.max_inbound_bytes = max_bytes;
        });
        sim.start(node);
        let mut raw = Raw::call(&mut sim, node, 0x7777, address(90)).expect("an answer");
        sim.nodes[node].reads = false;
        let mut frames = Vec::new();
        for _ in 0..7 {
            put_frame(&mut frames, &vec![0; length]);
        }
        let header = Header {
            event_count: 7,
            ..Header::default()
        };
        for _ in 0..1000 {
            let packet = raw.seal(header, &frames);
            raw.send(&mut sim, packet);
        }
        let engine = &sim.nodes[node].engine;
        let (events, bytes) = engine.inbound();
        assert!(events <= max_events && bytes <= max_bytes, "{events} {bytes}");
        assert!(events + 7 > max_events || bytes + frames.len() > max_bytes);
        assert_eq!(engine.stats().inbound_dropped + events as u64, 7000);
        sim.nodes[node].reads = true;
        sim.touch(node);
        assert_eq!(sim.nodes[node].engine.inbound(), (0, 0));
    }

    let mut sim = nodes(1, false);
    sim.start(0);
    let mut raw = Raw::call(&mut sim, 0, 0x7777, address(90)).expect("an answer");
    let engine = &mut sim.nodes[0].engine;
    while engine.poll_event().is_some() {}
    let header = Header {
        subprotocol_id: subprotocol::MEMBERSHIP,
        event_count: 1,
        ..Header::default()
    };
    for _ in 0..10_000 {
        let mut packet = raw.seal(header, &[1, 0, 0, 0, 9]);
        engine.handle_datagram(sim.now, Link::Udp(raw.address), &mut packet);
    }
    assert_eq!(engine.tables().events, 8192);
    assert_eq!(engine.stats().messages_dropped, 10_000 - 8192);
}

#[test]
fn packets_to_relay_wait_in_bounded_queues() {
    let mut sim = nodes(1, false);
    sim.start(0);
    let peers: Vec<Raw> = (0..12)
        .map(|n| Raw::call(&mut sim, 0, 0x7000 + n, address(60 + n as usize)).expect("an answer"))
        .collect();
    let engine = &mut sim.nodes[0].engine;
    let mut bytes = route(1, peers[0].id, 8);
    bytes.resize(bytes.len() + HEADER_LEN, 0);
    for _ in 0..2000 {
        engine.handle_datagram(sim.now, Link::Udp(peers[1].address), &mut bytes.clone());
    }
    assert_eq!(engine.tables().forwards, 1024, "of one source");
    for peer in &peers[2..] {
        for _ in 0..2000 {
            engine.handle_datagram(sim.now, Link::Udp(peer.address), &mut bytes.clone());
        }
    }
    assert_eq!(engine.tables().forwards, 8192, "of all");
    assert_eq!(engine.stats().forward_full, 22_000 - 8192);
    // Strangers have a limit in common, and a packet goes neither back nor to whom it names as its source.
    while engine.poll_transmit(sim.now).is_some() {}
    let before = *engine.stats();
    for port in 1..3000u16 {
        let from = std::net::SocketAddr::from(([10, 9, 9, 9], port));
        engine.handle_datagram(sim.now, Link::Udp(from), &mut bytes.clone());
    }
    assert_eq!(engine.stats().forwarded - before.forwarded, 1000);
    assert_eq!(engine.stats().forward_full - before.forward_full, 1999);
}
