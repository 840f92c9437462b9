//! The engine as flat calls and byte batches: what both doors to JavaScript have in common.

mod batch;
mod channels;

pub use batch::deliveries;
pub use channels::{outcome as publish_outcome, Fanout};

use crate::crypto::Key;
use crate::engine::{
    Config, ConnectError, Engine, Link, Liveness, OpenError, Protocol, Publish, SendError, StreamHandle,
    SECOND,
};
use crate::packet::{put_frame, Features};
use crate::stream::{Reliability, StreamConfig};
use std::collections::BTreeMap;
use std::fmt::Write;

/// What a send returns instead of a count.
pub mod refused {
    /// Credit too low.
    pub const BACKPRESSURE: i32 = -1;
    /// Session or stream gone.
    pub const NOT_CONNECTED: i32 = -2;
    /// An event above 8108 bytes.
    pub const TOO_LARGE: i32 = -3;
    /// Frames that do not add up.
    pub const BAD_FRAMES: i32 = -4;
    /// The socket refused a datagram of the call.
    pub const SOCKET: i32 = -5;
}

/// Added to the count by [`Port::send_soon`] when the events may leave later than the call.
pub const WAITS: i32 = 1 << 30;

/// Bytes of frames that one call of [`Port::send_batch`] sends.
const MAX_CALL: usize = 2 << 20;

/// How a node is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Direct and routed in turn.
    Auto,
    /// Routed, over the given link.
    Via,
    /// Routed, over the routing table.
    Routed,
    /// Routed, to an address of the node itself.
    Straight,
}

/// Options, as JavaScript gives them.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Milliseconds.
    pub heartbeat_ms: f64,
    /// Milliseconds.
    pub session_timeout_ms: f64,
    /// Milliseconds.
    pub handshake_timeout_ms: f64,
    /// Events that may wait.
    pub max_events: u32,
    /// Bytes of them.
    pub max_bytes: u32,
    /// Whether the extension is offered.
    pub extension: bool,
    /// Whether this is a bus link.
    pub bus: bool,
}

impl Options {
    /// From `[heartbeat, session timeout, handshake timeout, events, bytes, extension (0 or 1), bus link (0 or 1)]`; what is missing has its default.
    pub fn from_numbers(numbers: &[f64]) -> Self {
        let number = |at: usize, default: f64| {
            numbers
                .get(at)
                .copied()
                .filter(|value| value.is_finite())
                .unwrap_or(default)
        };
        Self {
            heartbeat_ms: number(0, 5000.0),
            session_timeout_ms: number(1, 30_000.0),
            handshake_timeout_ms: number(2, 5000.0),
            max_events: number(3, 65_536.0) as u32,
            max_bytes: number(4, 67_108_864.0) as u32,
            extension: number(5, 1.0) != 0.0,
            bus: number(6, 0.0) != 0.0,
        }
    }
}

/// How JavaScript names what is done about lost packets.
pub fn reliability(number: u32) -> Reliability {
    match number {
        0 => Reliability::Once,
        1 => Reliability::Full,
        _ => Reliability::Light,
    }
}

/// An engine behind flat calls.
pub struct Port {
    engine: Engine,
    handles: BTreeMap<u32, StreamHandle>,
    numbers: BTreeMap<StreamHandle, u32>,
    /// Handles at which worthless ones are looked for.
    crowd: usize,
    last_handle: u32,
}

/// Handles that are kept without a look at whether they are worth it.
const FEW_HANDLES: usize = 65_536;

impl Port {
    /// `psk`, `secret`, `seed`: 32 bytes each.
    pub fn new(
        now: u64,
        node_id: u64,
        psk: [u8; 32],
        secret: [u8; 32],
        seed: [u8; 32],
        options: &Options,
    ) -> Self {
        let micros = |ms: f64, least: u64| ((ms * 1000.0) as u64).clamp(least, 1000 * 365 * 86_400 * SECOND);
        let mut config = Config::new(node_id, Key::from(psk), Key::from(secret));
        config.heartbeat_interval = micros(options.heartbeat_ms, 10_000);
        config.session_timeout = micros(options.session_timeout_ms, 10_000);
        config.handshake_timeout = micros(options.handshake_timeout_ms, 10_000);
        config.max_inbound_events = options.max_events as usize;
        config.max_inbound_bytes = options.max_bytes as usize;
        config.bus = options.bus;
        config.features = options.extension.then_some(Features::ALL);
        Self {
            engine: Engine::new(config, seed, now),
            handles: BTreeMap::new(),
            numbers: BTreeMap::new(),
            crowd: FEW_HANDLES,
            last_handle: 0,
        }
    }

