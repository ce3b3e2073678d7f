//! What browsers are told with every answer: to guess nothing, to embed nothing, and which other sites may ask.

use actix_cors::Cors;
use actix_web::http::header::{
    CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::middleware::{Condition, DefaultHeaders};

/// An answer that is no page needs nothing. The page has a policy of its own.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";
/// For a year, what was reached by TLS once is asked for by TLS alone.
const ONLY_BY_TLS: &str = "max-age=31536000";
/// How long a browser may remember what other sites may ask, in seconds.
const REMEMBERED_S: usize = 600;

/// Headers of every answer that does not have its own.
pub fn headers(by_tls: bool) -> DefaultHeaders {
    let headers = DefaultHeaders::new()
        .add((CONTENT_SECURITY_POLICY, POLICY))
        .add((REFERRER_POLICY, "no-referrer"))
        .add((X_CONTENT_TYPE_OPTIONS, "nosniff"));
    match by_tls {
        true => headers.add((STRICT_TRANSPORT_SECURITY, ONLY_BY_TLS)),
        false => headers,
    }
}

/// Lets pages of these origins ask (CORS); none: browsers let nobody's but our own.
pub fn origins(allowed: &[String]) -> Condition<Cors> {
    let none = Cors::default()
        .allowed_methods(["GET", "HEAD", "POST", "DELETE"])
        .allow_any_header()
        .expose_any_header()
        .max_age(REMEMBERED_S);
    let cors = allowed
        .iter()
        .fold(none, |cors, origin| cors.allowed_origin(origin));
    Condition::new(!allowed.is_empty(), cors)
}
