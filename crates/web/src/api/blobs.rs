//! Files by their content: pictures to look at, everything else to keep.
//!
//! A blob may be anything that somebody imported. Only what begins like a picture is given a
//! picture's type; all else is a download, and nothing of it may run as a page of this server.

use axum::extract::{Path, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use ferrotype_store::{Digest, Store};
use ferrotype_vision::decode::{DecodeLimits, decode};
use ferrotype_vision::{RgbImage, encode, thumbnail as shrink};

use super::query::parse;
use crate::error::{ApiError, ErrorBody};
use crate::state::AppState;

/// The longer side of a small picture, in pixels.
const THUMBNAIL_SIDE: u32 = 320;
const THUMBNAIL_QUALITY: u8 = 85;
/// A picture with a shorter side than this is blown up: its few pixels are what there is to see.
const TINY_SIDE: u32 = 128;

/// A blob never changes under its digest. What a project holds is no business of shared caches.
const KEEP_FOR_GOOD: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");
const NO_PAGE: HeaderValue = HeaderValue::from_static("default-src 'none'; sandbox");

/// A file by its content
#[utoipa::path(
    get,
    path = "/api/v1/blobs/{digest}",
    tag = "blobs",
    params(("digest" = String, Path, description = "BLAKE3 of the file, 64 hexadecimal digits")),
    responses(
        (status = 200, description = "The file", body = Vec<u8>),
        (status = 404, description = "No such file", body = ErrorBody),
        (status = 422, description = "Not a digest", body = ErrorBody),
    )
)]
pub(crate) async fn blob(
    State(state): State<AppState>,
    Path(digest): Path<String>,
) -> Result<Response, ApiError> {
    let digest: Digest = parse("digest", &digest)?;
    let bytes = read(&state.store, digest).await?;
    let picture_type = picture_type(&bytes);
    let content_type = picture_type.unwrap_or("application/octet-stream");
    let mut response = (
        [
            (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
            (header::CACHE_CONTROL, KEEP_FOR_GOOD),
            (header::CONTENT_SECURITY_POLICY, NO_PAGE),
        ],
        bytes,
    )
        .into_response();
    if picture_type.is_none() {
        response.headers_mut().insert(
            header::CONTENT_DISPOSITION,
            HeaderValue::from_static("attachment"),
        );
    }
    Ok(response)
}

/// A small version of a picture
#[utoipa::path(
    get,
    path = "/api/v1/blobs/{digest}/thumbnail",
    tag = "blobs",
    params(("digest" = String, Path, description = "BLAKE3 of the file, 64 hexadecimal digits")),
    responses(
        (status = 200, description = "A JPEG or PNG", body = Vec<u8>, content_type = "image/jpeg"),
        (status = 400, description = "Not a picture", body = ErrorBody),
        (status = 404, description = "No such file", body = ErrorBody),
        (status = 422, description = "Not a digest", body = ErrorBody),
    )
)]
pub(crate) async fn thumbnail(
    State(state): State<AppState>,
    Path(digest): Path<String>,
) -> Result<Response, ApiError> {
    let digest: Digest = parse("digest", &digest)?;
    let bytes = read(&state.store, digest).await?;
    let limits = DecodeLimits {
        max_pixels: state.limits.max_pixels,
    };
    let (content_type, small) = state
        .pool
        .run(move || make_thumbnail(&bytes, &limits))
        .await??;
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (header::CACHE_CONTROL, KEEP_FOR_GOOD),
        (header::CONTENT_SECURITY_POLICY, NO_PAGE),
    ];
    Ok((headers, small).into_response())
}

fn make_thumbnail(
    bytes: &[u8],
    limits: &DecodeLimits,
) -> Result<(&'static str, Vec<u8>), ApiError> {
    let image = shrink(&decode(bytes, limits)?.image, THUMBNAIL_SIDE);
    let longer = image.width.max(image.height);
    if longer <= TINY_SIDE {
        let blown_up = enlarge(&image, TINY_SIDE.div_ceil(longer.max(1)));
        let png = encode::png(&blown_up).map_err(ApiError::internal)?;
        return Ok(("image/png", png));
    }
    let jpeg = encode::jpeg(&image, THUMBNAIL_QUALITY).map_err(ApiError::internal)?;
    Ok(("image/jpeg", jpeg))
}

/// The image with every pixel as a square of `factor` pixels.
fn enlarge(image: &RgbImage, factor: u32) -> RgbImage {
    let factor = factor.max(1);
    let mut large = RgbImage::filled(image.width * factor, image.height * factor, [0; 3]);
    for y in 0..large.height {
        for x in 0..large.width {
            large.set_pixel(x, y, image.pixel(x / factor, y / factor));
        }
    }
    large
}

async fn read(store: &Store, digest: Digest) -> Result<Vec<u8>, ApiError> {
    let store = store.clone();
    tokio::task::spawn_blocking(move || {
        if !store.blobs().contains(&digest) {
            return Err(ApiError::not_found("file", &digest.to_string()));
        }
        Ok(store.blobs().get(&digest)?)
    })
    .await
    .map_err(ApiError::internal)?
}

/// The type of a picture that browsers show, by its first bytes.
fn picture_type(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some("image/png"),
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some("image/gif"),
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => Some("image/webp"),
        [b'B', b'M', ..] => Some("image/bmp"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tiny_picture_is_blown_up_pixel_by_pixel() {
        let mut image = RgbImage::filled(2, 1, [0; 3]);
        image.set_pixel(1, 0, [9, 9, 9]);
        let large = enlarge(&image, 3);
        assert_eq!((large.width, large.height), (6, 3));
        assert_eq!(large.pixel(2, 2), [0; 3]);
        assert_eq!(large.pixel(3, 2), [9, 9, 9]);
    }

    #[test]
    fn only_pictures_get_a_type_that_a_browser_shows() {
        assert_eq!(picture_type(b"\x89PNG\r\n\x1a\n...."), Some("image/png"));
        assert_eq!(picture_type(b"\xff\xd8\xff\xe0"), Some("image/jpeg"));
        assert_eq!(picture_type(b"RIFF....WEBPVP8 "), Some("image/webp"));
        for other in [
            &b"<!doctype html><script>"[..],
            b"<svg xmlns=",
            b"%PDF-1.7",
            b"",
            b"GIF8",
        ] {
            assert_eq!(picture_type(other), None);
        }
    }
}
