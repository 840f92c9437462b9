//! Filter text and event, separated by a line feed: never panics, and matches only events that are JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use meshring::filter::{is_json, Filter, Scratch};

fuzz_target!(|data: &[u8]| {
    let at = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let (text, event) = data.split_at(at);
    let event = event.get(1..).unwrap_or_default();
    let Ok(text) = std::str::from_utf8(text) else {
        return;
    };
    let Ok(filter) = Filter::parse(text) else { return };
    let negated = Filter::parse(&format!("{{\"$not\":{text}}}"));
    let mut scratch = Scratch::default();
    let matches = filter.matches_with(event, &mut scratch);
    assert!(!matches || is_json(event));
    // The negation of a filter holds for exactly the other events (unless it is nested too deep by one).
    if let (Ok(negated), true) = (negated, is_json(event)) {
        assert_ne!(matches, negated.matches_with(event, &mut scratch));
    }
});
