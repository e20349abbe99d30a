//! What the API server refuses, in words that end with what to do about it.

/// As the error says it; where a right is missing, with the remedy.
///
/// 403 alone does not say so: quotas, namespaces on their way out and admission webhooks answer with it, too. What RBAC
/// refuses reads `User "..." cannot VERB resource "..."`
/// (<https://kubernetes.io/docs/reference/access-authn-authz/authorization/>).
#[must_use]
pub fn explain(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if status.is_forbidden() && status.message.contains(" cannot ") => {
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
    fn a_missing_right_is_said_with_its_remedy_and_nothing_else_is() {
        let missing = "namespaces is forbidden: User \"system:serviceaccount:pact:pact-operator-controller\" cannot list \
                       resource \"namespaces\" in API group \"\" at the cluster scope";
        let said = refused(403, missing, "Forbidden");
        assert!(said.starts_with(missing) && said.contains("Remedy: grant that to this ServiceAccount"), "{said}");
        for (code, message, reason) in [
            (403, "exceeded quota: objects", "Forbidden"),
            (500, "etcd cannot answer", "InternalError"),
            (404, "the server could not find the requested resource", "NotFound"),
        ] {
            let said = refused(code, message, reason);
            assert!(said.contains(message) && !said.contains("Remedy"), "{said}");
        }
    }
}
