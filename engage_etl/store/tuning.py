"""How a PostgreSQL server is set for imports: the one list of settings, with values by the machine's memory, and why.

The embedded server is started with it, ``engage-etl db status`` holds a running server against it, and
``docs/server-settings.md`` is made from it. What was measured stands in decision 0010.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import psutil

MIB, GIB = 1024**2, 1024**3
_BYTES = {"kB": 1024, "MB": MIB, "GB": GIB, "TB": 1024**4}
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600, "d": 86_400}
_AMOUNT = re.compile(r"(-?\d+(?:\.\d+)?) ?([A-Za-z]*)")

SMALLEST_SERVER = 4 * GIB
"""Memory that an external server is held to where nobody says how much it has."""

_MEMORY_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


class Bound(StrEnum):
    """On which side of the wanted value a server may be."""

    EXACTLY = "exactly"
    AT_LEAST = "at least"
    AT_MOST = "at most"


@dataclass(frozen=True)
class Advice:
    """One setting of the server.

    wanted: its value where the machine has so many bytes of memory; why: the reason, a sentence; is_for_all: false if
    it concerns the embedded server alone.
    """

    name: str
    wanted: Callable[[int], str]
    why: str
    bound: Bound = Bound.EXACTLY
    is_for_all: bool = True


def _always(value: str) -> Callable[[int], str]:
    return lambda memory: value


def _share(part: int, least: int, most: int) -> Callable[[int], str]:
    """The n-th part of the memory, within limits in bytes."""
    return lambda memory: f"{max(least, min(memory // part, most)) // MIB}MB"


ADVICE = (
    Advice(
        "shared_buffers",
        _share(4, 128 * MIB, 8 * GIB),
        "An import touches contacts and their indexes all over; pages that do not fit here are copied to and fro.",
        Bound.AT_LEAST,
    ),
    Advice(
        "effective_cache_size",
        _share(2, 256 * MIB, 512 * GIB),
        "The planner learns from it that indexes are in memory.",
        Bound.AT_LEAST,
    ),
    Advice(
        "maintenance_work_mem",
        _share(16, 64 * MIB, GIB),
        "Vacuum remembers dead rows in it, and indexes are sorted in it.",
        Bound.AT_LEAST,
    ),
    Advice(
        "max_wal_size",
        _always("8GB"),
        "A large import writes gigabytes of log; a checkpoint in its midst makes it write whole pages again.",
        Bound.AT_LEAST,
    ),
    Advice("min_wal_size", _always("1GB"), "Files of the log are used again instead of made anew.", Bound.AT_LEAST),
    Advice("checkpoint_timeout", _always("15min"), "As max_wal_size.", Bound.AT_LEAST),
    Advice(
        "wal_compression",
        _always("off"),
        "To compress whole pages takes longer than to write them: 880,000 new addresses 20.8 s instead of 13.4 s.",
        is_for_all=False,
    ),
    Advice("autovacuum", _always("on"), "Each import leaves as many dead rows as it changes contacts."),
    Advice(
        "autovacuum_naptime",
        _always("10s"),
        "Imports follow each other within a minute; what one leaves behind is cleared before the next one applies.",
        Bound.AT_MOST,
    ),
    Advice(
        "client_connection_check_interval",
        _always("1s"),
        "The transaction of a process that was killed ends within a second, not with its statement.",
    ),
    Advice("jit", _always("off"), "Compiling takes longer than a statement gains by it.", is_for_all=False),
    Advice(
        "log_parameter_max_length",
        _always("0"),
        "Values are personal data and do not belong into a log (R41).",
    ),
    Advice("log_parameter_max_length_on_error", _always("0"), "As log_parameter_max_length."),
    Advice(
        "log_error_verbosity",
        _always("terse"),
        "The details of an error name values: which address there is twice (R41).",
    ),
    Advice("log_min_error_statement", _always("panic"), "Statements that people type hold values (R41)."),
    Advice("log_min_messages", _always("warning"), "Nobody reads more.", is_for_all=False),
    Advice("listen_addresses", _always(""), "No network: a socket in a private folder is all.", is_for_all=False),
    Advice("max_connections", _always("200"), "Imports, sensors and the web page hold a few each.", is_for_all=False),
    Advice("timezone", _always("UTC"), "Times are shown as they are in reports.", is_for_all=False),
    Advice("log_timezone", _always("UTC"), "As timezone.", is_for_all=False),
)
"""The settings of a server."""

SESSION = (
    Advice(
        "work_mem",
        _always("128MB"),
        "Joins of a large file stay in memory; at 8MB half a million rows wrote 1.7 GB of temporary files.",
    ),
    Advice(
        "temp_buffers",
        _always("64MB"),
        "Rows are loaded into temporary tables first, which are joined faster in memory.",
    ),
)
"""What our sessions set for themselves, on any server; an address with ``?options=`` may say otherwise."""


def amount(value: str) -> float | str:
    """A value as PostgreSQL spells it, in bytes or seconds or as a plain number; one that is a word as it is."""
    parts = _AMOUNT.fullmatch(value)
    units = {"": 1} | _BYTES | _SECONDS
    return value if parts is None or parts[2] not in units else float(parts[1]) * units[parts[2]]


def as_bytes(value: str) -> int | None:
    """``64GB`` as a number of bytes; None where it is no amount of memory."""
    parts = _AMOUNT.fullmatch(value)
    return int(float(parts[1]) * _BYTES[parts[2]]) or None if parts and parts[2] in _BYTES else None


def recommended(memory: int) -> dict[str, str]:
    """The settings of a server whose machine has so many bytes of memory, for its configuration file."""
    return {advice.name: advice.wanted(memory) for advice in ADVICE}


def usable_memory() -> int:
    """Bytes of memory that we may use: those of the machine, or of the container."""
    limits = [path.read_text().strip() for path in _MEMORY_LIMITS if path.exists()]
    return min([psutil.virtual_memory().total, *(int(limit) for limit in limits if limit.isdecimal())])
