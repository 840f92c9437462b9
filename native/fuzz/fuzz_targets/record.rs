//! Records and server answers of the durable transports: no input panics, and what is written is read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshring::record::{decode, encode, json, page};

fuzz_target!(|bytes: &[u8]| {
    let _ = json::value_end(bytes, 0);
    let _ = page::redis_page(bytes, 3);
    let _ = page::nats_page(bytes, 3);
    // A readable record is a JSON object for everybody else too.
    if decode(bytes).is_some() {
        assert!(std::str::from_utf8(bytes).is_ok());
    }
    let mut record = Vec::new();
    encode(bytes, 7, 3, &mut record);
    let back = decode(&record).expect("a written record is readable");
    assert_eq!((&back.event[..], back.timestamp), (bytes, 7));
});
