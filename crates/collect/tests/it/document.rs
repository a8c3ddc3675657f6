//! The OpenAPI document says what the door does.

use serde_json::Value;

#[test]
fn the_document_has_the_path_with_every_status() {
    let document: Value = serde_json::to_value(collect::openapi()).unwrap();
    let post = &document["paths"]["/v1/streams/{stream}/events"]["post"];
    let statuses: Vec<&str> = post["responses"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(statuses, ["200", "202", "207", "400", "404", "413", "415", "422", "429", "503"]);
    let parameters: Vec<&str> =
        post["parameters"].as_array().unwrap().iter().map(|p| p["name"].as_str().unwrap()).collect();
    assert_eq!(parameters, ["stream", "ack", "Content-Encoding", "X-Request-ID"]);
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
