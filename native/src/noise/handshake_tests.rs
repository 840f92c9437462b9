//! Handshakes against the computed vectors (each step), the public Noise vectors, and damaged messages.

use super::*;
use crate::noise::{mesh_prologue, Role, SessionSecrets};
use serde_json::Value;

fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap();
    (0..text.len() / 2)
        .map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
        .collect()
}

fn array(value: &Value) -> [u8; 32] {
    bytes(value).try_into().unwrap()
}

fn key(value: &Value) -> Key {
    Key::from(array(value))
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../tests/vectors/wire-handshake.json")).unwrap()
}

#[test]
fn each_step_of_the_computed_handshakes() {
    for case in vectors()["handshakes"].as_array().unwrap() {
        let steps = case["steps_initiator"].as_array().unwrap();
        let check = |state: &Symmetric, step: usize, name: &str| {
            assert_eq!(steps[step]["after"], name);
            assert_eq!(state.h, array(&steps[step]["h"]), "h after {name}");
            assert_eq!(state.ck.bytes(), &array(&steps[step]["ck"]), "ck after {name}");
            if !name.starts_with("payload") {
                assert_eq!(
                    state.k().copied(),
                    steps[step]["k"].as_str().map(|_| array(&steps[step]["k"]))
                );
            }
        };
        let (i, r) = (&case["initiator"], &case["responder"]);
        let mut state = Symmetric::new(NKPSK0);
        check(&state, 0, "protocol_name");
        state.mix_hash(&bytes(&case["prologue"]));
        check(&state, 1, "prologue");
        state.mix_hash(&bytes(&r["static_public"]));
        check(&state, 2, "pre_message_s");
        state.mix_key_and_hash(&array(&case["psk"]));
        check(&state, 3, "psk");
        mix_ephemeral(&mut state, &array(&i["ephemeral_public"]), true);
        check(&state, 4, "e");
        state.mix_key(
            x25519(&key(&i["ephemeral_private"]), &array(&r["static_public"]))
                .unwrap()
                .bytes(),
        );
        check(&state, 5, "es");
        let mut message = array(&i["ephemeral_public"]).to_vec();
        state.encrypt(&bytes(&case["payload1"]), &mut message);
        assert_eq!(message, bytes(&case["msg1"]));
        check(&state, 6, "payload1");
        mix_ephemeral(&mut state, &array(&r["ephemeral_public"]), true);
        check(&state, 7, "e2");
        state.mix_key(
            x25519(&key(&i["ephemeral_private"]), &array(&r["ephemeral_public"]))
                .unwrap()
                .bytes(),
        );
        check(&state, 8, "ee");
        assert_eq!(state.decrypt(&bytes(&case["msg2"])[32..]).unwrap(), b"");
        check(&state, 9, "payload2");
    }
}

#[test]
fn both_ends_of_the_computed_handshakes() {
    for case in vectors()["handshakes"].as_array().unwrap() {
        let (i, r) = (&case["initiator"], &case["responder"]);
        let prologue = bytes(&case["prologue"]);
        if case["kind"] != "bus" {
            let id = |node: &Value| node["node_id"].as_str().unwrap().parse().unwrap();
            assert_eq!(mesh_prologue(id(i), id(r))[..], prologue);
        }
        let psk = key(&case["psk"]);
        let mut msg1 = Vec::new();
        let initiator = Initiator::start(
            Some(&psk),
            &prologue,
            &array(&r["static_public"]),
            key(&i["ephemeral_private"]),
            &bytes(&case["payload1"]),
            &mut msg1,
        )
        .unwrap();
        assert_eq!(msg1, bytes(&case["msg1"]));
        let (secret, public) = (key(&r["static_private"]), array(&r["static_public"]));
        assert_eq!(x25519_public(&secret), public);
        let responder = Responder {
            psk: Some(&psk),
            prologue: &prologue,
            secret: &secret,
            public: &public,
        };
        let (reply, payload) = responder.read(&msg1).unwrap();
        assert_eq!(payload, bytes(&case["payload1"]));
        assert_eq!(reply.initiator_ephemeral(), &array(&i["ephemeral_public"]));
        let mut msg2 = Vec::new();
        let theirs = reply.write(key(&r["ephemeral_private"]), b"", &mut msg2).unwrap();
        assert_eq!(msg2, bytes(&case["msg2"]));
        let (ours, _) = initiator.finish(&msg2).unwrap();
        assert_eq!(ours.hash(), &array(&case["handshake_hash"]));
        assert_eq!(theirs.hash(), ours.hash());

        let a = SessionSecrets::transcript(&ours, Role::Initiator);
        let b = SessionSecrets::transcript(&theirs, Role::Responder);
        assert_eq!(a.session_id.to_string(), case["session_id"].as_str().unwrap());
        assert_eq!(a.send.bytes(), &array(&case["key_initiator_to_responder"]));
        assert_eq!(a.receive.bytes(), &array(&case["key_responder_to_initiator"]));
        assert_eq!(
            (b.send.bytes(), b.receive.bytes()),
            (a.receive.bytes(), a.send.bytes())
        );

        let c = SessionSecrets::forward_secret(&ours, Role::Initiator);
        let d = SessionSecrets::forward_secret(&theirs, Role::Responder);
        assert_eq!(
            (c.send.bytes(), c.receive.bytes()),
            (d.receive.bytes(), d.send.bytes())
        );
        assert_ne!(c.send.bytes(), a.send.bytes());
        assert_eq!(c.session_id, a.session_id);
    }
}

