//! `cargo bench -p meshring --bench wire`: header, cipher, session and relay, in nanoseconds per packet.
#![allow(clippy::unwrap_used)]

mod counting;

use counting::allocations;
use meshring::crypto::{Aead, Cipher, Key};
use meshring::engine::{Config, Engine, Link};
use meshring::noise::SessionSecrets;
use meshring::packet::{Header, RouteHeader, HEADER_LEN};
use meshring::session::Session;
use std::hint::black_box;
use std::time::Instant;

/// Best of five rounds, which is what the machine can do when it is left alone.
fn measure(name: &str, times: u32, mut work: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..5 {
        let begun = Instant::now();
        for _ in 0..times {
            work();
        }
        best = best.min(begun.elapsed().as_nanos() as f64 / f64::from(times));
    }
    println!("{name:<44} {best:>9.1} ns");
    best
}

fn main() {
    let header = Header {
        session_id: 7,
        stream_id: 9,
        sequence: 3,
        payload_len: 1024,
        event_count: 9,
        ..Header::default()
    };
    let mut head = [0; HEADER_LEN];
    measure("header encode", 10_000_000, || {
        black_box(&header).encode(black_box(&mut head))
    });
    measure("header decode", 10_000_000, || {
        let _ = black_box(Header::decode(black_box(&head)));
    });
    measure("header aad", 10_000_000, || {
        black_box(Header::aad(black_box(&head)));
    });

    for size in [112, 1024, 8112] {
        let cipher = Cipher::new(&Key::from([1; 32]));
        let mut data = vec![0; size + 16];
        let bare = measure(&format!("bare cipher, seal and open {size} B"), 20_000, || {
            let tag = cipher.seal(&[0; 12], &[0; 52], &mut data[..size]);
            data[size..].copy_from_slice(&tag);
            let _ = black_box(cipher.open(&[0; 12], &[0; 52], &mut data));
        });
        let secrets = |send, receive| SessionSecrets {
            session_id: 1,
            send: Key::from([send; 32]),
            receive: Key::from([receive; 32]),
        };
        let (mut a, mut b) = (
            Session::new(&secrets(1, 2), None),
            Session::new(&secrets(2, 1), None),
        );
        let payload = vec![0; size];
        let mut packet = Vec::with_capacity(9000);
        let session = measure(&format!("session, seal and open {size} B"), 20_000, || {
            packet.clear();
            a.seal(
                Header {
                    event_count: 1,
                    ..Header::default()
                },
                &payload,
                &mut packet,
            );
            let header = Header::decode(&packet).unwrap();
            black_box(b.open(&header, &mut packet).unwrap());
        });
        println!("{:<44} {:>9.2} ×", "  session to bare cipher", session / bare);
    }

    let mut relay = Engine::new(Config::new(5, Key::from([1; 32]), Key::from([2; 32])), [3; 32], 0);
    relay.start(0);
    let (source, target) = (Link::Channel(1), Link::Channel(2));
    relay.add_route(0, 9, target);
    let route = RouteHeader {
        ttl: 8,
        src: 77,
        dest: 9,
        ..RouteHeader::default()
    };
    let mut datagram = route.encode().to_vec();
    datagram.resize(18 + 1100, 0);
    let mut now = 0;
    let mut step = || {
        // 1 ms a packet: strangers are relayed at 1000 a second.
        now += 1000;
        relay.handle_datagram(now, source, &mut datagram);
        let transmit = relay.poll_transmit(now).unwrap();
        relay.recycle(transmit.bytes);
    };
    for _ in 0..100 {
        step();
    }
    let before = allocations();
    measure("relay a packet of 1100 B", 10_000, step);
    let made = allocations() - before;
    println!(
        "{:<44} {:>9.4}",
        "  allocations per relayed packet",
        made as f64 / 50_000.0
    );
}
