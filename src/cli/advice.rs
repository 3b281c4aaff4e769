//! What to try next when the server will not serve this caller: which option to give, or what to ask an administrator for.
//! Pure.

use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::table::flat;

/// As whom the command line calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallerIdentity {
    pub user: Option<String>,
    /// Whether a client certificate goes with the connection.
    pub certificate: bool,
}

/// What to do about a status that is about the caller; `None`: it is about something else.
pub fn advice(status: &Status, named: &CallerIdentity) -> Option<String> {
    if status.code() == Code::Unauthenticated {
        return Some(prove_yourself(named));
    }
    let info = status.get_details_error_info().filter(|info| info.domain == "obsteward");
    let (reason, metadata) = info.map(|info| (info.reason, info.metadata)).unwrap_or_default();
    match reason.as_str() {
        "PERMISSION_DENIED" => {
            let value =
                |key: &str, otherwise: &str| metadata.get(key).map_or(otherwise.to_owned(), |value| flat(value));
            // Quoted, because a shell takes * for names of files.
            Some(format!(
                "an administrator permits it with: obsteward role create ROLE '{}', then obsteward user update {} with \
                 --role ROLE and a --role for each that it has",
                value("permission", "PERMISSION"),
                value("principal", "NAME"),
            ))
        }
        "LOGIN_THROTTLED" => Some(
            "wait so long, then try once, with the right password (--password-file FILE or $OBSTEWARD_PASSWORD)"
                .to_owned(),
        ),
        "TOO_MANY_WATCHES" => Some("end a watch, or follow all tasks with one: obsteward watch --all".to_owned()),
        // The server says how long; everything else is not about the caller.
        _ => None,
    }
}

fn prove_yourself(named: &CallerIdentity) -> String {
    match (&named.user, named.certificate) {
        (Some(user), _) => format!(
            "check the password of {} (--password-file FILE, $OBSTEWARD_PASSWORD or the terminal) and that it is not \
             disabled; an administrator gives it another with: obsteward user rotate {}",
            flat(user),
            flat(user)
        ),
        (None, true) => {
            "add a name of the certificate to a user: obsteward user update NAME --certificate DNS:…, or log \
                         in with --user NAME"
                .to_owned()
        }
        (None, false) => {
            "say who you are: --user NAME (or $OBSTEWARD_USER) with --password-file FILE, $OBSTEWARD_PASSWORD \
                          or the terminal for the password; or a client certificate with --cert-file and --key-file"
                .to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use tonic_types::ErrorDetails;

    use super::*;

    fn of(code: Code, reason: &str, metadata: &[(&str, &str)], named: &CallerIdentity) -> Option<String> {
        let metadata: HashMap<_, _> =
            metadata.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let details = ErrorDetails::with_error_info(reason, "obsteward", metadata);
        advice(&Status::with_error_details(code, "no", details), named)
    }

    #[test]
    fn nobody_is_told_which_options_name_him() {
        let nobody = CallerIdentity::default();
        let told = of(Code::Unauthenticated, "UNAUTHENTICATED", &[], &nobody).unwrap();
        for option in ["--user", "--password-file", "OBSTEWARD_PASSWORD", "--cert-file"] {
            assert!(told.contains(option), "{told}");
        }
        // A proxy's answer has no reason.
        assert_eq!(advice(&Status::unauthenticated("no"), &nobody), Some(told));
        let bob = CallerIdentity { user: Some("bob".to_owned()), certificate: false };
        let told = of(Code::Unauthenticated, "UNAUTHENTICATED", &[], &bob).unwrap();
        assert!(told.contains("password of bob") && told.contains("user rotate bob"), "{told}");
        let certificate = CallerIdentity { user: None, certificate: true };
        assert!(of(Code::Unauthenticated, "UNAUTHENTICATED", &[], &certificate).unwrap().contains("--certificate"));
    }

    #[test]
    fn whoever_may_not_is_told_what_to_ask_for() {
        let missing = [("principal", "bob"), ("permission", "CLUSTER:1:UPDATE")];
        let told = of(Code::PermissionDenied, "PERMISSION_DENIED", &missing, &CallerIdentity::default()).unwrap();
        assert!(told.contains("role create ROLE 'CLUSTER:1:UPDATE'") && told.contains("user update bob"), "{told}");
        assert!(
            of(Code::ResourceExhausted, "LOGIN_THROTTLED", &[], &CallerIdentity::default()).unwrap().contains("wait")
        );
        assert_eq!(of(Code::Aborted, "OPERATION_IN_PROGRESS", &[], &CallerIdentity::default()), None);
    }
}
