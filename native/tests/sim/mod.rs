//! A network and a clock for many engines in one thread: everything follows from a seed.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod raw;
pub mod traffic;

use meshring::crypto::Key;
use meshring::engine::{Config, Delivery, Engine, Event, Link, SECOND};
use meshring::packet::{flags, ROUTE_LEN};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Small, fast, good enough to shuffle a network.
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def0)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// How datagrams travel.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// Percent.
    pub loss: u64,
    /// Percent.
    pub duplicates: u64,
    /// Microseconds.
    pub delay: u64,
    /// Microseconds on top, at random: this is what reorders.
    pub jitter: u64,
    /// Longest datagram that passes.
    pub mtu: usize,
}

pub const FINE: Weather = Weather {
    loss: 0,
    duplicates: 0,
    delay: 500,
    jitter: 0,
    mtu: 9000,
};

pub struct Node {
    pub engine: Engine,
    pub id: u64,
    pub address: SocketAddr,
    /// Added to the network's time.
    pub skew: u64,
    pub events: Vec<Event>,
    pub inbox: Vec<Delivery>,
    pub up: bool,
    /// The application takes events.
    pub reads: bool,
    /// Sends packets to relayed peers without routing header, as 0.19.0 does (handshakes have one).
    pub bare: bool,
}

struct Flight {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

pub struct Sim {
    pub now: u64,
    pub rng: Rng,
    pub weather: Weather,
    pub nodes: Vec<Node>,
    by_address: BTreeMap<SocketAddr, usize>,
    flights: BTreeMap<(u64, u64), Flight>,
    flown: u64,
    deadlines: BTreeSet<(u64, usize)>,
    armed: Vec<Option<u64>>,
    /// Pairs of nodes that can't hear each other.
    cut: BTreeSet<(usize, usize)>,
    pub delivered_datagrams: u64,
}

pub fn address(index: usize) -> SocketAddr {
    SocketAddr::new(
        IpAddr::V4(Ipv4Addr::new(10, 0, (index / 250) as u8, (index % 250) as u8 + 1)),
        9000,
    )
}

pub fn node_id(index: usize) -> u64 {
    0x1000_0000_0000_0000 + 0x0001_0001 * (index as u64 + 1)
}

impl Sim {
    pub fn new(seed: u64) -> Self {
        Self {
            now: SECOND,
            rng: Rng::new(seed),
            weather: FINE,
            nodes: Vec::new(),
            by_address: BTreeMap::new(),
            flights: BTreeMap::new(),
            flown: 0,
            deadlines: BTreeSet::new(),
            armed: Vec::new(),
            cut: BTreeSet::new(),
            delivered_datagrams: 0,
        }
    }

    pub fn config(&mut self, index: usize) -> Config {
        let mut secret = [0; 32];
        for chunk in secret.chunks_mut(8) {
            chunk.copy_from_slice(&self.rng.next().to_le_bytes());
        }
        let mut config = Config::new(node_id(index), Key::from([0x42; 32]), Key::from(secret));
        config.heartbeat_interval = SECOND / 5;
        config.session_timeout = SECOND;
        config
    }

    pub fn add(&mut self, change: impl FnOnce(&mut Config)) -> usize {
        let index = self.nodes.len();
        let mut config = self.config(index);
        change(&mut config);
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.rng.next().to_le_bytes());
        let id = config.node_id;
        let engine = Engine::new(config, seed, self.now);
        let address = address(index);
        self.nodes.push(Node {
            engine,
            id,
            address,
            skew: 0,
            events: Vec::new(),
            inbox: Vec::new(),
            up: true,
            reads: true,
            bare: false,
        });
        self.by_address.insert(address, index);
        self.armed.push(None);
        index
    }

    /// A node's own time.
    pub fn time(&self, index: usize) -> u64 {
        self.now + self.nodes[index].skew
    }

    pub fn start(&mut self, index: usize) {
        let now = self.time(index);
        self.nodes[index].engine.start(now);
        self.touch(index);
    }

    pub fn connect(&mut self, from: usize, to: usize) -> u64 {
        let (now, key) = (self.time(from), *self.nodes[to].engine.public_key());
        let (link, peer) = (Link::Udp(self.nodes[to].address), self.nodes[to].id);
        let id = self.nodes[from].engine.connect(now, link, key, peer).unwrap();
        self.touch(from);
        id
    }

    pub fn cut(&mut self, a: usize, b: usize) {
        self.cut.insert((a.min(b), a.max(b)));
    }

    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// The node appears at another address, as after a NAT rebinding.
    pub fn rebind(&mut self, index: usize, port: u16) {
        let address = SocketAddr::new(self.nodes[index].address.ip(), port);
        self.by_address.remove(&self.nodes[index].address);
        self.by_address.insert(address, index);
        self.nodes[index].address = address;
    }

