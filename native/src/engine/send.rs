//! Opening streams and sending on them.

use super::event::{OpenError, SendError};
use super::{Engine, Origin};
use crate::packet::{
    subprotocol, Features, CONTROL_STREAM, FRAME_PREFIX, MAX_EVENT, MAX_EVENTS, MAX_PAYLOAD, OVERHEAD,
};
use crate::stream::sender::Plain;
use crate::stream::{Reliability, StreamConfig, StreamStats, MAX_STREAMS};

/// A stream that was opened; worthless after a close, a reopen or a new session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamHandle {
    /// Node id.
    pub peer: u64,
    /// Stream id.
    pub stream: u64,
    /// Life of the stream.
    pub epoch: u64,
}

/// What a send took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Events.
    pub events: usize,
    /// Bytes of the frames buffer.
    pub bytes: usize,
    /// Packets; events that joined a queued packet count as one more.
    pub packets: usize,
    /// Whether all of it is kept until the peer acknowledges it, so that a socket's refusal loses nothing.
    pub retained: bool,
}

/// Header fields of a channel publish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Publish {
    /// Low 16 bits of the channel's hash.
    pub channel_hash: u16,
    /// Low 32 bits of the sender's origin hash.
    pub origin_hash: u32,
    /// Of the channel.
    pub priority: u8,
}

/// Payload bytes of a packet whose datagram has at most `mtu` bytes.
pub(super) fn payload_limit(mtu: usize) -> usize {
    (mtu - OVERHEAD).min(MAX_PAYLOAD)
}

/// Whether plain events with these header fields may be added to a packet.
fn is_like(plain: &Plain, publish: Publish) -> bool {
    let of = Publish {
        channel_hash: plain.channel_hash,
        origin_hash: plain.origin_hash,
        priority: plain.priority,
    };
    plain.subprotocol == subprotocol::EVENTS && of == publish
}

/// How many of the frames fit a packet that holds `filled` bytes in `events` frames: their bytes and number.
fn join(frames: &[u8], count: usize, limit: usize, filled: usize, events: u16) -> (usize, usize) {
    let (mut at, mut joined) = (0, 0);
    while joined < count && usize::from(events) + joined < MAX_EVENTS {
        let Some(prefix) = frames[at..].first_chunk::<FRAME_PREFIX>() else {
            break;
        };
        let length = u32::from_le_bytes(*prefix) as usize;
        let end = at + FRAME_PREFIX + length.min(MAX_PAYLOAD);
        if end > frames.len() || filled + end > limit {
            break;
        }
        at = end;
        joined += 1;
    }
    (at, joined)
}

/// Cuts frames into packets, greedily. A single event above the limit goes alone. Returns end offset and count of each.
fn cut(frames: &[u8], count: usize, limit: usize, out: &mut Vec<(usize, u16)>) -> Result<(), SendError> {
    let (mut at, mut begin, mut events) = (0, 0, 0);
    for _ in 0..count {
        let prefix = frames.get(at..at + FRAME_PREFIX).ok_or(SendError::BadFrames)?;
        let length = u32::from_le_bytes(prefix.try_into().unwrap_or_default()) as usize;
        if length > MAX_EVENT {
            return Err(SendError::TooLarge(length));
        }
        let end = at + FRAME_PREFIX + length;
        if end > frames.len() {
            return Err(SendError::BadFrames);
        }
        if events > 0 && (end - begin > limit || usize::from(events) == MAX_EVENTS) {
            out.push((at, events));
            (begin, events) = (at, 0);
        }
        events += 1;
        at = end;
    }
    if at != frames.len() {
        return Err(SendError::BadFrames);
    }
    if events > 0 {
        out.push((at, events));
    }
    Ok(())
}

impl Engine {
    /// Opens a stream, or returns the handle of the open one (its first configuration stays).
    pub fn open_stream(
        &mut self,
        now: u64,
        peer: u64,
        stream: u64,
        config: StreamConfig,
    ) -> Result<StreamHandle, OpenError> {
        self.advance(now);
        if stream == CONTROL_STREAM {
            return Err(OpenError::Reserved);
        }
        let fresh = self.fresh_id();
        let known = self.peers.get_mut(&peer).ok_or(OpenError::NoSession)?;
        if known.streams.get(stream).is_none() && known.streams.len() >= 2 * MAX_STREAMS {
            return Err(OpenError::TooMany);
        }
        let epoch = known.streams.open(self.now, stream, config, fresh);
        Ok(StreamHandle { peer, stream, epoch })
    }

    /// Closes a stream for this end. What is not yet acknowledged still goes out.
    pub fn close_stream(&mut self, now: u64, peer: u64, stream: u64) {
        self.advance(now);
        if let Some(known) = self.peers.get_mut(&peer) {
            known.streams.close(stream);
        }
        self.tell_room_of(peer, stream);
    }

    /// A stream in numbers, if the peer and the stream exist.
    pub fn stream_stats(&self, peer: u64, stream: u64) -> Option<StreamStats> {
        self.peers
            .get(&peer)?
            .streams
            .get(stream)
            .filter(|stream| stream.present)
            .map(|stream| stream.stats())
    }

