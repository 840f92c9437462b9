use super::reference::{any_filter, any_json};
use super::*;
use proptest::prelude::*;
use serde_json::Value;

fn vectors(text: &str) {
    let file: Value = serde_json::from_str(text).unwrap();
    let events: Vec<&str> = file["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event.as_str().unwrap())
        .collect();
    let mut scratch = Scratch::default();
    for case in file["cases"].as_array().unwrap() {
        let text = case["filter"].as_str().unwrap();
        match Filter::parse(text) {
            Ok(filter) => {
                let matching = |i: &usize| filter.matches_with(events[*i].as_bytes(), &mut scratch);
                let found: Vec<usize> = (0..events.len()).filter(matching).collect();
                let expected: Vec<usize> = case["matches"]
                    .as_array()
                    .unwrap_or_else(|| panic!("{text} is a filter"))
                    .iter()
                    .map(|i| i.as_u64().unwrap() as usize)
                    .collect();
                assert_eq!(found, expected, "{text}");
            }
            Err(reason) => assert!(case.get("errorPrefix").is_some(), "{text}: {reason}"),
        }
    }
}

#[test]
fn agrees_with_the_peer() {
    vectors(include_str!("../../../ts/test/vectors/bus-filter.json"));
}

#[test]
fn extended_operators() {
    vectors(include_str!("../../../ts/test/vectors/bus-filter-extended.json"));
}

#[test]
fn reasons_name_operator_and_path() {
    let deep = format!(
        "{}{{\"path\":\"a\",\"value\":1}}{}",
        "{\"$not\":".repeat(200),
        "}".repeat(200)
    );
    let many = format!(
        "{{\"$or\":[{}]}}",
        vec!["{\"path\":\"a\",\"value\":1}"; 10_000].join(",")
    );
    for (text, reason) in [
        (
            r#"{"$gt":{"path":"a.b","value":true}}"#,
            r#""$gt" on "a.b": "value" must be a number or a string, got a boolean"#,
        ),
        (
            r#"{"$in":{"path":"a","value":[1]}}"#,
            r#""$in" on "a" needs "values""#,
        ),
        (r#"{"$foo":{"path":"a"}}"#, r#"unknown operator "$foo""#),
        (
            r#"{"$and":[],"$or":[]}"#,
            r#"one operator at a time, got "$and" and "$or"; combine them with "$and""#,
        ),
        (
            r#"{"path":"a"}"#,
            r#"a filter without an operator on "a" needs "value""#,
        ),
        (r#"{"$semver":{"path":"v","value":">=1 || x"}}"#, ""),
        (
            r#"{"$semver":{"path":"v","value":">=1 || one"}}"#,
            r#""$semver" on "v": "one" is not a version requirement"#,
        ),
        (
            r#"{"$matches":{"path":"v","value":"a\\"}}"#,
            r#""$matches" on "v": the pattern ends with a backslash"#,
        ),
        ("[]", "a filter must be an object, got a list"),
        ("", "the text is empty"),
        (
            "{\"path\":\"a\",}",
            "not JSON (nested at most 128 deep) at byte 12",
        ),
        (&deep, "not JSON (nested at most 128 deep) at byte 1024"),
        (&many, "more than 10000 filters in one"),
    ] {
        let got = Filter::parse(text)
            .err()
            .map_or(String::new(), |error| error.to_string());
        assert_eq!(got, reason, "{}", &text[..text.len().min(80)]);
    }
    assert!(Filter::parse(&format!("{}{{}}", " ".repeat(1 << 20))).is_err());
}

#[test]
fn what_is_not_json_matches_nothing() {
    let all = Filter::parse(r#"{"$not":{"$and":[]}}"#).unwrap();
    assert!(all.matches(b" 5 "));
    for bad in [
        &b""[..],
        b"{\"a\":1",
        b"{\"a\":1} x",
        b"\"\xff\"",
        b"nope",
        b"{\"a\":1,\"a\":}",
    ] {
        assert!(!all.matches(bad));
        assert!(!Filter::parse(r#"{"path":"a","value":1}"#).unwrap().matches(bad));
    }
}

#[test]
fn strings_compare_by_characters_not_by_spelling() {
    let is = |filter: &str, event: &str| Filter::parse(filter).unwrap().matches(event.as_bytes());
    assert!(is(
        r#"{"path":"a","value":"é/😀"}"#,
        r#"{"a":"\u00e9\/\uD83D\uDE00"}"#
    ));
    assert!(is(r#"{"path":"a","value":"\ud83d"}"#, r#"{"a":"\uD83D"}"#));
    assert!(!is(r#"{"path":"a","value":"\ud83d"}"#, r#"{"a":"\ufffd"}"#));
    assert!(!is(r#"{"path":"a","value":"\ud83d"}"#, r#"{"a":"\ud83e"}"#));
    assert!(is(
        r#"{"$matches":{"path":"a","value":"?x"}}"#,
        r#"{"a":"\ud83dx"}"#
    ));
    assert!(is(r#"{"$matches":{"path":"a","value":"\\?"}}"#, r#"{"a":"?"}"#));
    assert!(is(r#"{"path":"a\\.b","value":1}"#, r#"{"a.b":1}"#));
    assert!(is(r#"{"path":"a\\b","value":1}"#, r#"{"a\\b":1}"#));
    assert!(!is(r#"{"path":"a\\b","value":1}"#, "{\"a\\b\":1}"));
}

#[test]
fn objects_are_equal_in_any_order_and_the_last_duplicate_counts() {
    let is = |filter: &str, event: &str| Filter::parse(filter).unwrap().matches(event.as_bytes());
    let filter = r#"{"path":"","value":{"a":1,"b":[{"c":null}]}}"#;
    assert!(is(filter, r#"{"b":[{"c":null}],"a":1.0}"#));
    assert!(is(filter, r#"{"a":2,"b":[{"c":null}],"a":1}"#));
    assert!(!is(filter, r#"{"a":1,"b":[{"c":null}],"a":2}"#));
    assert!(!is(filter, r#"{"a":1,"b":[{"c":null,"d":1}]}"#));
    assert!(!is(filter, r#"{"a":1}"#));
    let members: Vec<String> = (0..100).map(|i| format!("\"k{i}\":{i}")).collect();
    let object = format!("{{{}}}", members.join(","));
    let reversed = format!(
        "{{{}}}",
        members.iter().rev().cloned().collect::<Vec<_>>().join(" , ")
    );
    assert!(is(&format!(r#"{{"path":"","value":{object}}}"#), &reversed));
    assert!(!is(
        &format!(r#"{{"path":"","value":{object}}}"#),
        &reversed.replace("\"k7\":7", "\"k7\":8")
    ));
}

#[test]
fn long_lists_of_values() {
    let values: Vec<String> = (0..5000)
        .flat_map(|i| [format!("\"v{i}\""), i.to_string()])
        .collect();
    let filter = Filter::parse(&format!(
        r#"{{"$in":{{"path":"a","values":[{},null]}}}}"#,
        values.join(",")
    ))
    .unwrap();
    assert!(filter.matches(br#"{"a":"v4999"}"#));
    assert!(filter.matches(br#"{"a":4999.0}"#));
    assert!(filter.matches(br#"{"a":null}"#));
    assert!(!filter.matches(br#"{"a":"v5000"}"#));
    assert!(!filter.matches(br#"{"a":5000}"#));
}

#[test]
fn packed_batches() {
    let filter = Filter::parse(r#"{"path":"","value":1}"#).unwrap();
    let mut scratch = Scratch::default();
    assert_eq!(
        filter.match_many(b"11 21", &[1, 3, 4, 5], &mut scratch),
        Some(vec![1, 1, 0, 1])
    );
    assert_eq!(filter.match_many(b"11", &[2, 1], &mut scratch), None);
    assert_eq!(filter.match_many(b"11", &[3], &mut scratch), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn agrees_with_the_definition(filter in any_filter(), events in prop::collection::vec(any_json(), 1..8)) {
        let tree = reference::parse(&filter).unwrap();
        let compiled = Filter::parse(&filter).map_err(|error| TestCaseError::fail(format!("{filter}: {error}")))?;
        let mut scratch = Scratch::default();
        for event in events {
            let expected = reference::matches(&tree, &reference::parse(&event).unwrap());
            prop_assert_eq!(compiled.matches_with(event.as_bytes(), &mut scratch), expected, "{} on {}", filter, event);
        }
    }

    #[test]
    fn any_filter_text_is_refused_or_works(mut filter in any_filter(), at in any::<prop::sample::Index>(), piece in "[\\[\\]{}\",:a$0-9\\\\]{0,3}", event in any_json()) {
        let at = (0..=at.index(filter.len() + 1).min(filter.len())).rev().find(|&at| filter.is_char_boundary(at)).unwrap_or(0);
        filter.insert_str(at, &piece);
        if let Ok(filter) = Filter::parse(&filter) {
            filter.matches(event.as_bytes());
        }
    }

    #[test]
    fn an_event_that_is_damaged_never_matches_unless_it_is_json(event in any_json(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let all = Filter::parse(r#"{"$or":[{"$exists":{"path":"a.0.b","value":false}},{"$exists":"a.0.b"}]}"#).unwrap();
        let mut bytes = event.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        prop_assert_eq!(all.matches(&bytes), is_json(&bytes));
    }
}
