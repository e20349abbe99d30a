//! An object that may not be readable: the others of its list are.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{Resource, core::PartialObjectMeta};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error},
};
use serde_json::value::RawValue;

/// An object that cannot be decoded.
#[derive(Clone, Debug)]
pub struct InvalidObject {
    /// Why.
    pub error: String,
    /// Its metadata.
    pub metadata: ObjectMeta,
}

/// An object, decoded if it can be. Read from its text: what kube has for the same purpose first builds a tree of each
/// object, which takes ten times the room and most of the time of a list.
#[derive(Clone, Debug)]
pub struct Decoded<K>(pub Result<K, InvalidObject>);

impl<'de, K: Resource + DeserializeOwned> Deserialize<'de> for Decoded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&RawValue>::deserialize(deserializer)?.get();
        let error = match serde_json::from_str(text) {
            Ok(object) => return Ok(Self(Ok(object))),
            Err(error) => error,
        };
        let PartialObjectMeta::<K> { metadata, .. } = serde_json::from_str(text).map_err(D::Error::custom)?;
        // Where in the text it is helps nobody: people see the object as YAML.
        let (error, place) = (error.to_string(), format!(" at line {} column {}", error.line(), error.column()));
        let error = error.strip_suffix(&place).unwrap_or(&error).to_owned();
        Ok(Self(Err(InvalidObject { error, metadata })))
    }
}

impl<K: Resource> Resource for Decoded<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::kind(dynamic)
    }

    fn group(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::group(dynamic)
    }

    fn version(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::version(dynamic)
    }

    fn plural(dynamic: &Self::DynamicType) -> Cow<'_, str> {
        K::plural(dynamic)
    }

    fn meta(&self) -> &ObjectMeta {
        self.0.as_ref().map_or_else(|invalid| &invalid.metadata, K::meta)
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        self.0.as_mut().map_or_else(|invalid| &mut invalid.metadata, K::meta_mut)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::core::{ObjectList, WatchEvent};

    use super::*;

    const LIST: &str = r#"{"kind": "ConfigMapList", "apiVersion": "v1", "metadata": {"resourceVersion": "7"}, "items": [
        {"metadata": {"name": "a"}, "data": {"k": "v\u0041"}},
        {"metadata": {"name": "b", "uid": "u"}, "data": "none"},
        {"metadata": {"name": "c"}, "unknown": [{}]}]}"#;

    #[test]
    fn one_that_cannot_be_read_keeps_no_other_from_being_read() {
        let list: ObjectList<Decoded<ConfigMap>> = serde_json::from_str(LIST).unwrap();
        let names: Vec<_> = list.items.iter().filter_map(|it| it.meta().name.as_deref()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(list.items[0].0.as_ref().unwrap().data.as_ref().unwrap()["k"], "vA");
        let invalid = list.items[1].0.as_ref().unwrap_err();
        assert_eq!((invalid.metadata.uid.as_deref(), invalid.error.contains("line")), (Some("u"), false));
        assert!(invalid.error.starts_with("invalid type: string \"none\""), "{}", invalid.error);
        assert!(list.items[2].0.is_ok());
    }

    #[test]
    fn an_event_of_a_watch_is_read_like_an_element_of_a_list() {
        let event = r#"{"type": "MODIFIED", "object": {"metadata": {"name": "b"}, "data": 1}}"#;
        let Ok(WatchEvent::Modified(object)) = serde_json::from_str::<WatchEvent<Decoded<ConfigMap>>>(event) else {
            panic!("{event}");
        };
        assert_eq!(object.meta().name.as_deref(), Some("b"));
        assert!(object.0.is_err());
    }

    #[test]
    fn without_readable_metadata_it_is_no_object() {
        assert!(serde_json::from_str::<Decoded<ConfigMap>>(r#"{"metadata": 1}"#).is_err());
    }
}
