"""When a value of a row is written: one rule per import, and others for single fields (R19)."""

from __future__ import annotations

from dataclasses import dataclass, field
from difflib import get_close_matches

from engage_etl.vocabulary.attributes import BY_FIELD, BY_HEADER, custom_key, free_name, is_free
from engage_etl.vocabulary.choices import UpdateRule


@dataclass(frozen=True)
class UpdateRules:
    """The rules of an import. default: of all fields but those in ``by_field``, keyed as ``field_key`` gives."""

    default: UpdateRule = UpdateRule.IF_NEW_NOT_BLANK
    by_field: dict[str, UpdateRule] = field(default_factory=dict)

    @classmethod
    def parse(cls, texts: tuple[str, ...]) -> UpdateRules:
        """Read ``RULE`` and ``FIELD=RULE``, each field and the rule without field once at the most.

        Raises:
            ValueError: names the text and what was expected.
        """
        default: UpdateRule | None = None
        by_field: dict[str, UpdateRule] = {}
        for text in texts:
            name, is_field, word = text.rpartition("=")
            rule = _rule(word)
            if not is_field:
                if default is not None:
                    raise ValueError(f"{default} and {rule} are both said for all fields; leave one")
                default = rule
                continue
            key = field_key(name)
            if key in by_field:
                raise ValueError(f"{name!r} has two rules; leave one")
            by_field[key] = rule
        return cls(default or cls.default, by_field)

    def rule(self, key: str) -> UpdateRule:
        """The rule of a field. key: a field of the catalogue, ``custom.<key>`` or ``member.<key>``."""
        return self.by_field.get(key, self.default)


def field_key(name: str) -> str:
    """A field by its name in JSON or its CSV header: ``first_name``, ``user.FirstName``, ``custom.colour``.

    Raises:
        ValueError: there is none; names the nearest.
    """
    if is_free(name) and free_name(name):
        return name.partition(".")[0] + "." + custom_key(free_name(name))
    if (attribute := BY_FIELD.get(name) or BY_HEADER.get(name.lower())) is not None:
        return attribute.field
    nearest = get_close_matches(name.lower(), [*BY_FIELD, *BY_HEADER], n=1)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    raise ValueError(
        f"there is no field {name!r}; expected one like first_name, user.FirstName, custom.<name> or member.<name>.{hint}"
    )


def _rule(word: str) -> UpdateRule:
    try:
        return UpdateRule(word)
    except ValueError:
        rules = " or ".join(repr(rule.value) for rule in UpdateRule)
        raise ValueError(f"{word!r} is no update rule; expected {rules}") from None
