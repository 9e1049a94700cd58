//! The `QoeDictionary` objects of one collector, with all that it takes to read their sources. Reads objects,
//! ConfigMaps and Secrets by name, never a list of the latter; judges nothing about lines.

use std::collections::BTreeMap;

use crds::dictionary::{DictionarySource, DictionaryType, OnError};
use crds::kubernetes::Dictionary;
use crds::status::QoeDictionaryStatus;
use crds::{QoeDictionary, validate};
use dictionaries::{LookedUp, Origin, Values, declare};
use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference, Secret};
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::{Api, Resource, ResourceExt};
use serde::Deserialize;

use crate::context::Context;

/// One object, and how to read its source.
#[derive(Clone)]
pub struct Wanted {
    /// Its name.
    pub name: String,
    /// Generation of what follows.
    pub generation: i64,
    /// What events are about; none about what cannot be used, whose status says so.
    pub about: Option<ObjectReference>,
    /// What its lines look like.
    pub dictionary: &'static schema::Dictionary,
    /// The DPIs that it is limited to.
    pub dpis: Option<Vec<u16>>,
    /// What happens when a line is wrong.
    pub on_error: OnError,
    /// Where its lines are.
    pub origin: Origin,
    /// Nobody tells us when its source changes.
    pub is_looked_at: bool,
    /// What its status says now.
    pub status: Option<QoeDictionaryStatus>,
}

/// Why an object or what it names cannot be read now.
#[derive(Debug, thiserror::Error)]
#[error("{what} cannot be read: {source}")]
pub struct ObjectError {
    what: String,
    source: Box<kube::Error>,
}

/// Whether an object is meant for a collector.
pub fn is_for(collectors: Option<&Vec<String>>, collector: &str) -> bool {
    collectors.is_none_or(|names| names.iter().any(|name| name == collector))
}

/// The objects of a collector, by name.
///
/// # Errors
/// The API server does not answer. What does not exist is said in an object's origin.
pub async fn of_collector(
    context: &Context,
    namespace: &str,
    collector: &str,
    database: &str,
) -> Result<Vec<Wanted>, ObjectError> {
    let resource = ApiResource::erase::<Dictionary>(&());
    let api: Api<DynamicObject> = Api::namespaced_with(context.client.clone(), namespace, &resource);
    let listed = api.list(&ListParams::default()).await;
    let listed = listed.map_err(|error| failed("qoedictionaries".to_owned(), error))?;
    let mut wanted = Vec::new();
    for object in listed.items {
        match of_object(object, collector) {
            None => {}
            Some(Found::Held(held)) => wanted.push(*held),
            Some(Found::Sound(sound)) => {
                let (mut sound, source) = *sound;
                let found = look_up(context, namespace, &source).await?;
                sound.origin = Origin::new(&source, None, database, &found);
                wanted.push(sound);
            }
        }
    }
    wanted.sort_by(|first, second| first.name.cmp(&second.name));
    Ok(wanted)
}

enum Found {
    Sound(Box<(Wanted, DictionarySource)>),
    /// It says nothing that can be used: what is in force for its type stays.
    Held(Box<Wanted>),
}

/// What can be told of an object that this version cannot read.
#[derive(Deserialize)]
struct Rudiment {
    spec: RudimentSpec,
}

#[derive(Deserialize)]
struct RudimentSpec {
    #[serde(rename = "type")]
    dictionary_type: DictionaryType,
    #[serde(default)]
    collectors: Option<Vec<String>>,
}

/// Nothing if the object does not concern the collector.
fn of_object(object: DynamicObject, collector: &str) -> Option<Found> {
    let meta = object.metadata.clone();
    // It is going: what it holds goes with it.
    if meta.deletion_timestamp.is_some() {
        return None;
    }
    let json = serde_json::to_value(object).ok()?;
    let wanted = |dictionary_type, about, held: String| Wanted {
        name: meta.name.clone().unwrap_or_default(),
        generation: meta.generation.unwrap_or_default(),
        about,
        dictionary: declare::declaration(dictionary_type),
        dpis: None,
        on_error: OnError::default(),
        origin: Origin::Missing(held),
        is_looked_at: false,
        status: None,
    };
    let dictionary = match Dictionary::deserialize(&json) {
        Ok(dictionary) => dictionary,
        Err(error) => {
            let Rudiment { spec } = Rudiment::deserialize(&json).ok()?;
            let held = wanted(spec.dictionary_type, None, format!("the object cannot be read: {error}"));
            return is_for(spec.collectors.as_ref(), collector).then(|| Found::Held(Box::new(held)));
        }
    };
    let spec = dictionary.spec.clone();
    if !is_for(spec.collectors.as_ref(), collector) {
        return None;
    }
    let problems = validate::dictionary(&QoeDictionary::from(&dictionary));
    if !problems.is_empty() {
        let held = wanted(spec.dictionary_type, None, validate::listed(&problems));
        return Some(Found::Held(Box::new(held)));
    }
    // Its status says so.
    if spec.source.file.is_some() {
        return None;
    }
    let sound = Wanted {
        dpis: spec.dpis,
        on_error: spec.on_error,
        is_looked_at: spec.source.inline.is_none(),
        status: dictionary.status.clone(),
        ..wanted(spec.dictionary_type, Some(dictionary.object_ref(&())), String::new())
    };
    Some(Found::Sound(Box::new((sound, spec.source))))
}

