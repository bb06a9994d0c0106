//! Where a checkpoint's files come from.
//!
//! Weights are read by position, never mapped into memory: a mapped file that
//! somebody truncates kills the process with a signal at the next access,
//! whereas a read past its end is an error that names the file.

use std::{
    borrow::Cow,
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use super::CheckpointError;

/// A checkpoint's files, by name.
#[derive(Clone, Debug)]
pub enum Files {
    /// As published, in one directory.
    Directory(PathBuf),
    /// Inside the program: names and contents.
    Embedded(&'static [(&'static str, &'static [u8])]),
}

/// One file of weights, open for reading by position.
#[derive(Debug)]
pub struct Stored {
    name: String,
    length: u64,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    File(File),
    Embedded(&'static [u8]),
}

// === impl Files ===

impl Files {
    /// The files of a directory.
    ///
    /// # Errors
    ///
    /// [`CheckpointError::NotADirectory`].
    pub fn directory(path: &Path) -> Result<Self, CheckpointError> {
        if path.is_dir() {
            return Ok(Self::Directory(path.to_owned()));
        }
        Err(CheckpointError::NotADirectory { path: path.display().to_string() })
    }

    /// The whole of a small file; `None` if there is none of this name.
    ///
    /// # Errors
    ///
    /// Unless it is a regular file of at most `limit` bytes that can be read.
    pub fn read(&self, name: &str, limit: u64) -> Result<Option<Cow<'static, [u8]>>, CheckpointError> {
        let too_large = || CheckpointError::TooLarge { file: name.to_owned(), limit };
        let Some(stored) = self.open(name)? else { return Ok(None) };
        if stored.length > limit {
            return Err(too_large());
        }
        match stored.bytes {
            Bytes::Embedded(bytes) => Ok(Some(Cow::Borrowed(bytes))),
            Bytes::File(file) => {
                let mut bytes = Vec::new();
                // One byte beyond the limit tells a file that grew meanwhile.
                let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes);
                let read = read.map_err(|source| CheckpointError::Read { file: name.to_owned(), source })?;
                if read as u64 > limit { Err(too_large()) } else { Ok(Some(Cow::Owned(bytes))) }
            }
        }
    }

    /// The whole of a small file that every checkpoint has.
    ///
    /// # Errors
    ///
    /// As [`Files::read`], and [`CheckpointError::Missing`].
    pub fn require(&self, name: &str, limit: u64) -> Result<Cow<'static, [u8]>, CheckpointError> {
        self.read(name, limit)?.ok_or_else(|| CheckpointError::Missing { file: name.to_owned() })
    }

    /// Opens a file to read parts of it; `None` if there is none of this name.
    ///
    /// # Errors
    ///
    /// Unless it is a regular file that can be opened.
    pub fn open(&self, name: &str) -> Result<Option<Stored>, CheckpointError> {
        let (length, bytes) = match self {
            Self::Embedded(files) => {
                let Some((_, bytes)) = files.iter().find(|(known, _)| *known == name) else { return Ok(None) };
                (bytes.len() as u64, Bytes::Embedded(bytes))
            }
            Self::Directory(directory) => {
                let unreadable = |source| CheckpointError::Read { file: name.to_owned(), source };
                let path = directory.join(name);
                // Asked first, because opening a pipe waits for a writer.
                match fs::metadata(&path) {
                    Ok(metadata) if metadata.is_file() => {}
                    Ok(_) => return Err(CheckpointError::NotRegular { file: name.to_owned() }),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    Err(error) => return Err(unreadable(error)),
                }
                let file = File::open(&path).map_err(unreadable)?;
                let length = file.metadata().map_err(unreadable)?.len();
                (length, Bytes::File(file))
            }
        };
        Ok(Some(Stored { name: name.to_owned(), length, bytes }))
    }
}

// === impl Stored ===

impl Stored {
    /// The file's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many bytes it had when it was opened.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Fills `buffer` with the bytes that begin at `offset`.
    ///
    /// # Errors
    ///
    /// If the file ends before, or cannot be read.
    pub fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<(), CheckpointError> {
        let read = match &self.bytes {
            Bytes::File(file) => file.read_exact_at(buffer, offset),
            Bytes::Embedded(bytes) => slice(bytes, offset, buffer.len())
                .map(|part| buffer.copy_from_slice(part))
                .ok_or_else(|| io::ErrorKind::UnexpectedEof.into()),
        };
        read.map_err(|source| CheckpointError::Read { file: self.name.clone(), source })
    }
}

fn slice(bytes: &[u8], offset: u64, length: usize) -> Option<&[u8]> {
    let start = usize::try_from(offset).ok()?;
    bytes.get(start..start.checked_add(length)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_beyond_its_limit_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("config.json"), vec![b' '; 11]).unwrap();
        let files = Files::directory(directory.path()).unwrap();

        let refused = files.read("config.json", 10).unwrap_err();
        assert_eq!(refused.to_string(), "config.json has more than 10 bytes");
        assert_eq!(files.read("config.json", 11).unwrap().unwrap().len(), 11);
    }

    #[test]
    fn what_is_no_regular_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("config.json")).unwrap();
        let files = Files::directory(directory.path()).unwrap();

        assert_eq!(files.read("config.json", 10).unwrap_err().to_string(), "config.json is not a regular file");
        let missing = files.require("tokenizer.json", 10).unwrap_err();
        assert_eq!(missing.to_string(), "tokenizer.json is missing from the checkpoint");
    }

    #[test]
    fn links_into_a_cache_are_followed() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("blob"), "{}").unwrap();
        std::os::unix::fs::symlink("blob", directory.path().join("config.json")).unwrap();
        let files = Files::directory(directory.path()).unwrap();

        assert_eq!(*files.require("config.json", 10).unwrap(), *b"{}");
    }

    #[test]
    fn embedded_files_are_read_like_others() {
        let files = Files::Embedded(&[("config.json", b"0123456789")]);
        assert_eq!(*files.require("config.json", 10).unwrap(), *b"0123456789");
        assert!(files.read("config.json", 9).is_err());
        assert!(files.read("other", 9).unwrap().is_none());

        let stored = files.open("config.json").unwrap().unwrap();
        let mut part = [0; 3];
        stored.read_at(7, &mut part).unwrap();
        assert_eq!(part, *b"789");
        assert!(stored.read_at(8, &mut part).is_err());
        assert!(stored.read_at(u64::MAX, &mut part).is_err());
    }
}
