//! Stories of whole engines on a simulated network and clock. `MESHRING_SEED=n` replays one seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod sim;

use meshring::engine::{Event, Link, PeerChange, Protocol, SECOND};
use sim::traffic::{collect, Traffic, LOOSE, RELIABLE};
use sim::{for_seeds, pair, Sim, Weather, FINE};

#[test]
fn two_nodes_meet_and_talk() {
    let mut sim = pair(1);
    assert_eq!(
        sim.nodes[0].engine.peer(sim.nodes[1].id).unwrap().protocol,
        Protocol::Meshring
    );
    let mut traffic = [Traffic::new(0, 1, 7, RELIABLE), Traffic::new(1, 0, 7, LOOSE)];
    for _ in 0..200 {
        for one in &mut traffic {
            one.send(&mut sim, 20, 100);
        }
        sim.run_for(1000);
        collect(&mut sim, &mut traffic);
    }
    sim.run_for(SECOND);
    collect(&mut sim, &mut traffic);
    for one in &traffic {
        assert!(
            one.sent > 1000 && one.received == one.sent,
            "{} of {}",
            one.received,
            one.sent
        );
    }
    let stats = sim.nodes[0].engine.stream_stats(sim.nodes[1].id, 7).unwrap();
    assert_eq!(stats.tx_credit_remaining, 65_536);
    assert_eq!(sim.nodes[0].engine.stats().retransmitted, 0);
}

#[test]
fn a_peer_of_the_old_kind_gets_the_old_protocol() {
    let mut sim = Sim::new(3);
    for old in [true, false] {
        let node = sim.add(|config| {
            if old {
                config.features = None;
            }
        });
        sim.start(node);
    }
    sim.connect(0, 1);
    assert!(sim.run_while(20 * SECOND, |sim| !sim.are_connected(0, 1)));
    assert_eq!(
        sim.nodes[1].engine.peer(sim.nodes[0].id).unwrap().protocol,
        Protocol::Net019
    );
    let mut traffic = [Traffic::new(0, 1, 7, LOOSE), Traffic::new(1, 0, 9, LOOSE)];
    for _ in 0..300 {
        for one in &mut traffic {
            one.send(&mut sim, 20, 400);
        }
        sim.run_for(2000);
        collect(&mut sim, &mut traffic);
    }
    sim.run_for(SECOND);
    collect(&mut sim, &mut traffic);
    for one in &traffic {
        assert!(one.received == one.sent && one.sent > 1000);
    }
}

#[test]
fn over_a_relay() {
    for_seeds(20, |seed| {
        let mut sim = Sim::new(seed);
        for _ in 0..3 {
            let node = sim.add(|_| ());
            sim.start(node);
        }
        sim.cut(0, 2);
        sim.connect(0, 1);
        sim.connect(2, 1);
        assert!(sim.run_while(30 * SECOND, |sim| !(sim.are_connected(0, 1)
            && sim.are_connected(2, 1))));
        let far = sim.nodes[2].id;
        assert!(sim.run_while(5 * SECOND, |sim| sim.nodes[0].engine.route(far).is_none()));
        let (now, key) = (sim.time(0), *sim.nodes[2].engine.public_key());
        sim.nodes[0].engine.connect_routed(now, key, far).unwrap();
        sim.touch(0);
        assert!(sim.run_while(5 * SECOND, |sim| !sim.are_connected(0, 2)));
        assert!(sim.nodes[0].engine.peer(far).unwrap().relayed);
        assert!(sim.nodes[2].engine.peer(sim.nodes[0].id).unwrap().relayed);
        sim.weather = Weather {
            loss: 10,
            jitter: 3000,
            ..FINE
        };
        let mut traffic = [Traffic::new(0, 2, 7, RELIABLE), Traffic::new(2, 0, 7, RELIABLE)];
        for _ in 0..300 {
            for one in &mut traffic {
                one.send(&mut sim, 20, 100);
            }
            sim.run_for(5000);
            collect(&mut sim, &mut traffic);
        }
        let done = sim.run_while(30 * SECOND, |sim| {
            collect(sim, &mut traffic);
            traffic.iter().any(|one| one.received < one.sent)
        });
        assert!(done && traffic[0].sent > 1000);
        assert!(sim.nodes[1].engine.stats().forwarded > 100);
        // Minutes later it is still there: signs of life travel over the relay too.
        sim.run_for(60 * SECOND);
        assert!(sim.are_connected(0, 2));
        // When the direct path opens, the session moves to it, with its streams.
        sim.heal();
        let near = sim.nodes[0].id;
        let moved = sim.run_while(5 * SECOND, |sim| {
            let (now, address) = (sim.time(0), Link::Udp(sim.nodes[2].address));
            assert!(sim.nodes[0].engine.try_path(now, far, address));
            sim.touch(0);
            sim.nodes[0].engine.peer(far).unwrap().relayed || sim.nodes[2].engine.peer(near).unwrap().relayed
        });
        assert!(moved);
        let (relayed, before) = (sim.nodes[1].engine.stats().forwarded, traffic[0].sent);
        for one in &mut traffic {
            one.send(&mut sim, 20, 100);
        }
        let done = sim.run_while(5 * SECOND, |sim| {
            collect(sim, &mut traffic);
            traffic.iter().any(|one| one.received < one.sent)
        });
        assert!(done && traffic[0].sent > before);
        assert!(sim.nodes[1].engine.stats().forwarded < relayed + 20);
    });
}

