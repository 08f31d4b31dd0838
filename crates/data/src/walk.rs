//! Every file below a folder, named safely, with what must not be followed left out.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use ferrotype_core::report::Skipped;
use walkdir::{DirEntry, WalkDir};

use crate::error::{DataError, DataErrorKind};

/// A regular file below the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundFile {
    /// Where to read it.
    pub(crate) path: PathBuf,
    /// Its path below the folder as text, see [`relative_name`].
    pub(crate) name: String,
    /// Its size when it was found.
    pub(crate) bytes: u64,
    /// Whether its extension or its first bytes promise an image.
    pub(crate) image_like: bool,
}

/// What lies below a folder.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// The files, sorted by name.
    pub(crate) files: Vec<FoundFile>,
    /// The folders that are not hidden, sorted by name, the root itself left out.
    pub(crate) folders: Vec<String>,
    /// What was not followed or not readable.
    pub(crate) skipped: Vec<Skipped>,
}

/// Extensions of image formats, also of those that cannot be decoded: these are reported by the decoder.
const IMAGE_EXTENSIONS: [&str; 22] = [
    "avif", "bmp", "dib", "gif", "heic", "heif", "ico", "jfif", "jp2", "jpe", "jpeg", "jpg", "jxl",
    "pbm", "pgm", "png", "pnm", "ppm", "tga", "tif", "tiff", "webp",
];

/// First bytes of the formats that are commonly found without an extension.
const IMAGE_SIGNATURES: [&[u8]; 7] = [
    b"\xff\xd8\xff",
    b"\x89PNG\r\n\x1a\n",
    b"GIF87a",
    b"GIF89a",
    b"II*\0",
    b"MM\0*",
    b"BM",
];

/// The kind of skipped files and folders that are hidden or clutter.
pub(crate) const HIDDEN: &str = "hidden";

/// Folders and files that systems and tools leave behind.
const CLUTTER: [&str; 4] = ["__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir"];

/// Finds every file below `root`.
///
/// Symbolic links to files inside `root` are read as those files; links to anywhere else, links to
/// folders, and whatever is no regular file are reported and never opened.
pub(crate) fn walk(root: &Path) -> Result<Tree, DataError> {
    let real_root = resolve_root(root)?;
    let mut tree = Tree::default();
    let mut entries = WalkDir::new(&real_root)
        .min_depth(1)
        .follow_links(false)
        .into_iter();
    while let Some(entry) = entries.next() {
        match entry {
            Err(error) => tree.skipped.push(unreadable(&real_root, &error)),
            Ok(entry) if is_clutter(entry.file_name()) => {
                if entry.file_type().is_dir() {
                    entries.skip_current_dir();
                }
                let name = relative_name(&real_root, entry.path());
                tree.skip(name, HIDDEN, "hidden, or left behind by a system or a tool");
            }
            Ok(entry) => tree.take(&real_root, &entry),
        }
    }
    tree.files.sort_by(|a, b| a.name.cmp(&b.name));
    tree.folders.sort();
    tree.skipped.sort_by(|a, b| a.item.cmp(&b.item));
    Ok(tree)
}

/// The folder with all links resolved.
fn resolve_root(root: &Path) -> Result<PathBuf, DataError> {
    let real = root.canonicalize().map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => DataError::new(
            DataErrorKind::NotFound,
            format!("`{}` does not exist", root.display()),
        )
        .with_path(root)
        .with_hint("check the spelling; the path is taken from the current folder"),
        _ => DataError::io("open", root, source),
    })?;
    if real.is_dir() {
        return Ok(real);
    }
    Err(DataError::new(
        DataErrorKind::NotAFolder,
        format!("`{}` is a file, not a folder", root.display()),
    )
    .with_path(root)
    .with_hint("unpack archives first, then give the folder that holds one folder for each class"))
}

impl Tree {
    fn skip(&mut self, item: String, kind: &str, reason: &str) {
        self.skipped.push(Skipped {
            item,
            kind: kind.to_string(),
            reason: reason.to_string(),
        });
    }

