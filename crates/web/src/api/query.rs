//! Reads the parameters of an address; one that is not understood is an error in JSON.

use std::borrow::Cow;

use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize as _, Deserializer};

use crate::error::{ApiError, ErrorKind};

/// The most items that a list gives at once.
pub(crate) const MOST_LISTED: u32 = 200;
/// The items that a list gives when it is not told how many.
const USUALLY_LISTED: u32 = 50;

/// The parameters after the `?`.
pub(crate) struct ApiQuery<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match Query::<T>::try_from_uri(&parts.uri) {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => Err(ApiError::new(
                ErrorKind::InvalidParameter,
                format!(
                    "the address's parameters are not valid: {}",
                    cause(&rejection)
                ),
            )
            .with_hint("`GET /openapi.json` and the page `/docs` list the parameters")),
        }
    }
}

/// Refuses an address with a parameter that is not among the `known` ones: somebody who misspells
/// one shall not believe that it counts.
pub(crate) fn refuse_unknown(parts: &Parts, known: &[&str]) -> Result<(), ApiError> {
    // What cannot be read at all is told by `ApiQuery`.
    let Ok(Query(given)) = Query::<Vec<(String, String)>>::try_from_uri(&parts.uri) else {
        return Ok(());
    };
    match given.iter().find(|(key, _)| !known.contains(&key.as_str())) {
        None => Ok(()),
        Some((key, _)) => Err(ApiError::new(
            ErrorKind::UnknownParameter,
            format!("there is no parameter `{key}`"),
        )
        .with_hint(format!("known are `{}`", known.join("`, `")))),
    }
}

/// The innermost cause: what serde says of the field.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// A whole number that may be left out, for a parameter's `deserialize_with`: what is none is told
/// in our words instead of the parser's.
pub(crate) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    let number = text
        .parse()
        .map_err(|_| D::Error::custom(format!("`{text}`, expected a whole number, not below 0")))?;
    Ok(Some(number))
}

/// How many items a list shall give.
pub(crate) fn list_length(limit: Option<u32>) -> Result<u32, ApiError> {
    match limit {
        None => Ok(USUALLY_LISTED),
        Some(limit @ 1..=MOST_LISTED) => Ok(limit),
        Some(other) => Err(ApiError::invalid_parameter(
            "limit",
            format!("`{other}`, expected 1 to {MOST_LISTED}"),
        )),
    }
}

/// Parses a parameter of the address.
pub(crate) fn parse<T>(name: &str, text: &str) -> Result<T, ApiError>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error| ApiError::invalid_parameter(name, error))
}
