"""The installation that a command works on."""

from __future__ import annotations

from engage_etl.settings import load_settings
from engage_etl.store.engine import Store, open_store
from engage_etl.store.sessions import TimeLimits


def store() -> Store:
    """The store of the installation that the environment names, open for work that takes as long as there are rows."""
    return open_store(load_settings())


def store_to_look_at() -> Store:
    """The same for commands that show something: their statements are ended after ``statement_timeout``."""
    settings = load_settings()
    return open_store(settings, TimeLimits.of_looking(settings))
