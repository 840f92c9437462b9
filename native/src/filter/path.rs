//! Paths of a filter as one tree of keys, and the single pass over an event that validates it and notes where the
//! values of these paths are.

use super::json::{
    after_element, end_of_text, enter, key, skip_space, skip_value, unescape, utf8, Next, Scan, ESCAPED,
    MAX_DEPTH,
};

/// Where a value stands in the event; `start == MISSING` for none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    start: usize,
    end: usize,
}

const MISSING: usize = usize::MAX;

impl Span {
    const NONE: Self = Self {
        start: MISSING,
        end: MISSING,
    };

    /// The value's text, or nothing if the field is missing.
    #[inline]
    pub(super) fn of<'a>(&self, event: &'a [u8]) -> Option<&'a [u8]> {
        event.get(self.start..self.end)
    }
}

/// A segment of a path.
struct Child {
    /// The key, decoded.
    key: Box<[u8]>,
    node: u32,
}

/// A position in the tree of paths.
#[derive(Default)]
struct Node {
    /// Where the value of this path is noted.
    slot: Option<u32>,
    /// Sorted by key.
    children: Vec<Child>,
    /// The children that also spell a list index, sorted by it.
    indexed: Vec<(u64, u32)>,
    /// Slots of this node and everything below: forgotten when a key occurs again.
    slots: (u32, u32),
}

/// All paths of a filter.
pub(super) struct Paths {
    nodes: Vec<Node>,
    slots: u32,
}

/// Splits a path into its segments. `\.` and `\\` stand for the character itself.
fn segments(path: &[u8]) -> Vec<Vec<u8>> {
    if path.is_empty() {
        return Vec::new();
    }
    let mut out = vec![Vec::new()];
    let mut bytes = path.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'.' {
            out.push(Vec::new());
            continue;
        }
        let byte = match byte {
            b'\\' => bytes.next_if(|next| matches!(next, b'.' | b'\\')).unwrap_or(byte),
            _ => byte,
        };
        if let Some(segment) = out.last_mut() {
            segment.push(byte);
        }
    }
    out
}

/// The list index that a segment spells: `[+]?[0-9]+`.
fn index(segment: &[u8]) -> Option<u64> {
    let digits = segment.strip_prefix(b"+").unwrap_or(segment);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

impl Paths {
    /// No paths yet.
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Node::default()],
            slots: 0,
        }
    }

    /// Number of slots that a scan fills.
    pub(super) fn slots(&self) -> usize {
        self.slots as usize
    }

    /// Adds a path; equal paths share a slot. The number is final after [`Paths::finish`].
    pub(super) fn add(&mut self, path: &[u8]) -> u32 {
        let mut at = 0;
        for segment in segments(path) {
            // Deeper than any event: never found, and no need to build the rest. The last node stands for all of them.
            let found = self.nodes[at]
                .children
                .binary_search_by(|child| (*child.key).cmp(&segment));
            at = match found {
                Ok(child) => self.nodes[at].children[child].node as usize,
                Err(place) => {
                    let node = self.nodes.len();
                    self.nodes.push(Node::default());
                    if let Some(index) = index(&segment) {
                        let indexed = &mut self.nodes[at].indexed;
                        let place = indexed.partition_point(|&(other, _)| other <= index);
                        indexed.insert(place, (index, node as u32));
                    }
                    let child = Child {
                        key: segment.into(),
                        node: node as u32,
                    };
                    self.nodes[at].children.insert(place, child);
                    node
                }
            };
        }
        let slots = &mut self.slots;
        *self.nodes[at].slot.get_or_insert_with(|| {
            *slots += 1;
            *slots - 1
        })
    }

    /// Renumbers the slots so that each subtree's are neighbours. Answers the new number of each old one.
    pub(super) fn finish(&mut self) -> Vec<u32> {
        let mut renumbered = vec![0; self.slots()];
        let mut next = 0;
        // Depth first without recursion: a path can have a million segments.
        let mut stack = vec![(0_usize, false)];
        while let Some((at, left)) = stack.pop() {
            if left {
                self.nodes[at].slots.1 = next;
                continue;
            }
            let node = &mut self.nodes[at];
            node.slots.0 = next;
            if let Some(slot) = &mut node.slot {
                renumbered[*slot as usize] = next;
                *slot = next;
                next += 1;
            }
            stack.push((at, true));
            stack.extend(node.children.iter().map(|child| (child.node as usize, false)));
        }
        renumbered
    }

    /// Validates the event as a whole and notes the values of all paths in `spans`; false if it is not JSON.
    #[inline]
    pub(super) fn scan(&self, event: &[u8], spans: &mut Vec<Span>, text: &mut Vec<u8>) -> bool {
        spans.clear();
        spans.resize(self.slots(), Span::NONE);
        if utf8(event).is_err() {
            return false;
        }
        let mut walk = Walk {
            paths: self,
            event,
            spans,
            text,
        };
        walk.value(0, skip_space(event, 0), 0)
            .and_then(|end| end_of_text(event, end))
            .is_ok()
    }
}

