"""The installation that a command works on."""

from __future__ import annotations

from engage_etl.settings import load_settings
from engage_etl.store.engine import Store, open_store


def store() -> Store:
    """The store of the installation that the environment names, open."""
    return open_store(load_settings())
