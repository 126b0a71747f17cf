"""Two messages of TensorFlow Serving's configuration that `tensorflow-serving-api` leaves out.

Field names, numbers and types are those of release 2.21: BatchingParameters in
tensorflow_serving/servables/tensorflow/session_bundle_config.proto, MonitoringConfig in
tensorflow_serving/config/monitoring_config.proto. The text form is parsed by names and types alone.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2

PACKAGE = "textmill.server_protos"
BATCHING = {
    "max_batch_size": (1, ".google.protobuf.Int64Value"),
    "batch_timeout_micros": (2, ".google.protobuf.Int64Value"),
    "max_enqueued_batches": (3, ".google.protobuf.Int64Value"),
    "num_batch_threads": (4, ".google.protobuf.Int64Value"),
    "thread_pool_name": (5, ".google.protobuf.StringValue"),
    "allowed_batch_sizes": (6, "repeated int64"),
    "pad_variable_length_inputs": (7, "bool"),
    "enable_large_batch_splitting": (8, ".google.protobuf.BoolValue"),
    "max_execution_batch_size": (9, ".google.protobuf.Int64Value"),
}
PROMETHEUS = {"enable": (1, "bool"), "path": (2, "string")}
MONITORING = {"prometheus_config": (1, f".{PACKAGE}.PrometheusConfig")}


def messages() -> dict[str, Any]:
    """Returns the classes BatchingParameters and MonitoringConfig by name."""
    file = descriptor_pb2.FileDescriptorProto(
        name="server_protos.proto",
        package=PACKAGE,
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    field_type = descriptor_pb2.FieldDescriptorProto
    for message, fields in (
        ("BatchingParameters", BATCHING),
        ("PrometheusConfig", PROMETHEUS),
        ("MonitoringConfig", MONITORING),
    ):
        made = file.message_type.add(name=message)
        for name, (number, kind) in fields.items():
            field = made.field.add(name=name, number=number, label=field_type.LABEL_OPTIONAL)
            if kind.startswith("."):
                field.type, field.type_name = field_type.TYPE_MESSAGE, kind
            elif kind.startswith("repeated"):
                field.type, field.label = field_type.TYPE_INT64, field_type.LABEL_REPEATED
            else:
                field.type = field_type.TYPE_BOOL if kind == "bool" else field_type.TYPE_STRING
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
        for name in ("BatchingParameters", "MonitoringConfig")
    }