    /// The engine itself, for drivers.
    pub fn engine(&mut self) -> &mut Engine {
        &mut self.engine
    }

    /// Begins a call; the number comes back in the batch.
    pub fn connect(
        &mut self,
        now: u64,
        how: Call,
        link: Option<Link>,
        key: [u8; 32],
        peer: u64,
    ) -> Result<u64, &'static str> {
        let begun = match (how, link) {
            (Call::Routed, _) => self.engine.connect_routed(now, key, peer),
            (Call::Auto, Some(link)) => self.engine.connect(now, link, key, peer),
            (Call::Via, Some(link)) => self.engine.connect_via(now, link, key, peer),
            (Call::Straight, Some(link)) => self.engine.connect_straight(now, link, key, peer),
            (_, None) => return Err("bad-address"),
        };
        begun.map_err(connect_error)
    }

    /// Begins to accept; `None` = anybody.
    pub fn accept(&mut self, now: u64, peer: Option<u64>) -> Result<u64, &'static str> {
        self.engine.accept(now, peer).map_err(connect_error)
    }

    /// Opens a stream and gives it a number.
    pub fn open_stream(
        &mut self,
        now: u64,
        peer: u64,
        stream: u64,
        config: StreamConfig,
    ) -> Result<u32, &'static str> {
        let handle = self
            .engine
            .open_stream(now, peer, stream, config)
            .map_err(|error| match error {
                OpenError::NoSession => "no-session",
                OpenError::Reserved => "reserved",
                OpenError::TooMany => "too-many",
            })?;
        if let Some(number) = self.numbers.get(&handle) {
            return Ok(*number);
        }
        if self.handles.len() >= self.crowd {
            let engine = &self.engine;
            self.numbers.retain(|handle, _| engine.is_idle(*handle).is_some());
            let numbers = &self.numbers;
            self.handles.retain(|_, handle| numbers.contains_key(handle));
            self.crowd = (2 * self.handles.len()).max(FEW_HANDLES);
        }
        self.last_handle = self.last_handle.wrapping_add(1);
        self.handles.insert(self.last_handle, handle);
        self.numbers.insert(handle, self.last_handle);
        Ok(self.last_handle)
    }

    /// Closes a stream.
    pub fn close_stream(&mut self, now: u64, peer: u64, stream: u64) {
        self.engine.close_stream(now, peer, stream);
        let life = |epoch| StreamHandle { peer, stream, epoch };
        let lives: Vec<(StreamHandle, u32)> = self
            .numbers
            .range(life(0)..=life(u64::MAX))
            .map(|(handle, number)| (*handle, *number))
            .collect();
        for (handle, number) in lives {
            self.numbers.remove(&handle);
            self.handles.remove(&number);
        }
    }

    /// Sends framed events on a stream: how many were taken, or a number of [`refused`].
    pub fn send(
        &mut self,
        now: u64,
        handle: u32,
        frames: &[u8],
        count: u32,
        partial: bool,
        publish: Publish,
    ) -> i32 {
        let Some(handle) = self.handles.get(&handle) else {
            return refused::NOT_CONNECTED;
        };
        let sent = self
            .engine
            .send(now, *handle, frames, count as usize, partial, publish);
        outcome(sent.map(|sent| sent.events))
    }

    /// As [`send`](Self::send), without header fields. The count has [`WAITS`] added when the events are kept until the
    /// peer acknowledges them: then nothing is lost when they leave later.
    pub fn send_soon(&mut self, now: u64, handle: u32, frames: &[u8], count: u32, partial: bool) -> i32 {
        let Some(handle) = self.handles.get(&handle) else {
            return refused::NOT_CONNECTED;
        };
        let publish = Publish::default();
        let sent = self
            .engine
            .send(now, *handle, frames, count as usize, partial, publish);
        let waits = sent.is_ok_and(|sent| sent.retained);
        outcome(sent.map(|sent| sent.events)) + if waits { WAITS } else { 0 }
    }

    /// Sends events of a batch from index `from` on: how many were taken, or a number of [`refused`]. Event `n` ends at `ends[n]`.
    pub fn send_batch(&mut self, now: u64, handle: u32, data: &[u8], ends: &[u32], from: u32) -> i32 {
        let Some(handle) = self.handles.get(&handle) else {
            return refused::NOT_CONNECTED;
        };
        let from = from as usize;
        let mut begin = from
            .checked_sub(1)
            .map_or(0, |last| ends.get(last).map_or(usize::MAX, |end| *end as usize));
        let (mut frames, mut count) = (Vec::new(), 0);
        for end in ends.get(from..).unwrap_or_default() {
            let Some(event) = data.get(begin..*end as usize) else {
                return refused::BAD_FRAMES;
            };
            if count > 0 && frames.len() + event.len() > MAX_CALL {
                break;
            }
            put_frame(&mut frames, event);
            begin = *end as usize;
            count += 1;
        }
        let sent = self
            .engine
            .send(now, *handle, &frames, count, true, Publish::default());
        outcome(sent.map(|sent| sent.events))
    }

    /// Whether everything sent on a stream is acknowledged (1) or not (0); [`refused::NOT_CONNECTED`] when the stream or its session is gone.
    pub fn flushed(&self, handle: u32) -> i32 {
        let known = self
            .handles
            .get(&handle)
            .and_then(|handle| self.engine.is_idle(*handle));
        known.map_or(refused::NOT_CONNECTED, i32::from)
    }

    /// Whether frames of so many bytes would be taken now (1) or not (0); then an event tells when to ask again.
    /// [`refused::NOT_CONNECTED`] when the stream or its session is gone.
    pub fn await_room(&mut self, now: u64, handle: u32, frames: u32) -> i32 {
        let known = self
            .handles
            .get(&handle)
            .and_then(|handle| self.engine.await_room(now, *handle, frames.into()));
        known.map_or(refused::NOT_CONNECTED, i32::from)
    }

    /// Sends framed events without credit, on stream 0 or as messages of a subprotocol.
    pub fn send_to(&mut self, now: u64, peer: u64, subprotocol: u16, frames: &[u8], count: u32) -> i32 {
        let sent = match subprotocol {
            0 => self.engine.push(now, peer, frames, count as usize),
            id => self.engine.send_message(now, peer, id, frames, count as usize),
        };
        outcome(sent.map(|sent| sent.events))
    }

    /// A stream in numbers (see the TypeScript door), or nothing.
    pub fn stream_stats(&self, peer: u64, stream: u64) -> Option<[u64; 10]> {
        let stats = self.engine.stream_stats(peer, stream)?;
        let extended = self
            .engine
            .peer(peer)
            .is_some_and(|peer| peer.protocol == Protocol::Meshring);
        Some([
            stats.tx_seq,
            stats.rx_seq,
            stats.last_activity,
            stats.backpressure_events,
            stats.tx_credit_remaining.into(),
            stats.tx_window.into(),
            stats.credit_grants_received,
            stats.credit_grants_sent,
            extended.into(),
            stats.lost,
        ])
    }

    /// Peers, as JSON; 64-bit numbers are strings.
    pub fn peers_json(&self) -> String {
        let mut out = String::from("[");
        for peer in self.engine.peers() {
            let state = match peer.liveness {
                Liveness::Healthy => "healthy",
                Liveness::Suspected => "suspected",
                Liveness::Failed => "failed",
            };
            let protocol = match peer.protocol {
                Protocol::Net019 => "net-0.19",
                Protocol::Meshring => "meshring",
            };
            let rtt = peer.rtt_us.map_or("null".to_owned(), |rtt| rtt.to_string());
            let comma = if out.len() > 1 { "," } else { "" };
            let _ = write!(
                out,
                "{comma}{{\"id\":\"{}\",\"address\":\"{}\",\"relayed\":{},\"state\":\"{state}\",\"protocol\":\"{protocol}\",\"rttMicros\":{rtt},\"mtu\":{},\"unsolicited\":{}}}",
                peer.id, peer.link, peer.relayed, peer.mtu, peer.unsolicited
            );
        }
        out.push(']');
        out
    }

    /// Routes, as JSON.
    pub fn routes_json(&self) -> String {
        let mut out = String::from("[");
        for (dest, link, metric) in self.engine.routes() {
            let comma = if out.len() > 1 { "," } else { "" };
            let _ = write!(
                out,
                "{comma}{{\"id\":\"{dest}\",\"nextHop\":\"{link}\",\"metric\":{metric}}}"
            );
        }
        out.push(']');
        out
    }

    /// Counters, as JSON.
    pub fn stats_json(&self) -> String {
        let s = self.engine.stats();
        let (events, bytes) = self.engine.inbound();
        let (passed, kept) = self.engine.gateway_counts();
        let fields = [
            ("datagramsIn", s.datagrams_in),
            ("bytesIn", s.bytes_in),
            ("datagramsOut", s.datagrams_out),
            ("bytesOut", s.bytes_out),
            ("junk", s.junk),
            ("filtered", s.filtered),
            ("unknownSession", s.unknown_session),
            ("forged", s.forged),
            ("replayed", s.replayed),
            ("tooFar", s.too_far),
            ("handshakes", s.handshakes),
            ("handshakesLimited", s.handshakes_limited),
            ("handshakesRefused", s.handshakes_refused),
            ("pingwavesDropped", s.pingwaves_dropped),
            ("forwarded", s.forwarded),
            ("forwardTtl", s.forward_ttl),
            ("forwardNoRoute", s.forward_no_route),
            ("forwardFull", s.forward_full),
            ("forwardLoop", s.forward_loop),
            ("inboundDropped", s.inbound_dropped),
            ("messagesDropped", s.messages_dropped),
            ("unsolicited", s.unsolicited),
            ("gatewayForwarded", passed),
            ("gatewayDropped", kept),
            ("unknownSubprotocol", s.unknown_subprotocol),
            ("badControl", s.bad_control),
            ("keepAlivesDropped", s.keep_alives_dropped),
            ("retransmitted", s.retransmitted),
            ("creditReclaimed", s.credit_reclaimed),
            ("lost", s.lost),
            ("inboundEvents", events as u64),
            ("inboundBytes", bytes as u64),
        ];
        let list: Vec<String> = fields
            .iter()
            .map(|(name, value)| format!("\"{name}\":{value}"))
            .collect();
        format!("{{{}}}", list.join(","))
    }

    /// See [`Engine::expect_keep_alive`]; false also when the link is no UDP address.
    pub fn expect_keep_alive(&mut self, link: &str, sender: Option<u64>) -> bool {
        match parse_link(link) {
            Some(Link::Udp(from)) => self.engine.expect_keep_alive(from, sender),
            _ => false,
        }
    }

    /// Things that happened, and messages of subprotocols; empty when there is nothing.
    pub fn take_events(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        while out.len() < 1 << 20 {
            let Some(event) = self.engine.poll_event() else {
                break;
            };
            batch::put_event(&event, &mut out);
        }
        out
    }

    /// Datagrams to send: `text length u16 ‖ length u16 ‖ link as text ‖ bytes`, again and again; empty when there is nothing.
    pub fn take_transmits(&mut self, now: u64) -> Vec<u8> {
        let mut out = Vec::new();
        while out.len() < 256 << 10 {
            let Some(transmit) = self.engine.poll_transmit(now) else {
                break;
            };
            let link = transmit.link.to_string();
            out.extend_from_slice(&(link.len() as u16).to_le_bytes());
            out.extend_from_slice(&(transmit.bytes.len() as u16).to_le_bytes());
            out.extend_from_slice(link.as_bytes());
            out.extend_from_slice(&transmit.bytes);
            self.engine.recycle(transmit.bytes);
        }
        out
    }

    /// Packets of plain events, until at least `events` are taken; empty when there is nothing.
    pub fn take_deliveries(&mut self, events: u32) -> Vec<u8> {
        let (mut out, mut taken) = (Vec::new(), 0);
        while taken < events && out.len() < 4 << 20 {
            let Some(delivery) = self.engine.poll_delivery() else {
                break;
            };
            taken += u32::from(delivery.count);
            batch::put_delivery(batch::kind::DELIVERY, &delivery, &mut out);
            self.engine.recycle(delivery.frames);
        }
        out
    }
}