    /// Bytes queued or unacknowledged would be lost with the session: whether a stream has any.
    pub fn is_flushed(&self, peer: u64, stream: u64) -> bool {
        self.peers
            .get(&peer)
            .and_then(|peer| peer.streams.get(stream))
            .is_none_or(|stream| stream.sender.is_idle())
    }

    /// Whether nothing sent on an open stream is outstanding; `None` when the handle is worthless.
    pub fn is_idle(&self, handle: StreamHandle) -> Option<bool> {
        let stream = self.peers.get(&handle.peer)?.streams.get(handle.stream)?;
        (stream.open && stream.epoch == handle.epoch).then(|| stream.sender.is_idle())
    }

    /// Whether anything acknowledged is still under way to anybody.
    pub fn is_drained(&mut self) -> bool {
        self.peers
            .values_mut()
            .all(|peer| peer.streams.iter_mut().all(|stream| stream.sender.is_idle()))
    }

    /// Sends `count` events, framed as on the wire (`length u32 ‖ bytes`), all or nothing.
    /// `partial`: send as many packets as there is credit for, and at least one; the result says how far it came.
    pub fn send(
        &mut self,
        now: u64,
        handle: StreamHandle,
        frames: &[u8],
        count: usize,
        partial: bool,
        publish: Publish,
    ) -> Result<Sent, SendError> {
        self.advance(now);
        let mtu = self.mtu_to(handle.peer).ok_or(SendError::NotConnected)?;
        let Some(peer) = self.peers.get_mut(&handle.peer) else {
            return Err(SendError::NotConnected);
        };
        let extended = peer.session.has(Features::RELIABLE);
        let Some(stream) = peer
            .streams
            .get_mut(handle.stream)
            .filter(|stream| stream.open && stream.epoch == handle.epoch)
        else {
            return Err(SendError::NotConnected);
        };
        let limit = payload_limit(mtu);
        let retained = extended && stream.is_acknowledged();
        // What still waits in the queue takes more events in: fewer packets, and no more than their bytes of credit.
        let (joined, joiners) = match stream.sender.last_queued().filter(|_| retained) {
            Some(last) if is_like(last, publish) => {
                join(frames, count, limit, last.payload.len(), last.events)
            }
            _ => (0, 0),
        };
        let mut packets = Vec::with_capacity(4);
        cut(&frames[joined..], count - joiners, limit, &mut packets)?;
        let opened = packets.len();
        for (end, _) in &mut packets {
            *end += joined;
        }
        if joiners > 0 {
            packets.insert(0, (joined, joiners as u16));
        }
        let mut taken = packets.len();
        let whole = (frames.len() + OVERHEAD * opened) as u64;
        if !(stream.credit.fits(whole) && stream.sender.has_room(whole)) {
            taken = 0;
            if partial {
                let (mut begin, mut sum) = (0, 0);
                for (end, _) in &packets {
                    let head = if *end == joined { 0 } else { OVERHEAD };
                    sum += (head + end - begin) as u64;
                    if !(stream.credit.fits(sum) && stream.sender.has_room(sum)) {
                        break;
                    }
                    begin = *end;
                    taken += 1;
                }
            }
            if taken == 0 {
                stream.backpressure += 1;
                return Err(SendError::Backpressure);
            }
        }
        let mut sent = Sent {
            retained,
            ..Sent::default()
        };
        for (end, events) in packets.into_iter().take(taken) {
            let these = &frames[sent.bytes..end];
            sent.bytes = end;
            sent.events += usize::from(events);
            sent.packets += 1;
            if end == joined {
                stream.credit.take(self.now, these.len() as u64);
                stream.sender.extend_last(these, events);
                continue;
            }
            let mut payload = self.out.buffer();
            payload.extend_from_slice(these);
            let plain = Plain {
                payload,
                events,
                channel_hash: publish.channel_hash,
                origin_hash: publish.origin_hash,
                priority: publish.priority,
                subprotocol: subprotocol::EVENTS,
            };
            stream.credit.take(self.now, plain.cost());
            stream.sender.push(plain, extended && stream.credit.window() > 0);
        }
        stream.last_activity = self.now;
        self.schedule(handle.peer, handle.stream);
        self.arm_stream(handle.peer, handle.stream);
        Ok(sent)
    }

    /// Sends events of a subprotocol, on the stream of its number; no credit. Between our nodes they are acknowledged and in order.
    pub fn send_message(
        &mut self,
        now: u64,
        peer: u64,
        subprotocol: u16,
        frames: &[u8],
        count: usize,
    ) -> Result<Sent, SendError> {
        self.send_uncharged(now, peer, subprotocol.into(), subprotocol, frames, count)
    }

    /// Sends plain events on stream 0 without credit (`pushTo`).
    pub fn push(&mut self, now: u64, peer: u64, frames: &[u8], count: usize) -> Result<Sent, SendError> {
        self.send_uncharged(now, peer, 0, subprotocol::EVENTS, frames, count)
    }