/// The public vectors lie beside the checkout, never in it.
#[test]
fn public_noise_vectors() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/vectors/noise-nk-25519-chachapoly-blake2s.json"
    );
    let near = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../shared/vectors/noise-nk-25519-chachapoly-blake2s.json"
    );
    let Ok(text) = std::fs::read_to_string(near).or_else(|_| std::fs::read_to_string(path)) else {
        eprintln!("skipped: the folder shared/vectors is not beside the checkout");
        return;
    };
    let all: Value = serde_json::from_str(&text).unwrap();
    let mut run = 0;
    for case in all["vectors"].as_array().unwrap() {
        let name = case["protocol_name"].as_str().unwrap().as_bytes();
        if name != NK && name != NKPSK0 {
            continue;
        }
        let psk = case["init_psks"]
            .as_array()
            .and_then(|list| list.first())
            .map(key);
        let messages = case["messages"].as_array().unwrap();
        let mut out = Vec::new();
        let remote = array(&case["init_remote_static"]);
        let initiator = Initiator::start(
            psk.as_ref(),
            &bytes(&case["init_prologue"]),
            &remote,
            key(&case["init_ephemeral"]),
            &bytes(&messages[0]["payload"]),
            &mut out,
        )
        .unwrap();
        assert_eq!(out, bytes(&messages[0]["ciphertext"]));
        let secret = key(&case["resp_static"]);
        let prologue = bytes(&case["resp_prologue"]);
        let responder = Responder {
            psk: psk.as_ref(),
            prologue: &prologue,
            secret: &secret,
            public: &remote,
        };
        let (reply, payload) = responder.read(&out).unwrap();
        assert_eq!(payload, bytes(&messages[0]["payload"]));
        out.clear();
        let theirs = reply
            .write(
                key(&case["resp_ephemeral"]),
                &bytes(&messages[1]["payload"]),
                &mut out,
            )
            .unwrap();
        assert_eq!(out, bytes(&messages[1]["ciphertext"]));
        let (ours, payload) = initiator.finish(&out).unwrap();
        assert_eq!(payload, bytes(&messages[1]["payload"]));
        if case["handshake_hash"].is_string() {
            assert_eq!(ours.hash(), &array(&case["handshake_hash"]));
        }
        let (forth, back) = theirs.split();
        for (index, message) in messages.iter().enumerate().skip(2) {
            use crate::crypto::{Aead, Cipher};
            let mut nonce = [0; 12];
            nonce[4..].copy_from_slice(&((index as u64 - 2) / 2).to_le_bytes());
            let mut data = bytes(&message["payload"]);
            let tag = Cipher::new(if index % 2 == 0 { &forth } else { &back }).seal(&nonce, b"", &mut data);
            data.extend_from_slice(&tag);
            assert_eq!(data, bytes(&message["ciphertext"]));
        }
        run += 1;
    }
    assert_eq!(run, 3);
}

#[test]
fn damaged_messages_are_refused_and_cost_no_state() {
    let (psk, secret) = (Key::from([1; 32]), Key::from([2; 32]));
    let public = x25519_public(&secret);
    let prologue = mesh_prologue(1, 2);
    let mut msg1 = Vec::new();
    let initiator = Initiator::start(
        Some(&psk),
        &prologue,
        &public,
        Key::from([3; 32]),
        b"hello",
        &mut msg1,
    )
    .unwrap();
    let responder = Responder {
        psk: Some(&psk),
        prologue: &prologue,
        secret: &secret,
        public: &public,
    };
    for at in 0..msg1.len() * 8 {
        let mut damaged = msg1.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        assert!(responder.read(&damaged).is_err(), "bit {at}");
    }
    for length in 0..msg1.len() {
        assert!(responder.read(&msg1[..length]).is_err());
    }
    let mut msg2 = Vec::new();
    responder
        .read(&msg1)
        .unwrap()
        .0
        .write(Key::from([4; 32]), b"", &mut msg2)
        .unwrap();
    for at in 0..msg2.len() * 8 {
        let mut damaged = msg2.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        assert!(initiator.finish(&damaged).is_err(), "bit {at}");
    }
    assert!(initiator.finish(&msg2).is_ok());
}

#[test]
fn wrong_psk_key_or_prologue_is_refused() {
    let (psk, secret) = (Key::from([1; 32]), Key::from([2; 32]));
    let public = x25519_public(&secret);
    let mut msg1 = Vec::new();
    Initiator::start(Some(&psk), b"p", &public, Key::from([3; 32]), b"", &mut msg1).unwrap();
    let other = Key::from([9; 32]);
    let other_public = x25519_public(&other);
    let read = |psk, prologue, secret, public| {
        Responder {
            psk,
            prologue,
            secret,
            public,
        }
        .read(&msg1)
        .is_ok()
    };
    assert!(read(Some(&psk), b"p", &secret, &public));
    assert!(!read(Some(&other), b"p", &secret, &public));
    assert!(!read(None, b"p", &secret, &public));
    assert!(!read(Some(&psk), b"q", &secret, &public));
    assert!(!read(Some(&psk), b"p", &other, &other_public));
}

#[test]
fn points_of_small_order_are_refused() {
    let key = Key::from([3; 32]);
    for weak in [[0; 32], std::array::from_fn(|i| u8::from(i == 0))] {
        assert!(Initiator::start(Some(&key), b"", &weak, Key::from([5; 32]), b"", &mut Vec::new()).is_err());
    }
}
