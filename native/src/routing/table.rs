//! One route per destination.

use crate::engine::Link;
use std::collections::BTreeMap;

/// Most routes.
pub const MAX_ROUTES: usize = 65_536;

/// Learned routes that are dropped at once when a full table needs room: the search for the oldest is worth more than one.
const MADE_ROOM: usize = 1024;

/// Metric of a direct session, a routed handshake, a manual or an alternate route.
pub const DIRECT: u16 = 1;

/// A route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Next hop.
    pub link: Link,
    /// 1 = direct; learned ones are hops + 2.
    pub metric: u16,
    /// Monotonic microseconds.
    pub updated: u64,
}

/// Destination → route.
#[derive(Debug)]
pub struct RouteTable {
    routes: BTreeMap<u64, Route>,
    /// Routes not confirmed for so long are not used. Microseconds.
    max_age: u64,
    /// First original of each route that was moved away from a failed next hop: destination → (failed node, route).
    saved: BTreeMap<u64, (u64, Route)>,
}

impl RouteTable {
    /// `max_age` in microseconds.
    pub fn new(max_age: u64) -> Self {
        Self {
            routes: BTreeMap::new(),
            max_age,
            saved: BTreeMap::new(),
        }
    }

    /// Sets a direct-metric route, whatever was there. In a full table the learned routes that were confirmed longest ago make
    /// room: pingwaves, which anybody on the path can write, must not keep the routes of sessions out.
    pub fn set(&mut self, now: u64, dest: u64, link: Link) {
        if self.routes.len() >= MAX_ROUTES && !self.routes.contains_key(&dest) {
            self.make_room();
        }
        if self.routes.len() < MAX_ROUTES || self.routes.contains_key(&dest) {
            self.routes.insert(
                dest,
                Route {
                    link,
                    metric: DIRECT,
                    updated: now,
                },
            );
        }
    }

    fn make_room(&mut self) {
        let learned = self.routes.iter().filter(|(_, route)| route.metric > DIRECT);
        let mut oldest: Vec<(u64, u64)> = learned.map(|(dest, route)| (route.updated, *dest)).collect();
        if oldest.len() > MADE_ROOM {
            oldest.select_nth_unstable(MADE_ROOM);
            oldest.truncate(MADE_ROOM);
        }
        for (_, dest) in oldest {
            self.routes.remove(&dest);
        }
    }

    /// Takes a learned route: it replaces a worse or an expired one. A known route is confirmed only by its own next hop, so
    /// that a worse path can't keep a dead better one alive.
    pub fn learn(&mut self, now: u64, dest: u64, link: Link, metric: u16) {
        let full = self.routes.len() >= MAX_ROUTES;
        match self.routes.get_mut(&dest) {
            None if full => {}
            None => {
                self.routes.insert(
                    dest,
                    Route {
                        link,
                        metric,
                        updated: now,
                    },
                );
            }
            Some(route) if metric < route.metric || now.saturating_sub(route.updated) > self.max_age => {
                *route = Route {
                    link,
                    metric,
                    updated: now,
                };
            }
            Some(route) if route.link == link => route.updated = now,
            Some(_) => {}
        }
    }

    /// Confirms a route by traffic of its destination over its own next hop.
    pub fn confirm(&mut self, now: u64, dest: u64, link: Link) {
        if let Some(route) = self.routes.get_mut(&dest).filter(|route| route.link == link) {
            route.updated = now;
        }
    }

    /// Next hop to a destination, unless the route is too old.
    pub fn lookup(&self, now: u64, dest: u64) -> Option<Link> {
        self.routes
            .get(&dest)
            .filter(|route| now.saturating_sub(route.updated) <= self.max_age)
            .map(|route| route.link)
    }

    /// The route as stored.
    pub fn get(&self, dest: u64) -> Option<&Route> {
        self.routes.get(&dest)
    }

    /// Removes a route if it still leads over `link`.
    pub fn remove_via(&mut self, dest: u64, link: Link) {
        if self.routes.get(&dest).is_some_and(|route| route.link == link) {
            self.routes.remove(&dest);
        }
    }

