"""The Celery application of workers: ``celery -A engage_etl.triggers.celery_worker worker``.

A worker takes its settings from its own environment: the same database, storage and broker as everywhere, and a data
folder of its own.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from dagster_celery.config import dict_wrapper
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_task

from engage_etl.loading import quick_loading
from engage_etl.settings import load_settings
from engage_etl.triggers.executors import CELERY_CONFIG, demand_what_celery_needs
from engage_etl.triggers.run_server import load


def celery_app() -> Celery:
    """The application, with the one task that Dagster hands out: to execute a step.

    Raises:
        UsageError: what it needs is not set.
    """
    settings = load_settings()
    demand_what_celery_needs(settings)
    assert settings.celery_broker is not None
    address = settings.celery_broker.get_secret_value()
    made: Any = make_app({"broker": address, "backend": address, "config_source": dict_wrapper(dict(CELERY_CONFIG))})
    create_task(made)
    return made


# Before the worker forks the process that executes steps: the first of them would take the time that loading takes.
with quick_loading():
    load()

app = celery_app()
"""By this name Celery's commands find it."""
