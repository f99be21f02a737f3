"""Addresses of external servers: read, named in messages, and told to other programs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import psycopg
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from engage_etl.errors import UsageError

_EXPECTED = "expected postgresql://user:password@host:port/database"
_SEVERAL_HOSTS = re.compile(r"^(\w[\w+]*://(?:[^@/?]*@)?)([^@/?]*,[^@/?]*)(/[^?]*)(?:\?(.*))?$", re.DOTALL)
_TLS = {"PGSSLMODE": "sslmode", "PGSSLROOTCERT": "sslrootcert", "PGSSLCERT": "sslcert", "PGSSLKEY": "sslkey"}


def external_url(given: str, variable: str) -> URL:
    """The address in a variable of the environment, for psycopg; several hosts as libpq spells them are understood.

    Raises:
        UsageError: it cannot be read as an address.
    """
    try:
        url = make_url(_SEVERAL_HOSTS.sub(_hosts_apart, given))
    except (ArgumentError, ValueError):  # the latter for a port that is no number
        raise UsageError(f"{variable} is no address; {_EXPECTED}.") from None
    if url.drivername.split("+")[0] not in ("postgresql", "postgres") or not url.database:
        raise UsageError(f"{variable} names {url.drivername!r}; {_EXPECTED}.")
    return url.set(drivername="postgresql+psycopg")


def _hosts_apart(found: re.Match[str]) -> str:
    """``a:1,b:2/db`` as ``/db?host=a:1&host=b:2``, which is how SQLAlchemy has them."""
    hosts = "&".join(f"host={host}" for host in found[2].split(","))
    return f"{found[1]}{found[3]}?{hosts}{f'&{found[4]}' if found[4] else ''}"


def place(url: URL) -> str:
    """Where a store is, for messages: hosts, port and database, no names of users, no passwords."""
    return f"{','.join(hosts(url)) or 'localhost'}{f':{url.port}' if url.port else ''}/{url.database}"


def hosts(url: URL) -> list[str]:
    """The hosts of an address, of which the first that fits is used."""
    given = url.host or url.query.get("host") or ()
    return given.split(",") if isinstance(given, str) else list(given)


def facts_for_libpq(url: URL, timeout: int) -> dict[str, str]:
    """An address as ``PG...`` variables, for psql and dbt. timeout: seconds to wait for the first answer of a host.

    dbt knows one host: of several it is the one that takes connections now.

    Raises:
        psycopg.OperationalError: none of several hosts answers.
    """
    given: Mapping[str, Any] = url.get_dialect()().create_connect_args(url)[1]
    host, port = given.get("host"), given.get("port")
    if len(hosts(url)) > 1:
        with psycopg.connect(**{**given, "connect_timeout": timeout}) as connection:
            host, port = connection.info.host, connection.info.port
    facts = {"PGHOST": host, "PGPORT": port, "PGUSER": url.username, "PGPASSWORD": url.password}
    facts |= {"PGDATABASE": url.database} | {name: url.query.get(key) for name, key in _TLS.items()}
    return {name: str(value) for name, value in facts.items() if value is not None}
