//! The directory of a channel: which generation is live, the manifest that says so, and what may be removed (50 §5.2).

use super::manifest;
use super::storage::{read_all, DirEntry, Storage, Stored, StoredFile};

/// The files of a generation.
pub const FILES: [&str; 3] = ["idx", "dat", "ts"];
/// What damaged generations are renamed to: `~damaged-<generation>-<unix ms>`.
const DAMAGED: &str = "~damaged-";
/// How many of them are kept.
const DAMAGED_KEPT: usize = 2;

/// Path of a generation.
pub fn path(root: &str, generation: u32) -> String {
    format!("{root}/{}", manifest::directory(generation))
}

fn files(storage: &impl Storage, path: &str) -> Stored<Option<Vec<String>>> {
    let entries = storage.list(path)?;
    Ok(entries.map(|all| all.into_iter().filter(|e| !e.is_dir).map(|e| e.name).collect()))
}

fn has(files: &[String], name: &str) -> bool {
    files.iter().any(|file| file == name)
}

/// The generation that the manifest names, if it is valid.
pub fn read_manifest(storage: &impl Storage, root: &str) -> Stored<Option<u32>> {
    let Some(file) = storage.open(&format!("{root}/manifest"), false)? else {
        return Ok(None);
    };
    Ok(manifest::decode(&read_all(&file, manifest::MANIFEST as u64)?))
}

/// Makes a generation the live one, in one atomic step.
pub fn write_manifest(storage: &impl Storage, root: &str, generation: u32) -> Stored<()> {
    let temporary = format!("{root}/manifest.tmp");
    let file = storage
        .open(&temporary, true)?
        .ok_or_else(|| format!("{temporary} is not a file"))?;
    file.truncate(0)?;
    file.write_at(0, &manifest::encode(generation))?;
    file.sync()?;
    drop(file);
    storage.rename(&temporary, &format!("{root}/manifest"))?;
    // The rename is visible already: memory must follow it even if this fails.
    let _ = storage.sync_dir(root);
    Ok(())
}

/// Finds the live generation, creating it in an empty directory.
pub fn find(storage: &impl Storage, root: &str) -> Stored<u32> {
    if let Some(live) = read_manifest(storage, root)? {
        if let Some(files) = files(storage, &path(root, live))? {
            if !has(&files, "idx") {
                refuse_lost_index(storage, root, live)?;
            }
            return Ok(live);
        }
    }
    let entries = storage.list(root)?.unwrap_or_default();
    let mut generations: Vec<u32> = entries
        .iter()
        .filter(|e| e.is_dir)
        .filter_map(|e| manifest::parse_directory(&e.name))
        .collect();
    generations.sort_unstable_by(|a, b| b.cmp(a));
    for generation in &generations {
        let files = files(storage, &path(root, *generation))?.unwrap_or_default();
        if FILES.iter().all(|name| has(&files, name)) {
            let _ = write_manifest(storage, root, *generation);
            return Ok(*generation);
        }
    }
    if entries
        .iter()
        .any(|e| !e.is_dir && FILES.contains(&e.name.as_str()))
    {
        return adopt_flat(storage, root, &entries);
    }
    // Beyond the peer: an incomplete generation still beats an empty one.
    for generation in &generations {
        let files = files(storage, &path(root, *generation))?.unwrap_or_default();
        if has(&files, "idx") {
            let _ = write_manifest(storage, root, *generation);
            return Ok(*generation);
        }
        refuse_lost_index(storage, root, *generation)?;
    }
    storage.make_dir(&path(root, 1))?;
    write_manifest(storage, root, 1)?;
    Ok(1)
}

fn refuse_lost_index(storage: &impl Storage, root: &str, generation: u32) -> Stored<()> {
    let path = path(root, generation);
    match storage.open(&format!("{path}/dat"), false)? {
        Some(dat) if dat.length()? > 0 => Err(format!("{path} has payload bytes but its idx is missing")),
        _ => Ok(()),
    }
}

/// Moves the legacy flat layout into generation 1. Runs again after a crash with what is left.
fn adopt_flat(storage: &impl Storage, root: &str, entries: &[DirEntry]) -> Stored<u32> {
    let inner = path(root, 1);
    storage.make_dir(&inner)?;
    for name in FILES {
        if entries.iter().any(|e| !e.is_dir && e.name == name) {
            storage.rename(&format!("{root}/{name}"), &format!("{inner}/{name}"))?;
        }
    }
    storage.sync_dir(&inner)?;
    storage.sync_dir(root)?;
    write_manifest(storage, root, 1)?;
    Ok(1)
}

/// Removes a generation, if it is one: nothing but files named idx, dat, ts.
pub fn remove(storage: &impl Storage, path: &str) -> Stored<()> {
    let Some(entries) = storage.list(path)? else {
        return Ok(());
    };
    if !entries
        .iter()
        .all(|e| !e.is_dir && FILES.contains(&e.name.as_str()))
    {
        return Ok(());
    }
    for entry in entries {
        storage.remove(&format!("{path}/{}", entry.name))?;
    }
    storage.remove(path)
}

/// Removes what earlier generations and interrupted manifests left. Best effort: the next open tries again.
pub fn sweep(storage: &impl Storage, root: &str, live: u32) {
    let Ok(Some(entries)) = storage.list(root) else {
        return;
    };
    let mut damaged: Vec<(u64, &str)> = Vec::new();
    for entry in &entries {
        let path = format!("{root}/{}", entry.name);
        if entry.is_dir {
            if manifest::parse_directory(&entry.name).is_some_and(|generation| generation != live) {
                let _ = remove(storage, &path);
            }
            if let Some(moment) = entry
                .name
                .strip_prefix(DAMAGED)
                .and_then(|rest| rest.rsplit('-').next())
            {
                damaged.push((moment.parse().unwrap_or(0), &entry.name));
            }
        } else if entry.name == "manifest.tmp" {
            let _ = storage.remove(&path);
        }
    }
    damaged.sort_unstable();
    for (_, name) in damaged.iter().rev().skip(DAMAGED_KEPT) {
        let _ = remove(storage, &format!("{root}/{name}"));
    }
}

/// Sets a damaged generation aside. Best effort: when it cannot be renamed it stays until it is swept.
pub fn set_aside(storage: &impl Storage, root: &str, generation: u32, now_ns: u64) {
    let _ = storage.rename(
        &path(root, generation),
        &format!("{root}/{DAMAGED}{generation}-{}", now_ns / 1_000_000),
    );
}
