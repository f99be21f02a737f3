"""Who reaches the web page: nobody without a password, viewers to look, editors by their names, and no page of other sites."""

from __future__ import annotations

import http.client
import json
import os
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from unittest import mock

import psutil
import pytest
from dagster_graphql.schema import create_schema
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from engage_etl.store.approvals import find_approval
from engage_etl.store.engine import Store, open_store
from engage_etl.store.imports import Import, list_imports
from engage_etl_tests.conftest import own_store
from engage_etl_tests.importing import Importing
from engage_etl_tests.own_dagster import own_dagster
from engage_etl_tests.scenarios.proxy import EDITOR, VIEWER, Proxy, login, new_ports, proxied
from engage_etl_tests.scenarios.service import Service, drop, running
from engage_etl_tests.scenarios.test_approval_by_daemon import LAUNCH, REPOSITORY, WAITING
from engage_etl_tests.waiting import LONGEST, wait_for

pytestmark = [pytest.mark.scenario, pytest.mark.longest]

LOCATION = "engage_etl.definitions"
SENSOR = f'repositoryName: "__repository__", repositoryLocationName: "{LOCATION}", sensorName: "drop_folder"'
SENSOR_STATE = (
    f"{{ sensorOrError(sensorSelector: {{{SENSOR}}}) {{ ... on Sensor {{ sensorState {{ id status }} }} }} }}"
)
START = f"mutation {{ startSensor(sensorSelector: {{{SENSOR}}}) {{ __typename }} }}"
STOP = 'mutation { stopSensor(id: "%s") { __typename ... on PythonError { message } } }'
METADATA = """
{ assetNodes { assetMaterializations(limit: 5) { metadataEntries { label
  ... on TextMetadataEntry { text } ... on JsonMetadataEntry { jsonString } ... on TableMetadataEntry { table { records } } } } } }
"""
REFUSED = "This web UI is for looking only"


@dataclass(frozen=True)
class Installation:
    """A service with a web server for editors and one for viewers, nginx before both, and an import that waits."""

    service: Service
    proxy: Proxy
    store: Store
    waiting: Import

    def sensor(self) -> dict[str, str]:
        """Identity and status of the sensor that looks at drop folders."""
        found: dict[str, str] = self.service.ask(SENSOR_STATE)["sensorOrError"]["sensorState"]
        return found

    def approve(self) -> str:
        """A mutation that approves the plan of the import in the name of Cem."""
        [repository] = self.service.ask(REPOSITORY)["repositoriesOrError"]["nodes"]
        names = {"location": repository["location"]["name"], "repository": repository["name"]}
        return LAUNCH % (names | {"plan_hash": self.waiting.plan_hash, "import_id": self.waiting.import_id})

    def runs_that_ended(self) -> list[tuple[str, str]]:
        """Job and status of the runs, the first ones first."""
        asked = self.service.ask("{ runsOrError { ... on Runs { results { jobName status } } } }")
        ended = [(run["jobName"], run["status"]) for run in reversed(asked["runsOrError"]["results"])]
        return [run for run in ended if run[0] == "apply_plan" and run[1] in ("SUCCESS", "FAILURE")]


