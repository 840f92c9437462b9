//! Bytes that carry records to a server: Redis protocol (RESP) and NATS protocol.

use super::batch::Batch;
use super::{encode, push_decimal};
use std::ops::Range;

/// Room for the record's frame, its id and the protocol around them.
const OVERHEAD: usize = 128;

/// Appends for each event in `range`: `prefix`, the record as a bulk string, `between`, the id as a bulk string.
/// The id is `id_prefix` and the event's index in the batch.
pub fn redis_records(
    batch: &Batch<'_>,
    range: Range<usize>,
    prefix: &[u8],
    between: &[u8],
    id_prefix: &[u8],
    out: &mut Vec<u8>,
) {
    let count = range.len().min(batch.len());
    out.reserve(batch.bytes(range.clone()) + count * (OVERHEAD + prefix.len() + between.len()));
    let mut text = Vec::with_capacity(1024);
    for (index, event, timestamp) in batch.events(range) {
        out.extend_from_slice(prefix);
        text.clear();
        encode(event, timestamp, batch.shard, &mut text);
        push_bulk(&text, out);
        out.extend_from_slice(between);
        text.clear();
        text.extend_from_slice(id_prefix);
        push_decimal(index as u64, &mut text);
        push_bulk(&text, out);
    }
}

fn push_bulk(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'$');
    push_decimal(bytes.len() as u64, out);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Appends for each event in `range` a publish with header `Nats-Msg-Id` and the record as payload. Subject of the
/// answer: `reply_prefix` and the event's index in the batch.
pub fn nats_records(
    batch: &Batch<'_>,
    range: Range<usize>,
    subject: &[u8],
    reply_prefix: &[u8],
    id_prefix: &[u8],
    out: &mut Vec<u8>,
) {
    const HEADER: &[u8] = b"NATS/1.0\r\nNats-Msg-Id: ";
    const HEADER_END: &[u8] = b"\r\n\r\n";
    let count = range.len().min(batch.len());
    let frame = OVERHEAD + subject.len() + reply_prefix.len() + id_prefix.len() + HEADER.len();
    out.reserve(batch.bytes(range.clone()) + count * frame);
    let mut text = Vec::with_capacity(1024);
    for (index, event, timestamp) in batch.events(range) {
        text.clear();
        text.extend_from_slice(HEADER);
        text.extend_from_slice(id_prefix);
        push_decimal(index as u64, &mut text);
        text.extend_from_slice(HEADER_END);
        let header = text.len();
        encode(event, timestamp, batch.shard, &mut text);

        out.extend_from_slice(b"HPUB ");
        out.extend_from_slice(subject);
        out.push(b' ');
        out.extend_from_slice(reply_prefix);
        push_decimal(index as u64, out);
        out.push(b' ');
        push_decimal(header as u64, out);
        out.push(b' ');
        push_decimal(text.len() as u64, out);
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&text);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_bulk_strings() {
        let batch = Batch::new(b"12", &[1, 2], &[7, 8], 3).unwrap();
        let mut out = Vec::new();
        redis_records(&batch, 1..2, b"<", b">", b"ff:3:0:", &mut out);
        assert_eq!(out, b"<$19\r\n{\"r\":2,\"t\":8,\"s\":3}\r\n>$8\r\nff:3:0:1\r\n");
    }

    #[test]
    fn writes_publishes_with_lengths_that_fit() {
        let batch = Batch::new(b"12", &[1, 2], &[7, 8], 3).unwrap();
        let mut out = Vec::new();
        nats_records(&batch, 0..1, b"net.shard.3", b"_INBOX.a.", b"ff:3:0:", &mut out);
        let text = String::from_utf8(out).unwrap();
        let (line, rest) = text.split_once("\r\n").unwrap();
        let fields: Vec<_> = line.split(' ').collect();
        assert_eq!(fields[..3], ["HPUB", "net.shard.3", "_INBOX.a.0"]);
        let header: usize = fields[3].parse().unwrap();
        let total: usize = fields[4].parse().unwrap();
        assert_eq!(&rest[..header], "NATS/1.0\r\nNats-Msg-Id: ff:3:0:0\r\n\r\n");
        assert_eq!(&rest[header..total], "{\"r\":1,\"t\":7,\"s\":3}");
        assert_eq!(&rest[total..], "\r\n");
    }
}
