//! Streams of one session: send window, order, acknowledgement, and when a stream is forgotten.

pub mod congestion;
pub mod credit;
pub mod filter;
pub mod ordered;
pub mod rtt;
pub mod sender;
mod set;

pub use set::{Streams, IDLE_AFTER, MAX_STREAMS};

use crate::engine::Delivery;
use crate::session::replay::ReplayWindow;
use credit::Credit;
use ordered::Ordered;
use sender::Sender;

/// What is done about lost packets between our nodes. Toward 0.19.0 anything but [`Once`](Self::Once) is a flag and no more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reliability {
    /// Nothing: each packet leaves once.
    #[default]
    Once,
    /// Repeated until acknowledged, but for one session timeout at most; delivered once, as they arrive.
    Light,
    /// Repeated until acknowledged, delivered once and in order.
    Full,
}

/// What a stream is opened with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamConfig {
    /// See [`Reliability`].
    pub reliability: Reliability,
    /// Send window in wire bytes; 0 = none.
    pub window: u32,
    /// Share in the transmit order; 0 acts as 1.
    pub weight: u8,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            reliability: Reliability::Once,
            window: 65_536,
            weight: 1,
        }
    }
}

/// What the receiver owes the sender.
#[derive(Clone, Debug, Default)]
pub struct Owed {
    /// When the acknowledgement or grant must have left.
    pub due: Option<u64>,
    /// Packets since the last one.
    pub packets: u32,
    /// When the newest packet arrived.
    pub newest_at: u64,
    /// Withheld because the inbound queue is nearly full.
    pub withheld: bool,
}

/// One stream, both directions.
#[derive(Debug)]
pub struct Stream {
    /// Name within the session.
    pub id: u64,
    /// Life of the local handle; unique within the engine.
    pub epoch: u64,
    /// Whether statistics see it; false after a local close.
    pub present: bool,
    /// Whether the application has it open.
    pub open: bool,
    /// See [`StreamConfig`].
    pub config: StreamConfig,
    /// Send window.
    pub credit: Credit,
    /// Send queue.
    pub sender: Sender,
    /// Receive order between our nodes; made by the first packet that needs it.
    pub ordered: Option<Ordered<Delivery>>,
    /// Sequences seen on a reliable stream of a bus link to 0.19.0. Unlike the peer's own filter it does not stall behind a gap.
    pub duplicates: ReplayWindow,
    /// Highest accepted sequence + 1.
    pub received: u64,
    /// Wire bytes taken in (0.19.0 grants).
    pub consumed: u64,
    /// Sequences below were credited to the other side.
    pub credited: u64,
    /// See [`Owed`].
    pub owed: Owed,
    /// Monotonic microseconds of the last send or receive.
    pub last_activity: u64,
    /// Refused packets.
    pub backpressure: u64,
    /// Events given up unacknowledged.
    pub lost: u64,
    /// Grants or acknowledgements that came.
    pub grants_received: u64,
    /// Grants or acknowledgements that left.
    pub grants_sent: u64,
    /// In the engine's transmit order.
    pub scheduled: bool,
    /// In the queue of those that wait for the congestion window or the pace.
    pub blocked: bool,
    /// Something left since it last came out of that queue.
    pub served: bool,
    /// Bytes left in this round.
    pub deficit: u64,
    /// When the window was last probed.
    pub probed_at: u64,
}

/// A stream in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamStats {
    /// Next sequence to send.
    pub tx_seq: u64,
    /// Highest accepted sequence; 0 also when nothing came.
    pub rx_seq: u64,
    /// Monotonic microseconds.
    pub last_activity: u64,
    /// Refused packets.
    pub backpressure_events: u64,
    /// Bytes; 0 without a window.
    pub tx_credit_remaining: u32,
    /// Bytes; 0 = none.
    pub tx_window: u32,
    /// Grants or acknowledgements that came.
    pub credit_grants_received: u64,
    /// Grants or acknowledgements that left.
    pub credit_grants_sent: u64,
    /// Events given up because nothing acknowledged them in time ([`Reliability::Light`]).
    pub lost: u64,
}

impl Stream {
    /// Bytes of packets that wait for those before them.
    pub fn held_bytes(&self) -> usize {
        self.ordered.as_ref().map_or(0, Ordered::held_bytes)
    }

    /// Whether packets are kept until they are acknowledged, where both ends can do that.
    pub fn is_acknowledged(&self) -> bool {
        self.config.reliability != Reliability::Once
    }

    /// When the oldest packet is given up; `patience` in microseconds.
    pub fn gives_up_at(&self, patience: u64) -> Option<u64> {
        match self.config.reliability {
            Reliability::Light => self.sender.oldest().map(|since| since.saturating_add(patience)),
            Reliability::Once | Reliability::Full => None,
        }
    }

    /// In numbers.
    pub fn stats(&self) -> StreamStats {
        StreamStats {
            tx_seq: self.sender.next_sequence(),
            rx_seq: self.received.saturating_sub(1),
            last_activity: self.last_activity,
            backpressure_events: self.backpressure,
            tx_credit_remaining: self.credit.remaining() as u32,
            tx_window: self.credit.window(),
            credit_grants_received: self.grants_received,
            credit_grants_sent: self.grants_sent,
            lost: self.lost,
        }
    }
}
