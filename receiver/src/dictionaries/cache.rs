//! The files beside the journal in which fetched rows are kept, so that a start needs no server. A file is
//! believed only if the list says so and its checksum agrees; a set of files changes as a whole, by the list.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crc_fast::{CrcAlgorithm, Digest};
use schema::DictionaryVersion;
use serde::{Deserialize, Serialize};

/// A dictionary's rows in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The version that they are.
    pub version: DictionaryVersion,
    /// Name of the file; none for a version without rows.
    pub file: Option<String>,
    /// CRC32C of the file.
    pub crc: u32,
}

/// What the list says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// The newest version of all dictionaries, also those that are not kept.
    pub newest: u32,
    /// What is kept, by dictionary.
    pub kept: BTreeMap<String, Kept>,
}

/// The directory.
#[derive(Clone, Debug)]
pub struct Cache {
    directory: PathBuf,
}

impl Cache {
    /// Opens or makes the directory.
    pub fn open(data_dir: &Path) -> io::Result<Cache> {
        let directory = data_dir.join("dictionaries");
        fs::create_dir_all(&directory)?;
        Ok(Cache { directory })
    }

    /// Path of a file.
    pub fn path(&self, file: &str) -> PathBuf {
        self.directory.join(file)
    }

    /// The list and its files, if all of them are sound.
    pub fn read(&self) -> io::Result<List> {
        let list: List = serde_json::from_slice(&fs::read(self.list())?)?;
        for kept in list.kept.values() {
            let Some(file) = &kept.file else { continue };
            if checksum(&self.path(file))? != kept.crc {
                let text = format!("{file} is not as it was written");
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
        }
        Ok(list)
    }

    /// Makes this the list, durably, and removes files that it does not name.
    pub fn write(&self, list: &List) -> io::Result<()> {
        let fresh = self.directory.join("list.json.new");
        fs::write(&fresh, serde_json::to_vec_pretty(list)?)?;
        File::open(&fresh)?.sync_all()?;
        fs::rename(fresh, self.list())?;
        File::open(&self.directory)?.sync_all()?;
        let named: BTreeSet<&str> = list.kept.values().filter_map(|kept| kept.file.as_deref()).collect();
        for entry in fs::read_dir(&self.directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_rows = Path::new(&name).extension().is_some_and(|extension| extension == "rows");
            if is_rows && !name.to_str().is_some_and(|name| named.contains(name)) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }

    fn list(&self) -> PathBuf {
        self.directory.join("list.json")
    }
}

/// CRC32C of a file.
pub fn checksum(path: &Path) -> io::Result<u32> {
    let mut file = File::open(path)?;
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    let mut buffer = vec![0; 1 << 16];
    loop {
        let read = file.read(&mut buffer)?;
        let Some(bytes) = buffer.get(..read).filter(|bytes| !bytes.is_empty()) else { break };
        digest.update(bytes);
    }
    Ok(digest.finalize() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_back_and_a_changed_file_is_not_believed() {
        let data = tempfile::tempdir().unwrap();
        let cache = Cache::open(data.path()).unwrap();
        assert!(cache.read().is_err());
        for name in ["asnum_local-1.rows", "asnum_local-2.rows"] {
            fs::write(cache.path(name), b"rows").unwrap();
        }
        let crc = checksum(&cache.path("asnum_local-2.rows")).unwrap();
        let kept =
            Kept { version: DictionaryVersion::default(), file: Some("asnum_local-2.rows".to_owned()), crc };
        let list = List { newest: 2, kept: [("asnum_local".to_owned(), kept)].into() };
        cache.write(&list).unwrap();
        assert_eq!(cache.read().unwrap(), list);
        assert!(!cache.path("asnum_local-1.rows").exists());
        fs::write(cache.path("asnum_local-2.rows"), b"rowt").unwrap();
        assert!(cache.read().unwrap_err().to_string().contains("not as it was written"));
    }
}
