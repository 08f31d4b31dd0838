//! Newtype identifiers. All are UUIDv7, so that they sort by the time they were made.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::time::Timestamp;

/// A text that is no valid identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a {noun} id (expected a UUID such as `0192f0c1-7b1e-7a3c-9a54-6f0d3c2b1a00`)"
)]
pub struct ParseIdError {
    /// What the id would have named.
    pub noun: &'static str,
    /// The text as given.
    pub text: String,
}

/// Builds a UUIDv7 from a time and 10 random bytes (RFC 9562, section 5.7).
fn uuid_v7(now: Timestamp, random: &[u8; 10]) -> Uuid {
    let milliseconds = u64::try_from(now.as_millis()).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(milliseconds, random).into_uuid()
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $noun:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Makes an id from the current time and 10 random bytes.
            pub fn new(now: Timestamp, random: &[u8; 10]) -> Self {
                Self(uuid_v7(now, random))
            }

            /// The last eight hexadecimal digits: the random part, short enough to type.
            pub fn short(&self) -> String {
                let text = self.0.simple().to_string();
                text[text.len() - 8..].to_string()
            }

            /// The underlying UUID.
            pub fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::try_parse(text)
                    .map(Self)
                    .map_err(|_| ParseIdError { noun: $noun, text: text.to_string() })
            }
        }
    };
}

id!(
    /// Names a dataset (all of its versions).
    DatasetId, "dataset"
);
id!(
    /// Names one immutable dataset version.
    DatasetVersionId, "dataset version"
);
id!(
    /// Names a run.
    RunId, "run"
);
id!(
    /// Names a job.
    JobId, "job"
);
id!(
    /// Names a model (all of its versions).
    ModelId, "model"
);
id!(
    /// Names one immutable model version.
    ModelVersionId, "model version"
);
id!(
    /// Names one logged prediction.
    PredictionId, "prediction"
);
id!(
    /// Names one stored evaluation.
    EvaluationId, "evaluation"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_the_time_they_were_made() {
        let early = RunId::new(Timestamp::from_millis(1_000), &[255; 10]);
        let late = RunId::new(Timestamp::from_millis(1_001), &[0; 10]);
        assert!(early < late);
        assert!(early.to_string() < late.to_string());
        assert_eq!(early.as_uuid().get_version_num(), 7);
    }

    #[test]
    fn an_id_survives_its_text() {
        let id = JobId::new(Timestamp::from_millis(1_700_000_000_000), &[7; 10]);
        assert_eq!(id.to_string().parse::<JobId>(), Ok(id));
        assert!(id.to_string().ends_with(&id.short()));
    }

    #[test]
    fn a_text_that_is_no_id_says_what_was_expected() {
        let error = "abc".parse::<RunId>().unwrap_err();
        assert!(error.to_string().starts_with("`abc` is not a run id"));
    }
}
