//! `openapi.yaml` is true: its paths are the router's, and answers of every operation fit its schemas.

use std::collections::BTreeSet;

use axum::body::Body;
use http::Request;
use obsteward::api::rest::{Method, OPENAPI, OperationId, ROUTES};
use obsteward::config::TaskShape;
use obsteward::operations;
use serde_json::Value;

use super::{Fixture, STOP};
use crate::support::stored_tasks::{cluster_id, task_id};

fn description() -> Value {
    serde_yaml_ng::from_str(OPENAPI).unwrap()
}

/// What of a value does not fit a schema of OpenAPI 3.0: the words that the description uses, and no others.
fn misfits(root: &Value, schema: &Value, value: &Value, path: &str, wrong: &mut Vec<String>) {
    let schema = match schema["$ref"].as_str() {
        Some(reference) => {
            let found = root.pointer(reference.strip_prefix('#').unwrap());
            return misfits(root, found.unwrap_or_else(|| panic!("{reference} is nowhere")), value, path, wrong);
        }
        None => schema,
    };
    if value.is_null() && schema["nullable"] == true {
        return;
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        misfits(root, part, value, path, wrong);
    }
    if let Some(parts) = schema["anyOf"].as_array() {
        let fits = |part: &Value| {
            let mut wrong = Vec::new();
            misfits(root, part, value, path, &mut wrong);
            wrong.is_empty()
        };
        if !parts.iter().any(fits) {
            wrong.push(format!("{path}: fits none of anyOf"));
        }
    }
    let is = match schema["type"].as_str() {
        None => true,
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some(other) => panic!("{path}: type {other}"),
    };
    if !is {
        wrong.push(format!("{path}: {value} is not of type {}", schema["type"]));
    }
    if schema["enum"].as_array().is_some_and(|known| !known.contains(value)) {
        wrong.push(format!("{path}: {value} is none of {}", schema["enum"]));
    }
    if schema["minimum"].as_i64().is_some_and(|least| value.as_i64().is_some_and(|value| value < least)) {
        wrong.push(format!("{path}: {value} is below {}", schema["minimum"]));
    }
    for item in value.as_array().into_iter().flatten() {
        misfits(root, &schema["items"], item, &format!("{path}[]"), wrong);
    }
    let Some(object) = value.as_object() else { return };
    for key in schema["required"].as_array().into_iter().flatten() {
        if !object.contains_key(key.as_str().unwrap()) {
            wrong.push(format!("{path}: {key} is missing"));
        }
    }
    for (key, value) in object {
        let known = &schema["properties"][key];
        let additional = &schema["additionalProperties"];
        match (known.is_null(), additional) {
            (false, _) => misfits(root, known, value, &format!("{path}.{key}"), wrong),
            (true, Value::Bool(false)) => wrong.push(format!("{path}: {key} is not described")),
            (true, Value::Object(_)) => misfits(root, additional, value, &format!("{path}.{key}"), wrong),
            (true, _) => {}
        }
    }
}

fn assert_fits(root: &Value, schema: &Value, value: &Value, what: &str) {
    assert!(!schema.is_null(), "{what}: no schema");
    let mut wrong = Vec::new();
    misfits(root, schema, value, "", &mut wrong);
    assert!(wrong.is_empty(), "{what}: {wrong:#?}\n{value:#}");
}

#[test]
fn routes_and_description_name_the_same_paths_and_methods() {
    let root = description();
    let mut described = BTreeSet::new();
    for (path, methods) in root["paths"].as_object().unwrap() {
        described.extend(methods.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())));
    }
    let method = |method: Method| match method {
        Method::Get => "get",
        Method::Post => "post",
    };
    let routed: BTreeSet<_> =
        ROUTES.iter().map(|route| (method(route.method).to_owned(), route.path.to_owned())).collect();
    assert_eq!(described, routed);
    let paths: BTreeSet<_> = ROUTES.iter().map(|route| route.path).collect();
    assert_eq!(paths.len(), ROUTES.len(), "a path has one method");
    for route in ROUTES {
        let described = &root["paths"][route.path][method(route.method)];
        let id = described["operationId"].as_str().unwrap();
        assert!(id.starts_with(route.operation.as_str()), "{id} {:?}", route.operation);
        let parameters = described["parameters"].as_array().cloned().unwrap_or_default();
        let named: BTreeSet<String> = parameters
            .iter()
            .map(|one| one["$ref"].as_str().map_or(one, |reference| root.pointer(&reference[1..]).unwrap()))
            .filter(|one| one["in"] == "path")
            .map(|one| format!("{{{}}}", one["name"].as_str().unwrap()))
            .collect();
        let in_path: BTreeSet<String> =
            route.path.split('/').filter(|part| part.starts_with('{')).map(str::to_owned).collect();
        assert_eq!(named, in_path, "{}", route.path);
    }
}

