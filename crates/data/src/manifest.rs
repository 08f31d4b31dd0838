//! The list of a dataset version's images, as it is stored and as it is identified.

use ferrotype_core::dataset::{ImageEntry, Split};
use ferrotype_core::manifest::Task;
use ferrotype_store::{DatasetVersion, Digest, Store};
use serde::{Deserialize, Serialize};

use crate::error::{DataError, DataErrorKind};
use crate::split::SplitPolicy;

/// Tells a manifest from other JSON Lines.
const FORMAT: &str = "ferrotype-dataset";

/// The newest manifest format that this program knows; a newer one is refused.
const FORMAT_VERSION: u32 = 2;

/// The format that is written: the oldest that can say it, so that a program that knows nothing of
/// several labels reads what has none and refuses what has.
const fn format_version(task: Task) -> u32 {
    match task {
        Task::MultiLabel => 2,
        _ => 1,
    }
}

/// The images of a dataset version.
///
/// Stored as JSON Lines: a header, then one [`ImageEntry`] a line, sorted by path.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetManifest {
    /// Whether each image has one class or any number of labels.
    pub task: Task,
    /// Class names, sorted; an entry's class and labels are indices into them.
    pub classes: Vec<String>,
    /// Where the splits come from.
    pub split: SplitPolicy,
    /// The images, sorted by path.
    pub entries: Vec<ImageEntry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Header {
    format: String,
    format_version: u32,
    images: u64,
    #[serde(default, skip_serializing_if = "is_classification")]
    task: Task,
    classes: Vec<String>,
    split: SplitPolicy,
}

fn is_classification(task: &Task) -> bool {
    *task == Task::Classification
}

impl DatasetManifest {
    /// The images of one split, in the manifest's order.
    pub fn entries_in(&self, split: Split) -> impl Iterator<Item = &ImageEntry> {
        self.entries
            .iter()
            .filter(move |entry| entry.split == split)
    }

    /// BLAKE3 over what makes the version what it is: classes, and for each image its path,
    /// content, class and split, and how the splits were made.
    ///
    /// Sizes, modes and formats follow from the content and are left out, so that a decoder that
    /// learns to name them better does not make a new version of an old folder. What each image
    /// has is a class number or the numbers of its labels, which no list of digits can be taken for.
    pub fn identity(&self) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key("ferrotype 2026 dataset version");
        let mut text = |text: &str| {
            // Length first: no two lists of texts give the same bytes.
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        if self.task.is_multi_label() {
            text("several labels an image");
        }
        text(&self.classes.len().to_string());
        self.classes.iter().for_each(|class| text(class));
        match &self.split.assigned {
            None => text("given"),
            Some(assigned) => {
                text("assigned");
                text(&assigned.seed.to_string());
                for split in &assigned.splits {
                    text(split.as_str());
                }
                for split in Split::ALL {
                    text(&assigned.ratios.share(split).to_bits().to_string());
                }
            }
        }
        for entry in &self.entries {
            text(&entry.path);
            text(&entry.digest);
            match &entry.label_set {
                None => text(&entry.class.to_string()),
                Some(labels) => {
                    let numbers: Vec<String> = labels.iter().map(u32::to_string).collect();
                    text(&numbers.join("|"));
                }
            }
            text(entry.split.as_str());
        }
        Digest::from(*hasher.finalize().as_bytes())
    }

    /// The stored form.
    ///
    /// # Errors
    /// When a value has no JSON form, which none of these should.
    pub fn to_json_lines(&self) -> Result<Vec<u8>, DataError> {
        let unwritable = |source: serde_json::Error| {
            DataError::new(
                DataErrorKind::Corrupt,
                "the manifest cannot be written as JSON",
            )
            .with_source(source)
        };
        let header = Header {
            format: FORMAT.to_string(),
            format_version: format_version(self.task),
            task: self.task,
            images: self.entries.len() as u64,
            classes: self.classes.clone(),
            split: self.split.clone(),
        };
        let mut lines = Vec::with_capacity(256 * (self.entries.len() + 1));
        serde_json::to_writer(&mut lines, &header).map_err(unwritable)?;
        lines.push(b'\n');
        for entry in &self.entries {
            serde_json::to_writer(&mut lines, entry).map_err(unwritable)?;
            lines.push(b'\n');
        }
        Ok(lines)
    }