async fn look_up(
    context: &Context,
    namespace: &str,
    source: &DictionarySource,
) -> Result<LookedUp, ObjectError> {
    let http = source.http.as_ref();
    let credentials = http.and_then(|http| http.credentials_secret_ref.as_ref());
    let ca = http.and_then(|http| http.tls.as_ref()?.ca_secret_ref.as_ref());
    let mut found = LookedUp::default();
    if let Some(reference) = &source.config_map {
        found.lines = Some(config_map(context, namespace, &reference.name).await?);
    } else if let Some(reference) = &source.secret {
        found.lines = Some(secret(context, namespace, &reference.name).await?);
    }
    if let Some(reference) = credentials {
        found.credentials = Some(secret(context, namespace, &reference.name).await?);
    }
    if let Some(reference) = ca {
        found.ca = Some(secret(context, namespace, &reference.name).await?);
    }
    Ok(found)
}

async fn config_map(context: &Context, namespace: &str, name: &str) -> Result<Values, ObjectError> {
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), namespace);
    let found = existing(api.get(name).await, "ConfigMap", name, namespace)?;
    Ok(found.map(|found| {
        let text = found.data.into_iter().flatten().map(|(key, text)| (key, text.into_bytes()));
        let bytes = found.binary_data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0));
        text.chain(bytes).collect()
    }))
}

async fn secret(context: &Context, namespace: &str, name: &str) -> Result<Values, ObjectError> {
    let api: Api<Secret> = Api::namespaced(context.client.clone(), namespace);
    let found = existing(api.get(name).await, "Secret", name, namespace)?;
    Ok(found.map(|found| {
        let data = found.data.into_iter().flatten().map(|(key, bytes)| (key, bytes.0));
        data.collect::<BTreeMap<String, Vec<u8>>>()
    }))
}

/// The object, or in words why there is none; an error if that is not known.
fn existing<K: ResourceExt>(
    answer: Result<K, kube::Error>,
    kind: &str,
    name: &str,
    namespace: &str,
) -> Result<Result<K, String>, ObjectError> {
    match answer {
        Ok(found) => Ok(Ok(found)),
        Err(kube::Error::Api(status)) if status.code == 404 => {
            Ok(Err(format!("{kind} {name} does not exist in namespace {namespace}")))
        }
        Err(kube::Error::Api(status)) if status.code == 403 => {
            Ok(Err(format!("the operator may not read {kind} {name}: {}", status.message)))
        }
        Err(error) => Err(failed(format!("{kind} {name}"), error)),
    }
}

fn failed(what: String, error: kube::Error) -> ObjectError {
    ObjectError { what, source: Box::new(error) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(spec: Value) -> DynamicObject {
        let object = json!({
            "apiVersion": "qoeplane.io/v1alpha1",
            "kind": "QoeDictionary",
            "metadata": {"name": "subnets", "namespace": "n", "uid": "u", "generation": 4},
            "spec": spec,
        });
        serde_json::from_value(object).unwrap()
    }

    /// `sound`, `held: REASON` or nothing.
    fn shown(spec: Value) -> Option<String> {
        match of_object(object(spec), "main")? {
            Found::Sound(sound) => {
                let (wanted, _) = *sound;
                assert_eq!((wanted.name.as_str(), wanted.generation), ("subnets", 4));
                Some(format!("sound {}", wanted.dictionary.name))
            }
            Found::Held(wanted) => match wanted.origin {
                Origin::Missing(reason) => Some(format!("held {}: {reason}", wanted.dictionary.name)),
                other => panic!("{other:?}"),
            },
        }
    }

    #[test]
    fn objects_of_this_collector_are_taken() {
        let inline = json!({"inline": "10.0.0.0/8\tours\n"});
        let spec =
            |collectors: Value| json!({"type": "SubnetsLocal", "collectors": collectors, "source": inline});
        assert_eq!(shown(spec(Value::Null)).as_deref(), Some("sound subnets_local"));
        assert_eq!(shown(spec(json!(["other", "main"]))).as_deref(), Some("sound subnets_local"));
        assert_eq!(shown(spec(json!(["other"]))), None);
    }

    #[test]
    fn files_are_left_out() {
        assert_eq!(shown(json!({"type": "SubnetsLocal", "source": {"file": "./a.txt"}})), None);
    }

    #[test]
    fn what_cannot_be_used_holds_its_type() {
        let several = json!({"type": "Asnum", "source": {"inline": "", "file": "a"}});
        let text = shown(several).unwrap();
        assert!(text.starts_with("held asnum: spec.source: "), "{text}");
        let newer = |collectors: Value| json!({"type": "Asnum", "collectors": collectors, "source": {"carrierPigeon": {"loft": 1}}});
        let text = shown(newer(Value::Null)).unwrap();
        assert!(text.starts_with("held asnum: the object cannot be read: "), "{text}");
        assert_eq!(shown(newer(json!(["other"]))), None);
        // A type of a later version has no table here.
        assert_eq!(shown(json!({"type": "Weather", "source": {"inline": ""}})), None);
    }

    #[test]
    fn only_changes_of_objects_are_watched() {
        let is_looked_at =
            |source: Value| match of_object(object(json!({"type": "Asnum", "source": source})), "main") {
                Some(Found::Sound(sound)) => sound.0.is_looked_at,
                _ => panic!("not sound"),
            };
        assert!(!is_looked_at(json!({"inline": "1\tone\n"})));
        assert!(is_looked_at(json!({"configMap": {"name": "a", "key": "b"}})));
        assert!(is_looked_at(json!({"table": {"name": "a"}})));
    }
}
