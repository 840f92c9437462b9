//! A page of the retained log for JavaScript: one buffer instead of an object per event.
//!
//! Layout, little endian, everything 8-byte aligned up to the payloads:
//!
//! | bytes | field |
//! |---|---|
//! | 4 | number of events |
//! | 4 | flags: 1 = more entries exist behind the page, 2 = the scan stopped at its internal limit |
//! | 8 | number of the last entry looked at, f64 (0: none) |
//! | 8 | number of entries that had been evicted between the given position and the first one read, f64 |
//! | 8 × n | time stamps, u64 |
//! | 8 × n | numbers, f64 |
//! | 4 × n | payload lengths, u32 |
//! | 4 × n | kinds, u32 |
//! | … | payloads back to back |
//!
//! Kind: 0 = ASCII, 1 = other UTF-8, 2 = not UTF-8. Numbers of events stay far below 2^53.

use super::segments::Segments;

/// Bytes before the columns.
pub const HEADER: usize = 24;
/// Bytes of one event in all columns.
pub const ENTRY: usize = 24;

/// What to read.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// Read events with numbers above this.
    pub after: u64,
    /// Most events to return.
    pub limit: usize,
    /// Most payload bytes to return; at least one event is returned whatever its size.
    pub max_bytes: usize,
    /// Most entries to look at.
    pub max_scan: usize,
}

/// Reads a page into `out` (cleared first). `keep` decides which events are returned.
pub fn read(log: &Segments, request: Request, mut keep: impl FnMut(&[u8]) -> bool, out: &mut Vec<u8>) {
    out.clear();
    out.resize(HEADER, 0);
    let mut payload = 0;
    let mut taken: Vec<super::segments::EventRef<'_>> = Vec::with_capacity(request.limit.min(16_384));
    let mut last = 0;
    let mut stopped = false;
    for (looked, event) in log.iter_after(request.after).enumerate() {
        if taken.len() == request.limit {
            break;
        }
        if looked == request.max_scan {
            stopped = true;
            break;
        }
        if keep(event.raw) {
            if payload + event.raw.len() > request.max_bytes && !taken.is_empty() {
                stopped = true;
                break;
            }
            payload += event.raw.len();
            taken.push(event);
        }
        last = event.n;
    }
    let behind = last.max(request.after).max(log.first().saturating_sub(1));
    let more = log.next() > behind.saturating_add(1);
    let lost = log
        .first()
        .saturating_sub(request.after.saturating_add(1))
        .min(log.first() - 1);
    out.reserve(taken.len() * ENTRY + payload);
    for event in &taken {
        out.extend_from_slice(&event.ts.to_le_bytes());
    }
    for event in &taken {
        out.extend_from_slice(&(event.n as f64).to_le_bytes());
    }
    for event in &taken {
        out.extend_from_slice(&(event.raw.len() as u32).to_le_bytes());
    }
    for event in &taken {
        out.extend_from_slice(&kind(event.raw).to_le_bytes());
    }
    for event in &taken {
        out.extend_from_slice(event.raw);
    }
    let flags = u32::from(more) | u32::from(stopped) << 1;
    out[0..4].copy_from_slice(&(taken.len() as u32).to_le_bytes());
    out[4..8].copy_from_slice(&flags.to_le_bytes());
    out[8..16].copy_from_slice(&(last as f64).to_le_bytes());
    out[16..24].copy_from_slice(&(lost as f64).to_le_bytes());
}

fn kind(raw: &[u8]) -> u32 {
    if raw.is_ascii() {
        0
    } else if std::str::from_utf8(raw).is_ok() {
        1
    } else {
        2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn f64_at(page: &[u8], at: usize) -> f64 {
        f64::from_le_bytes(page[at..at + 8].try_into().unwrap())
    }

    fn u32_at(page: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(page[at..at + 4].try_into().unwrap())
    }

    fn request(after: u64, limit: usize) -> Request {
        Request {
            after,
            limit,
            max_bytes: 1 << 20,
            max_scan: 1000,
        }
    }

    #[test]
    fn a_page_says_where_it_ended_and_what_was_lost() {
        let mut log = Segments::new();
        for i in 0..10u8 {
            log.push(&[i, 200], u64::from(i) * 10);
        }
        log.pop();
        log.pop();
        let mut page = Vec::new();
        read(&log, request(1, 3), |raw| raw[0] % 2 == 0, &mut page);
        assert_eq!(u32_at(&page, 0), 3);
        assert_eq!(u32_at(&page, 4), 1);
        assert_eq!(f64_at(&page, 8), 7.0);
        assert_eq!(f64_at(&page, 16), 1.0);
        assert_eq!(page[HEADER], 20);
        assert_eq!(f64_at(&page, HEADER + 3 * 8), 3.0);
        assert_eq!(u32_at(&page, HEADER + 3 * 16), 2);
        assert_eq!(u32_at(&page, HEADER + 3 * 20), 2);
        assert_eq!(&page[HEADER + 3 * ENTRY..], [2, 200, 4, 200, 6, 200]);
        read(&log, request(7, 100), |_| false, &mut page);
        assert_eq!((u32_at(&page, 0), u32_at(&page, 4)), (0, 0));
        assert_eq!(f64_at(&page, 8), 10.0);
        read(&log, request(u64::MAX, 100), |_| true, &mut page);
        assert_eq!((u32_at(&page, 0), u32_at(&page, 4)), (0, 0));
    }

    #[test]
    fn the_internal_limits_stop_a_scan_without_losing_its_place() {
        let mut log = Segments::new();
        for _ in 0..10 {
            log.push(&[b'x'; 100], 1);
        }
        let mut page = Vec::new();
        let limits = Request {
            max_scan: 4,
            ..request(0, 100)
        };
        read(&log, limits, |_| false, &mut page);
        assert_eq!((u32_at(&page, 4), f64_at(&page, 8)), (3, 4.0));
        let limits = Request {
            max_bytes: 250,
            ..request(0, 100)
        };
        read(&log, limits, |_| true, &mut page);
        assert_eq!(
            (u32_at(&page, 0), u32_at(&page, 4), f64_at(&page, 8)),
            (2, 3, 2.0)
        );
    }
}