    /// Reads the stored form, checking that it is whole.
    ///
    /// # Errors
    /// When it is no manifest, cut off, inconsistent, or of a newer format.
    pub fn from_json_lines(bytes: &[u8]) -> Result<Self, DataError> {
        let mut lines = bytes
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        let header = read_header(lines.next().unwrap_or_default())?;
        let entries = lines
            .map(serde_json::from_slice)
            .collect::<Result<Vec<ImageEntry>, _>>()
            .map_err(|source| corrupt("a line is no image entry").with_source(source))?;
        if entries.len() as u64 != header.images {
            return Err(corrupt(&format!(
                "it names {} images and lists {}",
                header.images,
                entries.len()
            )));
        }
        let classes = header.classes.len();
        let is_unlisted = |entry: &&ImageEntry| {
            entry
                .labels()
                .iter()
                .any(|class| *class as usize >= classes)
        };
        if let Some(entry) = entries.iter().find(is_unlisted) {
            return Err(corrupt(&format!(
                "`{}` has a class that is not listed",
                entry.path
            )));
        }
        let is_multi_label = header.task.is_multi_label();
        if let Some(entry) = entries
            .iter()
            .find(|entry| entry.label_set.is_some() != is_multi_label)
        {
            return Err(corrupt(&format!(
                "`{}` does not have {}",
                entry.path,
                if is_multi_label {
                    "labels, as the others"
                } else {
                    "one class, as the others"
                }
            )));
        }
        Ok(Self {
            task: header.task,
            classes: header.classes,
            split: header.split,
            entries,
        })
    }
}

fn read_header(line: &[u8]) -> Result<Header, DataError> {
    #[derive(Deserialize)]
    struct Format {
        format: String,
        format_version: u32,
    }
    let format: Format = serde_json::from_slice(line)
        .map_err(|source| corrupt("its first line is no header").with_source(source))?;
    if format.format != FORMAT {
        return Err(corrupt("it is of another format"));
    }
    if format.format_version > FORMAT_VERSION {
        return Err(DataError::new(
            DataErrorKind::NewerFormat,
            format!(
                "the dataset's manifest has format {}, this program reads up to {FORMAT_VERSION}",
                format.format_version
            ),
        )
        .with_hint("use the newer ferrotype that imported it"));
    }
    serde_json::from_slice(line)
        .map_err(|source| corrupt("its header is incomplete").with_source(source))
}

fn corrupt(what: &str) -> DataError {
    DataError::new(
        DataErrorKind::Corrupt,
        format!("the dataset's manifest is damaged: {what}"),
    )
    .with_hint("import the folder again")
}

