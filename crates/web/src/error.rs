//! The errors of the HTTP interface. Nothing else maps an error kind to an HTTP status.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use ferrotype_core::name::NameError;
use ferrotype_inference::InferenceError;
use ferrotype_store::{StoreError, StoreErrorKind};
use ferrotype_vision::decode::{DecodeError, DecodeErrorKind};
use serde::Serialize;
use utoipa::ToSchema;

/// Why the server cannot serve.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct WebError {
    /// What failed, with its context.
    message: String,
    hint: Option<String>,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl WebError {
    pub(crate) fn new(
        message: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            message: message.into(),
            hint: None,
            source: Some(source.into()),
        }
    }

    pub(crate) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        self.hint.clone()
    }
}

/// Why a request is not answered as asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The picture has no bytes.
    Empty,
    /// The bytes are no image.
    NotAnImage,
    /// An image in a format or variant that is not read.
    UnsupportedFormat,
    /// The image ends too early.
    Truncated,
    /// The image breaks its format's rules.
    Corrupt,
    /// The image has more pixels than allowed.
    TooManyPixels,
    /// The request's body is larger than allowed.
    BodyTooLarge,
    /// The form has more files than allowed.
    TooManyFiles,
    /// The body's content type is not one that is read here.
    UnsupportedMediaType,
    /// The body is not what its content type says, or it broke off.
    MalformedBody,
    /// The form has no file.
    MissingFile,
    /// A parameter in the address is not understood.
    InvalidParameter,
    /// The address has a parameter that is not known there.
    UnknownParameter,
    /// The thresholds that labels are to be answered by are none, or not the model's.
    InvalidThreshold,
    /// No such model or version.
    ModelNotFound,
    /// No such thing.
    NotFound,
    /// The path exists, but not with this method.
    MethodNotAllowed,
    /// The `Host` header names another server.
    ForbiddenHost,
    /// A page of another origin sent the request.
    ForbiddenOrigin,
    /// The request was sent too slowly.
    Timeout,
    /// The service has no model to answer with.
    NoModel,
    /// The model cannot be loaded or run.
    ModelUnusable,
    /// Too many requests are waiting already.
    Overloaded,
    /// The server is about to stop.
    ShuttingDown,
    /// The store cannot be read at the moment.
    StoreUnavailable,
    /// A fault of the server.
    Internal,
}

impl ErrorKind {
    /// The kind in snake case, as the API and the metrics give it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotAnImage => "not_an_image",
            Self::UnsupportedFormat => "unsupported_format",
            Self::Truncated => "truncated",
            Self::Corrupt => "corrupt",
            Self::TooManyPixels => "too_many_pixels",
            Self::BodyTooLarge => "body_too_large",
            Self::TooManyFiles => "too_many_files",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::MalformedBody => "malformed_body",
            Self::MissingFile => "missing_file",
            Self::InvalidParameter => "invalid_parameter",
            Self::UnknownParameter => "unknown_parameter",
            Self::InvalidThreshold => "invalid_threshold",
            Self::ModelNotFound => "model_not_found",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::ForbiddenHost => "forbidden_host",
            Self::ForbiddenOrigin => "forbidden_origin",
            Self::Timeout => "timeout",
            Self::NoModel => "no_model",
            Self::ModelUnusable => "model_unusable",
            Self::Overloaded => "overloaded",
            Self::ShuttingDown => "shutting_down",
            Self::StoreUnavailable => "store_unavailable",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status of the kind. Too many pixels count as a body that is too large: its
    /// content is, once unpacked.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Empty
            | Self::NotAnImage
            | Self::UnsupportedFormat
            | Self::Truncated
            | Self::Corrupt
            | Self::MalformedBody
            | Self::MissingFile
            | Self::UnknownParameter
            | Self::InvalidThreshold => StatusCode::BAD_REQUEST,
            Self::TooManyPixels | Self::BodyTooLarge | Self::TooManyFiles => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::InvalidParameter => StatusCode::UNPROCESSABLE_ENTITY,
            Self::ModelNotFound | Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::ForbiddenHost | Self::ForbiddenOrigin => StatusCode::FORBIDDEN,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::NoModel
            | Self::ModelUnusable
            | Self::Overloaded
            | Self::ShuttingDown
            | Self::StoreUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// The body of every answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ErrorBody {
    /// What is wrong, in a sentence.
    #[schema(example = "the image is cut off after 1,204 bytes")]
    pub error: String,
    /// A short machine-readable kind.
    #[schema(example = "truncated")]
    pub kind: String,
    /// What to do about it.
    #[schema(example = "send the whole file")]
    pub hint: Option<String>,
}

/// A request that is not answered as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    kind: ErrorKind,
    message: String,
    hint: Option<String>,
}

