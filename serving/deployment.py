"""What a deployment of a pushed model is: checked whole before a file of it is written."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from textmill.artifact import read_manifest
from textmill.errors import UserError, nearest, one_of
from textmill.serving.needs import flags_of, memory_of, size_of
from textmill.serving.version_policy import IN_URL, Loaded, read_labels, read_loaded, versions_in

Target: TypeAlias = Literal["docker", "compose", "kubernetes", "kserve"]
TARGETS: tuple[Target, ...] = get_args(Target)
# The newest that was announced with its image, https://github.com/tensorflow/serving/issues/4129;
# the client tensorflow-serving-api is ahead of it.
SERVER = "2.20.0"
SERVED = "/models"  # in the container
KSERVE_SERVED = "/mnt/models"  # there by KServe's storage initializer
# What each target can read a model from; the others mount the folder itself.
STORAGES = {
    "kubernetes": ("pvc", "gs", "s3", "oci"),
    "kserve": ("pvc", "gs", "s3", "oci", "https"),
}
GIB = 2**30
# A Service is a name in DNS. https://www.rfc-editor.org/rfc/rfc1123, and no digit first
DNS_LABEL = re.compile(r"[a-z]([-a-z0-9]{0,50}[a-z0-9])?")  # room for "-config" in 63
URI = re.compile(r"([a-z0-9]+)://([^\s\"'\\]+)")


@dataclass(frozen=True)
class Deployment:
    """Everything that the files of a deployment say.

    Attributes:
        target: What runs the server.
        name: The model's name in requests.
        base: The folder of versions on this machine.
        loaded: The versions to load; "latest": the newest, whatever it is; "all".
        labels: Label -> version.
        server: Release of TensorFlow Serving, "2.20.0" for example.
        gpu: Whether it runs on a GPU.
        cpus: Cores; None: all that there are.
        storage: Where the cluster reads the model from; None: a volume claim of its own, or, on
            this machine, `base`.
        memory: GiB that the server needs.
        disk: GiB that the versions need, with room for more.
        flags: What the models need of the server.
    """

    target: Target
    name: str
    base: Path
    loaded: Loaded
    labels: Mapping[str, int]
    server: str
    gpu: bool
    cpus: int | None
    storage: str | None
    memory: int
    disk: int
    flags: tuple[str, ...] = ()

    @property
    def tag(self) -> str:
        """The tag of the image `tensorflow/serving`."""
        return f"{self.server}-gpu" if self.gpu else self.server

    @property
    def scheme(self) -> str:
        """What comes before `://` in the storage, "" without one."""
        return self.storage.split("://")[0] if self.storage else ""

    @property
    def image(self) -> str:
        """The image that holds the model, where the storage is one."""
        return (self.storage or "").removeprefix("oci://") if self.scheme == "oci" else ""

    @property
    def metrics(self) -> str:
        """The path of the figures for Prometheus."""
        # KServe's runtime tells Prometheus this path.
        return "/metrics" if self.target == "kserve" else "/monitoring/prometheus/metrics"

    @property
    def served_from(self) -> str:
        """The folder of versions, as the server sees it."""
        if self.target == "kserve":
            return KSERVE_SERVED
        if self.scheme == "gs":
            return str(self.storage).rstrip("/")
        return f"{SERVED}/{self.name}"


def plan_deployment(
    model_dir: Path,
    *,
    target: str,
    name: str | None = None,
    load: str | None = None,
    labels: Sequence[str] = (),
    server: str = SERVER,
    gpu: bool = False,
    cpus: int | None = None,
    storage: str | None = None,
) -> Deployment:
    """Returns a deployment of the versions in a folder.

    Args:
        model_dir: The folder that a push wrote, with numbered versions.
        target: One of `TARGETS`.
        name: The model's name in requests; None: the folder's name.
        load: "latest", "all", "specific" (those that have a label), or numbers, "2,3"; None:
            "specific" where there are labels, else "latest".
        labels: Names for versions, "stable=2".
        server: Release of TensorFlow Serving.
        gpu: Whether it runs on a GPU.
        cpus: Cores for the server; None: all, and 2 in a cluster.
        storage: Where a cluster reads the model from, "pvc://claim/path" or "gs://bucket/path".

    Raises:
        UserError: If the folder has no version, a label or `load` names one that isn't there or
            isn't loaded, the name can't be used, or a model needs a newer server, or flags that no
            server can be given.
    """
    if target not in TARGETS:
        like = nearest(target, TARGETS)
        raise UserError(
            f"--target {target}: no such target",
            expected=one_of(TARGETS),
            received=repr(target),
            fix=f"did you mean --target {like}?" if like else "name one of them",
        )
    kind: Target = next(each for each in TARGETS if each == target)
    there = versions_in(model_dir)
    named = read_labels(labels, there)
    loaded = read_loaded(load, named, there)
    at_work = {"latest": there[-1:], "all": there}[loaded] if isinstance(loaded, str) else loaded
    _server(server, [model_dir / str(version) for version in at_work])
    if cpus is not None and cpus < 1:
        raise UserError(
            f"--cpus {cpus}", expected="1 or more", received=str(cpus), fix="set it, or leave it"
        )
    base = model_dir.resolve()
    cores = cpus or (2 if kind in STORAGES else None)
    # A version comes before the one that it replaces goes.
    size = sum(memory_of(base / str(version), cores or 1) for version in [*at_work, there[-1]])
    return Deployment(
        target=kind,
        name=_name(name or base.name, kind, given=name is not None),
        base=base,
        loaded=loaded,
        labels=named,
        server=server,
        gpu=gpu,
        cpus=cores,
        storage=_storage(storage, kind),
        memory=1 + math.ceil(size / GIB),
        disk=max(1, math.ceil(10 * size_of(base / str(there[-1])) / GIB)),
        flags=flags_of([base / str(version) for version in at_work]),
    )


def _name(name: str, target: Target, *, given: bool) -> str:
    """Returns the model's name if it can stand in a URL and, in a cluster, in DNS."""
    cluster = target in STORAGES
    if (DNS_LABEL if cluster else IN_URL).fullmatch(name):
        return name
    like = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:52].strip("-")
    raise UserError(
        f"{name!r} can't be the name of a model here" + ("" if given else "; it is the folder's"),
        expected="small letters, digits and '-', a letter first and no '-' last, 52 at most: a "
        "name in DNS (RFC 1123)"
        if cluster
        else "letters, digits, '.', '_' and '-'",
        received=repr(name),
        fix=f"add --name {like if DNS_LABEL.fullmatch(like) else 'reviews'}",
    )