fn outcome(sent: Result<usize, SendError>) -> i32 {
    match sent {
        Ok(events) => events as i32,
        Err(SendError::Backpressure) => refused::BACKPRESSURE,
        Err(SendError::NotConnected) => refused::NOT_CONNECTED,
        Err(SendError::TooLarge(_)) => refused::TOO_LARGE,
        Err(SendError::BadFrames) => refused::BAD_FRAMES,
    }
}

fn connect_error(error: ConnectError) -> &'static str {
    match error {
        ConnectError::InFlight => "in-flight",
        ConnectError::NoRoute => "no-route",
        ConnectError::TooMany => "too-many",
        ConnectError::WeakKey => "weak-key",
        ConnectError::Closed => "closed",
    }
}

/// `ip:port`, `[v6]:port`, or `link:<number>` for connection-like paths.
pub fn parse_link(text: &str) -> Option<Link> {
    match text.strip_prefix("link:") {
        Some(number) => number.parse().ok().map(Link::Channel),
        None => text.parse().ok().map(Link::Udp),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_read_as_they_are_printed() {
        for text in ["127.0.0.1:80", "[::1]:9", "link:7"] {
            assert_eq!(parse_link(text).unwrap().to_string(), text);
        }
        for text in ["", "localhost:80", "1.2.3.4", "link:x"] {
            assert_eq!(parse_link(text), None);
        }
    }
}
