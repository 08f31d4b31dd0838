//! What changes from run to run, and what stands for it in a snapshot.

/// Pairs of a regular expression and its replacement, for `insta`'s `filters`.
pub const FILTERS: &[(&str, &str)] = &[
    // Identifiers, whole and shortened.
    (
        r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}",
        "[id]",
    ),
    (r"\b[0-9a-f]{64}\b", "[digest]"),
    (r"\b(run|job) [0-9a-f]{8}\b", "$1 [short]"),
    // Moments and lengths of time.
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?", "[time]"),
    (r"\b(just now|\d+ (min|h|days?) ago)", "[ago]"),
    (r"\b\d+ h \d\d min\b", "[duration]"),
    (r"\b\d+ min \d\d s\b", "[duration]"),
    (r"\b\d+(\.\d+)? (s|ms)\b", "[duration]"),
    // Speeds, addresses, paths.
    (r"[\d,.]+ images/s", "[speed] images/s"),
    (r"127\.0\.0\.1:\d+", "127.0.0.1:[port]"),
    (
        r"(/private)?(/var/folders|/tmp)/[A-Za-z0-9._/+-]*\.ferrotype-test[A-Za-z0-9]*",
        "[project]",
    ),
];

/// [`FILTERS`] in the form that `insta::Settings::set_filters` takes.
pub fn filters() -> Vec<(&'static str, &'static str)> {
    FILTERS.to_vec()
}
