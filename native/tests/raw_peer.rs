//! A peer with the right keys that sends what it likes: what of it counts, and for what.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod sim;

use meshring::engine::{Event, Liveness, PeerChange, Publish, SECOND};
use meshring::packet::{flags, put_frame, subprotocol, Frames, Grant, Header, CONTROL_STREAM};
use meshring::stream::{Reliability, StreamConfig};
use sim::raw::{route, Raw};
use sim::{address, Sim};

/// Its id.
const ID: u64 = 0x7000_0000_0000_0077;

/// A started node, and a peer in session with it.
fn node_and_raw() -> (Sim, Raw) {
    let mut sim = Sim::new(1);
    let node = sim.add(|_| ());
    sim.start(node);
    let raw = Raw::call(&mut sim, node, ID, address(90)).expect("an answer");
    (sim, raw)
}

fn framed(events: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for event in events {
        put_frame(&mut out, event);
    }
    out
}

/// Events that the node has for its application, as far as they came.
fn delivered(sim: &mut Sim) -> Vec<Vec<u8>> {
    std::mem::take(&mut sim.nodes[0].inbox)
        .iter()
        .flat_map(|delivery| {
            let frames = Frames::new(&delivery.frames, delivery.count);
            frames.map(<[u8]>::to_vec).collect::<Vec<_>>()
        })
        .collect()
}

