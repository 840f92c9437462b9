//! A page of a store, read from the server's answer into columns.
//!
//! Layout of the packed page (all numbers u32, little endian):
//!
//! | words | |
//! |---|---|
//! | 0..8 | readable events `n`, entries looked at, unreadable entries, 1 if all payloads are ASCII, and as offsets in the texts: start and end of the last id looked at, start and end of the first unreadable id |
//! | 8..8+2n | time stamps, low word first |
//! | then n each | end of payload `i`, end of id `i`, end of dedup id `i` (empty: the entry has none) |
//!
//! then the payloads, the ids, the dedup ids, and the texts of the header's ids.

use super::decode;

/// Words before the columns.
pub const HEADER: usize = 8;

/// Columns of a page while it is read.
#[derive(Default)]
pub struct Page {
    stamps: Vec<u64>,
    payload_ends: Vec<u32>,
    id_ends: Vec<u32>,
    dedup_ends: Vec<u32>,
    payloads: Vec<u8>,
    ids: Vec<u8>,
    dedups: Vec<u8>,
    looked: u32,
    unreadable: u32,
    last: Vec<u8>,
    first_unreadable: Vec<u8>,
}

impl Page {
    /// Adds the entry `id`; `record` is what stands for the event, if there is such a field.
    pub fn entry(&mut self, id: &[u8], record: Option<&[u8]>, dedup: Option<&[u8]>) {
        self.looked += 1;
        self.last.clear();
        self.last.extend_from_slice(id);
        let Some(record) = record.and_then(decode) else {
            if self.unreadable == 0 {
                self.first_unreadable.extend_from_slice(id);
            }
            self.unreadable += 1;
            return;
        };
        self.payloads.extend_from_slice(&record.event);
        self.ids.extend_from_slice(id);
        self.dedups.extend_from_slice(dedup.unwrap_or_default());
        self.stamps.push(record.timestamp);
        self.payload_ends.push(self.payloads.len() as u32);
        self.id_ends.push(self.ids.len() as u32);
        self.dedup_ends.push(self.dedups.len() as u32);
    }

    /// The packed page.
    pub fn pack(self) -> Vec<u8> {
        let n = self.stamps.len();
        let (last, first) = (self.last.len() as u32, self.first_unreadable.len() as u32);
        let ascii = u32::from(self.payloads.is_ascii());
        let header = [
            n as u32,
            self.looked,
            self.unreadable,
            ascii,
            0,
            last,
            last,
            last + first,
        ];
        let texts = self.payloads.len() + self.ids.len() + self.dedups.len() + self.last.len();
        let mut out = Vec::with_capacity(4 * (HEADER + 5 * n) + texts + self.first_unreadable.len());
        let words = |words: &[u32], out: &mut Vec<u8>| {
            words
                .iter()
                .for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        };
        words(&header, &mut out);
        self.stamps
            .iter()
            .for_each(|stamp| out.extend_from_slice(&stamp.to_le_bytes()));
        words(&self.payload_ends, &mut out);
        words(&self.id_ends, &mut out);
        words(&self.dedup_ends, &mut out);
        for text in [
            &self.payloads,
            &self.ids,
            &self.dedups,
            &self.last,
            &self.first_unreadable,
        ] {
            out.extend_from_slice(text);
        }
        out
    }
}

/// Reads the complete answer to XRANGE: a list of `[id, [field, value, …]]`. At most `limit` entries are taken.
/// `None` when the bytes are not such an answer.
pub fn redis_page(answer: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut reader = Resp { bytes: answer, at: 0 };
    let mut page = Page::default();
    let entries = reader.list()?;
    for _ in 0..entries.min(limit) {
        if reader.list()? != 2 {
            return None;
        }
        let id = reader.bulk()?;
        let (mut record, mut dedup) = (None, None);
        // A deleted entry has a null instead of the fields.
        let fields = reader.list()?;
        for _ in 0..fields / 2 {
            let name = reader.bulk()?;
            let value = reader.bulk()?;
            match name {
                b"d" => record = Some(value),
                b"dedup_id" => dedup = Some(value),
                _ => {}
            }
        }
        page.entry(id, record, dedup);
    }
    Some(page.pack())
}

/// Reader of RESP2 and RESP3 lists and bulk strings.
struct Resp<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Resp<'a> {
    /// Number behind a type byte.
    fn length(&mut self, kind: u8) -> Option<i64> {
        let rest = self.bytes.get(self.at..)?;
        if *rest.first()? != kind {
            return None;
        }
        let end = memchr::memchr(b'\r', rest)?;
        let number = std::str::from_utf8(&rest[1..end]).ok()?.parse().ok()?;
        self.at += end + 2;
        Some(number)
    }

    fn list(&mut self) -> Option<usize> {
        self.length(b'*').map(|n| n.max(0) as usize)
    }

    fn bulk(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.length(b'$')?).ok()?;
        let bytes = self.bytes.get(self.at..self.at.checked_add(length)?)?;
        self.at += length + 2;
        Some(bytes)
    }
}

