//! `cargo bench -p meshring --bench guard`: what the guards cost per packet, in nanoseconds, and their allocations.
#![allow(clippy::unwrap_used)]

mod counting;

use counting::allocations;
use meshring::guard::{AuthGuard, Inbound};
use meshring::hash::xxh3_64;
use std::hint::black_box;
use std::time::Instant;

const LOOKS: usize = 1 << 21;
/// Looks that are timed together: few enough that the system seldom takes the processor away meanwhile.
const TOGETHER: usize = 1 << 14;

/// Times every part of the keys, which no cache foresees, and prints the quarter point and the median of the parts.
fn measure(name: &str, keys: &[(u64, u64)], mut look: impl FnMut((u64, u64)) -> bool, hit: bool) {
    let mut times = Vec::with_capacity(keys.len() / TOGETHER);
    let mut made = 0;
    for part in keys.chunks_exact(TOGETHER) {
        let (begun, before) = (Instant::now(), allocations());
        let mut hits = 0;
        for key in part {
            hits += usize::from(look(black_box(*key)));
        }
        times.push(begun.elapsed().as_nanos() as f64 / part.len() as f64);
        made += allocations() - before;
        assert_eq!(hits, if hit { part.len() } else { 0 });
    }
    times.sort_by(f64::total_cmp);
    let (quarter, median) = (times[times.len() / 4], times[times.len() / 2]);
    println!("{name:<52} {quarter:>6.1} {median:>6.1} ns {made:>3} allocations");
}

/// Numbers that look random and are the same in every run.
fn scatter(n: u64) -> u64 {
    xxh3_64(&n.to_le_bytes())
}

/// `LOOKS` of the given keys, mixed.
fn mixed(keys: &[(u64, u64)], salt: u64) -> Vec<(u64, u64)> {
    (0..LOOKS as u64)
        .map(|n| keys[scatter(n ^ salt) as usize % keys.len()])
        .collect()
}

fn main() {
    for size in [10, 10_000, 1_000_000] {
        // A thousand channels at each publisher, which is what it allows.
        let keys: Vec<(u64, u64)> = (0..size as u64)
            .map(|n| (scatter(n / 1000), 1 << 48 | scatter(!n)))
            .collect();
        let strangers: Vec<(u64, u64)> = keys
            .iter()
            .map(|(peer, stream)| (*peer, stream ^ 0xffff))
            .collect();
        let mut inbound = Inbound::new(7);
        for (tag, (peer, stream)) in keys.iter().enumerate() {
            assert!(inbound.expect(*peer, *stream, tag as u32 + 1));
        }
        let hot = &keys[..keys.len().min(100)];
        for (what, of, hit) in [
            ("hit", &keys[..], true),
            ("hit, 100 busy", hot, true),
            ("miss", &strangers, false),
        ] {
            let keys = mixed(of, 1);
            measure(
                &format!("inbound, {size} entries, {what}"),
                &keys,
                |(peer, stream)| inbound.channel_of(peer, stream) != 0,
                hit,
            );
        }
        inbound.expect(0, 1 << 48 | 5, 1);
        measure(
            &format!("inbound, {size} entries, miss beside a service"),
            &mixed(&strangers, 2),
            |(peer, stream)| inbound.channel_of(peer, stream) != 0,
            false,
        );

        let mut guard = AuthGuard::new(7);
        let names: Vec<String> = (0..1000.min(size)).map(|n| format!("channel/{n}")).collect();
        let mut numbers = Vec::new();
        let granted: Vec<(u64, u64)> = (0..size as u64)
            .map(|n| {
                let (node, at) = (scatter(n / names.len() as u64), n as usize % names.len());
                let number = guard.grant(node, &names[at]).unwrap();
                if numbers.len() == at {
                    numbers.push(guard.channel(number).unwrap().hash);
                }
                (node, u64::from(number))
            })
            .collect();
        let hash_of = |number: u64| numbers[number as usize - 1];
        let denied: Vec<(u64, u64)> = granted.iter().map(|(node, number)| (!node, *number)).collect();
        for (what, of, hit) in [("hit", &granted, true), ("miss", &denied, false)] {
            let keys = mixed(of, 3);
            measure(
                &format!("outbound, {size} grants, {what}"),
                &keys,
                |(node, number)| guard.admits(node, hash_of(number), number as u32),
                hit,
            );
        }
    }
}