#[test]
fn the_check_itself_finds_what_does_not_fit() {
    let root = serde_json::json!({"s": {"type": "object", "required": ["a"], "additionalProperties": false,
        "properties": {"a": {"type": "integer", "minimum": 1}, "b": {"enum": ["x"]}}}});
    let wrong = |value: Value| {
        let mut wrong = Vec::new();
        misfits(&root, &serde_json::json!({"$ref": "#/s"}), &value, "", &mut wrong);
        wrong.len()
    };
    assert_eq!(wrong(serde_json::json!({"a": 1, "b": "x"})), 0);
    assert_eq!(wrong(serde_json::json!({"a": 0})), 1);
    assert_eq!(wrong(serde_json::json!({"b": "y", "c": 1})), 3);
    assert_eq!(wrong(serde_json::json!([])), 1);
}

#[tokio::test]
async fn answers_of_every_operation_fit_their_schemas() {
    let root = description();
    let mut answered = BTreeSet::new();
    for shape in [TaskShape::Legacy, TaskShape::V4] {
        for route in ROUTES {
            let fixture = Fixture::admin(|config| config.task_shape = shape).await;
            let task = task_id(1);
            fixture.store.create(task, cluster_id(1));
            fixture.store.dispatch(task);
            fixture.store.succeed(task, 1);
            // What can be asked of a task that failed, and of one that runs; and what is accepted already.
            match route.operation {
                OperationId::RetryTask
                | OperationId::RollbackTask
                | OperationId::GiveUpTask
                | OperationId::RetrySubtask
                | OperationId::SkipSubtask => fixture.store.fail(task, 2),
                OperationId::StopServer => _ = fixture.accept(&operations::STOP_PROCESS).await,
                OperationId::StartServer => _ = fixture.accept(&operations::START).await,
                OperationId::FreezeServer => _ = fixture.accept(&operations::FREEZE).await,
                OperationId::RestartServer => _ = fixture.accept(&operations::RESTART).await,
                OperationId::StopZone => _ = fixture.accept(&operations::zone::STOP).await,
                OperationId::StartZone => _ = fixture.accept(&operations::zone::START).await,
                OperationId::RestartZone => _ = fixture.accept(&operations::zone::RESTART).await,
                OperationId::StopCluster => _ = fixture.accept(&operations::cluster::STOP).await,
                OperationId::StartCluster => _ = fixture.accept(&operations::cluster::START).await,
                OperationId::RestartCluster => _ = fixture.accept(&operations::cluster::RESTART).await,
                _ => {}
            }
            let path = route
                .path
                .replace("{taskInstanceId}", "1")
                .replace("{subtaskInstanceId}", "102")
                .replace("{serverId}", "3")
                .replace("{zoneName}/servers", "zone1/servers")
                // Of the sample.
                .replace("{zoneName}", "zone2")
                .replace("{id}", "20")
                .replace("{clusterId}", "20");
            // Streams and these pages are no envelopes.
            let (method, envelope) = match route.path {
                "/openapi.yaml" | "/api/status" | "/api/v2/info" | "/healthz" | "/readyz" => continue,
                path if path.ends_with("/events") => continue,
                _ => (route.method, true),
            };
            assert!(envelope);
            let (answer, name) = match method {
                Method::Get => (fixture.get(&path).await, "get"),
                Method::Post => (fixture.post(&path).await, "post"),
            };
            let described = &root["paths"][route.path][name]["responses"];
            let schema = match answer.status.as_u16() {
                200 => &described["200"]["content"]["application/json"]["schema"],
                _ => &root["components"]["schemas"]["ErrorAnswer"],
            };
            assert_fits(&root, schema, &answer.body, route.path);
            if answer.status == 200 {
                answered.insert(route.path);
            }
        }
    }
    // Not: six without an envelope, and what is asked of holds and rollouts, which the task of this test is not.
    assert_eq!(answered.len(), ROUTES.len() - 9, "{answered:?}");
    let wrong = Fixture::admin(|_| ()).await.post_json(STOP, r#"{"force":"x"}"#).await;
    assert_fits(&root, &root["components"]["schemas"]["ErrorAnswer"], &wrong.body, "an error");
}

#[tokio::test]
async fn the_description_is_served_to_everybody() {
    let fixture = Fixture { login: http::HeaderMap::new(), ..Fixture::admin(|_| ()).await };
    let response = fixture.send(Request::get("/openapi.yaml").body(Body::empty()).unwrap()).await;
    assert_eq!(response.headers()["content-type"], "application/yaml");
    let bytes = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
    assert_eq!(bytes, OPENAPI.as_bytes());
}
