//! Who may receive which channel: a Bloom filter, a set of verified pairs, and the exact set by channel name (32 §6).

use super::fold::Seeded;
use super::MAX_GRANTS;
use crate::hash::xxh3_64;
use std::collections::hash_map::Entry;
use std::collections::HashMap;

/// Bits of the filter.
pub const BLOOM_BITS: usize = 1 << 15;
/// Revocations after which the filter is built anew: their bits stay in it.
pub const REBUILD_AFTER: u32 = 1000;

/// What the filter and the verified set say. Neither admits anybody: see [`AuthGuard::admits`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not in the filter: certainly not granted.
    Denied,
    /// Verified before.
    Allowed,
    /// In the filter only.
    NeedsFullCheck,
}

/// The two bits of a pair of node id and canonical channel hash.
#[inline]
pub fn bloom_bits(node: u64, hash: u64) -> [usize; 2] {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&node.to_le_bytes());
    key[8..].copy_from_slice(&hash.to_le_bytes());
    let key = xxh3_64(&key) as usize;
    [key & (BLOOM_BITS - 1), key >> 15 & (BLOOM_BITS - 1)]
}

/// A channel that somebody was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Channel {
    /// XXH3-64 of its name.
    pub hash: u64,
    members: u32,
}

impl Channel {
    /// Stream on which its publishes travel.
    pub fn stream(&self) -> u64 {
        1 << 48 | self.hash
    }

    /// What headers carry of its hash.
    pub fn wire_hash(&self) -> u16 {
        self.hash as u16
    }
}

/// Entry of a pair of node id and channel hash. Names with the same hash share it.
#[derive(Debug)]
struct Grant {
    /// Number of the name that was granted.
    channel: u32,
    verified: bool,
    /// Further names of this hash are in `AuthGuard::collided`.
    collided: bool,
}

/// The guard of outbound publishes. Channels have numbers, which stand for their names and are never used again.
#[derive(Debug)]
pub struct AuthGuard {
    bloom: Box<[u64; BLOOM_BITS / 64]>,
    grants: HashMap<(u64, u64), Grant, Seeded>,
    /// Names beyond the first that a node holds of one hash: nearly always empty.
    collided: HashMap<(u64, u64), Vec<u32>, Seeded>,
    names: HashMap<Box<str>, u32>,
    channels: HashMap<u64, Channel, Seeded>,
    size: usize,
    last: u32,
    revoked: u32,
}

impl AuthGuard {
    /// A guard that admits nobody.
    pub fn new(seed: u64) -> Self {
        Self {
            bloom: Box::new([0; BLOOM_BITS / 64]),
            grants: HashMap::with_hasher(Seeded(seed)),
            collided: HashMap::with_hasher(Seeded(seed)),
            names: HashMap::new(),
            channels: HashMap::with_hasher(Seeded(seed)),
            size: 0,
            last: 0,
            revoked: 0,
        }
    }

    /// Grants in the exact set.
    pub fn len(&self) -> usize {
        self.size
    }

    /// Whether nobody was granted anything.
    pub fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Revocations since the filter was built.
    pub fn revoked(&self) -> u32 {
        self.revoked
    }

    /// Grants a channel to a node; a second time changes nothing. Returns the channel's number, which holds as long as
    /// anybody is granted the channel; `None` when [`MAX_GRANTS`] are given.
    pub fn grant(&mut self, node: u64, name: &str) -> Option<u32> {
        self.grant_hashed(node, name, xxh3_64(name.as_bytes()))
    }

    fn grant_hashed(&mut self, node: u64, name: &str, hash: u64) -> Option<u32> {
        let known = self.names.get(name).copied();
        if let Some(number) = known.filter(|number| self.holds(node, hash, *number)) {
            return Some(number);
        }
        if self.size >= MAX_GRANTS {
            return None;
        }
        let number = match known {
            Some(number) => number,
            None => {
                self.last = self.last.checked_add(1)?;
                self.names.insert(name.into(), self.last);
                self.last
            }
        };
        let channel = Channel { hash, members: 0 };
        self.channels.entry(number.into()).or_insert(channel).members += 1;
        self.size += 1;
        for bit in bloom_bits(node, hash) {
            self.bloom[bit / 64] |= 1 << (bit % 64);
        }
        match self.grants.entry((node, hash)) {
            Entry::Vacant(entry) => {
                entry.insert(Grant {
                    channel: number,
                    verified: true,
                    collided: false,
                });
            }
            Entry::Occupied(mut entry) => {
                let grant = entry.get_mut();
                (grant.verified, grant.collided) = (true, true);
                self.collided.entry((node, hash)).or_default().push(number);
            }
        }
        Some(number)
    }

