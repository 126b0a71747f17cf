"""Deploy files: read back by the parsers and the schemas of those who will read them."""

from __future__ import annotations

import http.server
import json
import re
import shlex
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from importlib.resources import files as resources
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml
from google.protobuf import text_format
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from server_protos import messages
from test_cli import textmill
from textmill.errors import UserError
from textmill.serving.deploy import deploy_files, next_step, write_files
from textmill.serving.deployment import SERVER, plan_deployment

PAGE = Path(__file__).parents[1] / "docs" / "deploy.md"
# The newest when it was written, and the oldest with vendor support then.
KUBERNETES = ("1.33", "1.37")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Versions 1, 2 and 3, and what a push leaves beside them; nothing here looks into a model."""
    folder = tmp_path / "models" / "reviews"
    for version in ("1", "2", "3", "007", ".draft-4"):
        (folder / version / "assets.extra").mkdir(parents=True)
        (folder / version / "saved_model.pb").write_bytes(b"graph")
    (folder / ".push.lock").touch()
    return folder


def made(base: Path, target: str, out: Path | None = None, **settings: Any) -> dict[str, str]:
    return deploy_files(plan_deployment(base, target=target, **settings), out)


def documents(text: str) -> dict[str, Any]:
    return {each["kind"]: each for each in yaml.safe_load_all(text)}


def config_of(text: str) -> Any:
    (config,) = text_format.Parse(text, ModelServerConfig()).model_config_list.config
    return config


def test_models_config_loads_the_newest_by_default(base: Path) -> None:
    config = config_of(made(base, "compose")["models.config"])
    assert config.name == "reviews"
    assert config.base_path == "/models/reviews"
    assert config.model_platform == "tensorflow"
    assert config.model_version_policy.latest.num_versions == 1
    assert dict(config.version_labels) == {}


def test_labelled_versions_are_loaded(base: Path) -> None:
    config = config_of(made(base, "docker", labels=["stable=2", "canary=3"])["models.config"])
    assert list(config.model_version_policy.specific.versions) == [2, 3]
    assert dict(config.version_labels) == {"stable": 2, "canary": 3}


@pytest.mark.parametrize(
    ("load", "labels", "policy"),
    [
        ("all", ["stable=1"], "all"),
        ("3,1", ["stable=1"], [1, 3]),
        ("specific", ["a=2", "b=2"], [2]),
        ("latest", [], "latest"),
    ],
)
def test_versions_become_a_policy(base: Path, load: str, labels: list[str], policy: object) -> None:
    found = config_of(made(base, "compose", load=load, labels=labels)["models.config"])
    choice = found.model_version_policy.WhichOneof("policy_choice")
    if choice == "specific":
        choice = list(found.model_version_policy.specific.versions)
    assert choice == policy


@pytest.mark.parametrize("gpu", [False, True])
def test_batching_and_monitoring_are_read_by_their_protos(base: Path, gpu: bool) -> None:
    files, protos = made(base, "compose", gpu=gpu, cpus=3), messages()
    batching = text_format.Parse(files["batching.config"], protos["BatchingParameters"]())
    assert batching.num_batch_threads.value == 3
    assert not batching.pad_variable_length_inputs
    assert batching.max_enqueued_batches.value > 0
    sizes = list(batching.allowed_batch_sizes)
    # The server asks that they increase and end with the largest batch.
    assert sizes == (sorted({*sizes, batching.max_batch_size.value}) if gpu else [])
    monitoring = text_format.Parse(files["monitoring.config"], protos["MonitoringConfig"]())
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path == "/monitoring/prometheus/metrics"


def test_protos_of_the_tests_refuse_what_is_unknown() -> None:
    with pytest.raises(text_format.ParseError, match="max_batch_sizes"):
        text_format.Parse("max_batch_sizes { value: 1 }", messages()["BatchingParameters"]())


def run_line(script: str) -> list[str]:
    """Returns the words of the one command in a script, as a shell reads them."""
    shell = subprocess.run(
        ["sh", "-c", 'docker() { printf "%s\\0" "$@"; }\n' + script],
        capture_output=True,
        text=True,
        check=True,
    )
    words = shell.stdout.split("\0")[:-1]
    assert words == shlex.split(script.replace("\\\n", ""), comments=True)[1:]
    return words


def test_docker_line_has_image_ports_mounts_and_flags(base: Path, tmp_path: Path) -> None:
    words = run_line(made(base, "docker", tmp_path / "out", gpu=True)["docker-run.sh"])
    assert words[0] == "run"
    assert words[words.index("--gpus") + 1] == "all"
    image = words.index(f"tensorflow/serving:{SERVER}-gpu")
    options = list(pairwise(words[:image]))
    assert ("--publish", "127.0.0.1:8500:8500") in options
    assert ("--publish", "127.0.0.1:8501:8501") in options
    assert ("--mount", f"type=bind,source={base},target=/models/reviews,readonly") in options
    assert ("--mount", f"type=bind,source={tmp_path}/out,target=/config,readonly") in options
    assert ("--env", "MODEL_NAME=reviews") in options
    flags = dict(word.removeprefix("--").split("=") for word in words[image + 1 :])
    assert flags["model_config_file"] == "/config/models.config"
    assert flags["batching_parameters_file"] == "/config/batching.config"
    assert flags["monitoring_config_file"] == "/config/monitoring.config"
    assert flags["allow_version_labels_for_unavailable_models"] == "true"


def test_docker_line_holds_for_a_strange_path(base: Path, tmp_path: Path) -> None:
    strange = tmp_path / 'it\'s, $HOME "here"' / "reviews"
    strange.parent.mkdir()
    base.rename(strange)
    words = run_line(made(strange, "docker")["docker-run.sh"])
    # Docker reads the value as a line of CSV.
    source = str(strange).replace('"', '""')
    assert f'type=bind,"source={source}",target=/models/reviews,readonly' in words


@pytest.mark.parametrize("settings", [{}, {"gpu": True, "cpus": 4}])
def test_compose_file_fits_the_compose_specification(base: Path, settings: dict[str, Any]) -> None:
    compose = yaml.safe_load(made(base, "compose", base.parent, **settings)["compose.yaml"])
    schema = resources("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json")
    jsonschema.Draft7Validator(json.loads(schema.read_text())).validate(compose)
    service = compose["services"]["serving"]
    assert service["image"] == f"tensorflow/serving:{SERVER}{'-gpu' if settings else ''}"
    assert [volume["source"] for volume in service["volumes"]] == ["./reviews", "."]
    devices = service.get("deploy", {}).get("resources", {}).get("reservations", {}).get("devices")
    assert bool(devices) == bool(settings)


@contextmanager
def rest_server(answer: Callable[[str, bytes], object]) -> Iterator[int]:
    """Serves JSON by HTTP and yields the port; `answer` gets a request's path and body."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            said = json.dumps(answer(self.path, body)).encode()
            self.send_response(200)
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def test_compose_health_check_asks_the_server(base: Path) -> None:
    (check,) = yaml.safe_load(made(base, "compose")["compose.yaml"])["services"].values()
    command = check["healthcheck"]["test"]
    assert command[0] == "CMD"
    state = "LOADING"

    def status(path: str, _: bytes) -> object:
        assert path == "/v1/models/reviews"
        return {"model_version_status": [{"version": "3", "state": state}]}

    with rest_server(status) as port:
        here = [word.replace("/8501", f"/{port}") for word in command[1:]]
        assert subprocess.run(here, timeout=10, check=False).returncode == 1
        state = "AVAILABLE"
        assert subprocess.run(here, timeout=10, check=False).returncode == 0
    closed = subprocess.run(here, timeout=10, check=False, capture_output=True)
    assert closed.returncode == 1