/// Event count of the header, plaintext, and the events that are read from it.
type Case = (u16, &'static [u8], &'static [&'static [u8]]);

/// As running 0.19.0 nodes took and refused them.
#[test]
fn unusual_packets_are_taken_or_refused_as_by_a_running_peer() {
    let (mut sim, mut raw) = node_and_raw();
    let one = Header {
        event_count: 1,
        ..Header::default()
    };
    let with = |change: fn(&mut Header)| {
        let mut header = one;
        change(&mut header);
        header
    };
    let taken = [
        one,
        with(|header| header.priority = 9),
        with(|header| header.flags = 0xc0),
        with(|header| header.flags = 0x02),
        with(|header| header.flags = 0x08),
        with(|header| header.hop_ttl = 5),
        with(|header| header.frag_flags = 1),
        with(|header| (header.fragment_id, header.fragment_offset) = (3, 4)),
        with(|header| header.subnet_id = 77),
        with(|header| header.subprotocol_id = 0x7777),
        with(|header| header.subprotocol_id = 0x0600),
        with(|header| header.subprotocol_id = 0x0400),
        with(|header| header.channel_hash = 0x1234),
    ];
    for header in taken {
        let packet = raw.seal(header, &framed(&[b"ev"]));
        raw.send(&mut sim, packet);
        assert_eq!(delivered(&mut sim), [b"ev"], "{header:?}");
    }
    for bits in [flags::HEARTBEAT, flags::HANDSHAKE] {
        let header = Header { flags: bits, ..one };
        let packet = raw.seal(header, &framed(&[b"ev"]));
        raw.send(&mut sim, packet);
        assert!(delivered(&mut sim).is_empty(), "{bits:#x} with data");
    }
    // The first 64 bytes say how many frames there should be; what is there decides.
    let frames: [Case; 10] = [
        (1, &[1, 0, 0, 0, b'a', 1, 0, 0, 0, b'b'], &[b"a"]),
        (5, &[1, 0, 0, 0, b'a'], &[b"a"]),
        (2028, &[1, 0, 0, 0, b'a'], &[b"a"]),
        (0, &[1, 0, 0, 0, b'a'], &[]),
        (1, &[9, 0, 0, 0, b'a'], &[]),
        (1, &[0xff, 0xff, 0xff, 0xff, b'a'], &[]),
        (2, &[2, 0, 0, 0, b'o', b'k', 5, 0, 0, 0, b'x'], &[b"ok"]),
        (1, &[1, 0, 0], &[]),
        (1, &[0, 0, 0, 0], &[b""]),
        (1, &[1, 0, 0, 0, b't', 7, 7], &[b"t"]),
    ];
    for (event_count, payload, expected) in frames {
        let packet = raw.seal(Header { event_count, ..one }, payload);
        raw.send(&mut sim, packet);
        assert_eq!(delivered(&mut sim), expected, "{event_count} of {payload:?}");
    }
    let most = raw.seal(
        Header {
            event_count: 2028,
            ..one
        },
        &[0; 8112],
    );
    assert_eq!(most.len(), 8192);
    raw.send(&mut sim, most);
    assert_eq!(delivered(&mut sim).len(), 2028);
    let beyond = raw.seal(
        Header {
            event_count: 2029,
            ..one
        },
        &[0; 8112],
    );
    raw.send(&mut sim, beyond);
    let longest = raw.seal(one, &framed(&[&[7; 8108]]));
    raw.send(&mut sim, longest);
    assert_eq!(delivered(&mut sim), [[7; 8108]]);
    let longer = raw.seal(one, &framed(&[&[7; 8109]]));
    assert_eq!(longer.len(), 8193);
    raw.send(&mut sim, longer);
    assert!(delivered(&mut sim).is_empty());
    // Behind a routing header whose hops are used up: it has arrived.
    let mut routed = route(ID, sim.nodes[0].id, 0);
    routed.extend(raw.seal(one, &framed(&[b"rt"])));
    raw.send(&mut sim, routed);
    assert_eq!(delivered(&mut sim), [b"rt"]);
    assert_eq!(sim.nodes[0].engine.peer_count(), 1);
}

fn changes(sim: &Sim) -> Vec<PeerChange> {
    let of = |event: &Event| match event {
        Event::Peer { change, .. } => Some(*change),
        _ => None,
    };
    sim.nodes[0].events.iter().filter_map(of).collect()
}

#[test]
fn only_genuine_heartbeats_are_signs_of_life() {
    let (mut sim, mut raw) = node_and_raw();
    let genuine = raw.heartbeat();
    assert_eq!(genuine.len(), 80);
    raw.send(&mut sim, genuine.clone());
    let fakes = |raw: &mut Raw, own: u64| {
        let mut forged = raw.heartbeat();
        forged[70] ^= 1;
        let mut short = raw.heartbeat();
        short.pop();
        let mut long = raw.heartbeat();
        long.push(0);
        let mut routed = route(ID, own, 8);
        routed.extend(raw.heartbeat());
        let header = Header {
            flags: flags::HEARTBEAT,
            event_count: 1,
            ..Header::default()
        };
        let full = raw.seal(header, &framed(&[b"ev"]));
        [forged, short, long, routed, full]
    };
    // Events each 100 ms keep the session, but 0.19.0 counts heartbeats only.
    for _ in 0..40 {
        sim.run_for(SECOND / 10);
        let header = Header {
            event_count: 1,
            ..Header::default()
        };
        let event = raw.seal(header, &framed(&[b"ev"]));
        raw.send(&mut sim, event);
        raw.send(&mut sim, genuine.clone());
        let own = sim.nodes[0].id;
        for fake in fakes(&mut raw, own) {
            raw.send(&mut sim, fake);
        }
    }
    assert_eq!(
        changes(&sim),
        [PeerChange::Joined, PeerChange::Suspected, PeerChange::Failed]
    );
    assert_eq!(delivered(&mut sim).len(), 40);
    let beat = raw.heartbeat();
    raw.send(&mut sim, beat);
    assert_eq!(changes(&sim).last(), Some(&PeerChange::Recovered));
    assert_eq!(sim.nodes[0].engine.peer(ID).unwrap().liveness, Liveness::Healthy);
    // Nor do they keep the session.
    for _ in 0..310 {
        sim.run_for(SECOND / 10);
        raw.send(&mut sim, genuine.clone());
        let own = sim.nodes[0].id;
        for fake in fakes(&mut raw, own) {
            raw.send(&mut sim, fake);
        }
    }
    assert_eq!(changes(&sim).last(), Some(&PeerChange::Left));
    assert_eq!(sim.nodes[0].engine.peer_count(), 0);
}

#[test]
fn a_peer_fails_after_three_timeouts_and_goes_after_thirty() {
    let mut sim = Sim::new(1);
    let node = sim.add(|config| {
        config.heartbeat_interval = SECOND / 10;
        config.session_timeout = 3 * SECOND / 10;
    });
    sim.start(node);
    let mut raw = Raw::call(&mut sim, node, ID, address(90)).expect("an answer");
    let beat = raw.heartbeat();
    raw.send(&mut sim, beat);
    let begin = sim.now;
    let is = |sim: &Sim, change: PeerChange| changes(sim).last() == Some(&change);
    assert!(sim.run_while(2 * SECOND, |sim| !is(sim, PeerChange::Failed)));
    let failed = sim.now - begin;
    assert!((900_000..=1_100_000).contains(&failed), "{failed}");
    assert!(sim.run_while(20 * SECOND, |sim| !is(sim, PeerChange::Left)));
    let gone = sim.now - begin;
    assert!((9_000_000..=10_500_000).contains(&gone), "{gone}");
}

fn grants(events: &[&[u8]]) -> (Header, Vec<u8>) {
    let header = Header {
        subprotocol_id: subprotocol::STREAM_WINDOW,
        stream_id: CONTROL_STREAM,
        event_count: events.len() as u16,
        ..Header::default()
    };
    (header, framed(events))
}

fn grant(stream_id: u64, total_consumed: u64) -> [u8; 16] {
    Grant {
        stream_id,
        total_consumed,
    }
    .encode()
}

#[test]
fn every_grant_of_a_packet_counts_and_none_beyond_what_was_sent() {
    let (mut sim, mut raw) = node_and_raw();
    let now = sim.time(0);
    let config = StreamConfig {
        reliability: Reliability::Once,
        window: 1000,
        weight: 1,
    };
    let handle = sim.nodes[0].engine.open_stream(now, ID, 7, config).unwrap();
    let push = |sim: &mut Sim, length: usize| {
        let frames = framed(&[&vec![0; length]]);
        let engine = &mut sim.nodes[0].engine;
        engine
            .send(now, handle, &frames, 1, false, Publish::default())
            .unwrap();
        sim.touch(0);
    };
    let remaining = |sim: &Sim| {
        let stats = sim.nodes[0].engine.stream_stats(ID, 7).unwrap();
        (stats.tx_credit_remaining, stats.credit_grants_received)
    };
    push(&mut sim, 816);
    assert_eq!(remaining(&sim), (100, 0));
    let bad = sim.nodes[0].engine.stats().bad_control;
    let mut give = |sim: &mut Sim, events: &[&[u8]]| {
        let (header, payload) = grants(events);
        let packet = raw.seal(header, &payload);
        raw.send(sim, packet);
        remaining(sim)
    };
    // Wrong lengths, and a stream that is not there.
    let seven = grant(7, 900);
    assert_eq!(give(&mut sim, &[&seven[..15], &[], &grant(8, 900)]), (100, 0));
    assert_eq!(sim.nodes[0].engine.stats().bad_control, bad + 2);
    // Several in a packet, unordered, with junk between.
    let many = give(
        &mut sim,
        &[
            &grant(8, 900),
            &grant(7, 500),
            b"?",
            &grant(7, 300),
            &grant(7, 600),
        ],
    );
    assert_eq!(many, (700, 3));
    assert_eq!(give(&mut sim, &[&grant(7, 500)]), (700, 4));
    // More than was sent: full credit, and no more; what is really consumed later counts as before.
    assert_eq!(give(&mut sim, &[&grant(7, u64::MAX)]), (1000, 5));
    push(&mut sim, 816);
    assert_eq!(remaining(&sim).0, 100);
    assert_eq!(give(&mut sim, &[&grant(7, 900)]).0, 100);
    assert_eq!(give(&mut sim, &[&grant(7, 1500)]).0, 700);
    assert_eq!(give(&mut sim, &[&grant(7, 1800)]).0, 1000);
    // A grant is no event.
    assert!(delivered(&mut sim).is_empty());
}

#[test]
fn plain_events_are_granted_and_nothing_else_is() {
    let (mut sim, mut raw) = node_and_raw();
    let now = sim.time(0);
    let config = StreamConfig {
        window: 0,
        ..StreamConfig::default()
    };
    sim.nodes[0].engine.open_stream(now, ID, 9, config).unwrap();
    let one = Header {
        event_count: 1,
        ..Header::default()
    };
    let mut granted = |sim: &mut Sim, header: Header| -> Vec<Grant> {
        let packet = raw.seal(header, &framed(&[b"event"]));
        let answers = raw.send(sim, packet);
        let of = answers
            .iter()
            .filter(|(header, _)| header.subprotocol_id == subprotocol::STREAM_WINDOW);
        of.flat_map(|(header, payload)| {
            assert_eq!((header.stream_id, payload.len()), (CONTROL_STREAM, 20));
            Frames::new(payload, header.event_count)
                .map(|frame| Grant::decode(frame).unwrap())
                .collect::<Vec<_>>()
        })
        .collect()
    };
    let total = |stream_id, total_consumed| {
        vec![Grant {
            stream_id,
            total_consumed,
        }]
    };
    for stream_id in [0, 7] {
        for n in 1..=3 {
            let header = Header { stream_id, ..one };
            assert_eq!(granted(&mut sim, header), total(stream_id, 89 * n));
        }
    }
    let unknown = Header {
        subprotocol_id: 0x7777,
        stream_id: 0x7777,
        ..one
    };
    assert_eq!(granted(&mut sim, unknown), total(0x7777, 89));
    let membership = Header {
        subprotocol_id: subprotocol::MEMBERSHIP,
        stream_id: subprotocol::MEMBERSHIP.into(),
        ..one
    };
    assert_eq!(granted(&mut sim, membership), []);
    // The node opened this one itself, without a window.
    assert_eq!(granted(&mut sim, Header { stream_id: 9, ..one }), []);
}

#[test]
fn of_two_peers_at_one_address_the_newer_keeps_what_is_its_own() {
    let (mut sim, mut old) = node_and_raw();
    let new = Raw::call(&mut sim, 0, ID + 1, old.address).expect("an answer");
    let link = meshring::engine::Link::Udp(new.address);
    let engine = &mut sim.nodes[0].engine;
    assert_eq!(engine.peer_at(link), Some(ID + 1));
    assert!(engine.disconnect(sim.now, ID));
    assert_eq!(engine.peer_at(link), Some(ID + 1));
    assert_eq!((engine.route(ID), engine.route(ID + 1)), (None, Some(link)));
    let tables = engine.tables();
    assert_eq!((tables.peers, tables.sessions, tables.links), (1, 1, 1));
    // Its session is over.
    let beat = old.heartbeat();
    old.send(&mut sim, beat);
    assert_eq!(sim.nodes[0].engine.stats().unknown_session, 1);
}
