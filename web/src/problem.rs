//! Given an error, what does the client read? An RFC 9457 problem document.

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use actix_web::{HttpResponse, ResponseError};
use ekphrasis_engine::{EngineError, Fault};
use serde::Serialize;

/// Why a request was not answered as asked.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    slug: &'static str,
    title: &'static str,
    detail: String,
    field: Option<String>,
    allow: Option<&'static str>,
    /// Seconds after which asking again may help.
    retry_after: Option<u32>,
}

/// Goes along with a reply, for whoever tells the server's owner: not the detail, which has
/// what the client sent.
pub(crate) struct Why(pub(crate) &'static str);

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
}

impl Problem {
    fn new(
        status: StatusCode,
        slug: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            status,
            slug,
            title,
            detail: detail.into(),
            field: None,
            allow: None,
            retry_after: None,
        }
    }

    /// 400: the request cannot be read.
    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "malformed-request",
            "The request cannot be read",
            detail,
        )
    }

    /// 400: one field of the request is wrong.
    pub(crate) fn field(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            field: Some(field.into()),
            ..Self::new(
                StatusCode::BAD_REQUEST,
                "invalid-field",
                "A field of the request is wrong",
                detail,
            )
        }
    }

    /// What went wrong with the part of a request that is called `field`.
    pub(crate) fn about(field: impl Into<String>, error: EngineError) -> Self {
        Self { field: Some(field.into()), ..Self::from(error) }
    }

    /// 401: the key is missing or wrong.
    pub(crate) fn key_needed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "key-needed", "The server's key is needed", detail)
    }

    /// 403: another site, or a name that is not ours.
    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", "The request comes from elsewhere", detail)
    }

    /// 404: no such route or item.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", "There is no such thing here", detail)
    }

    /// 405: the route exists, for other methods.
    pub(crate) fn wrong_method(allow: &'static str, detail: impl Into<String>) -> Self {
        Self {
            allow: Some(allow),
            ..Self::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "wrong-method",
                "The method does not fit the address",
                detail,
            )
        }
    }

    /// 408: the client is too slow.
    pub(crate) fn too_slow(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "The request took too long", detail)
    }

    /// 409: it cannot be done as things are.
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", "That cannot be done as things are", detail)
    }

    /// 429: as much is being done as can be; asking again in a moment helps.
    pub(crate) fn too_busy(detail: impl Into<String>) -> Self {
        let this = Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "too-busy",
            "The server has too much to do",
            detail,
        );
        Self { retry_after: Some(1), ..this }
    }

    /// 503: it takes longer than anybody should wait.
    pub(crate) fn overdue(after: Duration) -> Self {
        let detail = format!(
            "there was no answer after {} s; what was begun goes on to its end, so ask again in a \
             moment",
            after.as_secs_f64()
        );
        let this = Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "overdue",
            "The answer took too long",
            detail,
        );
        Self { retry_after: Some(5), ..this }
    }

    /// 403: a place that the server's owner did not allow.
    pub(crate) fn not_allowed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "not-allowed", "That is not allowed here", detail)
    }

    /// 413: over the limit for bodies.
    pub(crate) fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large", detail)
    }

    /// 415: a body in a format nobody here reads.
    pub(crate) fn wrong_format(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "wrong-format",
            "The body's format is not supported",
            detail,
        )
    }

    /// 501: what this kind of store does not do.
    #[cfg(feature = "milvus")]
    pub(crate) fn unsupported(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            "not-supported",
            "Not supported by this store",
            detail,
        )
    }

    /// 500: ours.
    pub(crate) fn bug(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal-error",
            "The server made a mistake",
            detail,
        )
    }
}

impl From<EngineError> for Problem {
    fn from(error: EngineError) -> Self {
        let detail = error.to_string();
        let field = error.field().map(str::to_owned);
        match error.fault() {
            Fault::User => Self {
                field,
                ..Self::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "cannot-answer",
                    "The request cannot be answered as it stands",
                    detail,
                )
            },
            Fault::NotFound => Self::not_found(detail),
            Fault::Busy => Self {
                retry_after: Some(5),
                ..Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "busy",
                    "The same is being done for somebody else",
                    detail,
                )
            },
            Fault::Environment => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "not-available",
                "The machine has to be put right first",
                detail,
            ),
            Fault::Bug => Self::bug(detail),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut reply = HttpResponse::build(self.status);
        reply.insert_header((header::CACHE_CONTROL, "no-store"));
        if let Some(allow) = self.allow {
            reply.insert_header((header::ALLOW, allow));
        }
        if let Some(seconds) = self.retry_after {
            reply.insert_header((header::RETRY_AFTER, seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            reply.insert_header((header::WWW_AUTHENTICATE, "Bearer realm=\"ekphrasis\""));
        }
        let mut reply = reply.json(Document {
            kind: format!("urn:ekphrasis:problem:{}", self.slug),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            field: self.field.as_deref(),
        });
        let kind = HeaderValue::from_static("application/problem+json");
        reply.headers_mut().insert(header::CONTENT_TYPE, kind);
        reply.extensions_mut().insert(Why(self.title));
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::body::to_bytes;

    #[actix_web::test]
    async fn a_problem_is_a_problem_document() {
        let reply = Problem::field("parts[1].weight", "the weight is zero").error_response();
        assert_eq!(reply.status(), 400);
        let kind = reply.headers().get("content-type").expect("a content type");
        assert_eq!(kind, "application/problem+json");
        let body = to_bytes(reply.into_body()).await.expect("in memory");
        let body: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(
            body,
            serde_json::json!({
                "type": "urn:ekphrasis:problem:invalid-field",
                "title": "A field of the request is wrong",
                "status": 400,
                "detail": "the weight is zero",
                "field": "parts[1].weight",
            })
        );
    }

    #[test]
    fn the_fault_decides_the_status() {
        let status = |error: EngineError| Problem::from(error).status_code().as_u16();
        assert_eq!(status(EngineError::Invalid("x".into())), 422);
        assert_eq!(status(EngineError::NotFound("x".into())), 404);
        assert_eq!(status(std::io::Error::other("disk full").into()), 503);
        let reply = Problem::wrong_method("GET", "x").error_response();
        assert_eq!(reply.headers().get("allow").expect("allowed methods"), "GET");
    }
}