STORAGES = [None, "pvc://claim", "pvc://claim/all/reviews", "gs://b/r", "s3://b/r", "oci://x/r:1"]


@pytest.mark.parametrize("gpu", [False, True])
@pytest.mark.parametrize("storage", STORAGES)
def test_kubernetes_files_fit_the_schemas(base: Path, storage: str | None, gpu: bool) -> None:
    text = made(base, "kubernetes", storage=storage, gpu=gpu)["kubernetes.yaml"]
    found = documents(text)
    for document in found.values():
        for version in KUBERNETES:
            kubernetes_validate.validate(document, version, strict=True)
    assert ("PersistentVolumeClaim" in found) == (storage is None)
    pod = found["Deployment"]["spec"]["template"]
    (server,) = pod["spec"]["containers"]
    wanted = "x/r:1" if storage == "oci://x/r:1" else f"tensorflow/serving:{SERVER}"
    assert server["image"].removesuffix("-gpu") == wanted
    assert ("nvidia.com/gpu" in server["resources"]["limits"]) == gpu
    # What is mounted is a volume, and the server reads the model where it is.
    volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in server["volumeMounts"]}
    assert {mount["name"] for mount in server["volumeMounts"]} <= volumes
    path = config_of(found["ConfigMap"]["data"]["models.config"]).base_path
    inside = storage == "gs://b/r" or storage == "oci://x/r:1"
    assert inside != (path in mounts)
    assert path == ("gs://b/r" if storage == "gs://b/r" else "/models/reviews")
    if storage == "pvc://claim/all/reviews":
        assert mounts[path]["subPath"] == "all/reviews"
    # The Service finds the pods and their ports.
    service = found["Service"]["spec"]
    assert service["selector"].items() <= pod["metadata"]["labels"].items()
    ports = {port["name"]: port["containerPort"] for port in server["ports"]}
    assert {port["targetPort"]: port["port"] for port in service["ports"]} == ports
    for probe in ("startupProbe", "readinessProbe"):
        assert server[probe]["httpGet"]["path"] == "/v1/models/reviews"
        assert server[probe]["httpGet"]["port"] in ports


