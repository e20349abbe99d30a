//! Refusals of the API server, explained with their remedy.

/// Whether the API server refuses because a right is missing.
///
/// 403 alone does not prove a missing right: quotas, namespaces that are being deleted and admission webhooks answer
/// 403, too. A refusal of RBAC reads `User "..." cannot VERB resource "..."`
/// (<https://kubernetes.io/docs/reference/access-authn-authz/authorization/>).
#[must_use]
pub fn is_missing_right(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_forbidden() && status.message.contains(" cannot "))
}

/// The text of the error and, where a right is missing, the remedy.
#[must_use]
pub fn explain(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if is_missing_right(error) => {
            format!("{}. Remedy: grant that to this ServiceAccount, as the roles of the chart do", status.message)
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refused(code: u16, message: &str, reason: &str) -> String {
        explain(&kube::Error::Api(Box::new(Status::failure(message, reason).with_code(code))))
    }

    #[test]
    fn only_a_missing_right_is_explained_with_a_remedy() {
        let missing = "namespaces is forbidden: User \"system:serviceaccount:pact:pact-operator-controller\" cannot list \
                       resource \"namespaces\" in API group \"\" at the cluster scope";
        let message = refused(403, missing, "Forbidden");
        assert!(
            message.starts_with(missing) && message.contains("Remedy: grant that to this ServiceAccount"),
            "{message}"
        );
        for (code, message, reason) in [
            (403, "exceeded quota: objects", "Forbidden"),
            (500, "etcd cannot answer", "InternalError"),
            (404, "the server could not find the requested resource", "NotFound"),
        ] {
            let explained = refused(code, message, reason);
            assert!(explained.contains(message) && !explained.contains("Remedy"), "{explained}");
        }
    }
}
