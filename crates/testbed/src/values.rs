//! Values for the chart.

use serde_json::{Value, json};

/// Values that override the chart's own.
#[derive(Clone, Debug)]
pub struct Values(Value);

impl Default for Values {
    fn default() -> Self {
        Self(json!({}))
    }
}

impl Values {
    /// Sets one, named as for `helm --set`: `webhook.spreadSeconds`. `null` removes the chart's own.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        *self.at(name) = value.into();
    }

    /// Adds to a list.
    ///
    /// # Panics
    /// When the value of that name is no list.
    pub fn push(&mut self, name: &str, value: impl Into<Value>) {
        let list = self.at(name);
        if list.is_null() {
            *list = json!([]);
        }
        list.as_array_mut().unwrap_or_else(|| panic!("{name} is no list")).push(value.into());
    }

    /// As a file of values: YAML is a superset of JSON.
    pub fn text(&self) -> String {
        self.0.to_string()
    }

    fn at(&mut self, name: &str) -> &mut Value {
        name.split('.').fold(&mut self.0, |value, key| &mut value[key])
    }
}
