//! `POST /normalize`: the picture that a model would see of an upload. Queues nothing.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ApiError, PROBLEM, Problem};
use super::form::{FormOfOne, ImageFile};
use super::refusal::refuse;
use super::state::State;
use super::upload;

/// A grey picture, row by row: 0 is background, 255 is ink.
#[derive(Serialize, ToSchema)]
struct Normalized<'a> {
    width: u16,
    height: u16,
    #[schema(value_type = Vec<u16>, maximum = 255)]
    pixels: &'a [u8],
}

/// Takes one upload.
#[utoipa::path(
    post,
    path = "/normalize",
    tag = "uploads",
    summary = "The picture that a model would see",
    description = "Queues nothing.",
    request_body(content(
        (FormOfOne = "multipart/form-data"),
        (ImageFile = "image/png", examples(("three" = (summary = "A handwritten 3", external_value = "/digits/3.png")))),
        (ImageFile = "image/jpeg"),
        (ImageFile = "image/webp"),
        (ImageFile = "image/gif"),
        (ImageFile = "image/bmp"),
    )),
    responses(
        (status = 200, description = "28×28 pixels", body = Normalized),
        (status = 400, description = "Empty or damaged", body = Problem, content_type = PROBLEM),
        (status = 408, description = "The body came too slowly", body = Problem, content_type = PROBLEM),
        (status = 413, description = "Too large", body = Problem, content_type = PROBLEM),
        (status = 415, description = "Not an image", body = Problem, content_type = PROBLEM),
        (status = 422, description = "Too many pixels or files, or nothing to see", body = Problem, content_type = PROBLEM),
        (status = 503, description = "Too many uploads are in hand", body = Problem, content_type = PROBLEM),
    )
)]
pub async fn normalize(request: HttpRequest, mut payload: Payload, state: Data<State>) -> HttpResponse {
    match read(&request, &mut payload, &state).await {
        Ok(response) => response,
        Err(error) => refuse(&error, payload),
    }
}

async fn read(request: &HttpRequest, payload: &mut Payload, state: &State) -> Result<HttpResponse, ApiError> {
    let mut uploads = upload::collect(request.headers(), payload, state).await?;
    let Some(only) = uploads.pop().filter(|_| uploads.is_empty()) else {
        return Err(ApiError::TooManyFiles { limit: 1 });
    };
    let picture = state.decoder.decode(only.picture?).await?;
    Ok(HttpResponse::Ok().json(Normalized {
        width: picture.width(),
        height: picture.height(),
        pixels: picture.pixels(),
    }))
}
