//! What this node asked for: which publish streams of which publishers lead to which channel (32 §6).

use super::fold::Seeded;
use super::MAX_GRANTS;
use std::collections::hash_map::Entry;
use std::collections::HashMap;

/// Stands for every session peer: services are offered to all. No peer has this id.
pub const ANY_PEER: u64 = 0;

/// The table of expected publishes. A tag is a number that the control plane chose; 0 means none.
#[derive(Debug)]
pub struct Inbound {
    tags: HashMap<(u64, u64), u32, Seeded>,
    /// Entries for [`ANY_PEER`]: without any, one look suffices.
    open: usize,
    /// Whether what nobody asked for is dropped instead of kept as a plain event.
    pub drops: bool,
}

impl Inbound {
    /// An empty table; `seed` keeps peers from choosing colliding stream ids.
    pub fn new(seed: u64) -> Self {
        Self {
            tags: HashMap::with_hasher(Seeded(seed)),
            open: 0,
            drops: false,
        }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.tags.len()
    }

    /// Whether nothing is expected.
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// Expects a publish stream of a publisher, or of [`ANY_PEER`], for the channel `tag` (not 0). An earlier tag is
    /// replaced. `false`: the table holds [`MAX_GRANTS`] entries, or the tag is 0.
    pub fn expect(&mut self, publisher: u64, stream: u64, tag: u32) -> bool {
        let full = self.tags.len() >= MAX_GRANTS;
        match self.tags.entry((publisher, stream)) {
            _ if tag == 0 => return false,
            Entry::Occupied(mut entry) => {
                entry.insert(tag);
            }
            Entry::Vacant(_) if full => return false,
            Entry::Vacant(entry) => {
                entry.insert(tag);
                self.open += usize::from(publisher == ANY_PEER);
            }
        }
        true
    }

    /// Ends an expectation; `false` when there was none.
    pub fn forget(&mut self, publisher: u64, stream: u64) -> bool {
        let known = self.tags.remove(&(publisher, stream)).is_some();
        self.open -= usize::from(known && publisher == ANY_PEER);
        known
    }

    /// The channel of a packet that passes as a publish, by its session peer; 0 when nobody asked for it.
    #[inline]
    pub fn channel_of(&self, peer: u64, stream: u64) -> u32 {
        match self.tags.get(&(peer, stream)) {
            Some(tag) => *tag,
            None if self.open > 0 => self.tags.get(&(ANY_PEER, stream)).copied().unwrap_or(0),
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn the_table_is_bounded_and_known_entries_can_still_be_changed() {
        let mut inbound = Inbound::new(1);
        for stream in 0..MAX_GRANTS as u64 {
            assert!(inbound.expect(7, stream, 1));
        }
        assert!(!inbound.expect(7, u64::MAX, 1));
        assert!(inbound.expect(7, 3, 2));
        assert_eq!((inbound.channel_of(7, 3), inbound.len()), (2, MAX_GRANTS));
        assert!(inbound.forget(7, 4) && !inbound.forget(7, 4) && inbound.expect(7, u64::MAX, 1));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Expect(u64, u64, u32),
        Forget(u64, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0u64..4, 0u64..6, 0u32..5).prop_map(|(peer, stream, tag)| Step::Expect(peer, stream, tag)),
            (0u64..4, 0u64..6).prop_map(|(peer, stream)| Step::Forget(peer, stream)),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_a_plain_map(steps in prop::collection::vec(step(), 0..60)) {
            let (mut inbound, mut model) = (Inbound::new(3), BTreeMap::new());
            for step in steps {
                match step {
                    Step::Expect(peer, stream, tag) => {
                        prop_assert_eq!(inbound.expect(peer, stream, tag), tag != 0);
                        if tag != 0 {
                            model.insert((peer, stream), tag);
                        }
                    }
                    Step::Forget(peer, stream) => {
                        prop_assert_eq!(inbound.forget(peer, stream), model.remove(&(peer, stream)).is_some());
                    }
                }
                prop_assert_eq!(inbound.is_empty(), model.is_empty());
                for peer in 1u64..4 {
                    for stream in 0u64..6 {
                        let own = model.get(&(peer, stream)).or(model.get(&(ANY_PEER, stream)));
                        prop_assert_eq!(inbound.channel_of(peer, stream), own.copied().unwrap_or(0));
                    }
                }
            }
        }
    }
}