#[test]
fn failure_detection_reroutes_and_a_healed_partition_continues_the_session() {
    let mut sim = Sim::new(5);
    for _ in 0..3 {
        let node = sim.add(|_| ());
        sim.start(node);
    }
    for (a, b) in [(0, 1), (1, 2), (0, 2)] {
        sim.connect(a, b);
    }
    sim.run_for(3 * SECOND);
    let session = sim.nodes[0].engine.peer(sim.nodes[2].id).unwrap().session_id;
    let mut traffic = [Traffic::new(0, 2, 7, RELIABLE)];
    traffic[0].send(&mut sim, 5, 10);
    sim.run_for(SECOND);
    sim.cut(0, 2);
    sim.run_for(5 * SECOND);
    let far = sim.nodes[2].id;
    let changes = |sim: &Sim| -> Vec<PeerChange> {
        let of = |event: &Event| match event {
            Event::Peer { peer, change } if *peer == far => Some(*change),
            _ => None,
        };
        sim.nodes[0].events.iter().filter_map(of).collect()
    };
    assert!(changes(&sim).starts_with(&[PeerChange::Joined, PeerChange::Suspected, PeerChange::Failed]));
    // Data goes over node 1 in the meantime.
    traffic[0].send(&mut sim, 5, 10);
    sim.run_for(2 * SECOND);
    collect(&mut sim, &mut traffic);
    assert_eq!(traffic[0].received, traffic[0].sent);
    sim.heal();
    sim.run_for(2 * SECOND);
    assert_eq!(sim.nodes[0].engine.peer(far).unwrap().session_id, session);
    assert_eq!(changes(&sim).last(), Some(&PeerChange::Recovered));
}

#[test]
fn a_peer_that_is_gone_is_evicted_after_thirty_timeouts_and_goodbye_is_at_once() {
    let mut sim = pair(7);
    let id = sim.nodes[1].id;
    let gone = sim.nodes[1].address;
    sim.rebind(1, 1);
    sim.cut(0, 1);
    assert_ne!(gone, sim.nodes[1].address);
    sim.run_for(29 * SECOND);
    assert_eq!(sim.nodes[0].engine.peer_count(), 1);
    sim.run_for(2 * SECOND);
    assert_eq!(sim.nodes[0].engine.peer_count(), 0);
    assert_eq!(sim.nodes[0].engine.route(id), None);

    let mut sim = pair(8);
    let now = sim.time(1);
    sim.nodes[1].engine.shutdown(now);
    sim.touch(1);
    sim.run_for(10_000);
    assert_eq!(sim.nodes[0].engine.peer_count(), 0);
}