    /// Takes a channel from a node; `false` when it was not granted.
    pub fn revoke(&mut self, node: u64, name: &str) -> bool {
        let Some(number) = self.names.get(name).copied() else {
            return false;
        };
        let Some(channel) = self.channels.get(&number.into()).copied() else {
            return false;
        };
        if !self.holds(node, channel.hash, number) {
            return false;
        }
        self.remove((node, channel.hash), number);
        self.size -= 1;
        if channel.members > 1 {
            let left = channel.members - 1;
            self.channels.insert(
                number.into(),
                Channel {
                    members: left,
                    ..channel
                },
            );
        } else {
            self.channels.remove(&number.into());
            self.names.remove(name);
        }
        self.revoked += 1;
        if self.revoked >= REBUILD_AFTER {
            self.rebuild();
        }
        true
    }

    /// Takes one name out of an entry; what other names share it must be verified anew.
    fn remove(&mut self, key: (u64, u64), number: u32) {
        let Some(grant) = self.grants.get_mut(&key) else {
            return;
        };
        grant.verified = false;
        let Some(others) = self.collided.get_mut(&key) else {
            self.grants.remove(&key);
            return;
        };
        if grant.channel == number {
            grant.channel = others.pop().unwrap_or_default();
        } else {
            others.retain(|other| *other != number);
        }
        if others.is_empty() {
            grant.collided = false;
            self.collided.remove(&key);
        }
    }

    /// Builds the filter from the exact set; afterwards all of it counts as verified.
    pub fn rebuild(&mut self) {
        self.bloom.fill(0);
        for ((node, hash), grant) in &mut self.grants {
            grant.verified = true;
            for bit in bloom_bits(*node, *hash) {
                self.bloom[bit / 64] |= 1 << (bit % 64);
            }
        }
        self.revoked = 0;
    }

    /// What filter and verified set say of a pair.
    pub fn verdict(&self, node: u64, hash: u64) -> Verdict {
        if !self.may_hold(node, hash) {
            return Verdict::Denied;
        }
        match self.grants.get(&(node, hash)) {
            Some(grant) if grant.verified => Verdict::Allowed,
            _ => Verdict::NeedsFullCheck,
        }
    }

    /// Whether a packet of a channel may go out to a node: the filter first, then always the exact set. A pair that needed
    /// the full check and passed it is verified again.
    #[inline]
    pub fn admits(&mut self, node: u64, hash: u64, number: u32) -> bool {
        if !self.may_hold(node, hash) {
            return false;
        }
        let Some(grant) = self.grants.get_mut(&(node, hash)) else {
            return false;
        };
        let exact = grant.channel == number
            || grant.collided
                && self
                    .collided
                    .get(&(node, hash))
                    .is_some_and(|others| others.contains(&number));
        // Written only when it changes: else every look would dirty a line of the cache, which then goes back to memory.
        if exact && !grant.verified {
            grant.verified = true;
        }
        exact
    }

    /// A channel by its number, while anybody is granted it.
    pub fn channel(&self, number: u32) -> Option<Channel> {
        self.channels.get(&number.into()).copied()
    }

    #[inline]
    fn may_hold(&self, node: u64, hash: u64) -> bool {
        bloom_bits(node, hash)
            .iter()
            .all(|bit| self.bloom[bit / 64] >> (bit % 64) & 1 == 1)
    }

