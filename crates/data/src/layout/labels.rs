//! A folder of images whose labels a table names.

use std::collections::HashMap;
use std::path::Path;

use ferrotype_core::dataset::Split;

use super::{Candidate, Layout, below, join, quoted, split_alias};
use crate::error::DataError;
use crate::label_table::{self, Row, bad};
use crate::walk::{FoundFile, Tree};

/// Sorts the files of a folder by the rows of a table.
pub(super) fn take(
    tree: Tree,
    base: &str,
    table_path: &Path,
    root: &Path,
    mut layout: Layout,
) -> Result<Layout, DataError> {
    let table = label_table::read(table_path)?;
    let places = Places::of(&tree, base);
    let mut row_of_file: Vec<Option<&Row>> = vec![None; tree.files.len()];
    for row in &table.rows {
        let Some(file) = places.find(&tree, row, table_path)? else {
            layout.skip(
                row.file.clone(),
                "missing_file",
                &format!(
                    "line {} of the table of labels names it, and there is no such image",
                    row.line
                ),
            );
            continue;
        };
        if let Some(first) = row_of_file[file].replace(row) {
            return Err(bad(
                table_path,
                format!(
                    "lines {} and {} are both of `{}`",
                    first.line, row.line, tree.files[file].name
                ),
            )
            .with_hint("keep one line for each image, with all its labels"));
        }
    }
    if row_of_file.iter().all(Option::is_none) {
        let first = table.rows.first().map_or("", |row| row.file.as_str());
        return Err(bad(
            table_path,
            format!(
                "none of the {} images that it names is in `{}`, such as `{first}`",
                table.rows.len(),
                root.display()
            ),
        )
        .with_hint("the first column is the file's name, or its path below the folder"));
    }
    note_sources(table_path, &table.names, &table.notes, &mut layout);
    let table_file = table_path.canonicalize().ok();
    let mut has_split_folders = false;
    for (file, row) in tree.files.into_iter().zip(row_of_file) {
        let Some(row) = row else {
            let is_table = !file.image_like
                && table_file.is_some()
                && file.path.canonicalize().ok() == table_file;
            if !is_table {
                skip_unnamed(file, &mut layout);
            }
            continue;
        };
        let folder_split = || split_of_folder(&file.name, base);
        has_split_folders |= row.split.is_none() && folder_split().is_some();
        layout.candidates.push(Candidate {
            split: row.split.or_else(folder_split),
            path: file.path,
            name: file.name,
            bytes: file.bytes,
            class: String::new(),
            labels: Some(row.labels.clone()),
        });
    }
    if has_split_folders {
        let note = "splits were taken from the folders around the images";
        layout.notes.push(note.to_string());
    }
    layout.label_names = Some(table.names);
    Ok(layout)
}

fn note_sources(path: &Path, names: &[String], notes: &[String], layout: &mut Layout) {
    layout.notes.push(format!(
        "{} labels were taken from `{}`; an image may have several of them, or none: {}",
        names.len(),
        path.file_name().unwrap_or_default().display(),
        quoted(names),
    ));
    layout.notes.extend_from_slice(notes);
}

fn skip_unnamed(file: FoundFile, layout: &mut Layout) {
    if file.image_like {
        layout.skip(
            file.name,
            "no_labels",
            "the table of labels does not name it; an image without labels has a row too",
        );
    } else {
        layout.skip_other(file);
    }
}

/// The split that the outermost folder around an image names.
fn split_of_folder(name: &str, base: &str) -> Option<Split> {
    let (folder, _) = below(name, base)?.split_once('/')?;
    split_alias(folder)
}

/// Where images are, by what a table may call them.
struct Places<'a> {
    base: &'a str,
    by_path: HashMap<String, usize>,
    /// By the file's name alone, and by that without its ending.
    by_name: HashMap<String, Vec<usize>>,
}

impl<'a> Places<'a> {
    fn of(tree: &Tree, base: &'a str) -> Self {
        let mut places = Self {
            base,
            by_path: HashMap::new(),
            by_name: HashMap::new(),
        };
        let images = tree.files.iter().enumerate();
        for (index, file) in images.filter(|(_, file)| file.image_like) {
            places.by_path.insert(file.name.clone(), index);
            let name = file.name.rsplit('/').next().unwrap_or_default();
            places
                .by_name
                .entry(name.to_string())
                .or_default()
                .push(index);
            if let Some((stem, _)) = name.rsplit_once('.') {
                places
                    .by_name
                    .entry(stem.to_string())
                    .or_default()
                    .push(index);
            }
        }
        places
    }

    /// The file that a row means: by its path below the folder, or by its name alone, with or
    /// without ending, where only one has it.
    fn find(&self, tree: &Tree, row: &Row, table: &Path) -> Result<Option<usize>, DataError> {
        let path = row.file.replace('\\', "/");
        let path = path.trim_start_matches("./");
        let by_path = [join(self.base, path), path.to_string()];
        if let Some(file) = by_path.iter().find_map(|path| self.by_path.get(path)) {
            return Ok(Some(*file));
        }
        match self.by_name.get(path).map(Vec::as_slice) {
            None | Some([]) => Ok(None),
            Some([only]) => Ok(Some(*only)),
            Some([first, second, ..]) => Err(bad(
                table,
                format!(
                    "`{}` in line {} may be `{}` or `{}`",
                    row.file, row.line, tree.files[*first].name, tree.files[*second].name
                ),
            )
            .with_hint("write the path below the folder into the first column")),
        }
    }
}