def test_schemas_refuse_what_kubernetes_does_not_know(base: Path) -> None:
    found = documents(made(base, "kubernetes")["kubernetes.yaml"])["Deployment"]
    found["spec"]["template"]["spec"]["containers"][0]["portz"] = []
    with pytest.raises(kubernetes_validate.ValidationError, match="portz"):
        kubernetes_validate.validate(found, KUBERNETES[-1], strict=True)


def test_a_cluster_gets_the_same_server_files(base: Path) -> None:
    labels = ["stable=2", "canary=3"]
    data = documents(made(base, "kubernetes", labels=labels)["kubernetes.yaml"])["ConfigMap"]
    beside = made(base, "compose", labels=labels, cpus=2)
    assert data["data"] == {name: beside[name] for name in data["data"]}


def test_kserve_file_names_the_runtime_and_the_storage(base: Path) -> None:
    files = made(base, "kserve", storage="gs://bucket/reviews", gpu=True, labels=["stable=2"])
    found = documents(files["kserve.yaml"])
    kubernetes_validate.validate(found["ConfigMap"], KUBERNETES[-1], strict=True)
    service = found["InferenceService"]
    assert service["apiVersion"] == "serving.kserve.io/v1beta1"
    assert set(service["spec"]) == {"predictor"}
    predictor = service["spec"]["predictor"]
    model = predictor.pop("model")
    assert model.pop("modelFormat") == {"name": "tensorflow", "version": "2"}
    assert model.pop("storageUri") == "gs://bucket/reviews"
    assert model.pop("runtimeVersion") == f"{SERVER}-gpu"
    assert model.pop("protocolVersion") == "v1"
    assert model["resources"]["limits"]["nvidia.com/gpu"] == "1"
    # What is left is a container's, and the predictor beside it a pod's.
    predictor.pop("minReplicas")
    pod = {"containers": [{"name": "kserve-container", **model}], **predictor}
    whole = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": pod}
    kubernetes_validate.validate(whole, KUBERNETES[-1], strict=True)
    config = config_of(found["ConfigMap"]["data"]["models.config"])
    assert config.base_path == "/mnt/models"
    assert dict(config.version_labels) == {"stable": 2}
    assert '"/metrics"' in found["ConfigMap"]["data"]["monitoring.config"]


