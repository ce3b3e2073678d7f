//! `POST /normalize`: the picture that a model would see of an upload. Queues nothing.

use actix_web::web::{Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;

use super::error::{ApiError, refuse};
use super::state::State;
use super::upload;

/// A grey picture, row by row: 0 is background, 255 is ink.
#[derive(Serialize)]
struct Normalized<'a> {
    width: u16,
    height: u16,
    pixels: &'a [u8],
}

/// Takes one upload.
pub async fn normalize(request: HttpRequest, mut payload: Payload, state: Data<State>) -> HttpResponse {
    match read(&request, &mut payload, &state).await {
        Ok(response) => response,
        Err(error) => refuse(&error, payload),
    }
}

async fn read(request: &HttpRequest, payload: &mut Payload, state: &State) -> Result<HttpResponse, ApiError> {
    let (mut uploads, _body) = upload::collect(request.headers(), payload, state).await?;
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
