//! The corpus: `corpus/<target>/<name>`, small files with telling names.

use std::path::{Path, PathBuf};

/// One folder a target.
const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/corpus");
/// Where an input that broke a promise is put, to be looked at and moved into
/// the corpus.
const FOUND: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/fuzz");

/// A file of the corpus.
pub struct Seed {
    pub name: String,
    pub text: Vec<u8>,
}

/// How many targets there are.
pub fn targets() -> usize {
    std::fs::read_dir(CORPUS).unwrap().count()
}

/// The files of a target, in the order of their names.
pub fn read(target: &str) -> Vec<Seed> {
    let folder = Path::new(CORPUS).join(target);
    let files = std::fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut seeds: Vec<_> = files
        .map(|file| {
            let path = file.unwrap().path();
            Seed {
                name: path.file_name().unwrap().to_string_lossy().into_owned(),
                text: std::fs::read(&path).unwrap(),
            }
        })
        .collect();
    assert!(!seeds.is_empty(), "{} is empty", folder.display());
    seeds.sort_by(|a, b| a.name.cmp(&b.name));
    seeds
}

/// Writes down an input that broke a promise.
pub fn keep(target: &str, input: &[u8]) -> PathBuf {
    let folder = Path::new(FOUND).join(target);
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("found");
    std::fs::write(&path, input).unwrap();
    path
}