@pytest.mark.parametrize(
    ("target", "lines"),
    [
        ("kubernetes", [f"FROM tensorflow/serving:{SERVER}", "/models/reviews/"]),
        ("kserve", ["FROM busybox:", "/models/"]),
    ],
)
def test_an_image_gets_a_dockerfile(base: Path, target: str, lines: list[str]) -> None:
    files = made(base, target, storage="oci://registry.example.com/reviews:3")
    begin, copy = (line for line in files["Dockerfile"].splitlines() if not line.startswith("#"))
    assert begin.startswith(lines[0])
    assert copy.split() == ["COPY", "--chown=1000:1000", ".", lines[1]]
    assert files["Dockerfile.dockerignore"] == ".*\n"
    plan = plan_deployment(base, target=target, storage="oci://registry.example.com/reviews:3")
    build, push, apply = next_step(plan, Path("an out")).split(" && ")
    *_, dockerfile, _, image, context = shlex.split(build)
    assert (dockerfile, image, context) == ("an out/Dockerfile", push.split()[-1], str(base))
    assert image == "registry.example.com/reviews:3"
    assert shlex.split(apply)[-1] == f"an out/{target}.yaml"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target": "kubernets"}, "did you mean --target kubernetes?"),
        ({"labels": ["stable=4"]}, r"no version 4\n.*one of: 1, 2, 3"),
        ({"labels": ["stable=4"], "load": "all"}, "no version 4"),
        ({"labels": ["stable"]}, "can't be read"),
        ({"labels": ["a/b=1"]}, "can't be read"),
        ({"labels": ["a=1", "a=2"]}, "given twice"),
        ({"labels": ["stable=2"], "load": "1,3"}, "a label needs a loaded version"),
        ({"labels": ["stable=3"], "load": "latest"}, "the next push would unload"),
        ({"load": "specific"}, "no --label"),
        ({"load": "2,x"}, "different numbers such as 2,3"),
        ({"load": "2,9"}, "no version 9"),
        ({"name": "my model"}, "--name my-model"),
        ({"target": "kubernetes", "name": "Package_Tags"}, "(?s)RFC 1123.*--name package-tags"),
        ({"target": "kubernetes", "name": "1st"}, "RFC 1123"),
        ({"target": "kubernetes", "name": "x" * 60}, "52 at most"),
        ({"target": "kserve"}, "--target kserve needs --storage"),
        ({"target": "kserve", "storage": "ftp://x/y"}, "a cluster can't read that"),
        ({"target": "kubernetes", "storage": "models/reviews"}, "a cluster can't read that"),
        ({"target": "kubernetes", "storage": 'gs://a"b'}, "a cluster can't read that"),
        ({"storage": "gs://bucket/reviews"}, "compose serves the folder itself"),
        ({"server": "latest"}, "three numbers"),
        ({"cpus": 0}, "1 or more"),
    ],
)
def test_mistake_is_told(base: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as told:
        plan_deployment(base, **{"target": "compose", **settings})
    assert re.search(message, str(told.value))


def test_folder_without_versions_is_told(base: Path, tmp_path: Path) -> None:
    for folder, message in (
        (base / "2", f"textmill deploy {base}, with --versions 2 for this one"),
        (base.parent, "received: a folder with reviews"),
        (tmp_path / "nosuch", "received: no such folder"),
        (base / "2" / "saved_model.pb", "received: a file"),
    ):
        with pytest.raises(UserError, match=re.escape(message)):
            plan_deployment(folder, target="docker")
    (base / "2").rename(tmp_path / "plain")
    with pytest.raises(UserError, match="plain/1"):
        plan_deployment(tmp_path / "plain", target="docker")


def test_a_server_that_is_too_old_is_refused(base: Path) -> None:
    manifest = base / "3" / "assets.extra" / "manifest.json"
    manifest.write_text('{"minimum_server": "2.13"}')
    with pytest.raises(UserError, match=r"(?s)too old for .*/3.*2\.13 or newer"):
        plan_deployment(base, target="docker", server="2.9.4")
    assert plan_deployment(base, target="docker", server="2.13.0").tag == "2.13.0"
    # Version 2 says nothing of the kind.
    assert plan_deployment(base, target="docker", server="2.12.1", load="2").tag == "2.12.1"
    # Version 3 needs a server of which there is no image yet: no advice that fails again.
    manifest.write_text('{"minimum_server": "2.21"}')
    with pytest.raises(UserError, match=r"write --server-version 2\.21\.0 once there is an image"):
        plan_deployment(base, target="docker")


def test_the_image_is_one_that_was_announced(base: Path) -> None:
    # https://github.com/tensorflow/serving/issues/4129, on 2026-08-12
    assert plan_deployment(base, target="docker").tag == "2.20.0"
    assert "tensorflow/serving:2.20.0-gpu" in "".join(
        deploy_files(plan_deployment(base, target="docker", gpu=True)).values()
    )


def test_memory_grows_with_what_is_loaded(base: Path) -> None:
    with (base / "3" / "weights").open("wb") as weights:
        weights.truncate(3 * 2**29)  # 1.5 GiB, of holes
    one = plan_deployment(base, target="kubernetes", load="1").memory
    both = plan_deployment(base, target="kubernetes", load="1,3").memory
    assert (one, both) == (
        5,
        8,
    )  # 1 + 2 * 1.5, for 3 may come; 1 + 2 * (1.5 + 1.5), and a few bytes


def say(base: Path, version: int, **manifest: Any) -> None:
    (base / str(version) / "assets.extra" / "manifest.json").write_text(json.dumps(manifest))


def test_memory_is_what_was_measured_once_for_each_batch_at_a_time(base: Path) -> None:
    with (base / "3" / "weights").open("wb") as weights:
        weights.truncate(2**30)  # of holes
    say(base, 3, measured={"memory_bytes": 3 * 2**30, "load_seconds": 1.0})

    def memory(**settings: Any) -> int:
        return plan_deployment(base, target="kubernetes", **settings).memory

    # The server, and twice, for a version comes before another goes: files, and 2 GiB a core.
    assert memory(cpus=1) == 1 + 2 * (1 + 2)
    assert memory() == memory(cpus=2) == 1 + 2 * (1 + 2 * 2)
    say(base, 3, measured={"memory_bytes": 2**29})  # less than the files: mapped, not read
    assert memory(cpus=8) == 1 + 2 * 1 + 1  # and a few bytes
    say(base, 3, measured={})
    assert memory(cpus=8) == 1 + 2 * 2 + 1


def arguments(target: str, files: dict[str, str]) -> list[str]:
    """Returns what the server is told by a file of each kind."""
    if target == "docker":
        words = run_line(files["docker-run.sh"])
        return words[words.index(f"tensorflow/serving:{SERVER}") + 1 :]
    if target == "compose":
        (service,) = yaml.safe_load(files["compose.yaml"])["services"].values()
        return list(service["command"])
    if target == "kubernetes":
        pod = documents(files["kubernetes.yaml"])["Deployment"]["spec"]["template"]["spec"]
        return list(pod["containers"][0]["args"])
    service = documents(files["kserve.yaml"])["InferenceService"]
    return list(service["spec"]["predictor"]["model"]["args"])


@pytest.mark.parametrize("target", ["docker", "compose", "kubernetes", "kserve"])
def test_flags_that_a_model_needs_are_given(base: Path, target: str) -> None:
    storage = {"storage": "gs://bucket/reviews"} if target == "kserve" else {}
    before = arguments(target, made(base, target, **storage))
    say(base, 3, server_flags=["--enable_batching=false", "--num_load_threads=2"])
    say(base, 1, server_flags=["--num_load_threads=9"])  # which is not loaded
    found = arguments(target, made(base, target, **storage))
    wanted = [each.replace("batching=true", "batching=false") for each in before]
    assert "--enable_batching=true" in before
    assert found == [*wanted, "--num_load_threads=2"]


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        (["--a=1"], ["--a=2"], r"(?s)no server can load both .*/1 and .*/3.*--a=1 and --a=2"),
        (["a"], [], r"(?s)/1: its manifest asks for a flag.*received: 'a'"),
        ([], [3], "its manifest asks for a flag"),
        ([], ["--a=1; rm -r x"], "its manifest asks for a flag"),
        ([], ["--model_config_file=/other"], "its manifest asks for a flag"),
    ],
)
def test_flags_that_can_not_be_given_are_told(
    base: Path, one: list[Any], other: list[Any], message: str
) -> None:
    say(base, 1, server_flags=one)
    say(base, 3, server_flags=other)
    with pytest.raises(UserError) as told:
        plan_deployment(base, target="docker", load="1,3")
    assert re.search(message, str(told.value))


