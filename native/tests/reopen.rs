//! Streams that are closed and opened anew while packets of their former life are under way, and packets that a socket refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod sim;

use meshring::engine::{Publish, StreamHandle, SECOND};
use meshring::packet::{put_frame, Frames};
use meshring::stream::{Reliability, StreamConfig, StreamStats};
use sim::traffic::{LOOSE, RELIABLE};
use sim::{pair, Sim, FINE};

const LIGHT: StreamConfig = StreamConfig {
    reliability: Reliability::Light,
    ..RELIABLE
};

fn open(sim: &mut Sim, config: StreamConfig) -> StreamHandle {
    let (now, peer) = (sim.time(0), sim.nodes[1].id);
    let engine = &mut sim.nodes[0].engine;
    engine.close_stream(now, peer, 7);
    engine.open_stream(now, peer, 7, config).unwrap()
}

fn queue(sim: &mut Sim, handle: StreamHandle, number: u8, size: usize) {
    let now = sim.time(0);
    let mut frames = Vec::new();
    put_frame(&mut frames, &vec![number; size]);
    sim.nodes[0]
        .engine
        .send(now, handle, &frames, 1, false, Publish::default())
        .unwrap();
}

fn send(sim: &mut Sim, handle: StreamHandle, number: u8, size: usize) {
    queue(sim, handle, number, size);
    sim.touch(0);
}

fn arrived(sim: &mut Sim) -> Vec<u8> {
    let taken = std::mem::take(&mut sim.nodes[1].inbox);
    let first = |delivery: &meshring::engine::Delivery| {
        Frames::new(&delivery.frames, delivery.count)
            .map(|event| event[0])
            .collect::<Vec<_>>()
    };
    taken.iter().flat_map(first).collect()
}

fn stats(sim: &Sim) -> StreamStats {
    let peer = sim.nodes[1].id;
    sim.nodes[0].engine.stream_stats(peer, 7).unwrap()
}

/// Each life promises something else; what the former ones promised is kept.
#[test]
fn a_stream_opened_with_another_reliability_loses_nothing_and_repeats_nothing() {
    let lives = [(RELIABLE, LOOSE), (LIGHT, LOOSE), (LOOSE, RELIABLE)];
    for ((first, second), returns) in lives
        .into_iter()
        .flat_map(|lives| [(lives, true), (lives, false)])
    {
        let mut sim = pair(2);
        let handle = open(&mut sim, first);
        send(&mut sim, handle, 0, 10);
        sim.run_for(SECOND / 10);
        let acknowledged = first.reliability != Reliability::Once;
        sim.weather.loss = if acknowledged { 100 } else { 0 };
        send(&mut sim, handle, 1, 10);
        let handle = open(&mut sim, second);
        sim.weather.loss = if acknowledged { 0 } else { 100 };
        send(&mut sim, handle, 2, 10);
        let handle = open(&mut sim, if returns { first } else { second });
        sim.weather = FINE;
        send(&mut sim, handle, 3, 10);
        sim.run_for(5 * SECOND);
        let mut all = arrived(&mut sim);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3], "{first:?}, then {second:?}, back: {returns}");
        assert!(sim.nodes[0].engine.is_drained());
        let handle = open(&mut sim, second);
        for number in 4..8 {
            send(&mut sim, handle, number, 1000);
        }
        sim.run_for(SECOND);
        assert_eq!(arrived(&mut sim), [4, 5, 6, 7]);
        let stats = stats(&sim);
        assert_eq!(stats.tx_credit_remaining, stats.tx_window, "credit is stuck");
    }
}

/// Cost of a packet that [`send`] sends with 1000 bytes.
const COST: u32 = 1084;

#[test]
fn packets_of_a_former_life_give_no_credit_to_the_next() {
    let mut sim = pair(2);
    let handle = open(&mut sim, RELIABLE);
    send(&mut sim, handle, 0, 1000);
    sim.run_for(2200);
    let handle = open(&mut sim, RELIABLE);
    send(&mut sim, handle, 1, 1000);
    // Half a millisecond each way, and the acknowledgement waits for two: it is for the first packet only.
    sim.run_for(900);
    let early = stats(&sim);
    assert_eq!(early.credit_grants_received, 1);
    assert_eq!(early.tx_credit_remaining, early.tx_window - COST);
    sim.run_for(SECOND);
    let late = stats(&sim);
    assert_eq!(late.tx_credit_remaining, late.tx_window);
}

#[test]
fn a_packet_that_the_socket_refused_gives_its_credit_back_once() {
    let mut sim = pair(2);
    let handle = open(&mut sim, LOOSE);
    let now = sim.time(0);
    for _ in 0..5 {
        queue(&mut sim, handle, 0, 1000);
        let engine = &mut sim.nodes[0].engine;
        let refused = engine.poll_transmit(now).unwrap();
        engine.unsent(refused.origin.unwrap());
    }
    assert_eq!(stats(&sim).tx_credit_remaining, stats(&sim).tx_window);
    // Eight packets are acknowledged at once, after a millisecond.
    for number in 1..=8 {
        send(&mut sim, handle, number, 1000);
    }
    sim.run_for(700);
    for number in 9..12 {
        send(&mut sim, handle, number, 1000);
    }
    sim.run_for(400);
    let early = stats(&sim);
    assert_eq!(early.credit_grants_received, 1);
    assert_eq!(early.tx_credit_remaining, early.tx_window - 3 * COST);
    sim.run_for(SECOND);
    let late = stats(&sim);
    assert_eq!(late.tx_credit_remaining, late.tx_window);
}
