//! The memory through which JavaScript and a log exchange events (layout: ts/src/backend/log.ts). Both doors use it.

use super::error::LogError;
use super::journal::Journal;
use super::memory::LIVE_MAX;
use super::record::INLINE;
use super::storage::Storage;
use crate::cortex;

/// Bytes of an area.
pub const AREA: usize = 256 * 1024;
const STATUS: usize = 48;
const BYTES_AT: usize = 52;
const LENGTH: usize = 56;
const LEFT: usize = 60;
const NOW: usize = 40;
const DATA: usize = 64;
const EVENT: usize = 16;
/// Status of a read whose first event does not fit.
const LARGE: u32 = 6;

fn put(area: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(into) = area.get_mut(at..at + bytes.len()) {
        into.copy_from_slice(bytes);
    }
}

fn word(area: &[u8], at: usize) -> u32 {
    area.get(at..at + 4).map_or(0, |bytes| {
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    })
}

fn set_status(area: &mut [u8], status: u32) {
    put(area, STATUS, &status.to_le_bytes());
}

/// Wall clock that JavaScript left in the area, as unix ns.
pub fn now(area: &[u8]) -> u64 {
    let bytes = area
        .get(NOW..NOW + 8)
        .and_then(|bytes| bytes.try_into().ok())
        .unwrap_or_default();
    (f64::from_le_bytes(bytes) * 1e6) as u64
}

/// Length that JavaScript left for an append without arguments.
pub fn length(area: &[u8]) -> usize {
    word(area, LENGTH) as usize
}

/// Leaves the outcome of an append. Returns the error, for its text.
pub fn finish(area: &mut [u8], done: Result<u64, LogError>) -> Option<LogError> {
    match done {
        Ok(seq) => {
            put(area, 0, &seq.to_le_bytes());
            set_status(area, 0);
            None
        }
        Err(error) => {
            set_status(area, error.status());
            Some(error)
        }
    }
}

/// The payload of an append.
pub fn payload(area: &[u8], length: usize) -> Result<&[u8], LogError> {
    area.get(DATA..DATA.saturating_add(length))
        .ok_or_else(|| LogError::Io("the payload does not fit the area".into()))
}

/// Appends `count` payloads that lie in the area.
pub fn append_batch<S>(area: &[u8], count: usize, journal: &mut Journal<S>, now: u64) -> Result<u64, LogError>
where
    S: Storage,
    S::File: Clone,
{
    let bad = || LogError::Io("the batch does not fit the area".into());
    let table = count
        .checked_mul(4)
        .and_then(|size| area.len().checked_sub(size))
        .filter(|at| *at >= DATA);
    let (payloads, table) = area.split_at(table.ok_or_else(bad)?);
    let lengths: Vec<u32> = table.rchunks_exact(4).map(|entry| word(entry, 0)).collect();
    let total: u64 = lengths.iter().map(|length| u64::from(*length)).sum();
    let payloads = payloads
        .get(DATA..DATA.saturating_add(total as usize))
        .ok_or_else(bad)?;
    journal.append_batch(&lengths, payloads, now)
}

/// Leaves how many payload bytes the log still takes.
pub fn leave_room<S>(area: &mut [u8], journal: &Journal<S>)
where
    S: Storage,
    S::File: Clone,
{
    let left = LIVE_MAX.saturating_sub(journal.memory().bytes());
    let left = u32::try_from(left).unwrap_or(u32::MAX);
    put(area, LEFT, &left.to_le_bytes());
}

/// Leaves the positions of a log: next, first retained, evicted below, events, bytes.
pub fn observe<S>(area: &mut [u8], journal: &Journal<S>)
where
    S: Storage,
    S::File: Clone,
{
    let memory = journal.memory();
    let words = [
        memory.next_seq(),
        memory.first_seq(),
        memory.evicted_below(),
        memory.len(),
        memory.bytes(),
    ];
    for (i, value) in words.iter().enumerate() {
        put(area, i * 8, &value.to_le_bytes());
    }
    set_status(area, 0);
}