    /// Sorts one entry of the walk to where it belongs.
    fn take(&mut self, root: &Path, entry: &DirEntry) {
        let name = relative_name(root, entry.path());
        let kind = entry.file_type();
        if kind.is_dir() {
            self.folders.push(name);
        } else if kind.is_symlink() {
            match link_target(root, entry.path()) {
                Ok(target) => self.add_file(target, name),
                Err((kind, reason)) => self.skip(name, kind, reason),
            }
        } else if kind.is_file() {
            self.add_file(entry.path().to_path_buf(), name);
        } else {
            self.skip(name, "special_file", "a pipe, socket or device, not a file");
        }
    }

    fn add_file(&mut self, path: PathBuf, name: String) {
        match std::fs::metadata(&path) {
            Ok(metadata) => self.files.push(FoundFile {
                bytes: metadata.len(),
                image_like: looks_like_image(&path),
                path,
                name,
            }),
            Err(error) => self.skip(name, "unreadable", &error.to_string()),
        }
    }
}

/// The file inside `root` that a symbolic link leads to, or why it is not followed.
fn link_target(root: &Path, link: &Path) -> Result<PathBuf, (&'static str, &'static str)> {
    let target = link.canonicalize().map_err(|_| {
        (
            "broken_link",
            "a symbolic link to something that does not exist",
        )
    })?;
    if !target.starts_with(root) {
        return Err((
            "link_outside",
            "a symbolic link that leads out of the folder; copy the file in to import it",
        ));
    }
    if target.is_dir() {
        return Err((
            "link_to_folder",
            "a symbolic link to a folder; its files are taken where they lie",
        ));
    }
    if !target.is_file() {
        return Err((
            "special_file",
            "a link to a pipe, socket or device, not a file",
        ));
    }
    Ok(target)
}

fn unreadable(root: &Path, error: &walkdir::Error) -> Skipped {
    let item = error.path().map_or_else(
        || ".".to_string(),
        |path| match relative_name(root, path) {
            name if name.is_empty() => ".".to_string(),
            name => name,
        },
    );
    let reason = error
        .io_error()
        .map_or_else(|| error.to_string(), ToString::to_string);
    Skipped {
        item,
        kind: "unreadable".to_string(),
        reason,
    }
}

fn is_clutter(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") || CLUTTER.iter().any(|clutter| name == *clutter)
}

/// Whether a file is worth decoding: by its extension, else by its first bytes.
fn looks_like_image(path: &Path) -> bool {
    let by_extension = path
        .extension()
        .and_then(OsStr::to_str)
        .is_some_and(|extension| {
            IMAGE_EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str())
        });
    by_extension || starts_like_image(path).unwrap_or(false)
}

fn starts_like_image(path: &Path) -> std::io::Result<bool> {
    let mut head = Vec::with_capacity(16);
    File::open(path)?.take(16).read_to_end(&mut head)?;
    let is_webp = head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP");
    Ok(is_webp
        || IMAGE_SIGNATURES
            .iter()
            .any(|signature| head.starts_with(signature)))
}

/// The path below `root` as printable text with `/` between the parts.
///
/// Bytes that are no UTF-8 and control characters become `\xNN`, a backslash becomes `\\`: two
/// different paths never get the same name, and a name can be printed without harm.
pub(crate) fn relative_name(root: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<String> = relative
        .components()
        .map(|part| escape(part.as_os_str()))
        .collect();
    parts.join("/")
}

/// Text as a path or a part of one, printable: see [`relative_name`].
pub(crate) fn escape(part: &OsStr) -> String {
    let mut text = String::with_capacity(part.len());
    for chunk in part.as_encoded_bytes().utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                control if control.is_control() => {
                    let mut buffer = [0; 4];
                    push_bytes(&mut text, control.encode_utf8(&mut buffer).as_bytes());
                }
                other => text.push(other),
            }
        }
        push_bytes(&mut text, chunk.invalid());
    }
    text
}

