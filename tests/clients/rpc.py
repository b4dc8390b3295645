"""Calls every method of gRPC with grpcio, with code that is generated from the .proto file as any service would do it."""

import importlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

import grpc
from google.protobuf import descriptor_pb2, struct_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

URL, GRPC_URL, TOKEN = (os.environ[name] for name in ("OMS_URL", "OMS_GRPC_URL", "OMS_TOKEN"))
PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
FILE = "openfoundry/oms/v1/oms.proto"
METADATA = (("authorization", f"Bearer {TOKEN}"),)


def generated():
    """The messages and stubs, generated into a folder that is gone with the program."""
    folder = tempfile.TemporaryDirectory()
    arguments = [f"-I{PROTO}", f"--python_out={folder.name}", f"--grpc_python_out={folder.name}", FILE]
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *arguments], check=True)
    sys.path.insert(0, folder.name)
    modules = [importlib.import_module(f"openfoundry.oms.v1.{name}") for name in ("oms_pb2", "oms_pb2_grpc")]
    return folder, *modules


def rest(method, path, body, headers=None):
    headers = {"authorization": f"Bearer {TOKEN}", "content-type": "application/json", "x-api-version": "v2", **(headers or {})}
    request = urllib.request.Request(URL + path, json.dumps(body).encode(), headers, method=method)
    with urllib.request.urlopen(request) as response:
        return json.load(response)


FOLDER, pb, stubs = generated()
CHANNEL = grpc.insecure_channel(GRPC_URL.removeprefix("http://"))
CALLED = set()


class Noted:
    """A stub that notes which methods were called, so that one without a call is noticed."""

    def __init__(self, service, stub):
        self.service, self.stub = service, stub

    def __getattr__(self, method):
        CALLED.add(f"{self.service}.{method}")
        call = getattr(self.stub, method)
        return lambda request, **options: call(request, **{"metadata": METADATA, "timeout": 20, **options})


def failure(call):
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("it should have failed")


def detail(error, kind):
    status = rpc_status.from_call(error)
    found = [kind() for each in status.details if each.Is(kind.DESCRIPTOR)]
    assert len(found) == 1, status
    next(each for each in status.details if each.Is(kind.DESCRIPTOR)).Unpack(found[0])
    return found[0]


def watch(open_stream, request, names, change):
    """The snapshot, then a change that is made meanwhile; then another stream that goes on where this one was left."""
    said, shown, token, version = [], [], "", 0
    stream = open_stream(request(start=pb.WATCH_START_SNAPSHOT))
    for message in stream:
        token, event = message.resume_token, message.WhichOneof("event")
        said.append(event)
        if event == "snapshot":
            state = getattr(message.snapshot, message.snapshot.WhichOneof("state"))
            shown.append(state.name)
            # The last one is the one that will change.
            version = state.version if state.name == names[-1] else version
        elif event == "snapshot_complete":
            change(f"Number {version}", version)
        elif event == "change":
            assert message.change.version == version + 1, message
            assert [each.new_value.string_value for each in message.change.changes] == [f"Number {version}"], message
            break
    stream.cancel()
    said = [event for event in said if event not in ("snapshot", "heartbeat")]
    assert said == ["opened", "snapshot_complete", "change"] and sorted(shown) == names, (said, shown)
    change(f"Number {version + 1}", version + 1)
    stream = open_stream(request(resume_token=token))
    said = []
    while "change" not in said:
        message = next(stream)
        said.append(message.WhichOneof("event"))
    assert [event for event in said if event != "heartbeat"] == ["opened", "change"], said
    assert message.change.version == version + 2, message
    stream.cancel()


email = {"name": "email", "dataType": "STRING", "required": True, "validators": [{"type": "maxLength", "value": 9}]}
metadata = {"owner": "sales", "limit": 12345678901234567890}
customer = rest("POST", "/api/v1/object-types", {"name": "Customer", "displayName": "Customer", "category": "crm", "tags": ["core", "sales"], "metadata": metadata, "properties": [email]})
rest("POST", "/api/v1/object-types", {"name": "Order", "displayName": "Order", "tags": ["core"]})
rest("PATCH", "/api/v1/object-types/Customer", {"displayName": "Client"}, {"if-match": '"1"'})
link = {"name": "places", "displayName": "places", "source": "Customer", "target": "Order", "cardinality": "ONE_TO_MANY", "properties": [email]}
rest("POST", "/api/v1/link-types", link)
rest("PATCH", "/api/v1/link-types/places", {"displayName": "has placed"}, {"if-match": '"1"'})

types = Noted("ObjectTypeService", stubs.ObjectTypeServiceStub(CHANNEL))
found = types.GetObjectType(pb.GetObjectTypeRequest(name="customer"))
assert (found.id, found.display_name, found.version) == (customer["id"], "Client", 2), found
assert dict(found.metadata) == {"owner": "sales", "limit": "12345678901234567890"}, found
assert found.properties[0].validators[0].value_typed.number_value == 9, found
page = types.ListObjectTypes(pb.ListObjectTypesRequest(page_size=1, include_total_count=True))
assert [each.name for each in page.object_types] == ["Customer"] and page.total_count == 2, page
page = types.ListObjectTypes(pb.ListObjectTypesRequest(page_size=1, page_token=page.next_page_token))
assert [each.name for each in page.object_types] == ["Order"] and not page.next_page_token, page
for filtered in ({"category": "crm"}, {"all_tags": ["core", "sales"]}):
    assert [each.name for each in types.ListObjectTypes(pb.ListObjectTypesRequest(**filtered)).object_types] == ["Customer"]