    /// Destinations whose next hop is `link`.
    pub fn via(&self, link: Link) -> Vec<u64> {
        self.routes
            .iter()
            .filter(|(_, route)| route.link == link)
            .map(|(dest, _)| *dest)
            .collect()
    }

    /// Moves a destination away from a failed node and remembers the first original.
    pub fn divert(&mut self, now: u64, dest: u64, failed: u64, link: Link) {
        if let Some(route) = self.routes.get_mut(&dest) {
            self.saved.entry(dest).or_insert((failed, *route));
            *route = Route {
                link,
                metric: DIRECT,
                updated: now,
            };
        }
    }

    /// Gives a recovered node its routes back, at its current link.
    pub fn restore(&mut self, now: u64, recovered: u64, link: Link) {
        let routes = &mut self.routes;
        self.saved.retain(|dest, (failed, _)| {
            if *failed == recovered {
                routes.insert(
                    *dest,
                    Route {
                        link,
                        metric: DIRECT,
                        updated: now,
                    },
                );
            }
            *failed != recovered
        });
    }

    /// Drops routes that are too old.
    pub fn sweep(&mut self, now: u64) {
        let max_age = self.max_age;
        self.routes
            .retain(|_, route| now.saturating_sub(route.updated) <= max_age);
        let routes = &self.routes;
        self.saved.retain(|dest, _| routes.contains_key(dest));
    }

    /// All routes.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &Route)> {
        self.routes.iter().map(|(dest, route)| (*dest, route))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Link = Link::Channel(1);
    const B: Link = Link::Channel(2);

    #[test]
    fn better_routes_replace_and_worse_ones_do_not_refresh() {
        let mut table = RouteTable::new(100);
        table.learn(0, 9, A, 3);
        table.learn(1, 9, B, 5);
        assert_eq!(table.lookup(1, 9), Some(A));
        table.learn(90, 9, B, 5);
        assert_eq!(
            table.get(9).unwrap().updated,
            0,
            "a worse path is no proof of life"
        );
        table.learn(95, 9, A, 3);
        assert_eq!(table.lookup(190, 9), Some(A));
        table.learn(196, 9, B, 5);
        assert_eq!(
            table.lookup(196, 9),
            Some(B),
            "an expired route is replaced by any"
        );
        table.set(197, 9, A);
        table.learn(198, 9, B, 2);
        assert_eq!(
            table.lookup(198, 9),
            Some(A),
            "no learned metric beats a direct route"
        );
        table.sweep(400);
        assert_eq!(table.get(9), None);
    }

    #[test]
    fn routes_return_to_a_recovered_node() {
        let mut table = RouteTable::new(100);
        table.learn(0, 9, A, 3);
        table.divert(1, 9, 77, B);
        assert_eq!(table.lookup(1, 9), Some(B));
        table.restore(2, 77, A);
        assert_eq!(table.lookup(2, 9), Some(A));
    }

    #[test]
    fn the_table_is_bounded_and_learned_routes_make_room_for_those_of_sessions() {
        let mut table = RouteTable::new(100);
        for dest in 0..MAX_ROUTES as u64 + 10 {
            table.learn(if dest == 77 { 0 } else { 1 }, dest, A, 3);
        }
        assert_eq!(table.iter().count(), MAX_ROUTES);
        let fresh = MAX_ROUTES as u64 + 20;
        table.learn(2, fresh, A, 2);
        assert_eq!(table.get(fresh), None);
        table.set(2, fresh, B);
        assert_eq!((table.lookup(2, fresh), table.lookup(2, 77)), (Some(B), None));
        assert_eq!(table.iter().count(), MAX_ROUTES - MADE_ROOM + 1);
        // Routes of sessions do not make room for others.
        let dests = (1 << 20)..;
        for dest in dests.take(MAX_ROUTES) {
            table.set(3, dest, B);
        }
        assert_eq!(
            (table.lookup(3, fresh), table.iter().count()),
            (Some(B), MAX_ROUTES)
        );
        table.set(3, u64::MAX, B);
        assert_eq!((table.get(u64::MAX), table.iter().count()), (None, MAX_ROUTES));
    }
}
