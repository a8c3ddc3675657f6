"""A gRPC client as a user would write it, with the stock packages: grpc_client.py HOST:PORT PROTO_FOLDER [hold].

The stubs are made from the .proto by grpcio-tools. Prints what the server answered as JSON; with `hold`, keeps one call
open, says so in a line, and says in another how the server ended it.
"""

import importlib
import json
import sys
import tempfile
from pathlib import Path

import grpc
import grpc_tools
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_tools import protoc

BATCHES, EVENTS = 200, 50


def stubs(protos, folder):
    name = "millstream/v1/collector.proto"
    arguments = ["protoc", f"-I{protos}", f"--python_out={folder}", f"--grpc_python_out={folder}", name]
    assert protoc.main(arguments) == 0
    # Another package of the same name on the path must not win.
    sys.path.insert(0, folder)
    return [importlib.import_module(f"millstream.v1.collector_{part}") for part in ("pb2", "pb2_grpc")]


def error(call):
    try:
        for _ in call():
            pass
    except grpc.RpcError as error:
        details = any(key == "grpc-status-details-bin" for key, _ in error.trailing_metadata())
        return {"code": error.code().name, "message": error.details(), "details": details}
    return None


def publish(pb, collector):
    """Sends everything at once and adds up what is acknowledged."""

    def batches():
        for n in range(1, BATCHES + 1):
            events = [{"event_id": f"py-{n}-{i}", "learner_id": f"l-{i}"} for i in range(EVENTS)]
            yield pb.PublishRequest(sequence=n, stream="events" if n == 1 else "", events=json.dumps(events).encode())
        again = [{"event_id": "py-1-0", "learner_id": "l-0"}]
        yield pb.PublishRequest(sequence=1000, events=json.dumps(again).encode())
        lines = b'{"event_id":"py-last"}\n{broken\n'
        yield pb.PublishRequest(sequence=1001, format=pb.FORMAT_NDJSON, ack=pb.ACK_LEVEL_STORED, events=lines)

    total = {"acked": [], "accepted": 0, "duplicates": 0, "rejected": 0, "rejections": []}
    for answer in collector.Publish(batches()):
        total["acked"].append(answer.acked)
        for name in ("accepted", "duplicates", "rejected"):
            total[name] += getattr(answer, name)
        total["rejections"] += [[r.sequence, r.index, r.code] for r in answer.rejections]
    return total


def main(pb, collector, channel):
    health = health_pb2_grpc.HealthStub(channel)
    status = health.Check(health_pb2.HealthCheckRequest(service="millstream.v1.Collector")).status
    batch = collector.PublishBatch(pb.PublishBatchRequest(stream="events", events=b'[{"a":1},7]'), timeout=30)
    empty = [pb.PublishRequest(sequence=1, stream="nothing", events=b"{}")]
    other = channel.unary_stream("/millstream.v1.Collector/Other", request_serializer=bytes, response_deserializer=bytes)
    absent = channel.unary_stream("/other.Service/Method", request_serializer=bytes, response_deserializer=bytes)
    return {
        "health": health_pb2.HealthCheckResponse.ServingStatus.Name(status),
        "services": sorted(ProtoReflectionDescriptorDatabase(channel).get_services()),
        "publish": publish(pb, collector),
        "batch": [batch.accepted, batch.rejected, batch.rejections[0].code, len(batch.positions)],
        "unknown_stream": error(lambda: collector.Publish(iter(empty))),
        "other_method": error(lambda: other(b"")),
        "absent_service": error(lambda: absent(b"")),
    }


def hold(pb, collector):
    """Sends one batch and then nothing, without ending the call."""
    import threading

    never = threading.Event()

    def batches():
        yield pb.PublishRequest(sequence=1, stream="events", events=b"{}")
        never.wait()

    answers = collector.Publish(batches())
    print(json.dumps(next(answers).acked), flush=True)
    print(json.dumps(error(lambda: answers)), flush=True)
    never.set()


with tempfile.TemporaryDirectory() as folder, grpc.insecure_channel(sys.argv[1]) as channel:
    pb, pb_grpc = stubs(sys.argv[2], folder)
    collector = pb_grpc.CollectorStub(channel)
    if sys.argv[3:] == ["hold"]:
        hold(pb, collector)
    else:
        print(json.dumps(main(pb, collector, channel)))