struct Walk<'a> {
    paths: &'a Paths,
    event: &'a [u8],
    spans: &'a mut Vec<Span>,
    /// For keys with escapes.
    text: &'a mut Vec<u8>,
}

impl<'a> Walk<'a> {
    /// Scans the value at `at`, which stands where `node` is in the tree of paths, inside of `depth` open containers.
    #[inline]
    fn value(&mut self, node: u32, at: usize, depth: u32) -> Scan {
        let node = &self.paths.nodes[node as usize];
        let end = match self.event.get(at) {
            Some(b'{') if !node.children.is_empty() => self.object(node, at, depth),
            Some(b'[') if !node.indexed.is_empty() => self.list(node, at, depth),
            _ => skip_value(self.event, at, depth),
        }?;
        if let Some(slot) = node.slot {
            if let Some(span) = self.spans.get_mut(slot as usize) {
                *span = Span { start: at, end };
            }
        }
        Ok(end)
    }

    fn object(&mut self, node: &'a Node, at: usize, depth: u32) -> Scan {
        if depth == MAX_DEPTH {
            return Err(at);
        }
        let mut next = enter(self.event, at, b'}');
        loop {
            let start = match next {
                Next::Element(start) => start,
                Next::End(end) => return Ok(end),
            };
            let (from, to, value_at) = key(self.event, start)?;
            let end = match self.child(node, from, to) {
                Some(child) => {
                    self.forget(child);
                    self.value(child, value_at, depth + 1)?
                }
                None => skip_value(self.event, value_at, depth + 1)?,
            };
            next = after_element(self.event, end, b'}')?;
        }
    }

    /// The child of `node` for the key whose characters are at `from..to`.
    #[inline(always)]
    fn child(&mut self, node: &Node, from: usize, to: usize) -> Option<u32> {
        let raw = &self.event[from..to & !ESCAPED];
        let name = if to & ESCAPED == 0 {
            raw
        } else {
            self.text.clear();
            unescape(raw, self.text);
            self.text.as_slice()
        };
        match node.children.as_slice() {
            few if few.len() <= 8 => few
                .iter()
                .find(|child| *child.key == *name)
                .map(|child| child.node),
            many => {
                let found = many.binary_search_by(|child| (*child.key).cmp(name)).ok()?;
                Some(many[found].node)
            }
        }
    }

    /// A key that occurs again replaces everything noted below it.
    #[inline(always)]
    fn forget(&mut self, node: u32) {
        let (from, to) = self.paths.nodes[node as usize].slots;
        for span in self.spans.get_mut(from as usize..to as usize).unwrap_or_default() {
            *span = Span::NONE;
        }
    }