request = pb.ListObjectTypesRequest(any_tags=["core"], sort_by=pb.SORT_BY_CREATED_AT, descending=True)
assert [each.name for each in types.ListObjectTypes(request).object_types] == ["Order", "Customer"]
instance = struct_pb2.Struct()
instance.update({"email": "far too long", "age": 3})
verdict = types.ValidateObjectInstance(pb.ValidateObjectInstanceRequest(object_type_name="Customer", instance=instance))
assert sorted((each.pointer, each.code) for each in verdict.violations) == [("/age", "UNKNOWN_PROPERTY"), ("/email", "MAX_LENGTH")], verdict
request = pb.ValidateObjectInstancesRequest(object_type_id=customer["id"], version=1, instances_json=['{"email": "a"}'] * 999 + ["{}"])
verdicts = types.ValidateObjectInstances(request, compression=grpc.Compression.Gzip)
assert [each.index for each in verdicts.results if not each.valid] == [999], verdicts
key = {"id": customer["id"]}
assert [each.version for each in types.ListObjectTypeVersions(pb.ListObjectTypeVersionsRequest(**key)).versions] == [2, 1]
assert types.GetObjectTypeVersion(pb.GetObjectTypeVersionRequest(version=1, **key)).object_type.display_name == "Customer"
comparison = types.CompareObjectTypeVersions(pb.CompareObjectTypeVersionsRequest(from_version=1, to_version=2, **key))
assert [(each.field, each.type) for each in comparison.changes] == [("displayName", pb.CHANGE_TYPE_MODIFIED)], comparison
rename = lambda name, version: rest("PATCH", "/api/v1/object-types/Order", {"displayName": name}, {"if-match": f'"{version}"'})
watch(types.WatchObjectTypes, pb.WatchObjectTypesRequest, ["Customer", "Order"], rename)

links = Noted("LinkTypeService", stubs.LinkTypeServiceStub(CHANNEL))
found = links.GetLinkType(pb.GetLinkTypeRequest(name="places"))
assert (found.source, found.target, found.cardinality) == ("Customer", "Order", pb.CARDINALITY_ONE_TO_MANY), found
assert [each.name for each in links.ListLinkTypes(pb.ListLinkTypesRequest(source="customer")).link_types] == ["places"]
assert not links.ListLinkTypes(pb.ListLinkTypesRequest(cardinality=pb.CARDINALITY_ONE_TO_ONE)).link_types
assert links.ValidateLinkInstance(pb.ValidateLinkInstanceRequest(link_type_name="places", instance_json='{"email": "a"}')).valid
verdicts = links.ValidateLinkInstances(pb.ValidateLinkInstancesRequest(link_type_name="places", instances=[struct_pb2.Struct()]))
assert [each.code for each in verdicts.results[0].violations] == ["REQUIRED_FIELD_MISSING"], verdicts
key = {"id": found.id}
assert [each.version for each in links.ListLinkTypeVersions(pb.ListLinkTypeVersionsRequest(**key)).versions] == [2, 1]
assert links.GetLinkTypeVersion(pb.GetLinkTypeVersionRequest(version=1, **key)).link_type.display_name == "places"
comparison = links.CompareLinkTypeVersions(pb.CompareLinkTypeVersionsRequest(from_version=1, to_version=2, **key))
assert [each.field for each in comparison.changes] == ["displayName"], comparison
rename = lambda name, version: rest("PATCH", "/api/v1/link-types/places", {"displayName": name}, {"if-match": f'"{version}"'})
watch(links.WatchLinkTypes, pb.WatchLinkTypesRequest, ["places"], rename)

error = failure(lambda: types.GetObjectType(pb.GetObjectTypeRequest(name="Nobody")))
assert error.code() == grpc.StatusCode.NOT_FOUND and detail(error, error_details_pb2.ErrorInfo).reason == "OBJECT_TYPE_NOT_FOUND"
error = failure(lambda: types.ListObjectTypes(pb.ListObjectTypesRequest(page_size=201, category="")))
violations = detail(error, error_details_pb2.BadRequest).field_violations
assert [each.field for each in violations] == ["page_size", "category"], violations
error = failure(lambda: types.GetObjectType(pb.GetObjectTypeRequest(name="Customer"), metadata=()))
assert error.code() == grpc.StatusCode.UNAUTHENTICATED, error
error = failure(lambda: types.GetObjectType(pb.GetObjectTypeRequest(name="Customer"), timeout=0.000001))
assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error

health = health_pb2_grpc.HealthStub(CHANNEL)
for service in ("", "openfoundry.oms.v1.ObjectTypeService", "openfoundry.oms.v1.LinkTypeService"):
    status = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=20).status
    assert status == health_pb2.HealthCheckResponse.SERVING, service
error = failure(lambda: health.Check(health_pb2.HealthCheckRequest(service="nobody")))
assert error.code() == grpc.StatusCode.NOT_FOUND, error

reflection = ProtoReflectionDescriptorDatabase(CHANNEL)
services = [name for name in reflection.get_services() if name.startswith("openfoundry.")]
assert sorted(services) == ["openfoundry.oms.v1.LinkTypeService", "openfoundry.oms.v1.ObjectTypeService"], services
described = reflection.FindFileContainingSymbol("openfoundry.oms.v1.ObjectTypeService")
assert isinstance(described, descriptor_pb2.FileDescriptorProto) and described.name == FILE, described
methods = {f"{service.name}.{method.name}" for service in described.service for method in service.method}
compiled = {f"{name}.{method.name}" for name, service in pb.DESCRIPTOR.services_by_name.items() for method in service.methods}
assert methods == compiled, "the service serves the .proto file of the checkout"
assert CALLED == methods, f"not called: {sorted(methods - CALLED)}"
print(f"grpcio: {len(methods)} methods answer")
