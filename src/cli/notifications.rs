//! The arguments of the sinks that the controller notifies.

use std::{fs, path::PathBuf};

use clap::Args;
use tracing::warn;

use super::process::Failure;
use crate::{
    decide::announcement::Sink,
    notifier::{Endpoint, SinkSettings, Template},
};

/// Where what happens to records is announced.
#[derive(Args, Clone, Debug, Default)]
pub(super) struct NotificationArguments {
    /// A URL to which what happens to records is sent as CDEvents.
    #[arg(long, value_name = "URL")]
    cdevents_sink: Option<String>,
    /// A folder with secrets of this sink: a file `headers` with a header (`Name: value`) a line, and a file `url` where
    /// --cdevents-sink is not given. They are read anew for each delivery.
    #[arg(long, value_name = "FOLDER")]
    cdevents_secrets: Option<PathBuf>,
    /// A URL to which it is sent as JSON, for Slack, Teams and others. Where the URL is a secret, put it into the folder.
    #[arg(long, value_name = "URL")]
    notification_webhook: Option<String>,
    /// A folder with secrets of the webhook, as for --cdevents-secrets.
    #[arg(long, value_name = "FOLDER")]
    notification_secrets: Option<PathBuf>,
    /// The template of the webhook's JSON; without one, all that is known is sent.
    #[arg(long, value_name = "FILE")]
    notification_template: Option<PathBuf>,
}

impl NotificationArguments {
    /// The sinks.
    ///
    /// # Errors
    /// When one of them cannot be used as it is described.
    pub(super) fn sinks(&self) -> Result<Vec<SinkSettings>, Failure> {
        let template = match &self.notification_template {
            Some(file) => {
                let read = fs::read_to_string(file).map_err(|error| error.to_string());
                let parsed = read.and_then(|text| Template::parse(&text).map_err(|error| error.to_string()));
                parsed.map_err(|error| format!("--notification-template {}: {error}", file.display()))?
            }
            None => Template::default(),
        };
        let webhook = (Sink::Webhook, &self.notification_webhook, &self.notification_secrets, template);
        let cdevents = (Sink::CdEvents, &self.cdevents_sink, &self.cdevents_secrets, Template::default());
        let mut sinks = Vec::new();
        for (sink, url, secrets, template) in [cdevents, webhook] {
            if url.is_none() && secrets.is_none() {
                continue;
            }
            let endpoint = Endpoint::new(url.as_deref(), secrets.as_deref());
            let endpoint = endpoint.map_err(|error| format!("the sink {}: {error}", sink.name()))?;
            // Recording goes on without it.
            if let Err(error) = endpoint.read() {
                warn!("the sink {}: {error}; it is read again for each delivery", sink.name());
            }
            sinks.push(SinkSettings { sink, endpoint, template });
        }
        if self.notification_template.is_some() && !sinks.iter().any(|it| it.sink == Sink::Webhook) {
            return Err("--notification-template needs --notification-webhook, or --notification-secrets".into());
        }
        Ok(sinks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(arguments: &NotificationArguments) -> String {
        arguments.sinks().unwrap_err().to_string()
    }

    #[test]
    fn sinks_are_those_that_are_given() {
        let url = || Some("http://sink/".to_owned());
        let names = |arguments: NotificationArguments| {
            arguments.sinks().unwrap().iter().map(|it| it.sink.name()).collect::<Vec<_>>().join(",")
        };
        assert_eq!(names(NotificationArguments::default()), "");
        assert_eq!(names(NotificationArguments { cdevents_sink: url(), ..Default::default() }), "cdevents");
        let both = NotificationArguments { cdevents_sink: url(), notification_webhook: url(), ..Default::default() };
        assert_eq!(names(both), "cdevents,webhook");
    }

    #[test]
    fn a_mistake_is_named_with_its_argument() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("template.json");
        fs::write(&file, "{{ nothing }}").unwrap();
        let bad = NotificationArguments { cdevents_sink: Some("sink".into()), ..Default::default() };
        assert!(refused(&bad).starts_with("the sink cdevents: the URL cannot be read"), "{}", refused(&bad));
        let empty = NotificationArguments { notification_secrets: Some(folder.path().into()), ..Default::default() };
        assert_eq!(empty.sinks().unwrap().len(), 1, "what is in the folder may come later");
        let template = NotificationArguments { notification_template: Some(file.clone()), ..Default::default() };
        assert!(refused(&template).contains("template.json: undefined value"), "{}", refused(&template));
        fs::write(&file, "{}").unwrap();
        assert!(refused(&template).contains("needs --notification-webhook"), "{}", refused(&template));
    }
}