/// Reads the manifest of a dataset version from the store's blobs. Blocks on the disk.
///
/// # Errors
/// When the blob is missing or damaged.
pub fn load_manifest(
    store: &Store,
    version: &DatasetVersion,
) -> Result<DatasetManifest, DataError> {
    DatasetManifest::from_json_lines(&store.blobs().get(&version.manifest_digest)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::split::{AssignedSplits, SplitRatios};

    fn entry(path: &str, class: u32) -> ImageEntry {
        ImageEntry {
            path: path.into(),
            digest: blake3::hash(path.as_bytes()).to_hex().to_string(),
            bytes: 3,
            width: 4,
            height: 5,
            mode: "RGB".into(),
            format: "png".into(),
            class,
            label_set: None,
            split: Split::Train,
        }
    }

    fn manifest() -> DatasetManifest {
        DatasetManifest {
            task: Task::Classification,
            classes: vec!["cat".into(), "dog".into()],
            split: SplitPolicy {
                given: vec![],
                assigned: Some(AssignedSplits {
                    seed: 3,
                    ratios: SplitRatios::default(),
                    splits: vec![Split::Val, Split::Test],
                }),
            },
            entries: vec![entry("cat/a\\x0a.png", 0), entry("dog/ü \"1\".png", 1)],
        }
    }

    #[test]
    fn a_manifest_survives_its_stored_form() {
        let bytes = manifest().to_json_lines().unwrap();
        assert_eq!(
            DatasetManifest::from_json_lines(&bytes).unwrap(),
            manifest()
        );
        assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 3);
    }

    /// The same with several labels an image.
    fn labelled() -> DatasetManifest {
        let mut manifest = manifest();
        manifest.task = Task::MultiLabel;
        manifest.entries[0].label_set = Some(vec![0, 1]);
        manifest.entries[1].label_set = Some(vec![]);
        manifest
    }

    #[test]
    fn what_has_one_class_is_written_and_identified_as_before_there_were_labels() {
        let bytes = manifest().to_json_lines().unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("\"format_version\":1"), "{text}");
        assert!(
            !text.contains("task") && !text.contains("label_set"),
            "{text}"
        );
        assert_eq!(
            manifest().identity().to_string(),
            "ca105f46a8628d2ef767320d363110ac0a3e5a45bc032c406b6e64d730e8e80c"
        );
    }

    #[test]
    fn labels_survive_the_stored_form_and_are_part_of_the_identity() {
        let bytes = labelled().to_json_lines().unwrap();
        assert!(String::from_utf8_lossy(&bytes).contains("\"format_version\":2"));
        assert_eq!(
            DatasetManifest::from_json_lines(&bytes).unwrap(),
            labelled()
        );
        let mut other = labelled();
        other.entries[1].label_set = Some(vec![1]);
        assert_ne!(other.identity(), labelled().identity());
        assert_ne!(manifest().identity(), labelled().identity());
    }

    #[test]
    fn labels_that_are_not_listed_or_not_everywhere_are_refused() {
        for labels in [Some(vec![0, 2]), None] {
            let mut damaged = labelled();
            damaged.entries[0].label_set = labels;
            let bytes = damaged.to_json_lines().unwrap();
            let error = DatasetManifest::from_json_lines(&bytes).unwrap_err();
            assert_eq!(error.kind(), DataErrorKind::Corrupt);
        }
    }

    #[test]
    fn a_damaged_manifest_is_refused() {
        let bytes = manifest().to_json_lines().unwrap();
        let cut = &bytes[..bytes.len() - 20];
        let without_last =
            &bytes[..bytes.len() - 1 - bytes.rsplit(|b| *b == b'\n').nth(1).unwrap().len()];
        for damaged in [cut, without_last, b"", b"{}", b"\xff\xfe"] {
            let error = DatasetManifest::from_json_lines(damaged).unwrap_err();
            assert_eq!(error.kind(), DataErrorKind::Corrupt);
        }
    }

    #[test]
    fn a_newer_format_is_refused_before_it_is_understood() {
        let newer = br#"{"format":"ferrotype-dataset","format_version":9,"shape":"new"}"#;
        let error = DatasetManifest::from_json_lines(newer).unwrap_err();
        assert_eq!(error.kind(), DataErrorKind::NewerFormat);
    }

    #[test]
    fn the_identity_changes_with_what_matters_and_with_nothing_else() {
        let identity = manifest().identity();
        let changed = |change: fn(&mut DatasetManifest)| {
            let mut manifest = manifest();
            change(&mut manifest);
            manifest.identity() != identity
        };
        assert!(!changed(|_| ()));
        assert!(!changed(|m| m.entries[0].mode = "L".into()));
        assert!(changed(|m| m.entries[0].path = "cat/b.png".into()));
        assert!(changed(
            |m| m.entries[0].digest = m.entries[1].digest.clone()
        ));
        assert!(changed(|m| m.entries[0].class = 1));
        assert!(changed(|m| m.entries[0].split = Split::Test));
        assert!(changed(|m| m.classes[1] = "dogs".into()));
        assert!(changed(|m| m.split.assigned = None));
        assert!(changed(|m| drop(m.entries.pop())));
    }
}
