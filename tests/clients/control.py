#!/usr/bin/env python3
"""A client of the control API that is not ours: Python's gRPC, told nothing but the socket.

It asks the daemon by reflection what services there are, builds every message from the descriptors it is served,
works as an operator would and prints what it saw as one JSON object.

Usage: control.py SOCKET RECEIVER_URL
"""

import json
import sys
import uuid

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

POOL = descriptor_pool.DescriptorPool()
TEXT, BYTES, MESSAGE = 9, 12, 11
OPTIONAL, REPEATED = 1, 3


def message_class(name):
    descriptor = POOL.FindMessageTypeByName(name)
    if hasattr(message_factory, "GetMessageClass"):
        return message_factory.GetMessageClass(descriptor)
    return message_factory.MessageFactory(POOL).GetPrototype(descriptor)


def declare_reflection():
    """Declares as much of grpc.reflection.v1 as is spoken here; everything else the daemon tells itself."""
    file = descriptor_pb2.FileDescriptorProto(name="reflection.proto", package="reflection", syntax="proto3")
    for name, fields in {
        "Request": [("file_by_filename", 3, TEXT, OPTIONAL), ("file_containing_symbol", 4, TEXT, OPTIONAL),
                    ("list_services", 7, TEXT, OPTIONAL)],
        "Files": [("file", 1, BYTES, REPEATED)],
        "Service": [("name", 1, TEXT, OPTIONAL)],
        "Services": [("service", 1, "Service", REPEATED)],
        "Response": [("files", 4, "Files", OPTIONAL), ("services", 6, "Services", OPTIONAL)],
    }.items():
        message = file.message_type.add(name=name)
        for field, number, kind, label in fields:
            added = message.field.add(name=field, number=number, label=label)
            added.type = MESSAGE if isinstance(kind, str) else kind
            if isinstance(kind, str):
                added.type_name = f".reflection.{kind}"
    POOL.Add(file)


class Reflection:
    """What the daemon says about itself."""

    def __init__(self, channel):
        declare_reflection()
        self.call, self.call_before = (
            channel.stream_stream(
                f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=message_class("reflection.Response").FromString,
            )
            for version in ("v1", "v1alpha")
        )
        self.known = set()

    def ask(self, **question):
        return next(iter(self.call(iter([message_class("reflection.Request")(**question)]), timeout=30)))

    def services_before(self):
        question = message_class("reflection.Request")(list_services="*")
        answer = next(iter(self.call_before(iter([question]), timeout=30)))
        return [service.name for service in answer.services.service]

    def services(self):
        # A field of one-of that is empty is still to be sent, so something is put into it.
        return [service.name for service in self.ask(list_services="*").services.service]

    def learn(self, answer):
        files = [descriptor_pb2.FileDescriptorProto.FromString(file) for file in answer.files.file]
        for file in files:
            if file.name in self.known:
                continue
            self.known.add(file.name)
            for dependency in file.dependency:
                if dependency not in self.known:
                    self.learn(self.ask(file_by_filename=dependency))
            POOL.Add(file)

    def service(self, name):
        self.learn(self.ask(file_containing_symbol=name))
        return POOL.FindServiceByName(name)


class Service:
    """A service whose methods are called by name, with and without a stream of answers."""

    def __init__(self, channel, descriptor):
        self.channel, self.descriptor = channel, descriptor

    def __getattr__(self, name):
        method = self.descriptor.methods_by_name[name]
        request = message_class(method.input_type.full_name)
        streams = descriptor_pb2.MethodDescriptorProto()
        method.CopyToProto(streams)
        kind = self.channel.unary_stream if streams.server_streaming else self.channel.unary_unary
        call = kind(
            f"/{self.descriptor.full_name}/{name}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_class(method.output_type.full_name).FromString,
        )
        return lambda **fields: call(request(**fields), timeout=60)


def state(attempt):
    """The name of an attempt's state."""
    field = attempt.DESCRIPTOR.fields_by_name["state"]
    return field.enum_type.values_by_number[attempt.state].name


def work(channel, receiver):
    """What an operator's script does: makes things, tests them, lists them, retries, watches."""
    reflection = Reflection(channel)
    names = reflection.services()
    ours = [name for name in names if name.startswith("leadline.")]
    services = {name.rsplit(".", 1)[1]: Service(channel, reflection.service(name)) for name in ours}
    integrations, deliveries = services["IntegrationService"], services["DeliveryService"]

    def new():
        return str(uuid.uuid4())

    company = services["CompanyService"].CreateCompany(request_id=new(), name="The Mill", plan="PLAN_PRO").company
    created = integrations.CreateIntegration(
        request_id=new(), company="The Mill", connector="webhook", name="script", config=json.dumps({"url": receiver}))
    listed = integrations.ListIntegrations(company=str(company.id)).integrations
    tested = integrations.TestIntegration(request_id=new(), integration=created.integration.id)
    attempt = services["AttemptService"].AwaitAttempt(attempt=tested.attempt_id).attempt
    dead = deliveries.ListDeliveries(filter={"states": ["DELIVERY_STATE_DEAD"]}).deliveries
    retried = deliveries.RetryDeliveries(request_id=new(), ids=[delivery.id for delivery in dead])
    outcomes = [
        state(services["AttemptService"].AwaitAttempt(delivery=delivery.id, after_number=delivery.attempts).attempt)
        for delivery in dead
    ]
    watch = integrations.WatchIntegrations()
    snapshot = next(iter(watch)).snapshot
    watch.cancel()
    try:
        integrations.GetIntegration(integration="scrip")
        refusal = None
    except grpc.RpcError as error:
        refusal = {"code": error.code().name, "message": error.details()}
    return {
        "services": sorted(names),
        "services_before": sorted(reflection.services_before()),
        "company": json_format.MessageToDict(company, preserving_proto_field_name=True),
        "signing_secret": created.signing_secret,
        "listed": [integration.name for integration in listed],
        "test": state(attempt),
        "retried": retried.count,
        "outcomes": outcomes,
        "snapshot": sorted(integration.name for integration in snapshot.integrations),
        "refusal": refusal,
    }


def main():
    socket, receiver = sys.argv[1:]
    with grpc.insecure_channel(f"unix:{socket}") as channel:
        print(json.dumps(work(channel, receiver)))


if __name__ == "__main__":
    main()
