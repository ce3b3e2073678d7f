//! The pages at `/` and `/docs`: files within the executable, which load nothing from elsewhere.

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use actix_web::web::{self, ServiceConfig};
use actix_web::{HttpResponse, Resource};

use super::routes::resource;

/// A path, what is there, and of which type.
type File = (&'static str, &'static [u8], &'static str);

#[rustfmt::skip]
const FILES: [File; 18] = [
    ("/", include_bytes!("page/index.html"), "text/html; charset=utf-8"),
    ("/page.css", include_bytes!("page/page.css"), "text/css; charset=utf-8"),
    ("/asking.js", include_bytes!("page/asking.js"), "text/javascript; charset=utf-8"),
    ("/page.js", include_bytes!("page/page.js"), "text/javascript; charset=utf-8"),
    ("/docs", include_bytes!("page/docs.html"), "text/html; charset=utf-8"),
    ("/docs.css", include_bytes!("page/docs.css"), "text/css; charset=utf-8"),
    ("/docs.js", include_bytes!("page/docs.js"), "text/javascript; charset=utf-8"),
    ("/favicon.svg", include_bytes!("page/favicon.svg"), "image/svg+xml"),
    ("/digits/0.png", DIGITS[0], PNG),
    ("/digits/1.png", DIGITS[1], PNG),
    ("/digits/2.png", DIGITS[2], PNG),
    ("/digits/3.png", DIGITS[3], PNG),
    ("/digits/4.png", DIGITS[4], PNG),
    ("/digits/5.png", DIGITS[5], PNG),
    ("/digits/6.png", DIGITS[6], PNG),
    ("/digits/7.png", DIGITS[7], PNG),
    ("/digits/8.png", DIGITS[8], PNG),
    ("/digits/9.png", DIGITS[9], PNG),
];
const PNG: &str = "image/png";

/// A picture of each digit, from MNIST's training set.
pub const DIGITS: [&[u8]; 10] = [
    include_bytes!("page/digits/0.png"),
    include_bytes!("page/digits/1.png"),
    include_bytes!("page/digits/2.png"),
    include_bytes!("page/digits/3.png"),
    include_bytes!("page/digits/4.png"),
    include_bytes!("page/digits/5.png"),
    include_bytes!("page/digits/6.png"),
    include_bytes!("page/digits/7.png"),
    include_bytes!("page/digits/8.png"),
    include_bytes!("page/digits/9.png"),
];

/// What the page may do: nothing but talk to this server and show what it has itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Registers the page's files.
pub fn register(config: &mut ServiceConfig) {
    for file in FILES {
        config.service(serve(file));
    }
}

fn serve((path, content, kind): File) -> Resource {
    let answer = move || async move {
        HttpResponse::Ok()
            .insert_header((CONTENT_TYPE, kind))
            .insert_header((CONTENT_SECURITY_POLICY, POLICY))
            .insert_header((REFERRER_POLICY, "no-referrer"))
            .insert_header(("x-content-type-options", "nosniff"))
            // Another version of the executable has other files at the same paths.
            .insert_header((CACHE_CONTROL, "no-cache"))
            .body(content)
    };
    resource(path, "GET, HEAD")
        .route(web::get().to(answer))
        .route(web::head().to(answer))
}
