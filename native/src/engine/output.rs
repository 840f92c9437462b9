//! What waits to leave the engine: urgent datagrams, events, deliveries; and the buffers they use.

use super::{Delivery, Event, Link, Stats};
use std::collections::VecDeque;

/// Buffers kept for reuse.
const MAX_SPARE: usize = 512;
/// Events that may wait for the driver, beside deliveries.
const MAX_EVENTS: usize = 65_536;
/// Messages of subprotocols that may wait.
const MAX_MESSAGES: usize = 8192;

/// Queues and buffers.
#[derive(Debug, Default)]
pub(super) struct Output {
    urgent: VecDeque<(Link, Vec<u8>)>,
    events: VecDeque<Event>,
    messages: usize,
    inbound: VecDeque<Delivery>,
    inbound_events: usize,
    inbound_bytes: usize,
    spare: Vec<Vec<u8>>,
    pub stats: Stats,
}

impl Output {
    pub fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    pub fn recycle(&mut self, mut buffer: Vec<u8>) {
        if self.spare.len() < MAX_SPARE && buffer.capacity() > 0 && buffer.capacity() <= 2 * 8192 {
            buffer.clear();
            self.spare.push(buffer);
        }
    }

    pub fn urgent(&mut self, link: Link, bytes: Vec<u8>) {
        self.urgent.push_back((link, bytes));
    }

    pub fn next_urgent(&mut self) -> Option<(Link, Vec<u8>)> {
        self.urgent.pop_front()
    }

    pub fn event(&mut self, event: Event) {
        if let Event::Message(_) = event {
            if self.messages >= MAX_MESSAGES {
                self.stats.messages_dropped += 1;
                return;
            }
            self.messages += 1;
        } else if self.events.len() >= MAX_EVENTS + MAX_MESSAGES {
            self.stats.messages_dropped += 1;
            return;
        }
        self.events.push_back(event);
    }

    pub fn next_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front()?;
        if let Event::Message(_) = event {
            self.messages -= 1;
        }
        Some(event)
    }

    pub fn waiting_events(&self) -> usize {
        self.events.len()
    }

    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Whether a message would be taken.
    pub fn has_message_room(&self) -> bool {
        self.messages < MAX_MESSAGES
    }

    pub fn fits(&self, count: u16, bytes: usize, max_events: usize, max_bytes: usize) -> bool {
        self.inbound_events + usize::from(count) <= max_events && self.inbound_bytes + bytes <= max_bytes
    }

    /// Above three quarters no credit is given.
    pub fn is_crowded(&self, max_events: usize, max_bytes: usize) -> bool {
        self.inbound_events > max_events / 4 * 3 || self.inbound_bytes > max_bytes / 4 * 3
    }

    pub fn deliver(&mut self, delivery: Delivery) {
        self.inbound_events += usize::from(delivery.count);
        self.inbound_bytes += delivery.frames.len();
        self.inbound.push_back(delivery);
    }

    pub fn next_delivery(&mut self) -> Option<Delivery> {
        let delivery = self.inbound.pop_front()?;
        self.inbound_events -= usize::from(delivery.count);
        self.inbound_bytes -= delivery.frames.len();
        Some(delivery)
    }

    pub fn first_delivery(&self) -> Option<&Delivery> {
        self.inbound.front()
    }

    pub fn inbound(&self) -> (usize, usize) {
        (self.inbound_events, self.inbound_bytes)
    }
}