impl ApiError {
    /// An error of a kind, with a sentence (lower case, no full stop).
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hint: None,
        }
    }

    /// Says what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Why.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The body that says it to a client.
    pub fn body(&self) -> ErrorBody {
        ErrorBody {
            error: self.message.clone(),
            kind: self.kind.as_str().to_string(),
            hint: self.hint.clone(),
        }
    }

    /// A fault of the server: the cause goes to the log, the client learns that there is one.
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "internal error");
        Self::new(
            ErrorKind::Internal,
            "something went wrong inside the server",
        )
        .with_hint("the server's log tells what, under the request id of this answer")
    }

    pub(crate) fn not_found(noun: &str, name: &str) -> Self {
        Self::new(ErrorKind::NotFound, format!("there is no {noun} `{name}`"))
    }

    pub(crate) fn invalid_parameter(name: &str, reason: impl std::fmt::Display) -> Self {
        Self::new(
            ErrorKind::InvalidParameter,
            format!("the parameter `{name}` is not valid: {reason}"),
        )
    }

    /// An error met on looking a model up.
    pub(crate) fn of_model(error: StoreError) -> Self {
        let error = Self::from(error);
        match error.kind {
            ErrorKind::NotFound => Self {
                kind: ErrorKind::ModelNotFound,
                ..error
            },
            _ => error,
        }
    }

    pub(crate) fn overloaded(waiting: usize) -> Self {
        Self::new(
            ErrorKind::Overloaded,
            format!("{waiting} requests are waiting already"),
        )
        .with_hint("try again in a second, or run more replicas")
    }
}

/// An error on its way out; the page of errors reads it from the answer's extensions.
#[derive(Debug, Clone)]
pub(crate) struct Failure(pub(crate) ApiError);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.kind.status(), Json(self.body())).into_response();
        if matches!(
            self.kind,
            ErrorKind::Overloaded
                | ErrorKind::StoreUnavailable
                | ErrorKind::NoModel
                | ErrorKind::ShuttingDown
        ) {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response.extensions_mut().insert(Failure(self));
        response
    }
}

impl From<DecodeError> for ApiError {
    fn from(error: DecodeError) -> Self {
        let kind = match error.kind {
            DecodeErrorKind::Empty => ErrorKind::Empty,
            DecodeErrorKind::NotAnImage => ErrorKind::NotAnImage,
            DecodeErrorKind::UnsupportedFormat => ErrorKind::UnsupportedFormat,
            DecodeErrorKind::Truncated => ErrorKind::Truncated,
            DecodeErrorKind::TooManyPixels => ErrorKind::TooManyPixels,
            _ => ErrorKind::Corrupt,
        };
        let hint = match kind {
            ErrorKind::TooManyPixels => Some(
                "send a smaller picture, or start the server with a larger `--max-pixels`".into(),
            ),
            _ => error.hint(),
        };
        Self {
            kind,
            message: error.to_string(),
            hint,
        }
    }
}

impl From<NameError> for ApiError {
    fn from(error: NameError) -> Self {
        Self::new(ErrorKind::InvalidParameter, error.to_string())
            .with_hint("write `name`, `name@v3` or `name@alias`; `GET /models` lists what there is")
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let kind = match error.kind() {
            StoreErrorKind::NotFound => ErrorKind::NotFound,
            StoreErrorKind::InvalidName | StoreErrorKind::Ambiguous => ErrorKind::InvalidParameter,
            StoreErrorKind::Locked | StoreErrorKind::Full => ErrorKind::StoreUnavailable,
            _ => return Self::internal(error),
        };
        Self {
            kind,
            message: error.to_string(),
            hint: error.hint(),
        }
    }
}

impl From<InferenceError> for ApiError {
    fn from(error: InferenceError) -> Self {
        Self {
            kind: ErrorKind::ModelUnusable,
            message: error.to_string(),
            hint: error.hint(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_json_with_error_kind_and_hint() {
        let error = ApiError::new(ErrorKind::Truncated, "the image is cut off");
        let json = serde_json::to_value(error.body()).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"error": "the image is cut off", "kind": "truncated", "hint": null})
        );
        assert_eq!(error.into_response().status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn an_overloaded_server_says_when_to_try_again() {
        let response = ApiError::overloaded(64).into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
    }

    #[test]
    fn every_kind_of_bad_picture_has_its_status() {
        let status = |kind| {
            let error = DecodeError {
                kind,
                format: None,
                message: "x".into(),
            };
            ApiError::from(error).kind().status().as_u16()
        };
        assert_eq!(status(DecodeErrorKind::Empty), 400);
        assert_eq!(status(DecodeErrorKind::NotAnImage), 400);
        assert_eq!(status(DecodeErrorKind::UnsupportedFormat), 400);
        assert_eq!(status(DecodeErrorKind::Truncated), 400);
        assert_eq!(status(DecodeErrorKind::Corrupt), 400);
        assert_eq!(status(DecodeErrorKind::TooManyPixels), 413);
    }
}
