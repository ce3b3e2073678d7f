//! What is noted of every request, whoever answers it: how long it took, and that it is in flight.
//!
//! Reads no body and changes no answer.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use actix_web::Error;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::{Bytes, Data};

use super::state::State;
use crate::metrics::Hold;

/// The path of a resource, as it was registered: there are only a few, whatever clients ask for.
pub struct Route(pub &'static str);

/// What stands for the path of a request that no resource has.
const NO_ROUTE: &str = "none";

/// Has a request answered, and notes what is to be noted.
pub async fn watch<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<Watched>, Error> {
    let begun = Instant::now();
    let state = request.app_data::<Data<State>>().cloned();
    let state = state.expect("the front end has a state");
    let in_flight = state.serving.request();
    let method = word(request.method());
    let answered = next.call(request).await;
    let note = |route: &str, status: StatusCode| {
        let labels = [route, method, status.as_str()];
        state.serving.note_request(&labels, begun.elapsed());
    };
    match answered {
        Ok(response) => {
            let route = response.request().app_data::<Route>();
            note(route.map_or(NO_ROUTE, |route| route.0), response.status());
            Ok(response.map_into_boxed_body().map_body(|_, body| Watched {
                body,
                _in_flight: in_flight,
            }))
        }
        Err(error) => {
            note(NO_ROUTE, error.as_response_error().status_code());
            Err(error)
        }
    }
}

/// Clients may call their methods as they like.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// An answer's body, whose request is in flight until it is sent, or until its client is gone.
pub struct Watched {
    body: BoxBody,
    _in_flight: Hold,
}

impl MessageBody for Watched {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(context)
    }
}