    fn list(&mut self, node: &'a Node, at: usize, depth: u32) -> Scan {
        if depth == MAX_DEPTH {
            return Err(at);
        }
        let mut wanted = node.indexed.iter().peekable();
        let mut next = enter(self.event, at, b']');
        let mut position = 0;
        loop {
            let start = match next {
                Next::Element(start) => start,
                Next::End(end) => return Ok(end),
            };
            let end = match wanted.next_if(|(index, _)| *index == position) {
                Some(&(_, child)) => {
                    let end = self.value(child, start, depth + 1)?;
                    // `1` and `+1` are different keys and the same element.
                    while let Some(&(_, child)) = wanted.next_if(|(index, _)| *index == position) {
                        self.value(child, start, depth + 1)?;
                    }
                    end
                }
                None => skip_value(self.event, start, depth + 1)?,
            };
            next = after_element(self.event, end, b']')?;
            position += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values<'a>(paths: &[&str], event: &'a str) -> Option<Vec<Option<&'a str>>> {
        let mut tree = Paths::new();
        let slots: Vec<u32> = paths.iter().map(|path| tree.add(path.as_bytes())).collect();
        let order = tree.finish();
        let (mut spans, mut text) = (Vec::new(), Vec::new());
        tree.scan(event.as_bytes(), &mut spans, &mut text).then(|| {
            let value = |slot: &u32| spans[order[*slot as usize] as usize].of(event.as_bytes());
            slots
                .iter()
                .map(|slot| value(slot).map(|raw| std::str::from_utf8(raw).unwrap()))
                .collect()
        })
    }

    #[test]
    fn paths_select_keys_and_elements() {
        let event = r#" {"a":[10,{"b": "x"},[1 , 2]],"":{"":7},"c.d":8,"e\\f":9,"0":"zero","\u0067":1} "#;
        let paths = [
            "a.0", "a.1.b", "a.2.1", "a.+1.b", "a.01.b", "a.3", "a.-1", ".", r"c\.d", r"e\\f", r"e\f", "0",
            "g", "c.d", "a",
        ];
        let expected = [
            Some("10"),
            Some("\"x\""),
            Some("2"),
            Some("\"x\""),
            Some("\"x\""),
            None,
            None,
            Some("7"),
            Some("8"),
            Some("9"),
            Some("9"),
            Some("\"zero\""),
            Some("1"),
            None,
            Some(r#"[10,{"b": "x"},[1 , 2]]"#),
        ];
        assert_eq!(values(&paths, event).unwrap(), expected);
        assert_eq!(values(&[""], " [1, 2] ").unwrap(), [Some("[1, 2]")]);
    }

    #[test]
    fn the_last_duplicate_key_counts_with_all_below_it() {
        assert_eq!(
            values(&["a.b", "a"], r#"{"a":{"b":1},"a":5}"#).unwrap(),
            [None, Some("5")]
        );
        assert_eq!(
            values(&["a.b", "a.c"], r#"{"a":{"b":1,"c":1},"\u0061":{"c":2}}"#).unwrap(),
            [None, Some("2")]
        );
        assert_eq!(
            values(&["a.b"], r#"{"a":5,"a":{"b":1,"b":2}}"#).unwrap(),
            [Some("2")]
        );
    }

    #[test]
    fn an_event_is_validated_behind_the_last_value_needed() {
        assert!(values(&["a"], r#"{"a":1,"b":}"#).is_none());
        assert!(values(&["a"], r#"{"a":1} x"#).is_none());
        assert!(values(&["a.b"], r#"{"a":{"b":1,"c":[1,]}}"#).is_none());
    }

    #[test]
    fn nesting_counts_along_paths() {
        let deep = |n: usize| format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n));
        let path = vec!["a"; 200].join(".");
        assert!(values(&[&path], &deep(128)).is_some());
        assert!(values(&[&path], &deep(129)).is_none());
        let list = |n: usize| format!("{}1{}", "[".repeat(n), "]".repeat(n));
        let path = vec!["0"; 200].join(".");
        assert!(values(&[&path], &list(128)).is_some());
        assert!(values(&[&path], &list(129)).is_none());
    }

    #[test]
    fn many_paths_and_a_very_long_one() {
        let names: Vec<String> = (0..1000).map(|i| format!("k{i}")).collect();
        let paths: Vec<&str> = names.iter().map(String::as_str).collect();
        let found = values(&paths, r#"{"k7":7,"k999":1}"#).unwrap();
        assert_eq!((found[7], found[999], found[8]), (Some("7"), Some("1"), None));
        let long = ".".repeat(500_000);
        assert_eq!(values(&[&long], r#"{"":{}}"#).unwrap(), [None]);
    }
}
