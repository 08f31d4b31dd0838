//! A table that names the labels of each image: a CSV file with a header, whose first column is
//! the image's file. The labels are either a column each, with `1` where the image has it and `0`
//! where not, or names in one column, with `|` or `;` between them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use csv::StringRecord;
use ferrotype_core::dataset::Split;

use crate::error::{DataError, DataErrorKind};
use crate::layout::{quoted, split_alias};

/// The name of a table that is read without being asked for.
pub(crate) const FILE_NAME: &str = "labels.csv";

/// Tables above this are not read.
const MAX_BYTES: u64 = 256 << 20;

/// More labels than this are no labels, but some other text.
const MAX_LABELS: usize = 1000;

/// Headers of the column that lists an image's labels, in lower case.
const LIST_HEADERS: [&str; 8] = [
    "labels",
    "label",
    "finding labels",
    "findings",
    "tags",
    "classes",
    "categories",
    "attributes",
];

/// ChestX-ray14's words for no label, in lower case.
const NO_FINDING: &str = "no finding";

/// A table of labels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LabelTable {
    /// The labels' names, sorted.
    pub(crate) names: Vec<String>,
    /// The images, in the table's order.
    pub(crate) rows: Vec<Row>,
    /// How it was understood.
    pub(crate) notes: Vec<String>,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its line in the file, counted from 1.
    pub(crate) line: u64,
    /// The image's file, as the table names it.
    pub(crate) file: String,
    /// Names of the image's labels.
    pub(crate) labels: BTreeSet<String>,
    /// The split, where the table has a column of that name.
    pub(crate) split: Option<Split>,
}

/// What each column of the table is.
struct Columns {
    split: Option<usize>,
    labels: LabelColumns,
    /// Headers of columns that say nothing about labels.
    ignored: Vec<String>,
}

enum LabelColumns {
    /// A column of names.
    List(usize),
    /// A column for each label, with its name.
    Indicators(Vec<(usize, String)>),
}

/// Reads a table. Blocks on the disk.
///
/// # Errors
/// Names the line and what is wrong there: no header, a value that is neither 0 nor 1, an unknown
/// split, a row of another length.
pub(crate) fn read(path: &Path) -> Result<LabelTable, DataError> {
    let io = |source| match path.exists() {
        true => DataError::io("read", path, source),
        false => bad(path, "there is no such file".into())
            .with_hint("check the spelling; the path is taken from the current folder"),
    };
    let size = fs::metadata(path).map_err(io)?.len();
    if size > MAX_BYTES {
        return Err(bad(
            path,
            format!("it has {size} bytes, the limit is {MAX_BYTES}"),
        ));
    }
    let bytes = fs::read(path).map_err(io)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|source| bad(path, "it is no UTF-8 text".into()).with_source(source))?;
    parse(text.trim_start_matches('\u{feff}'), path)
}

/// `path` is only for messages.
pub(crate) fn parse(text: &str, path: &Path) -> Result<LabelTable, DataError> {
    // The reader's line numbers leave out the `\n` that follows a `\r`.
    let text = &text.replace("\r\n", "\n");
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter(text))
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let unreadable = |source: csv::Error| match source.kind() {
        csv::ErrorKind::UnequalLengths {
            pos: Some(position),
            expected_len,
            len,
        } => bad(
            path,
            format!(
                "line {} has {len} columns, the header has {expected_len}",
                position.line()
            ),
        )
        .with_hint("a name or label with a comma in it stands in quotes"),
        _ => bad(path, source.to_string()),
    };
    let header = reader.headers().map_err(unreadable)?.clone();
    let columns = Columns::of(&header, path)?;
    let mut table = LabelTable {
        names: Vec::new(),
        rows: Vec::new(),
        notes: Vec::new(),
    };
    let mut names: BTreeSet<String> = match &columns.labels {
        LabelColumns::List(_) => BTreeSet::new(),
        LabelColumns::Indicators(labels) => labels.iter().map(|(_, name)| name.clone()).collect(),
    };
    let mut has_no_finding = false;
    for record in reader.records() {
        let record = record.map_err(unreadable)?;
        let row = columns.row(&record, path, &mut has_no_finding)?;
        names.extend(row.labels.iter().cloned());
        if names.len() > MAX_LABELS {
            return Err(bad(
                path,
                format!(
                    "it names more than {MAX_LABELS} labels by line {}",
                    row.line
                ),
            )
            .with_hint("is that the column of labels? name it `labels`"));
        }
        table.rows.push(row);
    }
    check_names(&names, &table.rows, path)?;
    table.names = names.into_iter().collect();
    if has_no_finding {
        let note = "`No Finding` was read as no label at all";
        table.notes.push(note.to_string());
    }
    if !columns.ignored.is_empty() {
        let ignored = quoted(&columns.ignored);
        table.notes.push(format!(
            "the table's columns {ignored} say nothing of labels"
        ));
    }
    Ok(table)
}

