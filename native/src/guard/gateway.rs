//! What a gateway between subnets relays: a decision from headers alone (33 B6).

use super::fold::Seeded;
use super::MAX_GRANTS;
use std::collections::HashMap;

/// What a gateway knows of a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Goes everywhere.
    Global,
    /// Stays in its subnet; also what is assumed of channels that are unknown or share their 16-bit hash.
    SubnetLocal,
    /// Goes upward only.
    ParentVisible,
    /// Goes to these subnets and what lies below them.
    Exported(Vec<u32>),
}

/// What a gateway reads of a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hop {
    /// Subnet of the sender, as its header says.
    pub source: u32,
    /// Node id of the destination.
    pub dest: u64,
    /// Low 16 bits of the channel's hash.
    pub channel_hash: u16,
    /// Relays that the sender allows.
    pub ttl: u8,
    /// Gateways passed so far; not authenticated.
    pub count: u8,
}

/// Why a packet is kept back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// No hop is left; 0 allows none.
    TtlExpired,
    /// The channel stays in its subnet, or is not known well enough.
    SubnetLocal,
    /// The destination does not lie above the source.
    NotAncestor,
    /// The destination is in no subnet that the channel is exported to.
    NotExported,
    /// The destination's subnet is not known, and unknown ones get nothing.
    UnknownSubnet,
}

/// Mask of the levels of a subnet up to its last one that is not 0.
fn mask(subnet: u32) -> u32 {
    match subnet {
        0 => 0,
        _ => u32::MAX << (subnet.trailing_zeros() / 8 * 8),
    }
}

/// Whether `a` equals `b` or lies above it. 0, the global subnet, lies above everything.
pub fn is_ancestor(a: u32, b: u32) -> bool {
    (a ^ b) & mask(a) == 0
}

/// Channels by their 16-bit hash, and subnets of nodes.
#[derive(Debug)]
pub struct Gateway {
    rules: HashMap<u64, Rule, Seeded>,
    subnets: HashMap<u64, u32, Seeded>,
    /// Whether destinations of unknown subnet get global channels only; else they count as global.
    pub denies_unknown: bool,
    /// Publishes relayed.
    pub forwarded: u64,
    /// Publishes kept back, for whatever reason.
    pub dropped: u64,
}

impl Gateway {
    /// A gateway that knows no channel.
    pub fn new(seed: u64) -> Self {
        Self {
            rules: HashMap::with_hasher(Seeded(seed)),
            subnets: HashMap::with_hasher(Seeded(seed)),
            denies_unknown: false,
            forwarded: 0,
            dropped: 0,
        }
    }

    /// Sets what is known of a 16-bit hash; `None` forgets it.
    pub fn set_rule(&mut self, channel_hash: u16, rule: Option<Rule>) {
        match rule {
            Some(rule) => {
                self.rules.insert(channel_hash.into(), rule);
            }
            None => {
                self.rules.remove(&channel_hash.into());
            }
        }
    }

    /// Sets the subnet of a node; `None` = unknown. Beyond [`MAX_GRANTS`] nodes new ones stay unknown.
    pub fn set_subnet(&mut self, node: u64, subnet: Option<u32>) {
        match subnet {
            Some(subnet) if self.subnets.len() < MAX_GRANTS || self.subnets.contains_key(&node) => {
                self.subnets.insert(node, subnet);
            }
            Some(_) => {}
            None => {
                self.subnets.remove(&node);
            }
        }
    }

    /// Decides, and counts the decision.
    pub fn admit(&mut self, hop: Hop) -> Result<(), Stop> {
        let verdict = self.verdict(hop);
        match verdict {
            Ok(()) => self.forwarded += 1,
            Err(_) => self.dropped += 1,
        }
        verdict
    }

