//! Where the key of a store's secrets comes from: from the program that opens the store, or from a file that only its owner can
//! read. Touches that file and its directory, nothing else.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use crate::store::StoreError;
use crate::store::vault::{Vault, new_key};

/// The environment variable that holds a key; the caller reads the environment and gives [`KeySource::Given`].
pub const KEY_VARIABLE: &str = "OBSTEWARD_STORE_KEY";
/// Limit for reading a key file, in bytes; a key with its line end has 45.
const LONGEST_FILE: u64 = 1024;

#[derive(Clone, Debug, Default)]
pub enum KeySource {
    /// Base64 of 32 bytes.
    Given(SecretString),
    /// A file of one line that group and others cannot read. Created together with a new store.
    File(PathBuf),
    /// The same, in the file named like the store plus `.key`.
    #[default]
    BesideStore,
}

impl KeySource {
    /// For a store that has encrypted values: without their key it is refused.
    pub(super) fn vault(&self, store: &Path) -> Result<Vault, StoreError> {
        self.existing(store)?.ok_or_else(|| {
            StoreError::Open(format!(
                "the store {} is encrypted and its key file {} is not there; restore that file, or give the key in \
                 {KEY_VARIABLE}",
                store.display(),
                self.file(store).display()
            ))
        })
    }

    /// For a store without encrypted values: a missing key file is created, and is on disk when this returns.
    pub(super) fn vault_or_new(&self, store: &Path) -> Result<Vault, StoreError> {
        if let Some(vault) = self.existing(store)? {
            return Ok(vault);
        }
        let file = self.file(store);
        if file == store {
            // The store would be created at the key's path.
            return Err(cannot("make", &file, &"the store has the same name"));
        }
        let key = new_key().map_err(|error| cannot("make", &file, &error))?;
        write(&file, &key).map_err(|error| cannot("make", &file, &error))?;
        self.vault(store)
    }

    fn file(&self, store: &Path) -> PathBuf {
        match self {
            Self::File(path) => path.clone(),
            // A given key has no file; nobody asks for its path.
            Self::BesideStore | Self::Given(_) => {
                let mut name = store.as_os_str().to_owned();
                name.push(".key");
                PathBuf::from(name)
            }
        }
    }

    /// `None`: there is no file.
    fn existing(&self, store: &Path) -> Result<Option<Vault>, StoreError> {
        match self {
            Self::Given(key) => Vault::new(key).map(Some).map_err(|error| {
                StoreError::Open(format!("the store's key from {KEY_VARIABLE} cannot be used: {error}"))
            }),
            Self::File(_) | Self::BesideStore => {
                let file = self.file(store);
                let Some(key) = read(&file)? else { return Ok(None) };
                Vault::new(&key).map(Some).map_err(|error| cannot("use", &file, &error))
            }
        }
    }
}

fn read(path: &Path) -> Result<Option<SecretString>, StoreError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(cannot("read", path, &error)),
    };
    let metadata = file.metadata().map_err(|error| cannot("read", path, &error))?;
    if !metadata.is_file() {
        return Err(cannot("read", path, &"it is not a file"));
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 != 0 {
        let path = path.display();
        return Err(StoreError::Open(format!(
            "the key file {path} can be used by others than its owner (mode {mode:03o}); run `chmod 600 {path}`, and \
             make sure that nobody has copied it"
        )));
    }
    if metadata.len() > LONGEST_FILE {
        return Err(cannot("use", path, &"it holds more than a key"));
    }
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(LONGEST_FILE).unwrap_or_default()));
    file.take(LONGEST_FILE).read_to_string(&mut text).map_err(|error| cannot("read", path, &error))?;
    Ok(Some(SecretString::from(text.trim())))
}

/// Writes a key under a temporary name first: under its own name the file is complete or absent. A file that appeared meanwhile
/// is kept.
fn write(path: &Path, key: &SecretString) -> std::io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", uuid::Uuid::new_v4()));
    let draft = PathBuf::from(draft);
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&draft)?;
    let line = Zeroizing::new(format!("{}\n", key.expose_secret()));
    let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_all());
    let linked = written.and_then(|()| match std::fs::hard_link(&draft, path) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    });
    std::fs::remove_file(&draft)?;
    linked?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

fn cannot(what: &str, path: &Path, error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Open(format!(
        "cannot {what} the key file {}, {error}; check the file, its owner and its disk",
        path.display()
    ))
}
