//! The OpenAPI document says what the door does.

use serde_json::Value;

#[test]
fn the_document_has_the_path_with_every_status() {
    let document: Value = serde_json::to_value(collect::openapi()).unwrap();
    let post = &document["paths"]["/v1/streams/{stream}/events"]["post"];
    let statuses: Vec<&str> = post["responses"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        statuses,
        ["200", "202", "207", "400", "401", "403", "404", "408", "409", "413", "415", "422", "429", "503"]
    );
    let parameters: Vec<&str> =
        post["parameters"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(parameters, ["stream", "ack", "Content-Encoding", "X-Request-ID", "Idempotency-Key"]);
    let bodies: Vec<&String> = post["requestBody"]["content"].as_object().unwrap().keys().collect();
    let known = [
        "application/cloudevents+json",
        "application/cloudevents-batch+json",
        "application/json",
        "application/jsonl",
        "application/ndjson",
        "application/x-ndjson",
    ];
    assert_eq!(bodies, known);
}

#[test]
fn every_call_of_segments_door_has_its_page() {
    let document: Value = serde_json::to_value(collect::openapi()).unwrap();
    for name in ["batch", "import", "track", "identify", "page", "screen", "group", "alias"] {
        let post = &document["paths"][format!("/v1/{name}")]["post"];
        assert_eq!(post["operationId"].as_str(), Some(&*format!("segment_{name}")));
        assert!(post["responses"]["200"].is_object(), "{name}");
    }
}

#[test]
fn every_path_says_what_happens_without_a_key_and_every_door_what_an_idempotency_key_does() {
    let document: Value = serde_json::to_value(collect::openapi()).unwrap();
    let is_error = |answer: &Value| {
        let schema = &answer["content"]["application/json"]["schema"];
        let error = Value::from("#/components/schemas/ErrorBody");
        schema["$ref"] == error
            || schema["oneOf"].as_array().is_some_and(|all| all.iter().any(|one| one["$ref"] == error))
    };
    let mut keyed = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let answers = &operation["responses"];
            let guarded = path != "/api/v1/health";
            assert_eq!([&answers["401"], &answers["403"]].map(is_error), [guarded; 2], "{method} {path}");
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            if parameters.filter(|parameter| parameter["name"] == "Idempotency-Key").count() == 1 {
                assert!(is_error(&answers["409"]) && is_error(&answers["422"]), "{method} {path}: {answers}");
                keyed.push(path.as_str());
            }
        }
    }
    keyed.sort_unstable();
    let calls = ["alias", "batch", "group", "identify", "import", "page", "screen"].map(|call| format!("/v1/{call}"));
    let mut expected: Vec<&str> = calls.iter().map(String::as_str).collect();
    expected.extend(["/api/v1/collect", "/v1/streams/{stream}/events", "/v1/track"]);
    expected.sort_unstable();
    assert_eq!(keyed, expected);
}

#[test]
fn every_reference_leads_somewhere_and_the_answer_is_as_described() {
    let document: Value = serde_json::to_value(collect::openapi()).unwrap();
    let schemas = &document["components"]["schemas"];
    let mut todo = vec![&document];
    let mut references = 0;
    while let Some(value) = todo.pop() {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let name = reference.strip_prefix("#/components/schemas/").unwrap();
            assert!(schemas.get(name).is_some(), "{reference} leads nowhere");
            references += 1;
        }
        todo.extend(value.as_object().into_iter().flat_map(|o| o.values()));
        todo.extend(value.as_array().into_iter().flatten());
    }
    assert!(references >= 10, "{references}");
    let answer = schemas["VerdictsBody"]["properties"].as_object().unwrap();
    for name in ["accepted_count", "duplicate_count", "rejected_count", "ack", "positions", "rejected"] {
        assert!(answer.contains_key(name), "{name}");
    }
}
