//! All layouts against the recorded and computed vectors.

use super::*;
use crate::crypto::{Aead, Assembly, Key, Portable};
use serde_json::Value;

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
        .collect()
}

/// Numbers are JSON numbers, or decimal strings for 64 bits.
fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

fn load(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn layouts() -> Value {
    load(include_str!("../../tests/vectors/wire-layouts.json"))
}

fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value[name].as_array().unwrap()
}

#[test]
fn headers() {
    for case in list(&layouts(), "headers") {
        let f = &case["fields"];
        let header = Header {
            flags: number(&f["flags"]) as u8,
            priority: number(&f["priority"]) as u8,
            hop_ttl: number(&f["hop_ttl"]) as u8,
            hop_count: number(&f["hop_count"]) as u8,
            frag_flags: number(&f["frag_flags"]) as u8,
            subprotocol_id: number(&f["subprotocol_id"]) as u16,
            channel_hash: number(&f["channel_hash"]) as u16,
            nonce: bytes(&f["nonce"]).try_into().unwrap(),
            session_id: number(&f["session_id"]),
            stream_id: number(&f["stream_id"]),
            sequence: number(&f["sequence"]),
            subnet_id: number(&f["subnet_id"]) as u32,
            origin_hash: number(&f["origin_hash"]) as u32,
            fragment_id: number(&f["fragment_id"]) as u16,
            fragment_offset: number(&f["fragment_offset"]) as u16,
            payload_len: number(&f["payload_len"]) as u16,
            event_count: number(&f["event_count"]) as u16,
        };
        let mut encoded = [0; HEADER_LEN];
        header.encode(&mut encoded);
        assert_eq!(encoded[..], bytes(&case["bytes"]));
        assert_eq!(Header::decode(&encoded), Ok(header));
        assert_eq!(Header::aad(&encoded)[..], bytes(&case["aad"]));
    }
    for case in list(&layouts(), "header_rejects") {
        assert!(Header::decode(&bytes(&case["bytes"])).is_err(), "{}", case["why"]);
    }
}

#[test]
fn routing_headers() {
    for case in list(&layouts(), "routing_headers") {
        let mut datagram = bytes(&case["bytes"]);
        datagram.resize(ROUTE_LEN + HEADER_LEN, 0);
        let route = RouteHeader::decode(&datagram).unwrap();
        assert_eq!(u64::from(route.src), number(&case["src_id"]));
        assert_eq!(route.dest, number(&case["dest_id"]));
        assert_eq!(u64::from(route.ttl), number(&case["ttl"]));
        assert_eq!(u64::from(route.hop_count), number(&case["hop_count"]));
        assert_eq!(u64::from(route.flags), number(&case["flags"]) & 15);
        match case["forwarded"].as_str() {
            Some(_) => assert_eq!(route.forwarded().unwrap().encode()[..], bytes(&case["forwarded"])),
            None => assert_eq!(route.forwarded(), None),
        }
        datagram.pop();
        assert_eq!(RouteHeader::decode(&datagram), None, "81 bytes");
    }
}

#[test]
fn pingwaves() {
    for case in list(&layouts(), "pingwaves") {
        let encoded = bytes(&case["bytes"]);
        let wave = Pingwave::decode(&encoded).unwrap();
        assert_eq!(wave.origin, number(&case["origin_node_id"]));
        assert_eq!(wave.seq, number(&case["seq"]));
        assert_eq!(u64::from(wave.hop_count), number(&case["hop_count"]));
        assert_eq!(wave.timestamp_us, number(&case["origin_timestamp_us"]));
        assert_eq!(wave.capability_hash, number(&case["capability_hash"]));
        assert_eq!(
            u64::from(wave.capability_version),
            number(&case["capability_version"])
        );
        assert_eq!(u64::from(wave.load), number(&case["load_level"]));
        assert_eq!(
            u64::from(wave.primary.model_slots),
            number(&case["primary"]["model_slots"])
        );
        assert_eq!(
            u64::from(wave.primary.memory_tier),
            number(&case["primary"]["memory_tier"])
        );
        assert_eq!(wave.encode()[..], encoded);
        match case["forwarded"].as_str() {
            Some(_) => assert_eq!(wave.forwarded().unwrap().encode()[..], bytes(&case["forwarded"])),
            None => assert!(wave.ttl == 0 || wave.hop_count >= 16),
        }
    }
    for case in list(&layouts(), "pingwave_rejects") {
        assert_eq!(Pingwave::decode(&bytes(&case["bytes"])), None, "{}", case["why"]);
    }
}

