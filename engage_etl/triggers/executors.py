"""Where the stages of an import run: in the process of its run, in processes of their own, or in workers of Celery.

Decisions 0023 and 0026.
"""

from __future__ import annotations

import warnings
from typing import Any

import dagster as dg

from engage_etl.errors import UsageError
from engage_etl.settings import Executor, Settings

QUEUE = "dagster"
"""The queue that Dagster puts steps into."""

CELERY_CONFIG: dict[str, Any] = {
    # A worker takes a step when it can begin it: what it has in its hands is lost with it, what waits is not.
    "worker_prefetch_multiplier": 1,
    "worker_disable_prefetch": True,
    # A step that was begun is never handed out again by the broker: whether its worker lives is told by the lock of the
    # import, and what is lost is run again from the register (``lost_steps``).
    "task_acks_late": False,
    "task_default_queue": QUEUE,
    "task_default_priority": 5,
    "result_expires": 3600,  # seconds; they are fetched within one
    "broker_connection_retry_on_startup": True,
    "broker_transport_options": {"max_retries": 3, "interval_start": 0, "interval_step": 0.2, "interval_max": 0.5},
}


def import_executor(settings: Settings) -> dg.ExecutorDefinition:
    """The executor of the jobs that run imports.

    Raises:
        UsageError: the setting asks for Celery, and what that needs is not set or not installed.
    """
    if settings.executor is Executor.IN_PROCESS:
        return dg.in_process_executor
    if settings.executor is Executor.MULTIPROCESS:
        return dg.multiprocess_executor
    demand_what_celery_needs(settings)
    from dagster_celery import celery_executor

    # Dagster registers its task anew for each step, which Celery remarks on.
    warnings.filterwarnings("ignore", message="Task name 'execute_plan'")

    # The addresses are read where a run begins: they may hold a password, and what is configured here is shown.
    configured: dg.ExecutorDefinition = celery_executor.configured(
        {
            "broker": {"env": "ENGAGE_CELERY_BROKER"},
            "backend": {"env": "ENGAGE_CELERY_BROKER"},
            "config_source": CELERY_CONFIG,
        },
        name="celery",
    )
    return configured


def demand_what_celery_needs(settings: Settings) -> None:
    """See to it that workers on other machines find database, files and queue.

    Raises:
        UsageError: they do not; the sentence names what has to be set or installed.
    """
    needed = ("database_url", "storage_url", "celery_broker")
    lacking = [f"ENGAGE_{name.upper()}" for name in needed if getattr(settings, name) is None]
    if lacking:
        raise UsageError(
            f"ENGAGE_EXECUTOR=celery needs {' and '.join(lacking)} too; set them as docs/scale-out.md says."
        )
    try:
        import dagster_celery  # noqa: F401
    except ImportError:
        raise UsageError(
            "ENGAGE_EXECUTOR=celery needs a library that is not installed; run `pip install 'engage-etl[celery]'`."
        ) from None