    fn holds(&self, node: u64, hash: u64, number: u32) -> bool {
        self.grants.get(&(node, hash)).is_some_and(|grant| {
            grant.channel == number
                || self
                    .collided
                    .get(&(node, hash))
                    .is_some_and(|others| others.contains(&number))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn bits_are_those_of_the_vectors() {
        let file = include_str!("../../tests/vectors/channels-auth-guard.json");
        let vectors: serde_json::Value = serde_json::from_str(file).unwrap();
        for case in vectors["cases"].as_array().unwrap() {
            let number = |name: &str| case[name].as_str().unwrap().parse::<u64>().unwrap();
            let hash = number("channelHash");
            if let Some(name) = case["channel"].as_str() {
                assert_eq!(xxh3_64(name.as_bytes()), hash);
            }
            let bits = bloom_bits(number("origin"), hash).map(|bit| bit as u64);
            assert_eq!(Some(bits[0]), case["bit1"].as_u64());
            assert_eq!(Some(bits[1]), case["bit2"].as_u64());
        }
    }

    #[test]
    fn a_false_positive_of_the_filter_admits_nobody() {
        let mut guard = AuthGuard::new(1);
        let number = guard.grant(1, "a").unwrap();
        let hash = guard.channel(number).unwrap().hash;
        for node in 2..20_000 {
            guard.grant(node, "a").unwrap();
        }
        let stranger = (20_000..)
            .find(|node| guard.verdict(*node, hash) != Verdict::Denied)
            .unwrap();
        assert_eq!(guard.verdict(stranger, hash), Verdict::NeedsFullCheck);
        assert!(!guard.admits(stranger, hash, number));
        assert_eq!(guard.verdict(stranger, hash), Verdict::NeedsFullCheck);
    }

    #[test]
    fn a_thousand_revocations_build_the_filter_anew() {
        let mut guard = AuthGuard::new(1);
        let kept = guard.grant(1, "kept").unwrap();
        let hash = guard.channel(kept).unwrap().hash;
        for node in 0..u64::from(REBUILD_AFTER) {
            guard.grant(node, "gone").unwrap();
            assert!(guard.revoke(node, "gone") && !guard.revoke(node, "gone"));
        }
        assert_eq!((guard.revoked(), guard.len()), (0, 1));
        assert!(guard.bloom.iter().map(|word| word.count_ones()).sum::<u32>() <= 2);
        assert!(guard.admits(1, hash, kept));
    }

    #[test]
    fn names_of_one_hash_are_told_apart() {
        let mut guard = AuthGuard::new(1);
        let a = guard.grant_hashed(1, "a", 9).unwrap();
        let b = guard.grant_hashed(1, "b", 9).unwrap();
        let c = guard.grant_hashed(2, "c", 9).unwrap();
        assert!(guard.admits(1, 9, a) && guard.admits(1, 9, b) && !guard.admits(1, 9, c));
        assert!(guard.revoke(1, "a"));
        assert_eq!(guard.verdict(1, 9), Verdict::NeedsFullCheck);
        assert!(!guard.admits(1, 9, a), "the hash alone admitted");
        assert!(guard.admits(1, 9, b));
        assert_eq!(guard.verdict(1, 9), Verdict::Allowed);
    }

    #[test]
    fn the_table_is_bounded() {
        let mut guard = AuthGuard::new(1);
        for node in 0..MAX_GRANTS as u64 {
            guard.grant(node, "a").unwrap();
        }
        assert_eq!((guard.grant(u64::MAX, "a"), guard.grant(1, "b")), (None, None));
        assert!(
            guard.grant(1, "a").is_some() && guard.revoke(1, "a") && guard.grant(u64::MAX, "a").is_some()
        );
        assert!(guard.names.len() == 1 && guard.channels.len() == 1);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Grant(u64, usize),
        Revoke(u64, usize),
        Rebuild,
    }

    /// Six names on three hashes.
    const NAMES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

    fn hash_of(name: usize) -> u64 {
        name as u64 % 3
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => (0u64..5, 0..NAMES.len()).prop_map(|(node, name)| Step::Grant(node, name)),
            3 => (0u64..5, 0..NAMES.len()).prop_map(|(node, name)| Step::Revoke(node, name)),
            1 => Just(Step::Rebuild),
        ]
    }

    proptest! {
        #[test]
        fn the_answer_is_that_of_the_exact_set(steps in prop::collection::vec(step(), 0..80)) {
            let (mut guard, mut exact, mut numbers) = (AuthGuard::new(5), BTreeSet::new(), [None; NAMES.len()]);
            for step in steps {
                match step {
                    Step::Grant(node, name) => {
                        numbers[name] = guard.grant_hashed(node, NAMES[name], hash_of(name));
                        exact.insert((node, name));
                    }
                    Step::Revoke(node, name) => {
                        prop_assert_eq!(guard.revoke(node, NAMES[name]), exact.remove(&(node, name)));
                    }
                    Step::Rebuild => guard.rebuild(),
                }
                prop_assert_eq!(guard.len(), exact.len());
                for node in 0u64..5 {
                    for (name, number) in numbers.iter().enumerate() {
                        let granted = exact.contains(&(node, name));
                        let of_hash = exact.iter().any(|(of, other)| *of == node && hash_of(*other) == hash_of(name));
                        match guard.verdict(node, hash_of(name)) {
                            Verdict::Denied | Verdict::NeedsFullCheck if !of_hash => {}
                            Verdict::Allowed | Verdict::NeedsFullCheck if of_hash => {}
                            verdict => prop_assert!(false, "{verdict:?} for a pair that holds {of_hash}"),
                        }
                        if let Some(number) = number {
                            prop_assert_eq!(guard.admits(node, hash_of(name), *number), granted);
                        }
                        let used = exact.iter().any(|(_, other)| *other == name);
                        prop_assert_eq!(guard.names.contains_key(NAMES[name]), used);
                    }
                }
            }
            prop_assert_eq!(guard.channels.len(), guard.names.len());
        }
    }
}
