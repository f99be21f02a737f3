"""nginx with the files of ``deploy/nginx``, as they are but for names and ports, in front of a running ``engage-etl up``."""

from __future__ import annotations

import base64
import json
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engage_etl_tests.scenarios.service import free_port
from engage_etl_tests.sources.services import demand
from engage_etl_tests.waiting import LONGEST, wait_for

DEPLOYED = Path(__file__).parents[2] / "deploy" / "nginx"
PASSWORD = "Sesame-4711-open"
EDITOR, VIEWER = "ann", "vic"
_MAIN = """
user root;
pid nginx.pid;
error_log error.log;
events {{}}
http {{
    access_log access.log;
    client_body_temp_path temp/body;
    proxy_temp_path temp/proxy;
    fastcgi_temp_path temp/fastcgi;
    uwsgi_temp_path temp/uwsgi;
    scgi_temp_path temp/scgi;
    include {folder}/conf.d/*.conf;
}}
"""


@dataclass(frozen=True)
class Answer:
    """What the proxy answered."""

    code: int
    headers: Any
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Proxy:
    """A running nginx. folder: its certificate lies there."""

    folder: Path
    port: int
    plain_port: int

    @property
    def address(self) -> str:
        return f"localhost:{self.port}"

    def trusting(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.folder / "engage-etl" / "certificate.pem"))

    def ask(self, path: str, user: str | None, body: Any = None, *, password: str = PASSWORD, **headers: str) -> Answer:
        """Send a request; body: to be sent as JSON. Names of headers with ``_`` for ``-``."""
        given = {name.replace("_", "-"): value for name, value in headers.items()} | login(user, password)
        if body is not None:
            given |= {"Content-Type": "application/json"}
        request = urllib.request.Request(
            f"https://{self.address}{path}", data=None if body is None else json.dumps(body).encode(), headers=given
        )
        try:
            with urllib.request.urlopen(request, timeout=LONGEST, context=self.trusting()) as answer:
                return Answer(answer.status, answer.headers, answer.read().decode())
        except urllib.error.HTTPError as refused:
            return Answer(refused.code, refused.headers, refused.read().decode())

    def graphql(self, user: str | None, query: str, **headers: str) -> Answer:
        """Ask a query, or try a mutation."""
        return self.ask("/graphql", user, {"query": query}, **headers)


def login(user: str | None, password: str = PASSWORD) -> dict[str, str]:
    """The header that a browser sends for somebody."""
    if user is None:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@contextmanager
def proxied(folder: Path, *, port: int, plain_port: int, editors: int, viewers: int) -> Iterator[Proxy]:
    """Start nginx. port: for TLS; editors, viewers: ports of the two web servers."""
    nginx = demand("nginx", "nginx")
    for name in ("conf.d", "engage-etl", "temp"):
        (folder / name).mkdir(parents=True)
    server = (DEPLOYED / "engage-etl.conf").read_text()
    for shown, ours in (
        ("listen 443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        ("listen 80;", f"listen 127.0.0.1:{plain_port};"),
        ("server_name etl.example.com;", "server_name localhost;"),
    ):
        assert shown in server
        server = server.replace(shown, ours)
    upstreams = (DEPLOYED / "upstreams.conf").read_text()
    assert "127.0.0.1:3000;" in upstreams and "127.0.0.1:3001;" in upstreams
    upstreams = upstreams.replace(":3000;", f":{editors};").replace(":3001;", f":{viewers};")
    (folder / "conf.d" / "engage-etl.conf").write_text(server)
    (folder / "conf.d" / "upstreams.conf").write_text(upstreams)
    (folder / "nginx.conf").write_text(_MAIN.format(folder=folder))
    shutil.copy(DEPLOYED / "editors", folder / "engage-etl" / "editors")
    _add_secrets(folder / "engage-etl")
    command = [nginx, "-p", str(folder), "-c", "nginx.conf", "-e", "error.log", "-g", "daemon off;"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    proxy = Proxy(folder, port, plain_port)
    try:
        wait_for("nginx", lambda: _answers(process, proxy))
        yield proxy
    finally:
        process.terminate()
        process.wait(timeout=LONGEST)


def _answers(process: subprocess.Popen[bytes], proxy: Proxy) -> bool:
    assert process.poll() is None, (proxy.folder / "error.log").read_text()
    try:
        return proxy.ask("/", None).code == 401
    except OSError:
        return False


def _add_secrets(folder: Path) -> None:
    openssl = demand("openssl", "openssl")
    # As docs/security.md says how to make them.
    hashed = subprocess.run(
        [openssl, "passwd", "-6", "-stdin"], input=PASSWORD, capture_output=True, text=True, check=True
    ).stdout.strip()
    (folder / "passwords").write_text(f"{EDITOR}:{hashed}\n{VIEWER}:{hashed}\n")
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")),
        ],
        check=True,
        capture_output=True,
    )


def new_ports(count: int) -> list[int]:
    """So many different free ports."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return sorted(found)