def _server(server: str, folders: Sequence[Path]) -> None:
    """Checks that a release is one, and new enough for every model that it loads."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", server):
        raise UserError(
            f"--server-version {server}",
            expected="a release of TensorFlow Serving in three numbers",
            received=repr(server),
            fix=f"write --server-version {SERVER}",
        )
    for folder in folders:
        least = str(read_manifest(folder).get("minimum_server") or "0")
        if _numbers(server) < _numbers(least):
            ahead = _numbers(SERVER) < _numbers(least)
            raise UserError(
                f"--server-version {server}: too old for {folder}",
                expected=f"TensorFlow Serving {least} or newer, as the model's manifest says",
                received=server,
                fix=f"write --server-version {least}.0 once there is an image of it"
                if ahead
                else f"write --server-version {SERVER}",
            )


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split("."))


def _storage(storage: str | None, target: Target) -> str | None:
    """Returns the storage if the target can read a model from it."""
    schemes = STORAGES.get(target, ())
    if storage is None and target != "kserve":
        return None
    if not schemes:
        raise UserError(
            f"--storage {storage}: {target} serves the folder itself",
            expected="no --storage",
            received=str(storage),
            fix="leave it out, or take --target kubernetes or kserve",
        )
    found = URI.fullmatch(storage or "")
    if found is None or found[1] not in schemes:
        raise UserError(
            f"--storage {storage}: a cluster can't read that"
            if storage
            else f"--target {target} needs --storage",
            expected=f"a URI that begins with {', '.join(f'{s}://' for s in schemes)}",
            received=repr(storage) if storage else "none",
            fix="write --storage gs://bucket/models/reviews, or pvc://claim/reviews, for example",
        )
    return storage