@pytest.fixture(scope="module")
def installation(server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("access")
    tls, plain, viewers = new_ports(3)
    with own_store(server, folder / "data") as settings, own_dagster(settings) as own, open_store(own) as store:
        Importing.prepare(store, folder / "files").seed("user.Email,user.Identifier\nold@x.org,1\n")
        own.automations_file.write_text(WAITING)
        (own.drop_dir / "nightly-crm").mkdir(parents=True)
        drop("user.Identifier,user.Email\n1,new@x.org\n", own.drop_dir / "nightly-crm" / "one.csv")
        more = {"ENGAGE_USER_HEADER": "X-Forwarded-User", "ENGAGE_WEB_URL": f"https://localhost:{tls}"}
        with (
            mock.patch.dict(os.environ, more),
            running(own, folder / "up.log", "--viewers-port", str(viewers)) as service,
        ):
            ports = {"port": tls, "plain_port": plain, "editors": service.port, "viewers": viewers}
            with proxied(folder / "nginx", **ports) as proxy:
                waiting = wait_for("an import that waits", lambda: that_waits(store))
                yield Installation(service, proxy, store, waiting)


def that_waits(store: Store) -> Import | None:
    with store.engine.connect() as connection:
        found = list_imports(connection, automation="nightly-crm")
    return next((entry for entry in found if entry.status == "waiting_for_approval"), None)


def websocket(proxy: Proxy, user: str | None, query: str) -> list[str]:
    """Types of the messages with which the server answers a query that is sent through a websocket."""
    with connect(
        f"wss://{proxy.address}/graphql",
        ssl=proxy.trusting(),
        subprotocols=["graphql-ws"],  # type: ignore[list-item]
        additional_headers=login(user),
        origin=f"https://{proxy.address}",  # type: ignore[arg-type]
        open_timeout=LONGEST,
    ) as opened:
        opened.send(json.dumps({"type": "connection_init"}))
        first = json.loads(opened.recv(timeout=LONGEST))
        opened.send(json.dumps({"type": "start", "id": "1", "payload": {"query": query}}))
        return [first["type"], json.loads(opened.recv(timeout=LONGEST))["type"]]


def test_nobody_comes_in_without_a_password(installation: Installation) -> None:
    proxy = installation.proxy
    for path in (
        "/",
        "/runs",
        "/metrics",
        "/server_info",
        f"/reports/{installation.waiting.import_id}",
        "/favicon.ico",
    ):
        assert proxy.ask(path, None).code == 401, path
    assert proxy.graphql(None, "{ version }").code == 401
    assert proxy.graphql(EDITOR, "{ version }", password="guessed").code == 401
    with pytest.raises(InvalidStatus, match="401"):
        websocket(proxy, None, "{ version }")
    assert "max-age=31536000" in proxy.ask("/", None).headers["Strict-Transport-Security"]
    plain = http.client.HTTPConnection("127.0.0.1", proxy.plain_port, timeout=LONGEST)
    plain.request("GET", "/runs?x=1", headers={"Host": "evil.example"})
    moved = plain.getresponse()
    assert (moved.status, moved.headers["Location"]) == (301, "https://etl.example.com/runs?x=1")


def test_nothing_listens_for_other_machines(installation: Installation) -> None:
    parts = {part.pid for part in psutil.Process(installation.service.process.pid).children(recursive=True)}
    listening = [one for one in psutil.net_connections("inet") if one.status == psutil.CONN_LISTEN]
    found = [one.laddr for one in listening if one.pid in parts]
    assert installation.service.port in {address.port for address in found}
    assert {address.ip for address in found} == {"127.0.0.1"}


def test_viewers_look_at_everything_and_change_nothing(installation: Installation) -> None:
    proxy, before = installation.proxy, installation.sensor()
    page = proxy.ask("/", VIEWER)
    assert page.code == 200 and "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert "max-age=31536000" in page.headers["Strict-Transport-Security"]
    report = proxy.ask(f"/reports/{installation.waiting.import_id}", VIEWER).body
    assert "one.csv" in report and "new@x.org" not in report
    metadata = proxy.graphql(VIEWER, METADATA).body
    # Cells of tables are JSON in JSON.
    assert re.search(r"@(…|\\+u2026)\.org", metadata) and "new@x.org" not in metadata and "old@x.org" not in metadata

    mutations = create_schema().graphql_schema.mutation_type
    assert mutations is not None and {"launchRun", "terminateRun", "wipeAssets", "addDynamicPartition"} < set(
        mutations.fields
    )
    for name in mutations.fields:
        told = proxy.graphql(VIEWER, f"mutation {{ {name} {{ __typename }} }}")
        assert told.code == 400 and REFUSED in told.body and told.json["data"] is None, name
    named = (STOP % before["id"]).replace("mutation", "mutation M")
    for mutation in (
        START,
        STOP % before["id"],
        installation.approve(),
        f"query Q {{ version }} {named}",
    ):
        told = proxy.graphql(VIEWER, mutation)
        assert told.code == 400 and [error["message"][: len(REFUSED)] for error in told.json["errors"]] == [REFUSED]
        assert websocket(proxy, VIEWER, mutation) == ["connection_ack", "error"]
    assert proxy.ask("/report_asset_materialization/raw_file", VIEWER, {"partition": "p"}).code == 403
    assert installation.sensor() == before and before["status"] == "RUNNING"
    assert installation.runs_that_ended() == []

    # The same mutations are right: somebody who may stops the sensor and starts it again.
    assert "StopSensorMutationResult" in proxy.graphql(EDITOR, STOP % before["id"]).body
    assert installation.sensor()["status"] == "STOPPED"
    assert "Sensor" in proxy.graphql(EDITOR, START).json["data"]["startSensor"]["__typename"]
    assert installation.sensor()["status"] == "RUNNING"
    live = "subscription { locationStateChangeEvents { event { message } } pipelineRunLogs }"
    assert websocket(proxy, EDITOR, live)[0] == "connection_ack"


def test_pages_of_other_sites_change_nothing(installation: Installation) -> None:
    """Without the guard, each of these stops the sensor: Dagster takes a mutation from the address."""
    address, before = f"http://127.0.0.1:{installation.service.port}", installation.sensor()
    asked = urllib.parse.urlencode({"query": STOP % before["id"]})
    attempts = [
        urllib.request.Request(f"{address}/graphql?{asked}"),
        urllib.request.Request(f"{address}/graphql?{asked}", data=b"x", headers={"Content-Type": "text/plain"}),
        urllib.request.Request(f"{address}/graphql?{asked}", data=b"x"),
    ]
    body = json.dumps({"query": STOP % before["id"]}).encode()
    for headers in (
        {"Origin": "https://evil.example"},
        {"Host": "evil.example:3000"},
        {"Sec-Fetch-Site": "cross-site"},
    ):
        sent = headers | {"Content-Type": "application/json"}
        attempts.append(urllib.request.Request(f"{address}/graphql", data=body, headers=sent))
    for attempt in attempts:
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(attempt, timeout=LONGEST)
    assert installation.sensor() == before and before["status"] == "RUNNING"
    # Through the proxy the browser sends the password by itself.
    foreign = installation.proxy.graphql(EDITOR, STOP % before["id"], Origin="https://evil.example")
    assert foreign.code == 403 and installation.sensor() == before
    with pytest.raises(InvalidStatus, match="403"):
        connect(f"ws://127.0.0.1:{installation.service.port}/graphql", origin="https://evil.example")  # type: ignore[arg-type]


def test_who_approves_is_whom_the_proxy_has_let_in(installation: Installation) -> None:
    approve = installation.approve()
    # Past the proxy: who sits on the machine can type any name, and any tag.
    typed = approve.replace("tags: [", 'tags: [{key: "user", value: "boss"}, ')
    assert installation.service.ask(typed)["launchRun"]["__typename"] == "LaunchRunSuccess"
    wait_for("a run that is refused", installation.runs_that_ended)
    assert installation.runs_that_ended() == [("apply_plan", "FAILURE")]
    through = installation.proxy.graphql(EDITOR, approve, X_Forwarded_User="boss")
    assert through.json["data"]["launchRun"]["__typename"] == "LaunchRunSuccess"
    wait_for("the end of the other", lambda: installation.runs_that_ended()[1:])
    assert installation.runs_that_ended()[1:] == [("apply_plan", "SUCCESS")]
    with installation.store.engine.connect() as connection:
        approval = find_approval(connection, installation.waiting.import_id)
    assert approval is not None and approval.approved_by == EDITOR
