//! Stands before every path but those that are open: lets a request in and notes who asks, or refuses it unread.

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::TryIntoHeaderPair;
use actix_web::middleware::Next;
use actix_web::web::{Data, Payload};
use actix_web::{Error, HttpMessage};

use super::super::error::ApiError;
use super::super::refusal::refuse;
use super::super::state::State;

/// Lets a request in, or refuses it.
pub async fn guard<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let state = request.app_data::<Data<State>>().cloned();
    let state = state.ok_or(ApiError::Broken)?;
    match state.access.admit(request.request()) {
        Ok((caller, standing)) => {
            if let Some(name) = caller.name() {
                tracing::Span::current().record("client", name);
            }
            request.extensions_mut().insert(caller);
            let mut response = next.call(request).await?;
            if let Some(standing) = standing {
                for header in [standing.policy(), standing.state()] {
                    let (name, value) = header
                        .try_into_pair()
                        .map_err(actix_web::error::HttpError::from)?;
                    response.headers_mut().insert(name, value);
                }
            }
            Ok(response.map_into_left_body())
        }
        Err(error) => {
            if request.method() == Method::POST {
                state.serving.note_refused(error.reason());
            }
            let unread = request.extract::<Payload>().await?;
            let (request, _) = request.into_parts();
            Ok(ServiceResponse::new(request, refuse(&error, unread)).map_into_right_body())
        }
    }
}
