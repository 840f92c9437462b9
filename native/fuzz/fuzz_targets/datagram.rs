//! Any datagrams from anywhere at a started node: never panics, never delivers, never makes a peer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshring::crypto::Key;
use meshring::engine::{Config, Engine, Link};

fuzz_target!(|data: &[u8]| {
    let config = Config::new(7, Key::from([1; 32]), Key::from([2; 32]));
    let mut engine = Engine::new(config, [3; 32], 0);
    engine.start(0);
    let mut rest = data;
    let mut now = 0;
    while let Some((length, after)) = rest.split_first() {
        let (datagram, after) = after.split_at(after.len().min(usize::from(*length)));
        now += 1000;
        engine.handle_datagram(now, Link::Channel(u64::from(*length % 3)), &mut datagram.to_vec());
        while let Some(transmit) = engine.poll_transmit(now) {
            engine.recycle(transmit.bytes);
        }
        rest = after;
    }
    engine.handle_timeout(now + 5_000_000);
    assert!(engine.poll_delivery().is_none());
    assert_eq!(engine.peer_count(), 0);
});
