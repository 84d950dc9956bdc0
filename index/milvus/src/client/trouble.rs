//! Why did a call fail, does asking again help, and what can be done about it?

use std::error::Error;
use std::fmt;

use crate::proto::{Status, code};

/// Why one attempt failed.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The same may go well a moment later.
    Passing(String),
    /// What is asked of is not in memory; it has to be loaded.
    NotLoaded(String),
    /// There is no such collection.
    NoCollection,
    Final(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passing(why) | Self::NotLoaded(why) | Self::Final(why) => f.write_str(why),
            Self::NoCollection => f.write_str("there is no such collection"),
        }
    }
}

/// What is known of a connection, so that an error can say what to do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Connection {
    pub(super) tls: bool,
    pub(super) with_token: bool,
    /// Whether the server ever answered.
    pub(super) answered: bool,
}

/// What may be the matter where somebody listens and no word of theirs is understood.
pub(super) fn hint(connection: &Connection) -> &'static str {
    match connection {
        Connection { answered: true, .. } => "",
        Connection { tls: true, .. } => "; if its port speaks no TLS, write milvus://",
        Connection { tls: false, .. } => "; if its port speaks TLS, write milvus+tls://",
    }
}

/// An error and what it came from: what hyper says alone ("transport error") tells nobody anything.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        source = inner.source();
    }
    text
}

/// What came of asking, if it was no answer.
pub(super) fn of_transport(status: &tonic::Status, connection: &Connection) -> Trouble {
    use tonic::Code;
    let why = match Error::source(status) {
        Some(source) => format!("{}: {}", status.message(), chain(source)),
        None => status.message().to_owned(),
    };
    // However often it is asked, it shows the same certificate.
    if let Some((_, refused)) = why.rsplit_once("invalid peer certificate: ") {
        return Trouble::Final(format!(
            "its certificate is not believed ({refused}); name the file of the authority that signed it (?ca=FILE.pem), and the server as the certificate does"
        ));
    }
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::Aborted | Code::ResourceExhausted => {
            // Whoever is not reached at all may speak anything.
            let reached = !["tcp connect error", "tcp open error", "dns error"]
                .iter()
                .any(|early| why.contains(early));
            let hint = if reached { hint(connection) } else { "" };
            Trouble::Passing(format!("it cannot be reached or is too busy: {why}{hint}"))
        }
        // What a connection that broke in the middle of an answer is called.
        Code::Unknown | Code::Internal | Code::Cancelled => {
            Trouble::Passing(format!("{why}{}", hint(connection)))
        }
        Code::Unauthenticated if connection.with_token => Trouble::Final(format!(
            "it refuses the token ({why}); check it: EK_MILVUS_TOKEN is user:password or an API key"
        )),
        Code::Unauthenticated => Trouble::Final(format!(
            "it wants a token ({why}); set EK_MILVUS_TOKEN to user:password or an API key"
        )),
        Code::PermissionDenied => Trouble::Final(format!(
            "it does not allow that to whose token it is ({why}); grant it there, or use another token"
        )),
        Code::Unimplemented => Trouble::Final(format!("its server does not know how: {why}")),
        _ => Trouble::Final(why),
    }
}

/// What a status of the server says; nothing if it went well.
pub(super) fn of_status(status: &Status) -> Option<Trouble> {
    let Status { error_code, reason, code, retriable } = status;
    if *error_code == 0 && *code == 0 {
        return None;
    }
    let why = match reason.trim() {
        "" => format!("code {code}/{error_code}"),
        reason => reason.to_owned(),
    };
    Some(match (*code, *error_code) {
        (code::NO_COLLECTION, _) | (0, code::OLD_NO_COLLECTION) => Trouble::NoCollection,
        (code::NOT_LOADED, _) | (_, code::NOT_LOADED) => Trouble::NotLoaded(why),
        (_, code::OLD_RATE_LIMIT) => Trouble::Passing(why),
        _ if *retriable => Trouble::Passing(why),
        // 2.3 has no code of its own for these two.
        _ if why.contains("not loaded") => Trouble::NotLoaded(why),
        _ if why.contains("can't find collection") || why.contains("collection not found") => {
            Trouble::NoCollection
        }
        _ => Trouble::Final(why),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_old_and_new_servers_are_understood() {
        let status = |code, error_code, reason: &str, retriable| Status {
            code,
            error_code,
            reason: reason.into(),
            retriable,
        };
        assert!(of_status(&Status::default()).is_none());
        for (status, expected) in [
            (status(100, 4, "collection not found", false), "none"),
            (status(0, 4, "", false), "none"),
            (status(0, 1, "DescribeCollection failed: can't find collection: x", false), "none"),
            (status(101, 101, "collection not loaded", false), "load"),
            (status(0, 1, "collection 7 not loaded into memory", false), "load"),
            (status(8, 49, "rate limit exceeded", true), "again"),
            (status(0, 49, "rate", false), "again"),
            (status(1100, 1, "invalid parameter", false), "final"),
        ] {
            let got = match of_status(&status) {
                Some(Trouble::NoCollection) => "none",
                Some(Trouble::NotLoaded(_)) => "load",
                Some(Trouble::Passing(_)) => "again",
                Some(Trouble::Final(_)) => "final",
                None => "well",
            };
            assert_eq!(got, expected, "{status:?}");
        }
    }

    /// Told once, whatever layers it came through, and not asked for again.
    #[test]
    fn a_certificate_that_is_not_believed_is_final() {
        let layers = "invalid peer certificate: UnknownIssuer: transport error: invalid peer certificate: UnknownIssuer";
        let connection = Connection { tls: true, with_token: false, answered: false };
        match of_transport(&tonic::Status::unavailable(layers), &connection) {
            Trouble::Final(why) => {
                assert!(why.contains("(UnknownIssuer); name the file"), "{why}");
            }
            other => panic!("{other:?}"),
        }
    }

    /// As a proxy says it (`internal/proxy/authentication_interceptor.go` of Milvus).
    #[test]
    fn who_is_refused_is_told_what_to_do() {
        let connection = |with_token| Connection { tls: true, with_token, answered: true };
        for (status, with_token, part) in [
            (tonic::Status::unauthenticated("auth check failure"), true, "check it"),
            (tonic::Status::unauthenticated("missing authorization"), false, "set EK_MILVUS_TOKEN"),
            (tonic::Status::permission_denied("PrivilegeUpsert"), true, "grant it there"),
        ] {
            match of_transport(&status, &connection(with_token)) {
                Trouble::Final(why) => {
                    assert!(why.contains(part) && why.contains(status.message()), "{why}");
                }
                other => panic!("{status:?}: {other:?}"),
            }
        }
    }
}