fn push_bytes(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push_str(&format!("\\x{byte:02x}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, name: &str, bytes: &[u8]) {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn kinds(tree: &Tree) -> Vec<(&str, &str)> {
        tree.skipped
            .iter()
            .map(|skipped| (skipped.item.as_str(), skipped.kind.as_str()))
            .collect()
    }

    #[test]
    fn files_are_found_sorted_and_hidden_ones_are_reported() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "b/x (1) [2].JPG", b"");
        write(folder.path(), "a/y.txt", b"text");
        write(folder.path(), "a/no_extension", b"GIF89a.........");
        write(folder.path(), ".git/config", b"");
        write(folder.path(), "a/.hidden.jpg", b"");
        let tree = walk(folder.path()).unwrap();
        let names: Vec<(&str, bool)> = tree
            .files
            .iter()
            .map(|file| (file.name.as_str(), file.image_like))
            .collect();
        assert_eq!(
            names,
            [
                ("a/no_extension", true),
                ("a/y.txt", false),
                ("b/x (1) [2].JPG", true)
            ]
        );
        assert_eq!(tree.folders, ["a", "b"]);
        assert_eq!(
            kinds(&tree),
            [(".git", "hidden"), ("a/.hidden.jpg", "hidden")]
        );
    }

    #[test]
    fn a_missing_folder_and_a_file_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "file.zip", b"");
        let missing = walk(&folder.path().join("none")).unwrap_err();
        assert_eq!(missing.kind(), DataErrorKind::NotFound);
        let file = walk(&folder.path().join("file.zip")).unwrap_err();
        assert_eq!(file.kind(), DataErrorKind::NotAFolder);
        assert!(file.hint().unwrap().contains("unpack"));
    }

    #[cfg(unix)]
    #[test]
    fn links_are_followed_only_to_files_inside() {
        use std::os::unix::fs::symlink;
        let outside = tempfile::tempdir().unwrap();
        write(outside.path(), "secret.png", b"");
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a/x.png", b"12345");
        symlink("x.png", folder.path().join("a/inside.png")).unwrap();
        symlink(
            outside.path().join("secret.png"),
            folder.path().join("a/outside.png"),
        )
        .unwrap();
        symlink("../a", folder.path().join("a/loop")).unwrap();
        symlink("gone.png", folder.path().join("a/broken.png")).unwrap();
        let tree = walk(folder.path()).unwrap();
        let names: Vec<(&str, u64)> = tree
            .files
            .iter()
            .map(|file| (file.name.as_str(), file.bytes))
            .collect();
        assert_eq!(names, [("a/inside.png", 5), ("a/x.png", 5)]);
        assert_eq!(
            kinds(&tree),
            [
                ("a/broken.png", "broken_link"),
                ("a/loop", "link_to_folder"),
                ("a/outside.png", "link_outside")
            ]
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_socket_is_reported_and_never_opened() {
        let folder = tempfile::tempdir().unwrap();
        let _socket =
            std::os::unix::net::UnixListener::bind(folder.path().join("socket.png")).unwrap();
        let tree = walk(folder.path()).unwrap();
        assert_eq!(kinds(&tree), [("socket.png", "special_file")]);
    }

    #[cfg(unix)]
    #[test]
    fn names_that_read_alike_stay_apart() {
        use std::os::unix::ffi::OsStrExt;
        let names = [
            OsStr::from_bytes(b"\xff.png"),
            OsStr::from_bytes(b"\xfe.png"),
            OsStr::new("\\xff.png"),
            OsStr::new("\u{fffd}.png"),
            OsStr::new("a\nb\u{1b}[31m.png"),
        ];
        let escaped: Vec<String> = names.into_iter().map(escape).collect();
        assert_eq!(
            escaped,
            [
                "\\xff.png",
                "\\xfe.png",
                "\\\\xff.png",
                "\u{fffd}.png",
                "a\\x0ab\\x1b[31m.png"
            ]
        );
    }
}
