//! Files that hold their old content or their new one, never a part.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::failpoint;

/// Names of unfinished files begin so.
const UNFINISHED: &str = ".aelab-unfinished-";

/// A file that becomes visible under its name when it is complete and on disk.
///
/// Dropped before [`AtomicFile::commit`], it leaves nothing. Killed, the process leaves a file that
/// [`remove_leftovers`] knows.
#[derive(Debug)]
pub struct AtomicFile {
    unfinished: NamedTempFile,
    path: PathBuf,
    /// Whether all that was written is on disk.
    is_synced: Cell<bool>,
}

impl AtomicFile {
    /// Begins a file that will be called `path`. The folder has to be there.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn create(path: &Path) -> io::Result<Self> {
        failpoint("create", path)?;
        let mut builder = tempfile::Builder::new();
        builder.prefix(UNFINISHED);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Temporary files are private by default; these are as readable as any other.
            builder.permissions(fs::Permissions::from_mode(0o666));
        }
        Ok(Self { unfinished: builder.tempfile_in(folder_of(path))?, path: path.to_owned(), is_synced: Cell::new(false) })
    }

    /// Where the content goes meanwhile.
    pub fn file(&mut self) -> &mut File {
        self.is_synced.set(false);
        self.unfinished.as_file_mut()
    }

    /// Waits until the content is on disk.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn sync(&self) -> io::Result<()> {
        failpoint("sync", &self.path)?;
        // A link or a rename since then is the folder's, and synced with it.
        if !self.is_synced.get() {
            self.unfinished.as_file().sync_all()?;
            self.is_synced.set(true);
        }
        Ok(())
    }

    /// Makes the content visible under another name in the same folder, too, in place of what was there: the same file twice,
    /// or, where the file system has no links, a copy. To be followed by [`AtomicFile::commit`], which makes both names last.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn publish_as(&self, path: &Path) -> io::Result<()> {
        self.sync()?;
        let mut name = std::ffi::OsString::from(UNFINISHED);
        name.push(path.file_name().unwrap_or_default());
        let beside = path.with_file_name(name);
        // Left by one that was killed.
        let _ = fs::remove_file(&beside);
        if fs::hard_link(self.unfinished.path(), &beside).is_err() {
            fs::copy(self.unfinished.path(), &beside)?;
            File::open(&beside)?.sync_all()?;
        }
        failpoint("rename", path)?;
        fs::rename(&beside, path)
    }

    /// Makes the file visible under its name, in place of one that was there, after everything is on disk.
    ///
    /// # Errors
    /// Those of the file system; the old file is then still there.
    pub fn commit(self) -> io::Result<()> {
        self.sync()?;
        failpoint("rename", &self.path)?;
        self.unfinished.persist(&self.path).map_err(|error| error.error)?;
        failpoint("sync folder", &self.path)?;
        sync_folder(folder_of(&self.path))
    }
}

/// Writes a file so that after any crash it holds either its old or its new content. Folders that are not there are
/// created.
///
/// # Errors
/// Those of the file system; the old file is then still there.
pub fn write_atomic(path: &Path, content: &[u8]) -> io::Result<()> {
    create_folder(folder_of(path))?;
    let mut file = AtomicFile::create(path)?;
    failpoint("write", path)?;
    file.file().write_all(content)?;
    file.commit()
}

/// Replaces a file as a whole, without waiting for the disk: for what is only of interest while its writer lives. A reader
/// sees the old content or the new; after a power cut the file may be empty.
///
/// # Errors
/// Those of the file system.
pub fn write_volatile(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = AtomicFile::create(path)?;
    file.file().write_all(content)?;
    file.unfinished.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Makes what was created, renamed or removed in a folder outlast a power cut.
///
/// # Errors
/// Those of the file system.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    // Elsewhere a folder cannot be opened as a file, and its entries are written with the files.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

/// Creates a folder and what is missing above it, and makes all of them outlast a power cut.
///
/// # Errors
/// Those of the file system.
pub fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let mut missing: Vec<&Path> =
        folder.ancestors().take_while(|ancestor| !ancestor.as_os_str().is_empty() && !ancestor.exists()).collect();
    fs::create_dir_all(folder)?;
    while let Some(created) = missing.pop() {
        sync_folder(folder_of(created))?;
    }
    Ok(())
}

/// Removes what killed writers left in a folder, and says how many files that was. Only for one who knows that nobody
/// writes there now.
///
/// # Errors
/// Those of the file system; a folder that is not there has nothing to remove.
pub fn remove_leftovers(folder: &Path) -> io::Result<usize> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut num_removed = 0;
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_file(entry.path())?;
            num_removed += 1;
        }
    }
    Ok(num_removed)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b/file");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(names(path.parent().unwrap()), ["file"]);
    }

    #[test]
    fn until_it_is_committed_the_old_content_stays_and_a_dropped_file_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_atomic(&path, b"old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.file().write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(file);
        assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"old".to_vec(), vec!["file".to_owned()]));
    }

    #[test]
    fn a_second_name_holds_the_same_content_and_keeps_it_when_the_first_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (last, best) = (folder.path().join("last"), folder.path().join("best"));
        let mut file = AtomicFile::create(&last).unwrap();
        file.file().write_all(b"one").unwrap();
        file.publish_as(&best).unwrap();
        file.commit().unwrap();
        write_atomic(&last, b"two").unwrap();
        assert_eq!((fs::read(&last).unwrap(), fs::read(&best).unwrap()), (b"two".to_vec(), b"one".to_vec()));
        assert_eq!(names(folder.path()).len(), 2);
    }

    #[test]
    fn leftovers_of_the_killed_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        write_atomic(&folder.path().join("file"), b"").unwrap();
        let file = AtomicFile::create(&folder.path().join("other")).unwrap();
        // What a kill does: the file stays, nobody cleans up.
        let (_, left) = file.unfinished.keep().unwrap();
        assert!(left.exists());
        assert_eq!(remove_leftovers(folder.path()).unwrap(), 1);
        assert_eq!(names(folder.path()), ["file"]);
        assert_eq!(remove_leftovers(&folder.path().join("nowhere")).unwrap(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn a_file_is_as_readable_as_any_other() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
        write_atomic(&ours, b"").unwrap();
        File::create(&plain).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode(&ours), mode(&plain));
    }

    #[test]
    fn a_folder_that_is_a_file_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        write_atomic(&file, b"").unwrap();
        assert!(write_atomic(&file.join("below"), b"").is_err());
        assert!(create_folder(&file.join("below")).is_err());
    }
}
