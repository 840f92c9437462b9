//! The validating scanner agrees with serde_json on every input (below serde's limit of nesting).
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshring::filter::{is_json, Filter};

fuzz_target!(|data: &[u8]| {
    let ours = is_json(data);
    let all = Filter::parse(r#"{"$or":[{"$exists":"a.0.b"},{"$exists":{"path":"a.0.b","value":false}}]}"#);
    if let Ok(all) = all {
        assert_eq!(all.matches(data), ours);
    }
    if data.iter().filter(|byte| matches!(byte, b'[' | b'{')).count() < 120 {
        let theirs = std::str::from_utf8(data)
            .is_ok_and(|text| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok());
        assert_eq!(ours, theirs);
    }
});
