"""One partition per import."""

from __future__ import annotations

import dagster as dg

IMPORTS = dg.DynamicPartitionsDefinition(name="import_id")
"""The imports, by id."""
