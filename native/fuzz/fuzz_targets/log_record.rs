//! Records, manifests and names of generations: what decodes encodes to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshring::log::manifest;
use meshring::log::record::{Record, RECORD};

fuzz_target!(|data: &[u8]| {
    if let Some(record) = Record::decode(data) {
        assert_eq!(record.encode(), data[..RECORD]);
        assert!(record.end() <= 2 * u64::from(u32::MAX));
    }
    if let Some(generation) = manifest::decode(data) {
        assert_eq!(manifest::encode(generation), data[..manifest::MANIFEST]);
        assert_eq!(manifest::parse_directory(&manifest::directory(generation)), Some(generation));
    }
    if let Ok(name) = std::str::from_utf8(data) {
        if let Some(generation) = manifest::parse_directory(name) {
            assert_eq!(manifest::directory(generation), name);
        }
    }
});
