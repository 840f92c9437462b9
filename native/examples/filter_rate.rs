//! Events per second that one core scans: `cargo run --release -p meshring --example filter_rate`.

use meshring::filter::{is_json, Filter, Scratch};
use std::hint::black_box;
use std::time::Instant;

/// Distinct events of a bus-like form: 112 bytes, and about 550 with escapes, lists and text beyond ASCII.
fn events(long: bool) -> Vec<Vec<u8>> {
    (0..4096_u64)
        .map(|i| {
            let tail = if long {
                format!(
                    ",\"route\":[{}],\"note\":\"{} \\\"quoted\\\" é {}\"",
                    (0..40).map(|k| (i * k).to_string()).collect::<Vec<_>>().join(","),
                    "free text ".repeat(18),
                    "日本".repeat(12),
                )
            } else {
                String::new()
            };
            format!(
                "{{\"id\":{},\"token\":\"{}\",\"origin\":\"ABQ\",\"delay\":{},\"distance\":{:05}.5,\"ok\":true,\"tag\":\"sensor/{:04}\"{tail}}}",
                10_000_000_000_000_u64 + i,
                if i % 10 == 0 { "hello" } else { "world" },
                i % 90 + 10,
                10_000 + i,
                i
            )
            .into_bytes()
        })
        .collect()
}

fn rate(name: &str, events: &[Vec<u8>], mut test: impl FnMut(&[u8]) -> bool) {
    let bytes: usize = events.iter().map(Vec::len).sum();
    let mut best = f64::MAX;
    let mut matched = 0;
    for _ in 0..7 {
        let start = Instant::now();
        matched = 0;
        for _ in 0..50 {
            matched += events.iter().filter(|event| test(black_box(event))).count();
        }
        best = best.min(start.elapsed().as_secs_f64() / 50.0);
    }
    println!(
        "{name:<34} {:>7.2} M events/s  {:>6.2} GB/s  ({} bytes, {} of {} match)",
        events.len() as f64 / best / 1e6,
        bytes as f64 / best / 1e9,
        bytes / events.len(),
        matched / 50,
        events.len()
    );
}

fn main() {
    for long in [false, true] {
        let events = events(long);
        for (name, text) in [
            ("$eq string", r#"{"path":"token","value":"hello"}"#),
            (
                "$eq number, last but one key",
                r#"{"path":"distance","value":10017.5}"#,
            ),
            (
                "$and of $gte and $startsWith",
                r#"{"$and":[{"$gte":{"path":"delay","value":30}},{"$startsWith":{"path":"tag","value":"sensor/00"}}]}"#,
            ),
            (
                "$in of 5 strings",
                r#"{"$in":{"path":"origin","values":["ABQ","BOS","JFK","LAX","SEA"]}}"#,
            ),
        ] {
            if let Ok(filter) = Filter::parse(text) {
                let mut scratch = Scratch::default();
                rate(name, &events, |event| filter.matches_with(event, &mut scratch));
            }
        }
        rate("is_json", &events, is_json);
    }
}
