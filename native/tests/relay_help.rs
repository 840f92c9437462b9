//! Two 0.19.0 ends over a relay of ours: what they send without routing header arrives all the same. `MESHRING_SEED=n` replays one seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod sim;

use meshring::engine::{Link, SECOND};
use meshring::packet::{Header, HEADER_LEN};
use meshring::stream::{Reliability, StreamConfig};
use sim::traffic::{collect, Traffic};
use sim::{for_seeds, Sim, Weather, FINE};

/// Runs dry after four packets unless grants come back.
const SMALL: StreamConfig = StreamConfig {
    reliability: Reliability::Once,
    window: 2000,
    weight: 1,
};

/// Ends around relay 0: all of the old kind, and silent about where their packets belong.
fn star(seed: u64, ends: usize) -> Sim {
    let mut sim = Sim::new(seed);
    let relay = sim.add(|_| ());
    sim.start(relay);
    for _ in 0..ends {
        let end = sim.add(|config| config.features = None);
        sim.nodes[end].bare = true;
        sim.start(end);
        for other in 1..end {
            sim.cut(other, end);
        }
        sim.connect(end, relay);
    }
    assert!(sim.run_while(30 * SECOND, |sim| !(1..=ends)
        .all(|end| sim.are_connected(end, 0))));
    assert!(sim.run_while(5 * SECOND, |sim| !(1..=ends).all(
        |end| (1..=ends).all(|far| end == far || sim.nodes[end].engine.route(sim.nodes[far].id).is_some())
    )));
    sim
}

fn call(sim: &mut Sim, from: usize, to: usize) {
    let (now, key, far) = (
        sim.time(from),
        *sim.nodes[to].engine.public_key(),
        sim.nodes[to].id,
    );
    sim.nodes[from].engine.connect_routed(now, key, far).unwrap();
    sim.touch(from);
    assert!(sim.run_while(10 * SECOND, |sim| !sim.are_connected(from, to)));
    assert!(sim.nodes[from].engine.peer(far).unwrap().relayed);
}

#[test]
fn streams_and_their_grants_pass() {
    for_seeds(30, |seed| {
        let mut sim = star(seed, 2);
        call(&mut sim, 1, 2);
        let mut traffic = [Traffic::new(1, 2, 7, SMALL), Traffic::new(2, 1, 9, SMALL)];
        for round in 0..200 {
            // One end alone is enough to begin with.
            for one in &mut traffic[..1 + usize::from(round > 50)] {
                one.send(&mut sim, 3, 200);
            }
            sim.run_for(5000);
            collect(&mut sim, &mut traffic);
        }
        sim.run_for(SECOND);
        collect(&mut sim, &mut traffic);
        for one in &traffic {
            assert!(
                one.received == one.sent && one.sent > 150,
                "{} of {}",
                one.received,
                one.sent
            );
            let stats = sim.nodes[one.from]
                .engine
                .stream_stats(sim.nodes[one.to].id, one.stream)
                .unwrap();
            assert_eq!(
                stats.tx_credit_remaining, stats.tx_window,
                "by grants, not by giving up"
            );
            assert_eq!(sim.nodes[one.from].engine.stats().credit_reclaimed, 0);
        }
        assert_eq!(sim.nodes[0].engine.stats().unknown_session, 0);
    });
}

/// One end talks to several over the same relay: which session is whose shows as soon as both ends of it have sent something.
#[test]
fn sessions_of_one_end_with_several_are_told_apart() {
    for_seeds(30, |seed| {
        let mut sim = star(seed, 4);
        for to in 2..=4 {
            call(&mut sim, 1, to);
        }
        let mut traffic: Vec<Traffic> = (2..=4)
            .flat_map(|end| [Traffic::new(1, end, 7, SMALL), Traffic::new(end, 1, 7, SMALL)])
            .collect();
        sim.weather = Weather {
            loss: 5,
            jitter: 3000,
            ..FINE
        };
        for _ in 0..200 {
            for one in &mut traffic {
                one.send(&mut sim, 3, 100);
            }
            sim.run_for(5000);
            collect(&mut sim, &mut traffic);
        }
        sim.weather = FINE;
        sim.run_for(5 * SECOND);
        collect(&mut sim, &mut traffic);
        // Once more on a fine path: nothing is lost now, and nothing is stuck.
        for one in &mut traffic {
            let missing = one.sent - one.received;
            one.send(&mut sim, 3, 100);
            sim.run_for(SECOND);
            collect(&mut sim, std::slice::from_mut(one));
            assert_eq!(one.sent - one.received, missing);
            assert!(
                // Credit of a lost packet comes back after two seconds only, so a stream may have had few turns.
                one.received > 20 && 2 * one.received > one.sent,
                "{} of {}",
                one.received,
                one.sent
            );
        }
    });
}

#[test]
fn only_neighbours_are_helped_and_a_packet_does_not_circle() {
    let mut sim = star(3, 2);
    call(&mut sim, 1, 2);
    let session = sim.nodes[1].engine.peer(sim.nodes[2].id).unwrap().session_id;
    let packet = |session_id: u64, hop_count: u8| {
        let mut head = [0; HEADER_LEN];
        Header {
            session_id,
            hop_count,
            ..Header::default()
        }
        .encode(&mut head);
        let mut bytes = head.to_vec();
        bytes.resize(HEADER_LEN + 16, 0);
        bytes
    };
    let (own, far) = (sim.nodes[1].address, sim.nodes[2].address);
    let before = *sim.nodes[0].engine.stats();
    sim.inject(0, sim::address(99), packet(session, 0));
    assert_eq!(
        sim.nodes[0].engine.stats().unknown_session,
        before.unknown_session + 1
    );
    assert_eq!(
        sim.nodes[0].engine.stats().forwarded,
        before.forwarded,
        "a stranger"
    );
    sim.inject(0, own, packet(session, 16));
    assert_eq!(sim.nodes[0].engine.stats().forward_ttl, before.forward_ttl + 1);
    sim.inject(0, own, packet(session, 15));
    sim.inject(0, far, packet(session, 255));
    assert_eq!(sim.nodes[0].engine.stats().forwarded, before.forwarded + 1);
    assert_eq!(sim.nodes[0].engine.stats().forward_ttl, before.forward_ttl + 2);
    sim.nodes[0].engine.block(Link::Udp(far));
    sim.inject(0, own, packet(session, 0));
    assert_eq!(sim.nodes[0].engine.stats().filtered, before.filtered + 1);
}
