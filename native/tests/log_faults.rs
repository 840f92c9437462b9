//! Logs on a disk that fails: cut off at every change, without power, damaged at random, full.

#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a failed expectation is a failed test"
)]

#[path = "log/disk.rs"]
mod disk;

use disk::TestDisk;
use meshring::log::journal::Step;
use meshring::log::{Journal, LogError, Retention};
use std::collections::BTreeMap;

const ROOT: &str = "/logs/orders";

/// A small deterministic generator.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn payload(seq: u64) -> Vec<u8> {
    let length = (seq.wrapping_mul(2_654_435_761) % 300) as usize;
    let mut bytes = vec![seq as u8; length];
    bytes.extend_from_slice(&seq.to_le_bytes());
    bytes
}

fn open(disk: &TestDisk, retention: Retention) -> Result<Journal<TestDisk>, LogError> {
    Journal::open(disk.clone(), ROOT, retention, 1_000)
}

fn events(journal: &Journal<TestDisk>) -> BTreeMap<u64, Vec<u8>> {
    let memory = journal.memory();
    (memory.lower_bound(0)..memory.index().end())
        .map(|ordinal| {
            let entry = memory
                .index()
                .get(ordinal)
                .expect("every ordinal of the range has an entry");
            let mut bytes = vec![0; entry.length as usize];
            assert!(memory.copy(&entry, &mut bytes));
            (memory.index().seq(ordinal), bytes)
        })
        .collect()
}

/// Appends singly and in batches; stops at the first error. Returns the number of events that were accepted.
fn write(journal: &mut Journal<TestDisk>, random: &mut Random, count: u64) -> u64 {
    let mut next = journal.memory().next_seq();
    let end = next + count;
    while next < end {
        let done = if random.below(3) == 0 {
            let batch: Vec<Vec<u8>> = (next..next + 1 + random.below(9)).map(payload).collect();
            let lengths: Vec<u32> = batch.iter().map(|p| p.len() as u32).collect();
            journal
                .append_batch(&lengths, &batch.concat(), 5)
                .map(|_| batch.len() as u64)
        } else {
            journal.append(&payload(next), 5).map(|_| 1)
        };
        match done {
            Ok(count) => next += count,
            Err(_) => break,
        }
        if random.below(40) == 0 && journal.compact().is_err() {
            break;
        }
    }
    next
}

#[test]
fn a_process_that_ends_at_any_change_loses_nothing_that_was_accepted() {
    for (windows, bound) in [(true, None), (false, None), (true, Some(20)), (false, Some(20))] {
        let retention = Retention {
            max_events: bound,
            ..Retention::default()
        };
        let changes = {
            let disk = TestDisk::new(windows);
            let mut journal = open(&disk, retention).expect("an empty disk opens");
            write(&mut journal, &mut Random(7), 120);
            journal.close().expect("a good disk closes");
            disk.changes()
        };
        for cut in 0..changes {
            let disk = TestDisk::new(windows);
            disk.fail_after(cut);
            let mut accepted = 0;
            if let Ok(mut journal) = open(&disk, retention) {
                accepted = write(&mut journal, &mut Random(7), 120);
                let _ = journal.close();
            }
            disk.kill();
            let mut journal = open(&disk, retention).unwrap_or_else(|e| panic!("cut {cut}: {e}"));
            let next = journal.memory().next_seq();
            let all = events(&journal);
            assert!(
                next >= accepted && next <= accepted + 10,
                "cut {cut}: {accepted} accepted, next is {next}"
            );
            let first = all.keys().next().copied().unwrap_or(next);
            assert!(
                bound.map_or(first == 0, |bound| next - first >= bound.min(next)),
                "cut {cut}: first is {first}"
            );
            assert!(
                all.iter()
                    .zip(first..)
                    .all(|((seq, bytes), n)| *seq == n && *bytes == payload(n)),
                "cut {cut}"
            );
            assert_eq!(
                journal.found().damaged,
                0,
                "cut {cut} windows {windows} {accepted} {next}"
            );
            assert_eq!(journal.append(&payload(next), 6), Ok(next), "cut {cut}: goes on");
        }
    }
}

#[test]
fn without_power_what_was_flushed_stays_and_nothing_wrong_is_read() {
    for round in 0..2000 {
        let mut random = Random(round * 2 + 1);
        let disk = TestDisk::new(round % 2 == 0);
        let mut journal = open(&disk, Retention::default()).expect("an empty disk opens");
        let count = random.below(60);
        let flushed = write(&mut journal, &mut random, count);
        for file in journal.files().expect("it is open") {
            meshring::log::storage::StoredFile::sync(&file).expect("a good disk flushes");
        }
        let count = random.below(60);
        write(&mut journal, &mut random, count);
        disk.power_off(|| random.below(2) == 0);
        std::mem::forget(journal);
        let journal = open(&disk, Retention::default()).unwrap_or_else(|e| panic!("round {round}: {e}"));
        let all = events(&journal);
        assert!(
            (0..flushed).all(|seq| all.contains_key(&seq)),
            "round {round}: flushed events are missing"
        );
        for (seq, bytes) in &all {
            assert_eq!(
                *bytes,
                payload(*seq),
                "round {round}: a wrong event under {seq} of {flushed} {:?}",
                journal.found()
            );
        }
        assert!(journal.memory().next_seq() >= flushed);
    }
}

