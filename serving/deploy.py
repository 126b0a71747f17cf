"""Writes all that it takes to run TensorFlow Serving on a pushed model."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from textmill.errors import UserError
from textmill.serving.deployment import Deployment
from textmill.serving.server_files import CONFIG, flags, server_files
from textmill.serving.version_policy import check_moves

MAIN = {
    "docker": "docker-run.sh",
    "compose": "compose.yaml",
    "kubernetes": "kubernetes.yaml",
    "kserve": "kserve.yaml",
}
APPLY = "kubectl apply --filename {}"
NEXT = {
    "docker": "sh {}",
    "compose": "docker compose --file {} up --detach --wait",
    "kubernetes": APPLY,
    "kserve": APPLY,
}


def deploy_files(deployment: Deployment, out: Path | None = None) -> dict[str, str]:
    """Returns the files of a deployment, name -> content; the first is the one to run or apply.

    A cluster's file holds those of the server; on one machine they lie beside it, where the
    server sees a change of them.

    Args:
        deployment: What to say.
        out: The folder that they will be in, for what they say of folders; None: the current one.
    """
    folder = (out or Path()).resolve()
    configs, main = server_files(deployment), MAIN[deployment.target]
    made = {main: _render(main, deployment, folder, configs)}
    if deployment.target in ("docker", "compose"):
        made |= configs
    if deployment.scheme == "oci":
        made["Dockerfile"] = _render("Dockerfile", deployment, folder, configs)
        made["Dockerfile.dockerignore"] = ".*\n"  # locks and drafts of a push
    return made


def write_files(deployment: Deployment, out: Path) -> dict[str, bool]:
    """Writes a deployment's files to a folder; returns for each whether that changed it.

    A running server may read a file at any time, so each is replaced at once.

    Raises:
        UserError: If the folder can't be written, or a running server would refuse the change.
    """
    files = deploy_files(deployment, out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        before = {n: (out / n).read_text("utf-8", "replace") for n in files if (out / n).exists()}
        check_moves("\n".join(before.values()), deployment.labels, deployment.loaded)
        for name, content in files.items():
            file, draft = out / name, out / f".{name}.draft"
            draft.write_text(content, "utf-8")
            draft.chmod(0o755 if name.endswith(".sh") else 0o644)
            draft.replace(file)
    except OSError as refused:
        raise UserError(
            f"--out {out}: nothing can be written there",
            expected="a folder that this user may write to",
            received=refused.strerror or str(refused),
            fix="name another folder, or mend its permissions",
        ) from None
    return {name: before.get(name) != content for name, content in files.items()}


def next_step(deployment: Deployment, out: Path) -> str:
    """Returns the command that takes the files in `out` from there."""
    step = NEXT[deployment.target].format(shlex.quote(str(out / MAIN[deployment.target])))
    if deployment.scheme == "oci":
        image, dockerfile = deployment.image, shlex.quote(str(out / "Dockerfile"))
        build = f"docker build --platform linux/amd64 --file {dockerfile} --tag {image}"
        return f"{build} {shlex.quote(str(deployment.base))} && docker push {image} && {step}"
    return step


def _render(name: str, deployment: Deployment, folder: Path, configs: Mapping[str, str]) -> str:
    import jinja2

    templates = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    # A JSON string is one of YAML, too.
    templates.filters["quoted"] = lambda text: json.dumps(text, ensure_ascii=False)
    templates.filters["shell"] = lambda text: shlex.quote(str(text))
    claim, _, inside = (deployment.storage or "").removeprefix("pvc://").partition("/")
    return templates.get_template(f"{name}.jinja").render(
        d=deployment,
        flags=flags(deployment),
        configs=configs,
        config=CONFIG,
        mounts=[_mount(deployment.base, deployment.served_from), _mount(folder, CONFIG)],
        # A compose file may move together with what it names.
        beside=Path(os.path.relpath(deployment.base, folder)).as_posix(),
        claim=claim if deployment.scheme == "pvc" else f"{deployment.name}-models",
        inside=inside.strip("/") if deployment.scheme == "pvc" else "",
    )


def _mount(source: Path, target: str) -> str:
    """Returns a value for `docker run --mount`, which is a line of CSV."""
    fields = ["type=bind", f"source={source}", f"target={target}", "readonly"]
    return ",".join(f'"{f.replace(chr(34), chr(34) * 2)}"' if {*f} & {*',"'} else f for f in fields)