/// Reads messages of the NATS protocol (`HMSG` and `MSG` frames, complete, one after the other) that a consumer
/// delivered; the store's sequence number comes from the answer subject. At most `limit` messages are taken.
/// `None` when the bytes are not such frames.
pub fn nats_page(frames: &[u8], limit: usize) -> Option<Vec<u8>> {
    let mut page = Page::default();
    let mut at = 0;
    while at < frames.len() && (page.looked as usize) < limit {
        let end = at + memchr::memchr(b'\r', &frames[at..])?;
        let words: Vec<&[u8]> = frames[at..end].split(|&byte| byte == b' ').collect();
        let number = |text: &[u8]| std::str::from_utf8(text).ok()?.parse::<usize>().ok();
        let (reply, header, total) = match words[..] {
            [b"HMSG", _, _, reply, header, total] => (reply, number(header)?, number(total)?),
            [b"MSG", _, _, reply, total] => (reply, 0, number(total)?),
            _ => return None,
        };
        let body = frames.get(end + 2..(end + 2).checked_add(total)?)?;
        let payload = body.get(header..)?;
        page.entry(sequence(reply)?, Some(payload), message_id(&body[..header]));
        at = end + 2 + total + 2;
    }
    Some(page.pack())
}

/// Stream sequence in `$JS.ACK.<stream>.<consumer>.<delivered>.<sequence>.…` or, with domain and account hash in front,
/// `$JS.ACK.<domain>.<account>.<stream>.<consumer>.<delivered>.<sequence>.…`.
fn sequence(reply: &[u8]) -> Option<&[u8]> {
    let tokens: Vec<&[u8]> = reply.split(|&byte| byte == b'.').collect();
    let sequence = match tokens.len() {
        9 => tokens[5],
        11.. => tokens[7],
        _ => return None,
    };
    sequence.iter().all(u8::is_ascii_digit).then_some(sequence)
}

/// Value of the header `Nats-Msg-Id`.
fn message_id(header: &[u8]) -> Option<&[u8]> {
    header.split(|&byte| byte == b'\n').find_map(|line| {
        let colon = memchr::memchr(b':', line)?;
        line[..colon]
            .eq_ignore_ascii_case(b"Nats-Msg-Id")
            .then(|| line[colon + 1..].trim_ascii())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn word(page: &[u8], i: usize) -> u32 {
        u32::from_le_bytes(page[4 * i..4 * i + 4].try_into().unwrap())
    }

    fn bulk(text: &str) -> String {
        format!("${}\r\n{text}\r\n", text.len())
    }

    #[test]
    fn reads_entries_and_skips_the_unreadable() {
        let entry = |id: &str, fields: &[&str]| {
            let fields: String = fields.iter().map(|f| bulk(f)).collect();
            format!("*2\r\n{}*4\r\n{fields}", bulk(id))
        };
        let answer = format!(
            "*3\r\n{}{}{}",
            entry(
                "1-1",
                &["d", r#"{"r":"ab","t":4294967298}"#, "dedup_id", "x:0:0:0"]
            ),
            entry("1-2", &["D", "{}", "dedup_id", "y"]),
            entry("1-3", &["d", "{\"r\":1}", "q", "y"]),
        );
        let page = redis_page(answer.as_bytes(), 9).unwrap();
        assert_eq!(
            (0..8).map(|i| word(&page, i)).collect::<Vec<_>>(),
            [2, 3, 1, 1, 0, 3, 3, 6]
        );
        assert_eq!((word(&page, 8), word(&page, 9)), (2, 1));
        let texts = &page[4 * (8 + 5 * 2)..];
        assert_eq!(texts, b"\"ab\"11-11-3x:0:0:01-31-2");
        let cut = redis_page(answer.as_bytes(), 1).unwrap();
        assert_eq!((word(&cut, 0), word(&cut, 1)), (1, 1));
        assert!(redis_page(&answer.as_bytes()[..answer.len() - 9], 9).is_none());
        assert!(redis_page(b"-ERR no\r\n", 9).is_none());
    }

    #[test]
    fn reads_delivered_messages() {
        let header = "NATS/1.0\r\nNats-Msg-Id: ff:0:0:0\r\n\r\n";
        let record = r#"{"r":1,"t":2}"#;
        let frames = format!(
            "HMSG net.shard.0 1 $JS.ACK.s.c.1.77.1.99.0 {} {}\r\n{header}{record}\r\nMSG net.shard.0 1 $JS.ACK.d.a.s.c.1.78.2.99.0.r 4\r\nnull\r\n",
            header.len(),
            header.len() + record.len(),
        );
        let page = nats_page(frames.as_bytes(), 9).unwrap();
        assert_eq!((0..3).map(|i| word(&page, i)).collect::<Vec<_>>(), [1, 2, 1]);
        assert_eq!(&page[4 * (8 + 5)..], b"177ff:0:0:07878");
        assert!(nats_page(b"PING\r\n", 1).is_none());
    }

    proptest! {
        #[test]
        fn never_panics_on_foreign_bytes(bytes in r#"([*$][0-9-]{1,3}\r\n|d|\{"r":1\}|[ -~]|\r\n){0,20}"#) {
            let _ = redis_page(bytes.as_bytes(), 5);
        }

        #[test]
        fn never_panics_on_foreign_frames(bytes in r#"(H?MSG a 1 [$.0-9]{0,20} [0-9]{1,2} ?[0-9]{0,2}|[ -~]|\r\n){0,12}"#) {
            let _ = nats_page(bytes.as_bytes(), 5);
        }
    }
}