#[test]
fn grants_nacks_frames_and_keep_alives() {
    let all = layouts();
    for case in list(&all, "stream_window") {
        let grant = Grant {
            stream_id: number(&case["stream_id"]),
            total_consumed: number(&case["total_consumed"]),
        };
        assert_eq!(grant.encode()[..], bytes(&case["bytes"]));
        assert_eq!(Grant::decode(&bytes(&case["bytes"])), Some(grant));
    }
    for case in list(&all, "nack") {
        let nack = Nack::decode(&bytes(&case["bytes"])).unwrap();
        assert_eq!(nack.encode()[..], bytes(&case["bytes"]));
        let missing: Vec<u64> = list(case, "missing").iter().map(number).collect();
        assert_eq!(nack.sequences().collect::<Vec<_>>(), missing);
    }
    for case in list(&all, "frames") {
        let mut encoded = Vec::new();
        let events: Vec<_> = list(case, "events").iter().map(bytes).collect();
        for event in &events {
            put_frame(&mut encoded, event);
        }
        assert_eq!(encoded, bytes(&case["bytes"]));
        assert_eq!(
            Frames::new(&encoded, events.len() as u16).collect::<Vec<_>>(),
            events
        );
    }
    for case in list(&all, "keepalive") {
        let beat = KeepAlive {
            sender: number(&case["sender_node_id"]),
            punch_id: number(&case["punch_id"]) as u32,
        };
        assert_eq!(beat.encode()[..], bytes(&case["bytes"]));
        assert_eq!(classify(&beat.encode()), Some(Datagram::KeepAlive(beat)));
    }
}

#[test]
fn derived_identifiers() {
    use crate::crypto::{node_id, origin_hash};
    for case in list(&layouts(), "identities") {
        let entity: [u8; 32] = bytes(&case["entity_id"]).try_into().unwrap();
        assert_eq!(node_id(&entity), number(&case["node_id"]));
        assert_eq!(origin_hash(&entity), number(&case["origin_hash"]));
    }
}

fn open<C: Aead>(key: &Key, datagram: &[u8]) -> (Header, Vec<u8>) {
    let packet = match classify(datagram).unwrap() {
        Datagram::Routed(_) => &datagram[ROUTE_LEN..],
        _ => datagram,
    };
    let header = Header::decode(packet).unwrap();
    let aad = Header::aad(packet.first_chunk().unwrap());
    let mut body = packet[HEADER_LEN..].to_vec();
    let plain = C::new(key).open(&header.nonce, &aad, &mut body).unwrap().to_vec();
    (header, plain)
}

#[test]
fn computed_session_packets_seal_and_open() {
    for session in list(
        &load(include_str!("../../tests/vectors/wire-session.json")),
        "sessions",
    ) {
        for case in list(session, "packets") {
            let name = if case["from"] == "initiator" {
                "key_initiator_to_responder"
            } else {
                "key_responder_to_initiator"
            };
            let key = Key::from(<[u8; 32]>::try_from(bytes(&session[name])).unwrap());
            let datagram = bytes(&case["datagram"]);
            for (header, plain) in [
                open::<Assembly>(&key, &datagram),
                open::<Portable>(&key, &datagram),
            ] {
                assert_eq!(header.counter(), number(&case["counter"]));
                assert_eq!(plain, bytes(&case["plaintext"]), "{}", case["what"]);
            }
            let head: [u8; 64] = bytes(&case["header"]).try_into().unwrap();
            assert_eq!(Header::aad(&head)[..], bytes(&case["aad"]));
            let nonce = bytes(&case["nonce"]).try_into().unwrap();
            let mut body = bytes(&case["plaintext"]);
            let tag = Assembly::new(&key).seal(&nonce, &Header::aad(&head), &mut body);
            let sealed = [&head[..], &body, &tag].concat();
            assert!(datagram.ends_with(&sealed));
        }
    }
}

#[test]
fn packets_recorded_from_the_peer_open() {
    let all = load(include_str!("../../tests/vectors/wire-recorded.json"));
    for (side, name) in [
        ("we_initiate", "key_responder_to_initiator"),
        ("peer_initiates", "key_initiator_to_responder"),
    ] {
        let key = Key::from(<[u8; 32]>::try_from(bytes(&all[side][name])).unwrap());
        for case in list(&all[side], "packets") {
            let datagram = bytes(&case["datagram"]);
            if case["what"] == "pingwave" {
                assert!(matches!(classify(&datagram), Some(Datagram::Pingwave(_))));
                continue;
            }
            let (header, plain) = open::<Portable>(&key, &datagram);
            assert_eq!(plain, bytes(&case["plaintext"]), "{}", case["what"]);
            assert_eq!(u64::from(header.flags), number(&case["flags"]));
            assert_eq!(header.stream_id, number(&case["stream_id"]));
            assert_eq!(header.sequence, number(&case["sequence"]));
            if let Some(events) = case["events"].as_array() {
                let events: Vec<_> = events.iter().map(bytes).collect();
                assert_eq!(
                    Frames::new(&plain, header.event_count).collect::<Vec<_>>(),
                    events
                );
            }
        }
    }
}
