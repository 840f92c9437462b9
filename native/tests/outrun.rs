//! More packets are lost in a row than a 0.19.0 window reaches: the session is repaired or replaced. `MESHRING_SEED=n` replays one seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod sim;

use meshring::engine::{Protocol, SendError, SECOND};
use meshring::packet::put_frame;
use sim::{for_seeds, Sim};

/// Two ends that speak as 0.19.0; 0 has called 1. Only one of them repairs what broke off, as if the other were of the old kind.
fn old_pair(seed: u64, repairs: usize) -> Sim {
    let mut sim = Sim::new(seed);
    for index in 0..2 {
        let node = sim.add(|config| {
            config.features = None;
            config.reconnect = index == repairs;
        });
        sim.start(node);
    }
    sim.connect(0, 1);
    assert!(sim.run_while(20 * SECOND, |sim| !sim.are_connected(0, 1)));
    assert_eq!(
        sim.nodes[0].engine.peer(sim.nodes[1].id).unwrap().protocol,
        Protocol::Net019
    );
    sim.run_for(SECOND);
    sim
}

fn push(sim: &mut Sim, from: usize, count: usize) {
    let mut frames = Vec::new();
    put_frame(&mut frames, b"event");
    for _ in 0..count {
        let (now, peer) = (sim.time(from), sim.nodes[1 - from].id);
        match sim.nodes[from].engine.push(now, peer, &frames, 1) {
            Ok(_) => {}
            Err(SendError::NotConnected) => panic!("the session is gone"),
            Err(other) => panic!("{other:?}"),
        }
        sim.touch(from);
    }
}

fn session(sim: &Sim, at: usize) -> u64 {
    let other = sim.nodes[1 - at].id;
    sim.nodes[at].engine.peer(other).unwrap().session_id
}

/// Whether events pass both ways within a second.
fn talks(sim: &mut Sim) -> bool {
    for from in 0..2 {
        push(sim, from, 1);
    }
    sim.run_for(SECOND);
    (0..2).all(|at| !std::mem::take(&mut sim.nodes[at].inbox).is_empty())
}

#[test]
fn a_caller_that_sent_too_much_into_silence_calls_again() {
    for_seeds(30, |seed| {
        let mut sim = old_pair(seed, 0);
        let before = session(&sim, 0);
        sim.cut(0, 1);
        sim.run_for(seed % 10 * SECOND / 10);
        push(&mut sim, 0, 1025 + seed as usize % 3000);
        sim.run_for(SECOND + seed % 7 * SECOND);
        sim.heal();
        // A silent second is enough to know; unanswered calls are repeated after one, two, four … session timeouts.
        assert!(sim.run_while(10 * SECOND, |sim| session(sim, 0) == before
            || !sim.are_connected(0, 1)));
        assert!(talks(&mut sim));
        // Once is enough.
        let after = session(&sim, 0);
        sim.run_for(10 * SECOND);
        assert_eq!(session(&sim, 0), after);
    });
}

#[test]
fn as_many_packets_as_the_window_reaches_are_no_reason_to_call() {
    let mut sim = old_pair(1, 0);
    let before = session(&sim, 0);
    sim.cut(0, 1);
    push(&mut sim, 0, 900);
    sim.run_for(5 * SECOND);
    sim.heal();
    sim.run_for(SECOND);
    assert!(talks(&mut sim));
    // Nor are many packets that are answered, however fast they leave.
    for _ in 0..10 {
        push(&mut sim, 0, 2000);
        sim.run_for(SECOND / 10);
    }
    sim.run_for(5 * SECOND);
    assert_eq!(session(&sim, 0), before);
}

/// What arrives is authenticated, so the jump is taken after a while, whoever had called.
#[test]
fn a_node_that_missed_too_much_goes_on_with_the_session() {
    for_seeds(30, |seed| {
        let at = seed as usize % 2;
        let mut sim = old_pair(seed, at);
        let before = session(&sim, at);
        sim.cut(0, 1);
        push(&mut sim, 1 - at, 1100 + seed as usize % 1000);
        sim.heal();
        push(&mut sim, 1 - at, 1);
        sim.run_for(SECOND / 10);
        assert!(sim.nodes[at].inbox.is_empty() && sim.nodes[at].engine.stats().too_far > 0);
        sim.run_for(2 * SECOND);
        assert!(talks(&mut sim));
        assert_eq!(session(&sim, at), before);
    });
}
