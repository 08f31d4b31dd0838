//! Recognises datasets of boxes (COCO, Pascal VOC, YOLO), which are refused rather than misread.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use crate::error::{DataError, DataErrorKind};
use crate::walk::{FoundFile, Tree};

/// A file that says that the folder holds boxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Annotations {
    format: &'static str,
    file: String,
}

/// Folders of detection layouts that are no classes, in lower case.
const STRUCTURE: [&str; 14] = [
    "annotation",
    "annotations",
    "images",
    "image",
    "imagesets",
    "img",
    "imgs",
    "jpegimages",
    "labels",
    "label",
    "masks",
    "train2017",
    "val2017",
    "test2017",
];

/// Annotation files beyond this many of a kind are not opened.
const MAX_OPENED: usize = 16;

/// Bytes read from each end of a file to tell what it is.
const SNIFFED_BYTES: u64 = 64 * 1024;

impl Annotations {
    /// Whether the folders found are those of a detection layout rather than classes.
    pub(crate) fn explains(&self, class_names: &BTreeSet<String>) -> bool {
        let real = class_names.iter().filter(|name| {
            let name = name.to_ascii_lowercase();
            !STRUCTURE.contains(&name.as_str())
        });
        real.count() < 2
    }

    /// The refusal of the whole folder.
    pub(crate) fn refusal(&self, root: &Path) -> DataError {
        DataError::new(
            DataErrorKind::DetectionLayout,
            format!(
                "`{}` is a dataset of boxes: `{}` holds {} annotations",
                root.display(),
                self.file,
                self.format
            ),
        )
        .with_path(root)
        .with_hint(
            "detection is not supported yet; for classification, give a folder that holds one \
             folder of images for each class",
        )
    }

    /// The warning when the folder has classes all the same.
    pub(crate) fn ignored(&self) -> String {
        format!(
            "the {} annotations in `{}` were ignored; the folders were taken as classes",
            self.format, self.file
        )
    }
}

/// A format that files of some extension may have.
struct Format {
    name: &'static str,
    extensions: &'static [&'static str],
    is_in: fn(&str) -> bool,
}

/// The formats that are told by the content of a file.
const FORMATS: [Format; 3] = [
    Format {
        name: "COCO",
        extensions: &[".json"],
        is_in: is_coco,
    },
    Format {
        name: "Pascal VOC",
        extensions: &[".xml"],
        is_in: is_voc,
    },
    Format {
        name: "YOLO",
        extensions: &[".yaml", ".yml"],
        is_in: is_yolo,
    },
];

/// Looks for annotation files of boxes below the folder.
pub(crate) fn find_annotations(tree: &Tree) -> Option<Annotations> {
    let of_format = |format: &Format| {
        files_with(tree, format.extensions)
            .take(MAX_OPENED)
            .find(|file| ends(&file.path).is_ok_and(|text| (format.is_in)(&text)))
            .map(|file| Annotations {
                format: format.name,
                file: file.name.clone(),
            })
    };
    FORMATS
        .iter()
        .find_map(of_format)
        .or_else(|| yolo_label(tree))
}

fn files_with<'a>(
    tree: &'a Tree,
    extensions: &'a [&'a str],
) -> impl Iterator<Item = &'a FoundFile> {
    tree.files.iter().filter(move |file| {
        let name = file.name.to_ascii_lowercase();
        extensions.iter().any(|extension| name.ends_with(extension))
    })
}

/// The start and the end of a file: large COCO files name their parts in either.
fn ends(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let mut bytes = Vec::new();
    file.by_ref().take(SNIFFED_BYTES).read_to_end(&mut bytes)?;
    let length = file.metadata()?.len();
    if length > SNIFFED_BYTES {
        let tail = SNIFFED_BYTES.min(length - SNIFFED_BYTES);
        file.seek(SeekFrom::Start(length - tail))?;
        file.take(tail).read_to_end(&mut bytes)?;
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// COCO: an object with at least two of the lists `images`, `annotations` and `categories`.
fn is_coco(text: &str) -> bool {
    let keys = ["\"images\"", "\"annotations\"", "\"categories\""];
    keys.iter().filter(|key| text.contains(*key)).count() >= 2
}

/// Pascal VOC: `<annotation>` with objects or a size.
fn is_voc(text: &str) -> bool {
    text.contains("<annotation") && (text.contains("<bndbox") || text.contains("<size"))
}

/// YOLO's `data.yaml`: class names and where the images lie.
fn is_yolo(text: &str) -> bool {
    let has_key = |key: &str| text.lines().any(|line| line.starts_with(key));
    has_key("names:") && (has_key("train:") || has_key("val:") || has_key("nc:"))
}

/// A text file in a folder `labels` whose lines are a class and four fractions.
fn yolo_label(tree: &Tree) -> Option<Annotations> {
    let in_labels = |file: &&FoundFile| {
        let mut parts = file.name.rsplit('/').skip(1);
        parts.any(|part| part.eq_ignore_ascii_case("labels"))
    };
    files_with(tree, &[".txt"])
        .filter(in_labels)
        .take(MAX_OPENED)
        .find(|file| ends(&file.path).is_ok_and(|text| is_yolo_label(&text)))
        .map(|file| Annotations {
            format: "YOLO",
            file: file.name.clone(),
        })
}

fn is_yolo_label(text: &str) -> bool {
    text.lines()
        .find(|line| !line.trim().is_empty())
        .is_some_and(|line| {
            let mut fields = line.split_ascii_whitespace();
            let class = fields
                .next()
                .is_some_and(|field| field.parse::<u32>().is_ok());
            let fractions: Vec<Option<f64>> = fields.map(|field| field.parse().ok()).collect();
            class
                && fractions.len() >= 4
                && fractions
                    .iter()
                    .all(|value| value.is_some_and(|v: f64| (0.0..=1.0).contains(&v)))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotation_formats_are_told_by_their_content() {
        assert!(is_coco(
            r#"{"info": {}, "images": [], "annotations": [], "categories": []}"#
        ));
        assert!(!is_coco(r#"{"images": 3}"#));
        assert!(is_voc(
            "<annotation verified=\"yes\"><object><bndbox></bndbox></object>"
        ));
        assert!(!is_voc("<svg></svg>"));
        assert!(is_yolo("train: ../train/images\nnc: 1\nnames: ['tumor']\n"));
        assert!(!is_yolo("names: [a, b]\n"));
        assert!(is_yolo_label("0 0.5 0.5 0.25 0.125\n"));
        assert!(!is_yolo_label("cat 0.5 0.5 0.25 0.125\n"));
        assert!(!is_yolo_label(""));
    }

    #[test]
    fn real_class_folders_beside_annotations_are_still_classes() {
        let found = Annotations {
            format: "COCO",
            file: "a.json".into(),
        };
        let names = |names: &[&str]| {
            names
                .iter()
                .map(ToString::to_string)
                .collect::<BTreeSet<_>>()
        };
        assert!(found.explains(&names(&["images", "Annotations"])));
        assert!(found.explains(&names(&["train2017", "val2017"])));
        assert!(!found.explains(&names(&["cat", "dog"])));
    }
}
