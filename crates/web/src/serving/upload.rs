//! Reads pictures from a request's body: a form (`multipart/form-data`), or the bytes as they are.

use axum::body::Bytes;
use axum::extract::multipart::{Multipart, MultipartError};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};

use super::pool::{Pool, UploadBudget};
use crate::error::{ApiError, ErrorKind};
use crate::guard::body::Stalled;

/// A picture as it was sent.
#[derive(Debug)]
pub(crate) struct Upload {
    /// The file name that was sent, if any; never used as a path.
    pub(crate) name: Option<String>,
    /// The file.
    pub(crate) bytes: Bytes,
}

/// Pictures of one request, with the memory they hold.
#[derive(Debug)]
pub(crate) struct Uploads {
    pub(crate) files: Vec<Upload>,
    pub(crate) budget: UploadBudget,
}

/// How a body says what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyForm {
    Multipart,
    Raw,
}

/// Reads one picture: the form field `file`, or the whole body.
pub(crate) async fn one(
    request: Request,
    pool: &Pool,
    max_bytes: usize,
) -> Result<(Upload, UploadBudget), ApiError> {
    let form = body_form(request.headers())?;
    let budget = reserve(request.headers(), pool, max_bytes)?;
    let upload = match form {
        BodyForm::Raw => Upload {
            name: None,
            bytes: raw(request, max_bytes).await?,
        },
        BodyForm::Multipart => {
            let mut files = fields(request, "file", 1, max_bytes).await?;
            files.pop().ok_or_else(|| missing("file"))?
        }
    };
    Ok((upload, budget))
}

/// Reads the pictures in the form field `files`.
pub(crate) async fn several(
    request: Request,
    pool: &Pool,
    max_bytes: usize,
    max_files: usize,
) -> Result<Uploads, ApiError> {
    if body_form(request.headers())? == BodyForm::Raw {
        return Err(ApiError::new(
            ErrorKind::UnsupportedMediaType,
            "a batch is sent as a form (`multipart/form-data`)",
        )
        .with_hint("for example `curl -F files=@a.jpg -F files=@b.jpg`"));
    }
    let budget = reserve(request.headers(), pool, max_bytes)?;
    let files = fields(request, "files", max_files, max_bytes).await?;
    if files.is_empty() {
        return Err(missing("files"));
    }
    Ok(Uploads { files, budget })
}

fn reserve(headers: &HeaderMap, pool: &Pool, max_bytes: usize) -> Result<UploadBudget, ApiError> {
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match announced {
        Some(length) if length > max_bytes as u64 => Err(too_large(max_bytes)),
        Some(length) => pool.reserve_upload(usize::try_from(length).unwrap_or(max_bytes)),
        None => pool.reserve_upload(max_bytes),
    }
}

fn body_form(headers: &HeaderMap) -> Result<BodyForm, ApiError> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(BodyForm::Raw);
    };
    let text = value.to_str().unwrap_or("").to_ascii_lowercase();
    let essence = text.split(';').next().unwrap_or("").trim();
    match essence {
        "multipart/form-data" => Ok(BodyForm::Multipart),
        "application/octet-stream" => Ok(BodyForm::Raw),
        image if image.starts_with("image/") => Ok(BodyForm::Raw),
        other => Err(ApiError::new(
            ErrorKind::UnsupportedMediaType,
            format!(
                "a body of type `{}` is not read here",
                other.chars().take(80).collect::<String>()
            ),
        )
        .with_hint(
            "send a form (`curl -F file=@photo.jpg`) or the bytes with `content-type: image/jpeg` or `application/octet-stream`",
        )),
    }
}

async fn raw(request: Request, max_bytes: usize) -> Result<Bytes, ApiError> {
    Bytes::from_request(request, &())
        .await
        .map_err(|error| match error.status() {
            StatusCode::PAYLOAD_TOO_LARGE => too_large(max_bytes),
            _ => broken_off(&error, &error.body_text()),
        })
}

/// Reads the files of one form field, in the order they come. Other fields are skipped.
async fn fields(
    request: Request,
    wanted: &'static str,
    max_files: usize,
    max_bytes: usize,
) -> Result<Vec<Upload>, ApiError> {
    let refused = |error: MultipartError| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(max_bytes),
        _ => broken_off(&error, &error.body_text()),
    };
    let mut form = Multipart::from_request(request, &())
        .await
        .map_err(|error| ApiError::new(ErrorKind::MalformedBody, error.body_text()))?;
    let mut files = Vec::new();
    while let Some(field) = form.next_field().await.map_err(refused)? {
        if field.name() != Some(wanted) {
            continue;
        }
        if files.len() == max_files {
            return Err(ApiError::new(
                ErrorKind::TooManyFiles,
                format!("the form has more than {max_files} in its field `{wanted}`"),
            )
            .with_hint("send them in several requests"));
        }
        let name = field.file_name().map(ToString::to_string);
        let bytes = field.bytes().await.map_err(refused)?;
        files.push(Upload { name, bytes });
    }
    Ok(files)
}

fn missing(field: &str) -> ApiError {
    ApiError::new(
        ErrorKind::MissingFile,
        format!("the form has no field `{field}`"),
    )
    .with_hint(format!("send it as `curl -F {field}=@photo.jpg`"))
}

pub(crate) fn too_large(max_bytes: usize) -> ApiError {
    ApiError::new(
        ErrorKind::BodyTooLarge,
        format!(
            "the body is larger than {} MB",
            (max_bytes as f64 / 1e6 * 10.0).round() / 10.0
        ),
    )
    .with_hint("send a smaller picture, or start the server with a larger `--max-body-bytes`")
}

fn broken_off(error: &(dyn std::error::Error + 'static), text: &str) -> ApiError {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<Stalled>() {
            return ApiError::new(ErrorKind::Timeout, format!("the body stalled: {error}"))
                .with_hint("send it again, on a better line");
        }
        cause = error.source();
    }
    ApiError::new(
        ErrorKind::MalformedBody,
        format!("the body cannot be read: {}", text.to_lowercase()),
    )
    .with_hint("check the form's boundary and that the whole body is sent")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(content_type: &str) -> Result<BodyForm, ErrorKind> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        body_form(&headers).map_err(|error| error.kind())
    }

    #[test]
    fn the_content_type_says_how_a_body_is_read() {
        assert_eq!(
            form("multipart/form-data; boundary=x"),
            Ok(BodyForm::Multipart)
        );
        assert_eq!(form("Image/JPEG"), Ok(BodyForm::Raw));
        assert_eq!(form("application/octet-stream"), Ok(BodyForm::Raw));
        assert_eq!(body_form(&HeaderMap::new()), Ok(BodyForm::Raw));
        for other in ["application/json", "text/plain; charset=utf-8", "", "image"] {
            assert_eq!(form(other), Err(ErrorKind::UnsupportedMediaType), "{other}");
        }
    }
}
