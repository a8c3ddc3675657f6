"""Sends CloudEvents with the stock package `cloudevents`: cloudevents_client.py URL. Prints what the server answered.

The package makes headers and bodies and leaves the sending to its user: by `requests`, as its documentation does.
"""

import json
import sys
from datetime import datetime, timezone

import requests
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from cloudevents.v1.conversion import to_binary as to_binary_v1
from cloudevents.v1.conversion import to_structured as to_structured_v1
from cloudevents.v1.http import CloudEvent as CloudEventV1

TIME = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


def send(headers, body):
    answer = requests.post(sys.argv[1], data=body, headers=headers, timeout=60)
    return {"status": answer.status_code, **answer.json()}


def event(id, data, **more):
    attributes = {"id": id, "source": "/python", "type": "com.example.python", "time": TIME, **more}
    return CloudEvent(attributes=attributes, data=data)


def event_v1(id, data):
    attributes = {"id": id, "source": "/python", "type": "com.example.python", "time": TIME.isoformat(), "subject": "old"}
    return CloudEventV1(attributes, data)


def both(message):
    return send(message.headers, message.body)


json_type, avro = {"datacontenttype": "application/json"}, {"datacontenttype": "avro/binary"}
answers = {
    "binary": both(to_binary_event(event("py-binary", {"n": 1}, subject="Euro € 😀 100%", **json_type))),
    "bytes": both(to_binary_event(event("py-bytes", b"\x00\x01\xff", subject="raw", **avro))),
    "empty": both(to_binary_event(event("py-empty", None, subject="none"))),
    "structured": both(to_structured_event(event("py-structured", {"n": 2}, partitionkey="p-1", subject="s", **json_type))),
    "base64": both(to_structured_event(event("py-base64", b"\x00\x01\xff", subject="raw", **avro))),
    "again": both(to_structured_event(event("py-structured", {"n": 2}, partitionkey="p-1", subject="s", **json_type))),
    "old_binary": send(*to_binary_v1(event_v1("py-old-binary", {"n": 3}))),
    "old_structured": send(*to_structured_v1(event_v1("py-old-structured", {"n": 4}))),
}
print(json.dumps(answers))