/// Copies events with `from <= seq < to` into the area. Returns how many.
pub fn read<S>(area: &mut [u8], journal: &Journal<S>, from: u64, to: u64, max: u32) -> u32
where
    S: Storage,
    S::File: Clone,
{
    let memory = journal.memory();
    let index = memory.index();
    let start = memory.lower_bound(from);
    put(area, 16, &memory.evicted_below().to_le_bytes());
    set_status(area, 0);
    let (mut count, mut total) = (0usize, 0usize);
    let mut ordinal = start;
    while count < max as usize && ordinal < index.end() {
        let Some(entry) = index.get(ordinal) else { break };
        if to != u64::MAX && index.seq(ordinal) >= to {
            break;
        }
        let length = entry.length as usize;
        if DATA + (count + 1) * EVENT + total + length > area.len() {
            if count == 0 {
                put(area, 0, &index.seq(ordinal).to_le_bytes());
                put(area, DATA, &entry.tag.to_le_bytes());
                set_status(area, LARGE);
            }
            break;
        }
        count += 1;
        total += length;
        ordinal += 1;
    }
    let bytes_at = DATA + count * EVENT;
    put(area, BYTES_AT, &(bytes_at as u32).to_le_bytes());
    let (events, payloads) = area.split_at_mut(bytes_at);
    let mut at = 0;
    for (i, event) in events[DATA..].chunks_exact_mut(EVENT).enumerate() {
        let ordinal = start + i as u64;
        let Some(entry) = index.get(ordinal) else { break };
        let length = entry.length as usize;
        event[0..8].copy_from_slice(&index.seq(ordinal).to_le_bytes());
        event[8..12].copy_from_slice(&entry.length.to_le_bytes());
        event[12..16].copy_from_slice(&entry.tag.to_le_bytes());
        memory.copy(&entry, &mut payloads[at..at + length]);
        at += length;
    }
    count as u32
}

/// Fills in the checksum of the CortEX event that is about to be appended.
pub fn seal(area: &mut [u8], length: usize) {
    if let Some(event) = area.get_mut(DATA..DATA.saturating_add(length)) {
        cortex::seal(event);
    }
}

/// Checks the CortEX events of the last read: 1 in place of flags and checksum = intact, otherwise 0.
pub fn check_events(area: &mut [u8], count: usize) {
    let Some(bytes_at) = count.checked_mul(EVENT).and_then(|size| size.checked_add(DATA)) else {
        return;
    };
    if bytes_at > area.len() {
        return;
    }
    let (events, mut payloads) = area.split_at_mut(bytes_at);
    for event in events[DATA..].chunks_exact_mut(EVENT) {
        let length = word(event, 8) as usize;
        let Some((payload, rest)) = payloads.split_at_mut_checked(length) else {
            return;
        };
        event[12..16].copy_from_slice(&u32::from(cortex::intact(payload)).to_le_bytes());
        payloads = rest;
    }
}

/// The payload of one event; empty when it is not retained.
pub fn one<S>(journal: &Journal<S>, seq: u64) -> Vec<u8>
where
    S: Storage,
    S::File: Clone,
{
    let memory = journal.memory();
    let ordinal = memory.lower_bound(seq);
    match memory.index().get(ordinal) {
        Some(entry) if memory.index().seq(ordinal) == seq => {
            let mut bytes = vec![
                0;
                if entry.tag & INLINE != 0 {
                    8
                } else {
                    entry.length as usize
                }
            ];
            memory.copy(&entry, &mut bytes);
            bytes
        }
        _ => Vec::new(),
    }
}

/// State of a log as JSON.
pub fn stats<S>(journal: &Journal<S>, last_fsync_ms: u64, fsync_failures: u64) -> String
where
    S: Storage,
    S::File: Clone,
{
    let found = journal.found();
    format!(
        "{{\"generation\":{},\"lastFsyncMs\":{last_fsync_ms},\"fsyncFailures\":{fsync_failures},\"damagedRecords\":{},\
         \"tornRecords\":{},\"poisoned\":{}}}",
        journal.generation(),
        found.damaged,
        found.torn,
        journal.is_poisoned()
    )
}
