//! Records of the durable transports for JavaScript: batches into protocol bytes, answers into packed pages.

use crate::record::{batch::Batch, journal, page, resp};
use napi::bindgen_prelude::{BigInt, BigUint64Array, Buffer, Error, Result, Status, Uint32Array, Uint8Array};
use napi_derive::napi;

fn batch<'a>(data: &'a [u8], ends: &'a [u32], timestamps: &'a [u64], shard: u16) -> Result<Batch<'a>> {
    Batch::new(data, ends, timestamps, shard).map_err(|text| Error::new(Status::InvalidArg, text))
}

/// Records of the events `from..to` as pairs of RESP bulk strings (record, id), see the core.
#[napi(catch_unwind)]
#[allow(clippy::too_many_arguments)]
pub fn redis_records(
    data: Uint8Array,
    ends: Uint32Array,
    timestamps: BigUint64Array,
    shard: u16,
    from: u32,
    to: u32,
    prefix: Uint8Array,
    between: Uint8Array,
    id_prefix: String,
) -> Result<Buffer> {
    let batch = batch(&data, &ends, &timestamps, shard)?;
    let mut out = Vec::new();
    let range = from as usize..to as usize;
    resp::redis_records(&batch, range, &prefix, &between, id_prefix.as_bytes(), &mut out);
    Ok(out.into())
}

/// Publishes of the events `from..to` in the NATS protocol, see the core.
#[napi(catch_unwind)]
#[allow(clippy::too_many_arguments)]
pub fn nats_records(
    data: Uint8Array,
    ends: Uint32Array,
    timestamps: BigUint64Array,
    shard: u16,
    from: u32,
    to: u32,
    subject: String,
    reply_prefix: String,
    id_prefix: String,
) -> Result<Buffer> {
    let batch = batch(&data, &ends, &timestamps, shard)?;
    let mut out = Vec::new();
    let range = from as usize..to as usize;
    let (subject, reply) = (subject.as_bytes(), reply_prefix.as_bytes());
    resp::nats_records(&batch, range, subject, reply, id_prefix.as_bytes(), &mut out);
    Ok(out.into())
}

/// Journal entry of a batch.
#[napi(catch_unwind)]
pub fn journal_entry(
    data: Uint8Array,
    ends: Uint32Array,
    timestamps: BigUint64Array,
    shard: u16,
    sequence_start: BigInt,
) -> Result<Buffer> {
    let batch = batch(&data, &ends, &timestamps, shard)?;
    Ok(journal::batch_entry(&batch, sequence_start.get_u64().1).into())
}

/// CRC-32C of `bytes`.
#[napi(js_name = "crc32c", catch_unwind)]
pub fn crc32c(bytes: Uint8Array) -> u32 {
    journal::crc32c(&bytes)
}

/// Packed page of a complete answer to XRANGE; null when the bytes are not one.
#[napi(catch_unwind)]
pub fn redis_page(answer: Uint8Array, limit: u32) -> Option<Buffer> {
    page::redis_page(&answer, limit as usize).map(Into::into)
}

/// Packed page of messages that a JetStream consumer delivered; null when the bytes are not such frames.
#[napi(catch_unwind)]
pub fn nats_page(frames: Uint8Array, limit: u32) -> Option<Buffer> {
    page::nats_page(&frames, limit as usize).map(Into::into)
}