    /// The process is gone and comes back with nothing but its configuration.
    pub fn restart(&mut self, index: usize, config: Config) {
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&self.rng.next().to_le_bytes());
        let now = self.time(index);
        self.nodes[index].engine = Engine::new(config, seed, now);
        self.start(index);
    }

    /// Hands a datagram to a node as if it came from `from`.
    pub fn inject(&mut self, to: usize, from: SocketAddr, mut bytes: Vec<u8>) {
        let now = self.time(to);
        self.nodes[to]
            .engine
            .handle_datagram(now, Link::Udp(from), &mut bytes);
        self.touch(to);
    }

    /// Takes what the engine has for its driver.
    pub fn touch(&mut self, index: usize) {
        let now = self.time(index);
        while let Some(transmit) = self.nodes[index].engine.poll_transmit(now) {
            let Link::Udp(to) = transmit.link else {
                panic!("only UDP here");
            };
            let from = self.nodes[index].address;
            let routed = transmit.bytes.starts_with(&[0x52, 0x54]);
            let handshake = routed && transmit.bytes[ROUTE_LEN + 3] & flags::HANDSHAKE != 0;
            let skip = if self.nodes[index].bare && routed && !handshake {
                ROUTE_LEN
            } else {
                0
            };
            self.fly(index, from, to, &transmit.bytes[skip..]);
            self.nodes[index].engine.recycle(transmit.bytes);
        }
        let node = &mut self.nodes[index];
        while let Some(event) = node.engine.poll_event() {
            node.events.push(event);
        }
        while node.reads {
            match node.engine.poll_delivery() {
                Some(delivery) => node.inbox.push(delivery),
                None => break,
            }
        }
        let deadline = node
            .engine
            .next_deadline()
            .map(|at| at.saturating_sub(node.skew).max(self.now + 1));
        if let Some(old) = self.armed[index].take() {
            self.deadlines.remove(&(old, index));
        }
        if let Some(at) = deadline {
            self.deadlines.insert((at, index));
            self.armed[index] = Some(at);
        }
    }

    fn fly(&mut self, sender: usize, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let Some(receiver) = self.by_address.get(&to).copied() else {
            return;
        };
        let weather = self.weather;
        let copies = if self.rng.chance(weather.duplicates) { 2 } else { 1 };
        for _ in 0..copies {
            let separated = self.cut.contains(&(sender.min(receiver), sender.max(receiver)));
            if separated || bytes.len() > weather.mtu || self.rng.chance(weather.loss) {
                continue;
            }
            let at = self.now + weather.delay + self.rng.below(weather.jitter + 1);
            self.flown += 1;
            self.flights.insert(
                (at, self.flown),
                Flight {
                    from,
                    to,
                    bytes: bytes.to_vec(),
                },
            );
        }
    }

    /// Lets time pass until `until`.
    pub fn run_until(&mut self, until: u64) {
        loop {
            let flight = self.flights.first_key_value().map(|((at, _), _)| *at);
            let deadline = self.deadlines.first().map(|(at, _)| *at);
            let next = match (flight, deadline) {
                (None, None) => break,
                (a, b) => a.unwrap_or(u64::MAX).min(b.unwrap_or(u64::MAX)),
            };
            if next > until {
                break;
            }
            self.now = self.now.max(next);
            if flight == Some(next) {
                if let Some((_, mut flight)) = self.flights.pop_first() {
                    if let Some(index) = self.by_address.get(&flight.to).copied() {
                        let now = self.time(index);
                        self.delivered_datagrams += 1;
                        let link = Link::Udp(flight.from);
                        self.nodes[index]
                            .engine
                            .handle_datagram(now, link, &mut flight.bytes);
                        self.touch(index);
                    }
                }
            } else if let Some((_, index)) = self.deadlines.pop_first() {
                self.armed[index] = None;
                let now = self.time(index);
                self.nodes[index].engine.handle_timeout(now);
                self.touch(index);
            }
        }
        self.now = self.now.max(until);
    }

    pub fn run_for(&mut self, span: u64) {
        self.run_until(self.now + span);
    }

    /// Lets time pass until the condition holds; false when `span` was not enough.
    pub fn run_while(&mut self, span: u64, mut pending: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.now + span;
        while pending(self) {
            if self.now >= end {
                return false;
            }
            self.run_until((self.now + 10_000).min(end));
        }
        true
    }

    pub fn are_connected(&self, a: usize, b: usize) -> bool {
        let session = |a: usize, b: usize| {
            self.nodes[a]
                .engine
                .peer(self.nodes[b].id)
                .map(|peer| peer.session_id)
        };
        session(a, b).is_some() && session(a, b) == session(b, a)
    }
}

/// Two started nodes in session; 0 has called.
pub fn pair(seed: u64) -> Sim {
    let mut sim = Sim::new(seed);
    for _ in 0..2 {
        let node = sim.add(|_| ());
        sim.start(node);
    }
    sim.connect(0, 1);
    assert!(sim.run_while(20 * SECOND, |sim| !sim.are_connected(0, 1)));
    sim
}

/// Seeds to run: one from `MESHRING_SEED`, else `count` (times twenty under `MESHRING_SOAK`, or `MESHRING_SEEDS`).
pub fn seeds(count: u64) -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("MESHRING_SEED") {
        return vec![seed];
    }
    let count = match number("MESHRING_SEEDS") {
        Some(count) => count,
        None if std::env::var_os("MESHRING_SOAK").is_some() => 20 * count,
        None => count,
    };
    (0..count).collect()
}

/// Runs a story for each seed on all cores but names the seed that failed.
pub fn for_seeds(count: u64, story: impl Fn(u64) + Sync) {
    let seeds = seeds(count);
    let next = std::sync::atomic::AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(4);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| loop {
                let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let Some(seed) = seeds.get(at) else {
                    return;
                };
                let run = std::panic::AssertUnwindSafe(|| story(*seed));
                if let Err(cause) = std::panic::catch_unwind(run) {
                    eprintln!("seed {seed} failed; replay with MESHRING_SEED={seed}");
                    std::panic::resume_unwind(cause);
                }
            });
        }
    });
}
