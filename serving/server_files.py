"""The files and flags that TensorFlow Serving itself reads, as protocol buffers in text form."""

from __future__ import annotations

from textmill.serving.deployment import Deployment
from textmill.serving.needs import with_flags

MODELS, BATCHING, MONITORING = "models.config", "batching.config", "monitoring.config"
CONFIG = "/config"  # their folder in the container
MOST_ROWS = 64  # of a batch
RELOAD = 10  # seconds between two looks at models.config


def models_config(deployment: Deployment) -> str:
    """Returns a `ModelServerConfig`: the model, the versions to load, and their labels.

    Source: https://www.tensorflow.org/tfx/serving/serving_config
    """
    if deployment.loaded == "all":
        policy = ["all {}"]
    elif deployment.loaded == "latest":
        policy = ["latest { num_versions: 1 }"]
    else:
        policy = ["specific {", *(f"  versions: {v}" for v in deployment.loaded), "}"]
    labels = [
        f'    version_labels {{ key: "{label}" value: {version} }}'
        for label, version in deployment.labels.items()
    ]
    lines = [
        f"# The server looks at this file every {RELOAD} seconds. A label moves in two steps:",
        "# first load the version that it shall name, then move it.",
        "model_config_list {",
        "  config {",
        f'    name: "{deployment.name}"',
        f'    base_path: "{deployment.served_from}"',
        '    model_platform: "tensorflow"',
        "    model_version_policy {",
        *(f"      {line}" for line in policy),
        "    }",
        *labels,
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def batching_config(deployment: Deployment) -> str:
    """Returns `BatchingParameters`: how requests that come at once become one batch.

    Source: https://github.com/tensorflow/serving/blob/master/tensorflow_serving/batching/README.md
    """
    lines = [f"max_batch_size {{ value: {MOST_ROWS} }}  # rows; a larger request is cut"]
    if deployment.gpu:
        sizes = [2**power for power in range(MOST_ROWS.bit_length())]
        lines += [
            "batch_timeout_micros { value: 2000 }  # what a lonely request may wait for company",
            *(f"allowed_batch_sizes: {size}" for size in sizes),
        ]
    else:
        lines += ["batch_timeout_micros { value: 0 }  # no request waits for company"]
    if deployment.cpus:
        lines += [f"num_batch_threads {{ value: {deployment.cpus} }}"]
    lines += [
        "max_enqueued_batches { value: 100 }  # beyond that a request gets UNAVAILABLE at once",
        "# Texts are strings, which need no padding; pad_variable_length_inputs stays off.",
    ]
    return "\n".join(lines) + "\n"


def monitoring_config(deployment: Deployment) -> str:
    """Returns a `MonitoringConfig`: figures for Prometheus on the REST port."""
    return f'prometheus_config {{ enable: true path: "{deployment.metrics}" }}\n'


def server_files(deployment: Deployment) -> dict[str, str]:
    """Returns the content of each file in `CONFIG` by its name."""
    return {
        MODELS: models_config(deployment),
        BATCHING: batching_config(deployment),
        MONITORING: monitoring_config(deployment),
    }


def flags(deployment: Deployment) -> list[str]:
    """Returns the arguments of `tensorflow_model_server`, without those of its ports.

    What the models need takes the place of what would be said without them.

    Labels name versions that are not loaded yet when the server begins, so that must be allowed;
    the server still refuses to move a label to one that isn't loaded.
    """
    arguments = [
        f"--model_config_file={CONFIG}/{MODELS}",
        f"--model_config_file_poll_wait_seconds={RELOAD}",
        "--allow_version_labels_for_unavailable_models=true",
        "--enable_batching=true",
        f"--batching_parameters_file={CONFIG}/{BATCHING}",
        f"--monitoring_config_file={CONFIG}/{MONITORING}",
    ]
    if deployment.cpus:
        # A container's limit is not seen: threads for every core of the machine would be made.
        arguments.append(f"--tensorflow_intra_op_parallelism={deployment.cpus}")
    if not deployment.served_from.startswith("/"):
        # Each look at a bucket is a request that costs.
        arguments.append("--file_system_poll_wait_seconds=30")
    return with_flags(arguments, deployment.flags)