def test_equal_flags_of_two_versions_are_one(base: Path) -> None:
    for version in (1, 3):
        say(base, version, server_flags=["--a=1", "--b"])
    assert plan_deployment(base, target="docker", load="1,3").flags == ("--a=1", "--b")


def test_labels_move_in_two_steps(base: Path, tmp_path: Path) -> None:
    def deploy(*labels: str, load: str | None = None) -> dict[str, bool]:
        plan = plan_deployment(base, target="kubernetes", labels=labels, load=load)
        return write_files(plan, tmp_path / "out")

    assert deploy("stable=2") == {"kubernetes.yaml": True}
    assert deploy("stable=2") == {"kubernetes.yaml": False}
    with pytest.raises(UserError, match=r"(?s)not loaded yet.*--label stable=2 --versions 2,3"):
        deploy("stable=3")
    deploy("stable=2", load="2,3")
    deploy("stable=3", load="2,3")
    deploy("stable=2", load="2,3")  # back
    assert not list((tmp_path / "out").glob(".*"))


def test_command_writes_files_and_says_what_is_next(base: Path, tmp_path: Path) -> None:
    said = textmill("deploy", base, "--target", "compose", "--out", "serve it", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert "heavy: []" in said.stderr
    names = ["compose.yaml", "models.config", "batching.config", "monitoring.config"]
    *wrote, after = said.stdout.splitlines()
    assert wrote == [f"wrote serve it/{name}" for name in names]
    assert after == "next: docker compose --file 'serve it/compose.yaml' up --detach --wait"
    (service,) = yaml.safe_load((tmp_path / "serve it/compose.yaml").read_text())[
        "services"
    ].values()
    assert (tmp_path / "serve it" / service["volumes"][0]["source"]).resolve() == base


def test_command_prints_what_kubectl_reads(base: Path, tmp_path: Path) -> None:
    said = textmill("deploy", base, "--target", "kubernetes", "--label", "stable=2", cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert set(documents(said.stdout)) == {
        "ConfigMap",
        "PersistentVolumeClaim",
        "Deployment",
        "Service",
    }
    assert sorted(tmp_path.iterdir()) == [base.parent]


def test_command_prints_several_files_under_their_names(base: Path) -> None:
    said = textmill("deploy", base, "--target", "docker")
    names = re.findall(r"^# ==> (.*)$", said.stdout, re.MULTILINE)
    assert names == ["docker-run.sh", "models.config", "batching.config", "monitoring.config"]


def test_command_tells_a_mistake(base: Path) -> None:
    said = textmill("deploy", base, "--target", "docker", "--label", "stable=9")
    assert said.returncode == 2
    assert "no version 9" in said.stderr
    assert "Traceback" not in said.stderr


def page_code() -> dict[str, Any]:
    """Returns what the Python on the page "Serve it" defines."""
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL):
        exec(block, names)
    return names


def test_rest_client_of_the_page_asks_by_label() -> None:
    asked: list[tuple[str, Any]] = []
    answers = [{"label": "pos", "scores": [0.1, 0.9]}, {"label": "neg", "scores": [0.8, 0.2]}]

    def answer(path: str, body: bytes) -> object:
        asked.append((path, json.loads(body)))
        return {"predictions": answers}

    with rest_server(answer) as port:
        server = f"http://127.0.0.1:{port}"
        assert page_code()["classify"](["good", "bad"], server=server, label="stable") == answers
        page_code()["classify"](["good"], server=server)
    assert asked == [
        (
            "/v1/models/reviews/labels/stable:predict",
            {"instances": [{"text": "good"}, {"text": "bad"}]},
        ),
        ("/v1/models/reviews:predict", {"instances": [{"text": "good"}]}),
    ]


def test_grpc_client_of_the_page_speaks_the_servers_protocol() -> None:
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc]
        def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802
            assert request.model_spec.name == "reviews"
            assert request.model_spec.version_label == "stable"
            texts = tf.make_ndarray(request.inputs["text"])
            assert texts.tolist() == [b"good", "schön".encode()]
            answer = predict_pb2.PredictResponse()
            answer.outputs["label"].CopyFrom(tf.make_tensor_proto([b"pos", b"neg"]))
            answer.outputs["scores"].CopyFrom(tf.make_tensor_proto([[0.25, 0.75], [0.5, 0.5]]))
            return answer

    server = grpc.server(ThreadPoolExecutor(1))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            ask = page_code()["classify_by_grpc"]
            labels, scores = ask(["good", "schön"], channel, label="stable")
    finally:
        server.stop(0).wait()
    assert labels == ["pos", "neg"]
    assert scores.tolist() == [[0.25, 0.75], [0.5, 0.5]]


def test_pod_of_the_page_fits_the_schema(base: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    pod = yaml.safe_load(block)
    kubernetes_validate.validate(pod, KUBERNETES[-1], strict=True)
    claim = documents(made(base, "kubernetes")["kubernetes.yaml"])["PersistentVolumeClaim"]
    (volume,) = pod["spec"]["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]


def test_commands_of_the_page_run(base: Path, tmp_path: Path) -> None:
    lines = re.findall(r"^textmill deploy .*$", PAGE.read_text("utf-8"), re.MULTILINE)
    assert len(lines) > 6
    for number, line in enumerate(lines):
        # The steps of the canary share a folder; the others begin anew.
        out = "canary" if "--label" in line else str(number)
        words = shlex.split(line.replace("--out deploy", f"--out {out}"))[1:]
        said = textmill(*words, cwd=tmp_path)
        assert said.returncode == 0, line + said.stderr