/// What is between the columns: a comma, or else what the header has.
fn delimiter(text: &str) -> u8 {
    let header = text.lines().next().unwrap_or_default();
    [b',', b'\t', b';']
        .into_iter()
        .find(|delimiter| header.as_bytes().contains(delimiter))
        .unwrap_or(b',')
}

fn check_names(names: &BTreeSet<String>, rows: &[Row], path: &Path) -> Result<(), DataError> {
    if rows.is_empty() {
        return Err(bad(path, "it has no rows below its header".into()));
    }
    if names.len() >= 2 {
        return Ok(());
    }
    let found = match names.first() {
        None => "it names no label".to_string(),
        Some(only) => format!("it names a single label, `{only}`"),
    };
    Err(bad(path, format!("{found}; two are needed")).with_hint(
        "for one question of yes or no, put the images into two folders named after the answers",
    ))
}

impl Columns {
    fn of(header: &StringRecord, path: &Path) -> Result<Self, DataError> {
        let lower: Vec<String> = header.iter().map(str::to_lowercase).collect();
        if let Some(column) = (1..lower.len()).find(|&column| lower[column].is_empty()) {
            return Err(bad(
                path,
                format!("column {} has no name in the first line", column + 1),
            ));
        }
        if let Some(column) =
            (1..lower.len()).find(|&column| lower[..column].contains(&lower[column]))
        {
            return Err(bad(
                path,
                format!("two columns are named `{}`", &header[column]),
            ));
        }
        let split = (1..lower.len()).find(|&column| lower[column] == "split");
        let others: Vec<usize> = (1..lower.len()).filter(|&c| Some(c) != split).collect();
        let list = LIST_HEADERS
            .iter()
            .find_map(|name| others.iter().copied().find(|&c| lower[c] == *name));
        let labels = match (list, others.as_slice()) {
            (Some(column), _) => LabelColumns::List(column),
            (None, []) => {
                return Err(bad(
                    path,
                    "its first line names no column of labels after the file's".into(),
                )
                .with_hint(
                    "expected `file,labels` or `file,LABEL,LABEL…`, such as `file,cat,dog`",
                ));
            }
            (None, [only]) => LabelColumns::List(*only),
            (None, others) => LabelColumns::Indicators(
                others.iter().map(|&c| (c, header[c].to_string())).collect(),
            ),
        };
        let ignored = match labels {
            LabelColumns::List(list) => others.into_iter().filter(|&c| c != list).collect(),
            LabelColumns::Indicators(_) => Vec::new(),
        };
        Ok(Self {
            split,
            labels,
            ignored: ignored.into_iter().map(|c| header[c].to_string()).collect(),
        })
    }

    fn row(
        &self,
        record: &StringRecord,
        path: &Path,
        has_no_finding: &mut bool,
    ) -> Result<Row, DataError> {
        let line = record.position().map_or(0, csv::Position::line);
        let file = record.get(0).unwrap_or_default();
        if file.is_empty() {
            return Err(bad(path, format!("line {line} names no file")));
        }
        let labels = match &self.labels {
            LabelColumns::List(column) => {
                let text = record.get(*column).unwrap_or_default();
                let (nothing, labels): (BTreeSet<String>, BTreeSet<String>) = text
                    .split(['|', ';'])
                    .map(|part| part.trim().to_string())
                    .filter(|part| !part.is_empty())
                    .partition(|part| part.to_lowercase() == NO_FINDING);
                *has_no_finding |= !nothing.is_empty();
                if !nothing.is_empty() && !labels.is_empty() {
                    return Err(bad(
                        path,
                        format!("line {line} has `No Finding` beside other labels"),
                    ));
                }
                labels
            }
            LabelColumns::Indicators(columns) => indicated(columns, record, line, path)?,
        };
        let split = match self.split {
            None => None,
            Some(column) => {
                let text = record.get(column).unwrap_or_default();
                Some(split_alias(text).ok_or_else(|| {
                    bad(
                        path,
                        format!(
                            "the split in line {line} is `{text}`, expected `train`, `val` or `test`"
                        ),
                    )
                })?)
            }
        };
        Ok(Row {
            line,
            file: file.to_string(),
            labels,
            split,
        })
    }
}

fn indicated(
    columns: &[(usize, String)],
    record: &StringRecord,
    line: u64,
    path: &Path,
) -> Result<BTreeSet<String>, DataError> {
    let mut labels = BTreeSet::new();
    for (column, name) in columns {
        match record.get(*column).unwrap_or_default() {
            "1" | "1.0" => drop(labels.insert(name.clone())),
            "0" | "0.0" => {}
            other => {
                return Err(bad(
                    path,
                    format!("`{name}` in line {line} is `{other}`, expected `0` or `1`"),
                )
                .with_hint(
                    "every column but the first and `split` is a label; where one column lists \
                     them, name it `labels`",
                ));
            }
        }
    }
    Ok(labels)
}

