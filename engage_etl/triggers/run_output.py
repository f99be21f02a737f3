"""Where goes what a run prints."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from dagster._core.storage.compute_log_manager import CapturedLogContext
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from dagster._serdes import ConfigurableClassData


class UncapturedOutput(LocalComputeLogManager):
    """Leaves what a run prints where its process prints it: on the terminal of ``engage-etl up`` or of the command.

    Stages print nothing; what they have to say is in the event log. Dagster's own class starts four processes for each
    run, two of them Python, to capture it and to repeat it on the terminal. Logs of the sensor's ticks are kept.
    """

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> UncapturedOutput:
        """base_dir: folder of the logs of ticks."""
        return cls(inst_data=inst_data, **config_value)

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        """Capture nothing."""
        yield CapturedLogContext(log_key)

    def is_capture_complete(self, log_key: Sequence[str]) -> bool:
        """There is nothing to wait for."""
        return True
