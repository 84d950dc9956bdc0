//! Given a request's body, which named values does it hold? JSON and forms with
//! uploads are read into the same [`Raw`], with one limit for both.

use actix_multipart::{Multipart, MultipartError};
use actix_web::HttpRequest;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt;

use crate::problem::Problem;

/// The most bytes a body may have.
pub(crate) const BODY_LIMIT: usize = 32 << 20;

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
/// 413 over [`BODY_LIMIT`], 415 for a content type that is neither JSON nor a
/// form, 400 if the body breaks off, is no valid form, or has company in the address.
pub(crate) async fn receive(request: &HttpRequest, payload: Payload) -> Result<Raw, Problem> {
    if !request.query_string().is_empty() {
        return Err(Problem::malformed(
            "the fields of a POST belong in its body; the address may not carry any",
        ));
    }
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > BODY_LIMIT as u64) {
        return Err(over_limit());
    }
    let content_type = request.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|v| v.to_str().ok()).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        receive_json(payload).await.map(Raw::Json)
    } else if essence.eq_ignore_ascii_case("multipart/form-data") {
        receive_form(Multipart::new(request.headers(), payload)).await.map(Raw::Form)
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
    let broken = |e: MultipartError| Problem::malformed(format!("the form cannot be read: {e}"));
    let mut fields = Vec::new();
    let mut received = 0;
    while let Some(field) = form.next().await {
        let mut field = field.map_err(broken)?;
        if fields.len() == FORM_FIELDS {
            return Err(Problem::too_large(format!(
                "a form may have {FORM_FIELDS} fields at most"
            )));
        }
        let name = field.name().unwrap_or_default().to_owned();
        let is_file = field.content_disposition().is_some_and(|d| d.get_filename().is_some());
        let mut value = Vec::new();
        while let Some(chunk) = field.next().await {
            let chunk = chunk.map_err(broken)?;
            received += chunk.len();
            if received > BODY_LIMIT {
                return Err(over_limit());
            }
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