/// A table that cannot be used.
pub(crate) fn bad(path: &Path, what: String) -> DataError {
    DataError::new(
        DataErrorKind::LabelTable,
        format!(
            "the table of labels `{}` cannot be used: {what}",
            path.display()
        ),
    )
    .with_path(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> LabelTable {
        parse(text, Path::new("labels.csv")).unwrap()
    }

    fn refusal(text: &str) -> String {
        parse(text, Path::new("labels.csv"))
            .unwrap_err()
            .to_string()
    }

    fn labels(table: &LabelTable) -> Vec<(&str, Vec<&str>)> {
        table
            .rows
            .iter()
            .map(|row| {
                (
                    row.file.as_str(),
                    row.labels.iter().map(String::as_str).collect(),
                )
            })
            .collect()
    }

    #[test]
    fn a_column_for_each_label() {
        let table = read("file,dog,cat\na.png,1,0\nb.png,0.0,1\n\"c, d.png\",0,0\n");
        assert_eq!(table.names, ["cat", "dog"]);
        assert_eq!(
            labels(&table),
            [
                ("a.png", vec!["dog"]),
                ("b.png", vec!["cat"]),
                ("c, d.png", vec![])
            ]
        );
        assert_eq!(table.rows[2].line, 4);
        assert!(table.notes.is_empty());
    }

    #[test]
    fn a_list_of_names_as_chest_x_ray_14_has_it() {
        let table = read(
            "Image Index,Finding Labels,Patient Age\n1.png,Mass|Effusion,58\n2.png,No Finding,3\n3.png,Mass,4\n",
        );
        assert_eq!(table.names, ["Effusion", "Mass"]);
        assert_eq!(
            labels(&table),
            [
                ("1.png", vec!["Effusion", "Mass"]),
                ("2.png", vec![]),
                ("3.png", vec!["Mass"])
            ]
        );
        assert!(table.notes[0].contains("`No Finding`"), "{:?}", table.notes);
        assert!(
            table.notes[1].contains("`Patient Age`"),
            "{:?}",
            table.notes
        );
    }

    #[test]
    fn lists_have_bars_or_semicolons_and_may_be_empty() {
        let table = read("file,what\na,red; blue\nb,\nc,red|red\n");
        assert_eq!(
            labels(&table),
            [
                ("a", vec!["blue", "red"]),
                ("b", vec![]),
                ("c", vec!["red"])
            ]
        );
        let german = read("file;labels\na;red|blue\n");
        assert_eq!(labels(&german), [("a", vec!["blue", "red"])]);
    }

    #[test]
    fn a_split_column_is_read_under_its_usual_names() {
        let table = read("file,labels,Split\na,x|y,train\nb,y,Validation\nc,,test\n");
        let splits: Vec<Option<Split>> = table.rows.iter().map(|row| row.split).collect();
        assert_eq!(splits, [Split::Train, Split::Val, Split::Test].map(Some));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_line() {
        let cases = [
            ("file,a,b\nx.png,1,2\n", "`b` in line 2 is `2`"),
            ("file,a,b\nx.png,1,\n", "`b` in line 2 is ``"),
            (
                "file,labels,split\nx,a|b,train\ny,a,later\n",
                "the split in line 3 is `later`",
            ),
            ("file,a,b\nx,1\n", "line 2 has 2 columns, the header has 3"),
            ("file,a,b\r\nx,1,0\r\ny,1,2\r\n", "`b` in line 3 is `2`"),
            ("file,a,b\n,1,0\n", "line 2 names no file"),
            ("file,a,a\nx,1,0\n", "two columns are named `a`"),
            ("file,a,\nx,1,0\n", "column 3 has no name"),
            ("file\nx\n", "names no column of labels"),
            ("file,labels\n", "no rows"),
            ("file,labels\nx,a\n", "a single label, `a`"),
            ("file,labels\nx,\n", "names no label"),
            (
                "file,labels\nx,a|No Finding\n",
                "line 2 has `No Finding` beside",
            ),
            ("", "names no column of labels"),
        ];
        for (text, expected) in cases {
            let message = refusal(text);
            assert!(message.contains(expected), "{text:?}: {message}");
        }
        let many: String = (0..=MAX_LABELS)
            .map(|i| format!("{i}.png,label {i}\n"))
            .collect();
        assert!(refusal(&format!("file,text\n{many}")).contains("more than 1000 labels"));
    }
}