#[test]
fn a_full_disk_is_an_error_without_gap_or_duplicate() {
    for windows in [true, false] {
        for cut in 0..200 {
            let disk = TestDisk::new(windows);
            let mut journal = open(&disk, Retention::default()).expect("an empty disk opens");
            disk.fill_up_after(cut);
            let accepted = write(&mut journal, &mut Random(cut + 1), 300);
            disk.fail_after(u64::MAX);
            assert_eq!(
                journal.append(&payload(accepted), 7),
                Ok(accepted),
                "cut {cut}: works again with space"
            );
            let all = events(&journal);
            assert!(all
                .iter()
                .zip(0..)
                .all(|((seq, bytes), n)| *seq == n && *bytes == payload(n)));
            drop(journal);
            disk.kill();
            let reopened = open(&disk, Retention::default()).expect("space is back");
            assert_eq!(
                events(&reopened),
                all,
                "cut {cut}: the files say the same as memory did"
            );
        }
    }
}

#[test]
fn a_compaction_whose_flush_fails_begins_anew() {
    let disk = TestDisk::new(true);
    let retention = Retention {
        max_events: Some(100),
        ..Retention::default()
    };
    let mut journal = open(&disk, retention).expect("an empty disk opens");
    for seq in 0..1000 {
        journal.append(&payload(seq), 5).expect("the disk is good");
    }
    journal.evict(5);
    let generations = |disk: &TestDisk| {
        let mut all: Vec<String> = disk
            .paths()
            .iter()
            .filter_map(|path| path.strip_prefix(ROOT)?.get(1..12).map(str::to_owned))
            .filter(|name| name.starts_with('v'))
            .collect();
        all.dedup();
        all
    };
    loop {
        match journal.compact_step().expect("the disk is good") {
            Step::More => {}
            // A file system that failed to write pages takes them for clean: a second flush would not fail.
            Step::Flush(_) => break assert!(journal.flushed(Err("Input/output error".into())).is_err()),
            Step::Done => panic!("a compaction flushes its files"),
        }
    }
    assert_eq!(
        generations(&disk),
        ["v0000000001"],
        "what was not flushed is gone"
    );
    journal.compact().expect("the disk is good again");
    assert_eq!(
        (journal.generation(), generations(&disk)),
        (2, vec!["v0000000002".into()])
    );
    assert_eq!(events(&journal).len(), 100);
}

/// Which of its three files a path names.
fn kind(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

#[test]
fn damaged_files_are_an_error_or_recovered_and_never_read_as_good() {
    let rounds = std::env::var("MESHRING_SOAK").map_or(10_000, |_| 100_000);
    let base = TestDisk::new(true);
    let mut journal = open(&base, Retention::default()).expect("an empty disk opens");
    write(&mut journal, &mut Random(3), 80);
    journal.close().expect("a good disk closes");
    drop(journal);
    let mut refused = 0;
    for round in 0..rounds {
        let mut random = Random(round * 2 + 1);
        let disk = base.copy();
        let mut seq_damaged = false;
        for _ in 0..=random.below(3) {
            let paths = disk.paths();
            let path = paths[random.below(paths.len() as u64) as usize].clone();
            if random.below(12) == 0 {
                disk.delete(&path);
                continue;
            }
            disk.edit(&path, |bytes| {
                let at = random.below(bytes.len().max(1) as u64) as usize;
                match random.below(4) {
                    0 => bytes.truncate(at),
                    1 => bytes.extend((0..1 + random.below(40)).map(|_| random.below(256) as u8)),
                    2 if !bytes.is_empty() => bytes[at] = random.below(256) as u8,
                    _ if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
                    _ => {}
                }
                // The format has no checksum over the sequence: see the recovery rules for what can be told.
                seq_damaged |= kind(&path) == "idx" && at % 20 < 8;
            });
        }
        let Ok(mut journal) = open(&disk, Retention::default()) else {
            refused += 1;
            continue;
        };
        let before = events(&journal);
        for (seq, bytes) in &before {
            assert!(
                *bytes == payload(*seq) || seq_damaged,
                "round {round}: wrong bytes under {seq}"
            );
            assert!(
                seq_damaged || *seq < 100,
                "round {round}: an event that never was"
            );
        }
        let next = journal.memory().next_seq();
        assert_eq!(journal.append(b"after", 9), Ok(next), "round {round}");
        drop(journal);
        disk.kill();
        let again = open(&disk, Retention::default()).unwrap_or_else(|e| panic!("round {round}: {e}"));
        let mut expected = before;
        expected.insert(next, b"after".to_vec());
        assert_eq!(
            events(&again),
            expected,
            "round {round}: what was recovered stays"
        );
    }
    println!("damage: {rounds} rounds, {refused} refused with an error, the others recovered and read back");
}

#[test]
fn damage_is_set_aside_and_the_newest_two_are_kept() {
    let disk = TestDisk::new(false);
    for round in 0..4u64 {
        let mut journal =
            Journal::open(disk.clone(), ROOT, Retention::default(), round * 5_000_000).expect("opens");
        write(&mut journal, &mut Random(5), 10);
        let generation = journal.generation();
        journal.close().expect("closes");
        disk.edit(&format!("{ROOT}/v{generation:010}/dat"), |bytes| bytes[0] ^= 1);
    }
    drop(open(&disk, Retention::default()).expect("opens"));
    let aside: Vec<String> = disk
        .paths()
        .into_iter()
        .filter(|path| path.contains("~damaged-"))
        .collect();
    assert_eq!(aside.len(), 2 * 3, "{aside:?}");
}
