"""The dbt project: where it is, what it consists of, and how it is run, without Dagster.

dbt takes seconds to load, so that it runs in a process of its own and nothing here imports it (decision 0005).
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from engage_etl.errors import EngageError
from engage_etl.settings import Settings

_KEPT_FILES = ("*.yml", "*.sql", "*.md", "*.csv")
_YIELDING = ("nice", "-n", "10")
"""Imports go first: on two cores, five seconds of dbt at their side would make each of them twice as long."""
_QUIET = {"DO_NOT_TRACK": "1", "DBT_SEND_ANONYMOUS_USAGE_STATS": "false", "DBT_USE_COLORS": "false"}


class DbtFailed(EngageError):
    """dbt did not do what it was asked; the sentence is dbt's own last one."""


@dataclass(frozen=True)
class Model:
    """A dbt model. unique_id: dbt's name for it; depends_on: names of models; reads_store: it reads a source."""

    unique_id: str
    name: str
    description: str
    relation: str
    columns: dict[str, str]
    depends_on: tuple[str, ...]
    reads_store: bool

    @property
    def schema(self) -> str:
        """The schema that it is built in."""
        return self.relation.partition(".")[0]


@dataclass(frozen=True)
class ModelTest:
    """A dbt test. model: name of the model that it is about; only_warns: its failure is no error."""

    unique_id: str
    name: str
    model: str
    description: str
    only_warns: bool = False


@dataclass(frozen=True)
class Lineage:
    """The models and tests of the dbt project, as dbt's manifest lists them."""

    models: tuple[Model, ...]
    tests: tuple[ModelTest, ...]


@dataclass(frozen=True)
class NodeResult:
    """What became of a model or test. status: success, pass, warn, fail, error, skipped; seconds: it took."""

    unique_id: str
    status: str
    message: str | None
    failures: int | None
    seconds: float


def project_dir() -> Path:
    """The folder of the dbt project: packed beside this module, or ``dbt/`` of the checkout.

    Raises:
        DbtFailed: it is in neither place.
    """
    beside = Path(__file__).parent / "dbt_project"
    checkout = Path(__file__).parents[2] / "dbt"
    for folder in (beside, checkout):
        if (folder / "dbt_project.yml").is_file():
            return folder
    raise DbtFailed(f"The dbt project is neither in {beside} nor in {checkout}; install the package again.")


def prepare_manifest(settings: Settings) -> Path:
    """dbt's manifest of the project as it is now: the one that comes with it, or else one that is made, which takes seconds.

    Its name carries a digest of the project's files, so that an old one is never taken for the new one. Several
    processes may ask at the same time: one of them makes it. Neither network nor store is needed.

    Raises:
        DbtFailed: the project has a mistake.
    """
    folder, name = settings.root / "dbt", manifest_name()
    manifest = folder / name
    for there in (shipped_manifests() / name, manifest):
        if there.is_file():
            return there
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / ".lock"):
        if not manifest.is_file():
            parse_project(folder, manifest)
    return manifest


def shipped_manifests() -> Path:
    """The folder of the manifest that comes with the project (``make manifest``), with what ``read_lineage`` reads."""
    return project_dir() / "manifests"


def manifest_name() -> str:
    """How the manifest of the project as it is now is called, with this version of dbt."""
    return f"manifest-{_project_digest(project_dir())}.json"


def read_lineage(manifest: Path) -> Lineage:
    """The models and their tests."""
    nodes: dict[str, dict[str, Any]] = json.loads(manifest.read_text(encoding="utf-8"))["nodes"]
    models = {id_: _model(id_, node, nodes) for id_, node in nodes.items() if node["resource_type"] == "model"}
    tests = tuple(
        ModelTest(id_, node["name"], models[about].name, node.get("description") or "", _only_warns(node))
        for id_, node in nodes.items()
        if node["resource_type"] == "test" and (about := _tested_model(node)) in models
    )
    return Lineage(tuple(models.values()), tests)


def build_models(settings: Settings, names: list[str], connection: Mapping[str, str]) -> list[NodeResult]:
    """Build models and run their tests in the store.

    names: of models; connection: PGHOST and the like, where the store is.

    Returns:
        What became of each model and test, failed ones too.

    Raises:
        DbtFailed: dbt did not get as far as that.
    """
    folder = settings.root / "dbt"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".build-", dir=folder) as target:
        ended = _run_dbt(["build", "--select", *names], Path(target), connection, runner=_YIELDING)
        results = Path(target) / "run_results.json"
        if not results.is_file():
            raise DbtFailed(_last_words(ended))
        return [_node_result(node) for node in json.loads(results.read_text(encoding="utf-8"))["results"]]


def _project_digest(project: Path) -> str:
    digest = hashlib.sha256(version("dbt-core").encode())
    for folder in (".", "models", "tests", "macros"):
        for pattern in _KEPT_FILES:
            walk = (project / folder).glob(pattern) if folder == "." else (project / folder).rglob(pattern)
            for path in sorted(walk):
                digest.update(str(path.relative_to(project)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def parse_project(folder: Path, manifest: Path) -> None:
    """Have dbt make the manifest, in place of those of former states in ``folder``.

    Raises:
        DbtFailed: the project has a mistake.
    """
    with tempfile.TemporaryDirectory(prefix=".parse-", dir=folder) as target:
        ended = _run_dbt(["parse"], Path(target), {})
        made = Path(target) / "manifest.json"
        if ended.returncode != 0 or not made.is_file():
            raise DbtFailed(_last_words(ended))
        for former in folder.glob("manifest-*.json"):
            former.unlink()
        made.rename(manifest)


def _run_dbt(
    arguments: list[str], target: Path, connection: Mapping[str, str], runner: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    project = str(project_dir())
    command = [*runner, sys.executable, "-m", "dbt.cli.main", "--no-use-colors", "--log-path", str(target)]
    where = ["--project-dir", project, "--profiles-dir", project, "--target-path", str(target)]
    environment = {**os.environ, **_QUIET, **connection}
    return subprocess.run(
        [*command, *arguments, *where],
        env=environment, cwd=target, text=True, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def _last_words(ended: subprocess.CompletedProcess[str]) -> str:
    said = [line.strip() for line in ended.stdout.splitlines() if line.strip()]
    return f"dbt ended with code {ended.returncode}: {' '.join(said[-6:]) or 'it said nothing'}"


def _model(unique_id: str, node: dict[str, Any], nodes: dict[str, dict[str, Any]]) -> Model:
    parents: list[str] = node["depends_on"]["nodes"]
    return Model(
        unique_id=unique_id,
        name=node["name"],
        description=node["description"],
        relation=f"{node['schema']}.{node['alias']}",
        columns={name: column["description"] for name, column in node["columns"].items()},
        depends_on=tuple(nodes[parent]["name"] for parent in parents if parent.startswith("model.")),
        reads_store=any(parent.startswith("source.") for parent in parents),
    )


def _tested_model(node: dict[str, Any]) -> str | None:
    """The model that a test is attached to, or the first one that it reads."""
    parents: list[str] = node["depends_on"]["nodes"]
    return node.get("attached_node") or next((parent for parent in parents if parent.startswith("model.")), None)


def _only_warns(test: dict[str, Any]) -> bool:
    """Said in ``meta``: to dbt all of our tests only warn, since it would not build what comes after one that fails."""
    meta: dict[str, Any] = test.get("config", {}).get("meta") or {}
    return bool(meta.get("only_warns", False))


def _node_result(node: dict[str, Any]) -> NodeResult:
    return NodeResult(node["unique_id"], node["status"], node["message"], node["failures"], node["execution_time"])


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file; a killed process gives it up."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