    fn send_uncharged(
        &mut self,
        now: u64,
        peer: u64,
        stream_id: u64,
        subprotocol: u16,
        frames: &[u8],
        count: usize,
    ) -> Result<Sent, SendError> {
        self.advance(now);
        let mtu = self.mtu_to(peer).ok_or(SendError::NotConnected)?;
        let mut packets = Vec::with_capacity(2);
        cut(frames, count, payload_limit(mtu), &mut packets)?;
        let Some(known) = self.peers.get_mut(&peer) else {
            return Err(SendError::NotConnected);
        };
        // The peer's subprotocol packets carry no flag; between our nodes all of them are acknowledged.
        let reliable = subprotocol != 0 && known.session.has(Features::RELIABLE);
        let reliability = if reliable {
            Reliability::Full
        } else {
            Reliability::Once
        };
        let config = StreamConfig {
            reliability,
            window: 0,
            weight: 1,
        };
        let stream = known.streams.implicit(self.now, stream_id, config);
        if reliable && !stream.open {
            stream.config.reliability = Reliability::Full;
        }
        if !stream.sender.has_room(frames.len() as u64) {
            stream.backpressure += 1;
            return Err(SendError::Backpressure);
        }
        let mut sent = Sent::default();
        for (end, events) in packets {
            let mut payload = self.out.buffer();
            payload.extend_from_slice(&frames[sent.bytes..end]);
            stream.sender.push(
                Plain {
                    payload,
                    events,
                    subprotocol,
                    ..Plain::default()
                },
                false,
            );
            sent.bytes = end;
            sent.events += usize::from(events);
            sent.packets += 1;
        }
        stream.last_activity = self.now;
        self.schedule(peer, stream_id);
        Ok(sent)
    }

    /// A datagram of [`poll_transmit`](Self::poll_transmit) did not reach the socket: its credit comes back, unless it will be sent again anyway.
    pub fn unsent(&mut self, origin: Origin) {
        if let Some((extended, stream)) = self.peers.get_mut(&origin.peer).and_then(|peer| {
            let extended = peer.session.has(Features::RELIABLE);
            peer.streams
                .get_mut(origin.stream)
                .map(|stream| (extended, stream))
        }) {
            // Between our nodes an acknowledgement of later packets would give the credit a second time.
            let charged = stream.sender.uncharge(origin.sequence);
            if stream.epoch == origin.epoch {
                let cost = if extended { charged } else { origin.cost };
                stream.credit.untake(cost);
            }
        }
        self.tell_room_of(origin.peer, origin.stream);
        self.channels.note_unsent(origin.peer);
    }

    pub(super) fn mtu_to(&self, peer: u64) -> Option<usize> {
        let routed = self.path_to(peer)?.1;
        self.peers.get(&peer).map(|peer| peer.path.mtu(routed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::put_frame;
    use proptest::prelude::*;

    #[test]
    fn as_the_specification_packs() {
        let mut frames = Vec::new();
        for _ in 0..3000 {
            put_frame(&mut frames, b"012345");
        }
        let mut packets = Vec::new();
        cut(&frames, 3000, MAX_PAYLOAD, &mut packets).unwrap();
        assert_eq!(packets.len(), 4);
        let mut largest = Vec::new();
        put_frame(&mut largest, &[0; MAX_EVENT]);
        packets.clear();
        cut(&largest, 1, 1000, &mut packets).unwrap();
        assert_eq!(packets, [(MAX_PAYLOAD, 1)]);
        put_frame(&mut largest, &[0; MAX_EVENT + 1]);
        assert_eq!(
            cut(&largest, 2, 1000, &mut packets),
            Err(SendError::TooLarge(MAX_EVENT + 1))
        );
        packets.clear();
        cut(&[0; 4 * 5000], 5000, MAX_PAYLOAD, &mut packets).unwrap();
        assert_eq!(packets.iter().map(|p| p.1).collect::<Vec<_>>(), [2028, 2028, 944]);
    }

    proptest! {
        #[test]
        fn every_event_is_in_exactly_one_packet(lengths in prop::collection::vec(0usize..300, 0..80), limit in 100usize..2000) {
            let mut frames = Vec::new();
            for length in &lengths {
                put_frame(&mut frames, &vec![1; *length]);
            }
            let mut packets = Vec::new();
            cut(&frames, lengths.len(), limit, &mut packets).unwrap();
            prop_assert_eq!(packets.iter().map(|p| usize::from(p.1)).sum::<usize>(), lengths.len());
            let mut begin = 0;
            for (end, events) in packets {
                prop_assert!(end > begin && (end - begin <= limit || events == 1));
                begin = end;
            }
            prop_assert_eq!(begin, frames.len());
        }

        #[test]
        fn any_bytes_are_refused_or_cut_within_bounds(frames: Vec<u8>, count in 0usize..10) {
            let mut packets = Vec::new();
            if cut(&frames, count, 500, &mut packets).is_ok() {
                prop_assert!(packets.iter().all(|packet| packet.0 <= frames.len()));
            }
        }
    }
}
