//! Light streams: repaired for a while, delivered as packets arrive. `MESHRING_SEED=n` replays one seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod sim;

use meshring::engine::{Publish, SECOND};
use meshring::packet::{put_frame, Features, Frames};
use meshring::stream::{Reliability, StreamConfig};
use sim::traffic::{collect, Traffic};
use sim::{for_seeds, pair, Sim, Weather, FINE};

const LIGHT: StreamConfig = StreamConfig {
    reliability: Reliability::Light,
    window: 65_536,
    weight: 1,
};

#[test]
fn every_event_arrives_once_and_none_waits_for_a_lost_one() {
    let overtook = std::sync::atomic::AtomicU64::new(0);
    for_seeds(50, |seed| {
        let mut sim = pair(seed);
        sim.weather = Weather {
            loss: 10,
            duplicates: 10,
            delay: 5000,
            jitter: 2000,
            mtu: 9000,
        };
        let mut traffic = [Traffic::new(0, 1, 7, LIGHT)];
        let mut last = 0;
        for _ in 0..300 {
            traffic[0].send(&mut sim, 5, 100);
            sim.run_for(2000);
            for delivery in &sim.nodes[1].inbox {
                overtook.fetch_add(
                    (delivery.sequence < last).into(),
                    std::sync::atomic::Ordering::Relaxed,
                );
                last = delivery.sequence;
            }
            collect(&mut sim, &mut traffic);
        }
        sim.weather = FINE;
        let done = sim.run_while(20 * SECOND, |sim| {
            collect(sim, &mut traffic);
            traffic[0].received < traffic[0].sent || !sim.nodes[0].engine.is_drained()
        });
        assert!(done && traffic[0].sent > 300);
        assert_eq!(sim.nodes[0].engine.stats().lost, 0);
    });
    assert!(overtook.into_inner() > 500, "packets are held back");
}

/// One event in its own packet, as large as asked for.
fn send(sim: &mut Sim, size: usize) {
    let (now, peer) = (sim.time(0), sim.nodes[1].id);
    let engine = &mut sim.nodes[0].engine;
    let handle = engine.open_stream(now, peer, 7, LIGHT).unwrap();
    let mut frames = Vec::new();
    put_frame(&mut frames, &vec![7; size]);
    engine
        .send(now, handle, &frames, 1, false, Publish::default())
        .unwrap();
    sim.touch(0);
}

fn sizes(sim: &mut Sim) -> Vec<usize> {
    let taken = std::mem::take(&mut sim.nodes[1].inbox);
    let events = |delivery: &meshring::engine::Delivery| {
        Frames::new(&delivery.frames, delivery.count)
            .map(<[u8]>::len)
            .collect::<Vec<_>>()
    };
    taken.iter().flat_map(events).collect()
}

/// The session lives, but large packets never pass: the repair ends after one session timeout.
#[test]
fn a_gap_is_given_up_and_counted_after_the_session_timeout_and_the_stream_goes_on() {
    for extension in [Features::ALL, Features(Features::ALL.0 & !Features::LIGHT.0)] {
        let mut sim = Sim::new(3);
        for _ in 0..2 {
            let node = sim.add(|config| config.features = Some(extension));
            sim.start(node);
        }
        sim.connect(0, 1);
        assert!(sim.run_while(20 * SECOND, |sim| !sim.are_connected(0, 1)));
        sim.weather.mtu = 500;
        let peer = sim.nodes[1].id;
        for size in [10, 1000, 20, 1001, 30] {
            send(&mut sim, size);
        }
        sim.run_for(SECOND * 9 / 10);
        let stats = |sim: &Sim| sim.nodes[0].engine.stream_stats(peer, 7).unwrap();
        let early = sizes(&mut sim);
        if extension.has(Features::LIGHT) {
            assert_eq!(early, [10, 20, 30], "nothing waits");
        } else {
            assert_eq!(early, [10], "an older version of ours keeps the order");
        }
        assert_eq!(stats(&sim).lost, 0);
        assert!(sim.nodes[0].engine.stats().retransmitted > 2);
        sim.run_for(SECOND);
        assert_eq!(stats(&sim).lost, 2);
        assert_eq!(sim.nodes[0].engine.stats().lost, 2);
        assert!(sim.nodes[0].engine.is_drained());
        assert_eq!(sim.nodes[0].engine.peer(peer).unwrap().in_flight, 0);
        // Nothing is sent any more, so the receiver never learns of the gap: its credit comes back all the same.
        sim.run_for(5 * SECOND);
        assert_eq!(
            stats(&sim).tx_credit_remaining,
            stats(&sim).tx_window,
            "credit leaked"
        );
        sim.weather = FINE;
        send(&mut sim, 40);
        send(&mut sim, 1002);
        sim.run_for(SECOND);
        let late = sizes(&mut sim);
        assert!(late.ends_with(&[40, 1002]), "{late:?}");
        let stats = stats(&sim);
        assert_eq!(stats.tx_credit_remaining, stats.tx_window, "credit leaked");
        assert_eq!(stats.lost, 2);
    }
}

/// While nothing is heard at all the session may be over: nothing is given up before it is known.
#[test]
fn nothing_is_given_up_while_the_other_end_is_silent() {
    let mut sim = pair(5);
    sim.cut(0, 1);
    send(&mut sim, 10);
    sim.run_for(5 * SECOND);
    assert_eq!(sim.nodes[0].engine.stats().lost, 0);
    assert!(!sim.nodes[0].engine.is_drained());
    sim.heal();
    sim.run_for(5 * SECOND);
    assert!(sim.nodes[0].engine.is_drained());
    assert_eq!(
        sizes(&mut sim).len() as u64 + sim.nodes[0].engine.stats().lost,
        1,
        "it arrived or is counted"
    );
}
