//! The table of floors in `ARCHITECTURE.md`: which crate may use which.

use std::collections::{BTreeMap, BTreeSet};

const ARCHITECTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ARCHITECTURE.md");

/// A row of the table as it is written.
struct Row {
    floor: Option<u32>,
    name: String,
    uses: String,
}

/// Each crate of the table and the crates it may use. `testkit` stands on no floor and may use
/// `core`; `all` means every crate on a lower floor.
pub(super) fn read() -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(ARCHITECTURE).unwrap();
    let rows: Vec<Row> = text.lines().filter_map(read_row).collect();
    assert!(rows.len() > 5, "the table of floors was not found");
    rows.iter()
        .map(|row| (row.name.clone(), allowed(row, &rows)))
        .collect()
}

/// Reads `` | 2 | `store` | the database … | core | ``; any other line is none.
fn read_row(line: &str) -> Option<Row> {
    let cells: Vec<&str> = line
        .trim()
        .trim_matches('|')
        .split(" | ")
        .map(str::trim)
        .collect();
    let [floor, name, _, uses] = cells[..] else {
        return None;
    };
    let name = name.strip_prefix('`')?.strip_suffix('`')?.to_string();
    let floor = match floor {
        "–" => None,
        number => Some(number.parse().ok()?),
    };
    let uses = uses.replace('`', "");
    Some(Row { floor, name, uses })
}

fn allowed(row: &Row, rows: &[Row]) -> BTreeSet<String> {
    let Some(floor) = row.floor else {
        return BTreeSet::from(["core".to_string()]);
    };
    let below: BTreeSet<String> = rows
        .iter()
        .filter(|other| other.floor.is_some_and(|other| other < floor))
        .map(|other| other.name.clone())
        .collect();
    if let Some(rest) = row.uses.strip_prefix("all") {
        let except = rest.trim().strip_prefix("but ").unwrap_or_default();
        return below.into_iter().filter(|name| name != except).collect();
    }
    let named: BTreeSet<String> = row
        .uses
        .split(", ")
        .filter(|name| !name.is_empty() && *name != "–")
        .map(str::to_string)
        .collect();
    let wrong: Vec<_> = named.difference(&below).collect();
    assert!(
        wrong.is_empty(),
        "`{}` stands not above {wrong:?}",
        row.name
    );
    named
}
