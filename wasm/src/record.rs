//! Records of the durable transports for JavaScript: batches into protocol bytes, answers into packed pages.

use meshring::record::{batch::Batch, journal, page, resp};
use wasm_bindgen::prelude::*;

fn batch<'a>(
    data: &'a [u8],
    ends: &'a [u32],
    timestamps: &'a [u64],
    shard: u16,
) -> Result<Batch<'a>, JsError> {
    Batch::new(data, ends, timestamps, shard).map_err(JsError::new)
}

/// Records of the events `from..to` as pairs of RESP bulk strings (record, id), see the core.
#[wasm_bindgen(js_name = "redisRecords")]
#[allow(clippy::too_many_arguments)]
pub fn redis_records(
    data: &[u8],
    ends: &[u32],
    timestamps: &[u64],
    shard: u16,
    from: u32,
    to: u32,
    prefix: &[u8],
    between: &[u8],
    id_prefix: &str,
) -> Result<Vec<u8>, JsError> {
    let batch = batch(data, ends, timestamps, shard)?;
    let mut out = Vec::new();
    let range = from as usize..to as usize;
    resp::redis_records(&batch, range, prefix, between, id_prefix.as_bytes(), &mut out);
    Ok(out)
}

/// Publishes of the events `from..to` in the NATS protocol, see the core.
#[wasm_bindgen(js_name = "natsRecords")]
#[allow(clippy::too_many_arguments)]
pub fn nats_records(
    data: &[u8],
    ends: &[u32],
    timestamps: &[u64],
    shard: u16,
    from: u32,
    to: u32,
    subject: &str,
    reply_prefix: &str,
    id_prefix: &str,
) -> Result<Vec<u8>, JsError> {
    let batch = batch(data, ends, timestamps, shard)?;
    let mut out = Vec::new();
    let range = from as usize..to as usize;
    let (subject, reply) = (subject.as_bytes(), reply_prefix.as_bytes());
    resp::nats_records(&batch, range, subject, reply, id_prefix.as_bytes(), &mut out);
    Ok(out)
}

/// Journal entry of a batch.
#[wasm_bindgen(js_name = "journalEntry")]
pub fn journal_entry(
    data: &[u8],
    ends: &[u32],
    timestamps: &[u64],
    shard: u16,
    sequence_start: u64,
) -> Result<Vec<u8>, JsError> {
    Ok(journal::batch_entry(
        &batch(data, ends, timestamps, shard)?,
        sequence_start,
    ))
}

/// CRC-32C of `bytes`.
#[wasm_bindgen(js_name = "crc32c")]
pub fn crc32c(bytes: &[u8]) -> u32 {
    journal::crc32c(bytes)
}

/// Packed page of a complete answer to XRANGE; undefined when the bytes are not one.
#[wasm_bindgen(js_name = "redisPage")]
pub fn redis_page(answer: &[u8], limit: u32) -> Option<Vec<u8>> {
    page::redis_page(answer, limit as usize)
}

/// Packed page of messages that a JetStream consumer delivered; undefined when the bytes are not such frames.
#[wasm_bindgen(js_name = "natsPage")]
pub fn nats_page(frames: &[u8], limit: u32) -> Option<Vec<u8>> {
    page::nats_page(frames, limit as usize)
}
