//! Given a request's body, which named values does it hold? JSON and forms with
//! uploads are read into the same [`Raw`], with one limit for both.

use std::time::Duration;

use actix_multipart::{Multipart, MultipartError};
use actix_web::HttpRequest;
use actix_web::error::PayloadError;
use actix_web::http::header;
use actix_web::rt::time::timeout;
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;
use tokio::sync::Semaphore;

use crate::problem::Problem;

/// The most bytes a body may have.
pub(crate) const BODY_LIMIT: usize = 32 << 20;

/// How long a body may take to arrive: so long, and for each megabyte a little longer. Of
/// some the length is not known; they may take as long as the largest.
const TIME_LIMIT: Duration = Duration::from_secs(10);
const TIME_EACH_MEGABYTE: Duration = Duration::from_millis(1_500);

/// Bodies under way at once. Fewer than there may be connections, so that bodies that are
/// begun and never ended keep nobody out.
const UNDER_WAY: usize = 256;
static PLACES: Semaphore = Semaphore::const_new(UNDER_WAY);

/// The most fields a form may have.
const FORM_FIELDS: usize = 1_200;

/// A body that was received but not yet looked into.
#[derive(Debug)]
pub(crate) enum Raw {
    /// JSON text, not parsed yet.
    Json(Bytes),
    /// The fields of a form, in order.
    Form(Vec<(String, FormValue)>),
}

/// The value of a form's field.
#[derive(Debug)]
pub(crate) enum FormValue {
    /// Typed in.
    Text(String),
    /// The bytes of an uploaded file.
    File(Vec<u8>),
}

/// Receives the body of `request`.
///
/// # Errors
/// 408 after [`TIME_LIMIT`], 429 if [`UNDER_WAY`] others are arriving, 413 over [`BODY_LIMIT`], 415 for what is compressed and for a content type that is neither JSON nor a
/// form, 400 if the body breaks off, is no valid form, or has company in the address.
pub(crate) async fn receive(request: &HttpRequest, payload: Payload) -> Result<Raw, Problem> {
    let Ok(_place) = PLACES.try_acquire() else {
        return Err(Problem::too_busy(format!("{UNDER_WAY} bodies are arriving already")));
    };
    let length = announced(request).unwrap_or(BODY_LIMIT as u64).min(BODY_LIMIT as u64);
    let megabytes = u32::try_from(length >> 20).unwrap_or(u32::MAX);
    receive_within(request, payload, TIME_LIMIT + TIME_EACH_MEGABYTE * megabytes).await
}

/// The length that the body is said to have.
fn announced(request: &HttpRequest) -> Option<u64> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Receives the body of a request that need not have one.
///
/// # Errors
/// As [`receive`], if there is one.
pub(crate) async fn receive_if_any(
    request: &HttpRequest,
    payload: Payload,
) -> Result<Option<Raw>, Problem> {
    let silent = [header::CONTENT_TYPE, header::TRANSFER_ENCODING]
        .iter()
        .all(|name| !request.headers().contains_key(name))
        && request.headers().get(header::CONTENT_LENGTH).is_none_or(|length| length == "0");
    match silent {
        true => Ok(None),
        false => receive(request, payload).await.map(Some),
    }
}

async fn receive_within(
    request: &HttpRequest,
    payload: Payload,
    limit: Duration,
) -> Result<Raw, Problem> {
    let too_slow =
        |_| Problem::too_slow(format!("the body did not arrive within {} s", limit.as_secs_f32()));
    timeout(limit, receive_all(request, payload)).await.map_err(too_slow)?
}