    fn verdict(&self, hop: Hop) -> Result<(), Stop> {
        if hop.ttl == 0 || hop.count >= hop.ttl {
            return Err(Stop::TtlExpired);
        }
        let rule = self
            .rules
            .get(&hop.channel_hash.into())
            .unwrap_or(&Rule::SubnetLocal);
        let dest = self.subnets.get(&hop.dest).copied();
        match rule {
            Rule::Global => return Ok(()),
            Rule::SubnetLocal => return Err(Stop::SubnetLocal),
            _ if dest.is_none() && self.denies_unknown => return Err(Stop::UnknownSubnet),
            _ => {}
        }
        let dest = dest.unwrap_or(0);
        match rule {
            Rule::Exported(targets) if targets.iter().any(|target| is_ancestor(*target, dest)) => Ok(()),
            Rule::Exported(_) => Err(Stop::NotExported),
            _ if is_ancestor(dest, hop.source) => Ok(()),
            _ => Err(Stop::NotAncestor),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancestors_are_those_of_the_vectors() {
        let file = include_str!("../../../ts/test/vectors/subnets.json");
        let vectors: serde_json::Value = serde_json::from_str(file).unwrap();
        let packed = |levels: &serde_json::Value| {
            let level = |at: usize| levels.get(at).and_then(serde_json::Value::as_u64).unwrap_or(0) as u32;
            (0..4).fold(0, |sum, at| sum << 8 | level(at))
        };
        let relations = vectors["relations"].as_array().unwrap();
        assert!(relations.len() > 20);
        for case in relations {
            let above = is_ancestor(packed(&case["source"]), packed(&case["dest"]));
            assert_eq!(Some(above), case["sourceIsAncestorOfDest"].as_bool(), "{case}");
        }
    }

    /// A gateway that knows one channel of each kind, and nodes in `3.7` (1), `3` (2), `3.8` (3) and `4.5` (4).
    fn gateway() -> Gateway {
        let mut gateway = Gateway::new(1);
        let rules = [
            Rule::Global,
            Rule::SubnetLocal,
            Rule::ParentVisible,
            Rule::Exported(vec![0x0400_0000]),
        ];
        for (hash, rule) in rules.into_iter().enumerate() {
            gateway.set_rule(hash as u16, Some(rule));
        }
        for (node, subnet) in [
            (1, 0x0307_0000),
            (2, 0x0300_0000),
            (3, 0x0308_0000),
            (4, 0x0405_0000),
        ] {
            gateway.set_subnet(node, Some(subnet));
        }
        gateway
    }

    #[test]
    fn by_visibility_and_hops() {
        let mut gateway = gateway();
        let hop = |channel_hash, dest| Hop {
            source: 0x0307_0000,
            dest,
            channel_hash,
            ttl: 4,
            count: 1,
        };
        let table = [
            (hop(0, 3), Ok(())),
            (hop(1, 1), Err(Stop::SubnetLocal)),
            (hop(9, 1), Err(Stop::SubnetLocal)),
            (hop(2, 2), Ok(())),
            (hop(2, 3), Err(Stop::NotAncestor)),
            (hop(2, 77), Ok(())),
            (hop(3, 2), Err(Stop::NotExported)),
            (hop(3, 4), Ok(())),
            (hop(3, 77), Err(Stop::NotExported)),
            (Hop { ttl: 0, ..hop(0, 3) }, Err(Stop::TtlExpired)),
            (
                Hop {
                    count: 4,
                    ..hop(0, 3)
                },
                Err(Stop::TtlExpired),
            ),
            (
                Hop {
                    source: 0x0300_0000,
                    ..hop(2, 1)
                },
                Err(Stop::NotAncestor),
            ),
        ];
        for (hop, verdict) in table {
            assert_eq!(gateway.admit(hop), verdict, "{hop:?}");
        }
        assert_eq!((gateway.forwarded, gateway.dropped), (4, 8));
        gateway.denies_unknown = true;
        assert_eq!(gateway.admit(hop(2, 77)), Err(Stop::UnknownSubnet));
        assert_eq!(gateway.admit(hop(0, 77)), Ok(()));
        gateway.set_rule(0, None);
        assert_eq!(gateway.admit(hop(0, 3)), Err(Stop::SubnetLocal));
        gateway.set_subnet(2, None);
        assert_eq!(gateway.admit(hop(2, 2)), Err(Stop::UnknownSubnet));
    }
}
