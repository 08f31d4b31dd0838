//! Names that people choose, and references such as `land@v3` and `land@production`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name that is accepted, in bytes.
pub const MAX_NAME_BYTES: usize = 64;

/// The fewest characters that are taken for the beginning of a name.
const MIN_BEGINNING: usize = 2;

/// A name or reference that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {noun}: {reason}")]
pub struct NameError {
    /// What was being named.
    pub noun: &'static str,
    /// The text as given.
    pub text: String,
    /// Which rule it breaks.
    pub reason: String,
}

/// Checks a dataset, model or run name: 1 to 64 of `a-z A-Z 0-9 _ - .`, starting with a letter or digit.
///
/// # Errors
/// When the text breaks the rule; the error says which part of it.
pub fn check_name(noun: &'static str, text: &str) -> Result<(), NameError> {
    let error = |reason: String| NameError {
        noun,
        text: text.to_string(),
        reason,
    };
    let Some(first) = text.chars().next() else {
        return Err(error("it is empty".into()));
    };
    if text.len() > MAX_NAME_BYTES {
        return Err(error(format!("it is longer than {MAX_NAME_BYTES} bytes")));
    }
    if !first.is_ascii_alphanumeric() {
        return Err(error("it must start with a letter or a digit".into()));
    }
    match text
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')))
    {
        Some(bad) => Err(error(format!(
            "`{bad}` is not allowed, only letters, digits, `_`, `-` and `.`"
        ))),
        None => Ok(()),
    }
}

/// A version number as written: `v3`, starting at `v1`.
fn parse_version_number(text: &str) -> Option<u32> {
    let digits = text.strip_prefix('v').or_else(|| text.strip_prefix('V'))?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Whether a text reads as a version (`v3`), which an alias may not.
fn looks_like_version(text: &str) -> bool {
    text.strip_prefix(['v', 'V'])
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

/// Checks an alias: a name that does not look like a version and is not `latest`.
///
/// # Errors
/// When the text is no valid name, looks like `v3`, or is the reserved `latest`.
pub fn check_alias(text: &str) -> Result<(), NameError> {
    check_name("alias", text)?;
    let error = |reason: &str| NameError {
        noun: "alias",
        text: text.to_string(),
        reason: reason.into(),
    };
    if looks_like_version(text) {
        return Err(error(
            "it looks like a version number; choose a word such as `production`",
        ));
    }
    if text == "latest" {
        return Err(error("`latest` always means the newest version"));
    }
    Ok(())
}

/// Which version of a named thing is meant.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Selector {
    /// `name` or `name@latest`: the newest version.
    Latest,
    /// `name@v3`.
    Version(u32),
    /// `name@production`.
    Alias(String),
}

/// A reference to a dataset version or model version: `name`, `name@v3`, `name@alias`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reference {
    /// The thing's name.
    pub name: String,
    /// Which of its versions.
    pub selector: Selector,
}

impl FromStr for Reference {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, selector) = match text.split_once('@') {
            None => (text, Selector::Latest),
            Some((name, "latest")) => (name, Selector::Latest),
            Some((name, rest)) if looks_like_version(rest) => {
                let version = parse_version_number(rest)
                    .filter(|v| *v > 0)
                    .ok_or_else(|| NameError {
                        noun: "version",
                        text: rest.to_string(),
                        reason: "versions start at `v1`".into(),
                    })?;
                (name, Selector::Version(version))
            }
            Some((name, rest)) => {
                check_alias(rest)?;
                (name, Selector::Alias(rest.to_string()))
            }
        };
        check_name("name", name)?;
        Ok(Self {
            name: name.to_string(),
            selector,
        })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.selector {
            Selector::Latest => write!(f, "{}", self.name),
            Selector::Version(version) => write!(f, "{}@v{version}", self.name),
            Selector::Alias(alias) => write!(f, "{}@{alias}", self.name),
        }
    }
}

/// The candidate that `text` begins, else the nearest by edit distance, if one is near enough to
/// be meant.
pub fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = text.chars().count();
    let begins = |candidate: &str| length >= MIN_BEGINNING && candidate.starts_with(text);
    candidates
        .into_iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(text, candidate);
            (!begins(candidate), distance, candidate)
        })
        .filter(|(is_typo, distance, candidate)| {
            !is_typo || *distance <= 1 + length.max(candidate.chars().count()) / 3
        })
        .min_by_key(|(is_typo, distance, _)| (*is_typo, *distance))
        .map(|(_, _, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_a_version_an_alias_or_the_latest() {
        let parse = |text: &str| text.parse::<Reference>().map(|r| r.selector);
        assert_eq!(parse("land"), Ok(Selector::Latest));
        assert_eq!(parse("land@latest"), Ok(Selector::Latest));
        assert_eq!(parse("land@v3"), Ok(Selector::Version(3)));
        assert_eq!(
            parse("land@production"),
            Ok(Selector::Alias("production".into()))
        );
        assert!(parse("land@v0").is_err());
        assert!(parse("land@v99999999999").is_err());
        assert!(parse("@v1").is_err());
        assert!(parse("land@").is_err());
        assert!(parse("../etc").is_err());
    }

    #[test]
    fn a_reference_is_written_as_it_was_read() {
        for text in ["land", "land@v3", "land@production"] {
            assert_eq!(text.parse::<Reference>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn an_alias_may_not_look_like_a_version() {
        assert!(check_alias("v3").is_err());
        assert!(check_alias("V12").is_err());
        assert!(check_alias("latest").is_err());
        assert!(check_alias("vintage").is_ok());
    }

    #[test]
    fn a_name_says_which_character_it_refuses() {
        let error = check_name("dataset", "my data").unwrap_err();
        assert!(error.to_string().contains("` ` is not allowed"), "{error}");
    }

    #[test]
    fn the_nearest_name_is_a_likely_typo_or_none() {
        assert_eq!(nearest("epocs", ["epochs", "seed"]), Some("epochs"));
        assert_eq!(nearest("zzzzzz", ["epochs", "seed"]), None);
    }

    #[test]
    fn the_beginning_of_a_name_is_nearer_than_a_typo() {
        let metrics = ["val/loss", "val/accuracy", "val/f1"];
        assert_eq!(nearest("val/acc", metrics), Some("val/accuracy"));
        assert_eq!(nearest("val/f2", metrics), Some("val/f1"));
        assert_eq!(nearest("", metrics), None);
        assert_eq!(nearest("s", ["schedule", "seed"]), None);
    }
}
