"""The definition of a custom attribute (R17)."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from engage_etl.vocabulary.attributes import CustomType


class CustomAttribute(BaseModel):
    """A custom attribute.

    name: as first spelled; type; allowed_values: of an enumeration, None: any value of the type.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    type: CustomType = CustomType.STRING
    allowed_values: tuple[str, ...] | None = None

    def as_row(self) -> dict[str, Any]:
        """The definition as columns of ``custom_attribute`` and ``plan_attribute``."""
        allowed = list(self.allowed_values) if self.allowed_values is not None else None
        return {"name": self.name, "type": self.type.value, "allowed_values": allowed}
