"""A bucket that machines share: the one that sources are tested with."""

from engage_etl_tests.sources.conftest import bucket

__all__ = ["bucket"]