async fn receive_all(request: &HttpRequest, payload: Payload) -> Result<Raw, Problem> {
    if !request.query_string().is_empty() {
        return Err(Problem::malformed(
            "the fields of a POST belong in its body; the address may not carry any",
        ));
    }
    if announced(request).is_some_and(|length| length > BODY_LIMIT as u64) {
        return Err(over_limit());
    }
    let encoding = request.headers().get(header::CONTENT_ENCODING);
    if let Some(encoding) = encoding.filter(|e| !e.as_bytes().eq_ignore_ascii_case(b"identity")) {
        // What unfolds to more than it seems to be is none of our business.
        let encoding = encoding.to_str().unwrap_or_default();
        return Err(Problem::wrong_format(format!(
            "a body may not be compressed, got {encoding:?}"
        )));
    }
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        receive_json(payload).await.map(Raw::Json)
    } else if essence.eq_ignore_ascii_case("multipart/form-data") {
        // Whatever it is made of: headers of parts and what is between them count, too.
        let mut received = 0;
        let counted = payload.map(move |chunk| {
            let chunk = chunk?;
            received += chunk.len();
            if received > BODY_LIMIT { Err(PayloadError::Overflow) } else { Ok(chunk) }
        });
        receive_form(Multipart::new(request.headers(), counted)).await.map(Raw::Form)
    } else {
        let got = if essence.is_empty() { "none" } else { essence };
        Err(Problem::wrong_format(format!(
            "the content type must be application/json or multipart/form-data, got {got}"
        )))
    }
}

fn over_limit() -> Problem {
    Problem::too_large(format!("a request may have {} MB at most", BODY_LIMIT >> 20))
}

async fn receive_json(mut payload: Payload) -> Result<Bytes, Problem> {
    let mut body = BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk =
            chunk.map_err(|e| Problem::malformed(format!("the body did not arrive: {e}")))?;
        if body.len() + chunk.len() > BODY_LIMIT {
            return Err(over_limit());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

async fn receive_form(mut form: Multipart) -> Result<Vec<(String, FormValue)>, Problem> {
    let broken = |e: MultipartError| match e {
        MultipartError::Payload(PayloadError::Overflow) => over_limit(),
        e => Problem::malformed(format!("the form cannot be read: {e}")),
    };
    let mut fields = Vec::new();
    while let Some(field) = form.next().await {
        let mut field = field.map_err(broken)?;
        if fields.len() == FORM_FIELDS {
            return Err(Problem::malformed(format!(
                "a form may have {FORM_FIELDS} fields at most"
            )));
        }
        let name = field.name().unwrap_or_default().to_owned();
        let is_file = field.content_disposition().is_some_and(|d| d.get_filename().is_some());
        let mut value = Vec::new();
        while let Some(chunk) = field.next().await {
            let chunk = chunk.map_err(broken)?;
            value.extend_from_slice(&chunk);
        }
        let value = if is_file {
            FormValue::File(value)
        } else {
            let not_text = |_| Problem::field(&name, format!("{name:?} is not UTF-8 text"));
            FormValue::Text(String::from_utf8(value).map_err(not_text)?)
        };
        fields.push((name, value));
    }
    Ok(fields)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;
    use actix_web::{FromRequest as _, ResponseError as _};

    #[actix_web::test]
    async fn a_body_that_never_ends_is_not_waited_for() {
        let request = TestRequest::post().insert_header(("content-type", "application/json"));
        let (request, _) = request.to_http_parts();
        let (_held, mut stream) = silent();
        let stream = Payload::from_request(&request, &mut stream).await.expect("taken as it is");
        let limit = Duration::from_millis(20);
        let refused = receive_within(&request, stream, limit).await.expect_err("too slow");
        assert_eq!(refused.status_code(), 408);
    }

    /// A payload that nothing comes of, as long as its other end lives.
    fn silent() -> (tokio::sync::oneshot::Sender<()>, actix_web::dev::Payload) {
        let (held, never) = tokio::sync::oneshot::channel::<()>();
        let stream = futures_util::stream::once(async move {
            let _ = never.await;
            Ok::<Bytes, PayloadError>(Bytes::new())
        });
        let boxed: std::pin::Pin<Box<dyn futures_util::Stream<Item = _>>> = Box::pin(stream);
        (held, actix_web::dev::Payload::from(boxed))
    }
}