#[test]
fn a_moved_peer_is_followed_after_a_challenge_only() {
    let mut sim = pair(9);
    let mut traffic = [Traffic::new(0, 1, 7, RELIABLE), Traffic::new(1, 0, 7, RELIABLE)];
    sim.rebind(1, 7777);
    traffic[1].send(&mut sim, 5, 10);
    sim.run_for(SECOND);
    assert_eq!(
        sim.nodes[0].engine.peer(sim.nodes[1].id).unwrap().link,
        Link::Udp(sim.nodes[1].address)
    );
    traffic[0].send(&mut sim, 5, 10);
    sim.run_for(SECOND);
    collect(&mut sim, &mut traffic);
    assert!(traffic.iter().all(|one| one.received == one.sent && one.sent > 0));
}

#[test]
fn the_path_is_probed_up_to_what_it_carries() {
    for (mtu, expected) in [(1232, 1200), (1460, 1452), (9000, 8192)] {
        let mut sim = Sim::new(11);
        sim.weather.mtu = mtu;
        for _ in 0..2 {
            let node = sim.add(|_| ());
            sim.start(node);
        }
        sim.connect(0, 1);
        sim.run_for(10 * SECOND);
        assert_eq!(sim.nodes[0].engine.peer(sim.nodes[1].id).unwrap().mtu, expected);
    }
}

#[test]
fn a_full_inbound_queue_holds_the_sender_back_and_loses_nothing_reliable() {
    let mut sim = Sim::new(13);
    for _ in 0..2 {
        let node = sim.add(|config| config.max_inbound_events = 1000);
        sim.start(node);
    }
    sim.connect(0, 1);
    sim.run_for(SECOND);
    sim.nodes[1].reads = false;
    let mut traffic = [Traffic::new(0, 1, 7, RELIABLE)];
    for _ in 0..500 {
        traffic[0].send(&mut sim, 50, 40);
        sim.run_for(5000);
    }
    let (events, _) = sim.nodes[1].engine.inbound();
    assert!((750..=1000).contains(&events), "{events}");
    sim.nodes[1].reads = true;
    sim.touch(1);
    let done = sim.run_while(20 * SECOND, |sim| {
        collect(sim, &mut traffic);
        traffic[0].received < traffic[0].sent
    });
    assert!(done && traffic[0].sent > 1000);
}

#[test]
fn streams_that_wait_for_the_window_take_turns() {
    let mut sim = pair(12);
    sim.weather = Weather {
        delay: 50_000,
        ..FINE
    };
    let mut traffic: Vec<Traffic> = (0..200).map(|id| Traffic::new(0, 1, id, RELIABLE)).collect();
    for one in &mut traffic {
        for _ in 0..50 {
            one.send(&mut sim, 1, 2000);
        }
    }
    let sent: u64 = traffic.iter().map(|one| one.sent).sum();
    assert!(sent > 9000);
    let some = sim.run_while(60 * SECOND, |sim| {
        collect(sim, &mut traffic);
        traffic.iter().map(|one| one.received).sum::<u64>() < sent / 2
    });
    assert!(some);
    let least = traffic.iter().map(|one| one.received).min();
    assert!(
        least > Some(0),
        "one had {least:?} of 50 while half of all arrived"
    );
    let done = sim.run_while(60 * SECOND, |sim| {
        collect(sim, &mut traffic);
        traffic.iter().any(|one| one.received < one.sent)
    });
    assert!(done);
}

#[test]
fn a_thousand_engines_for_a_minute() {
    let mut sim = Sim::new(17);
    let count = if std::env::var_os("MESHRING_SOAK").is_some() {
        1000
    } else {
        200
    };
    for _ in 0..count {
        let node = sim.add(|config| {
            config.heartbeat_interval = 5 * SECOND;
            config.session_timeout = 30 * SECOND;
        });
        sim.start(node);
    }
    for node in 1..count {
        sim.connect(node, (node - 1) / 4);
    }
    sim.run_for(60 * SECOND);
    assert!((1..count).all(|node| sim.are_connected(node, (node - 1) / 4)));
}
