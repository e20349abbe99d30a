//! Values for the chart.

use serde_json::{Value, json};

/// What is given to the chart over its own values.
#[derive(Clone, Debug)]
pub struct Values(Value);

impl Default for Values {
    fn default() -> Self {
        Self(json!({}))
    }
}

impl Values {
    /// Sets one, named as for `helm --set`: `webhook.spreadSeconds`. `null` takes the chart's own away.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        *self.at(name) = value.into();
    }

    /// Adds to a list.
    ///
    /// # Panics
    /// When there is something else by that name.
    pub fn push(&mut self, name: &str, value: impl Into<Value>) {
        let list = self.at(name);
        if list.is_null() {
            *list = json!([]);
        }
        list.as_array_mut().unwrap_or_else(|| panic!("{name} is no list")).push(value.into());
    }

    /// As a file of values, for YAML is a superset of JSON.
    pub fn text(&self) -> String {
        self.0.to_string()
    }

    fn at(&mut self, name: &str) -> &mut Value {
        name.split('.').fold(&mut self.0, |value, key| &mut value[key])
    }
}
