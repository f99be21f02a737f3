"""django-import-export in bulk, unchanged rows skipped.

python -m benchmarks.peers.django_import_export FILE [cached], on the database that PGHOST, PGUSER and PGDATABASE name;
``cached`` loads all contacts of the file at once (its CachedInstanceLoader) where it looks each of them up otherwise.
"""

# mypy: disable-error-code="misc,no-untyped-def,no-any-return"

from __future__ import annotations

import os
import sys
from pathlib import Path

import django
import tablib
from django.conf import settings

from benchmarks.peers.rows import has_address, stored_columns

settings.configure(
    INSTALLED_APPS=["import_export"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": os.environ["PGHOST"],
            "USER": os.environ["PGUSER"],
            "NAME": os.environ["PGDATABASE"],
        }
    },
    USE_TZ=True,
)
django.setup()

from django.db import connection, models  # noqa: E402 - models ask for the settings as they load
from import_export import fields, resources, widgets  # noqa: E402
from import_export.instance_loaders import CachedInstanceLoader, ModelInstanceLoader  # noqa: E402

_TEXTS = (
    "email", "email_key", "mobile_number", "mobile_key", "identifier", "first_name", "last_name", "zip_code",
    "country_code", "language_code", "date_of_birth",
)  # fmt: skip
_CACHED = "cached" in sys.argv[2:]


class Contact(models.Model):
    """A row of the table of contacts."""

    contact_id = models.BigAutoField(primary_key=True)
    title = models.SmallIntegerField(null=True)
    custom = models.JSONField()
    for _name in _TEXTS:
        locals()[_name] = models.TextField(null=True)

    class Meta:
        """Where it is."""

        app_label = "import_export"
        managed = False
        db_table = '"engage"."contact"'


class _Text(widgets.CharWidget):
    def clean(self, value, row=None, **kwargs):
        return value


class ContactResource(resources.ModelResource):
    """How rows become contacts."""

    title = fields.Field("title", "title", widget=widgets.Widget())
    custom = fields.Field("custom", "custom", widget=widgets.Widget())
    for _name in _TEXTS:
        locals()[_name] = fields.Field(_name, _name, widget=_Text())

    class Meta:
        """As its manual advises for many rows."""

        model = Contact
        import_id_fields = ("identifier",)
        fields = (*_TEXTS, "title", "custom")
        use_bulk = True
        batch_size = 1_000
        skip_unchanged = True
        report_skipped = False
        instance_loader_class = CachedInstanceLoader if _CACHED else ModelInstanceLoader

    def before_import_row(self, row, **kwargs) -> None:
        """Name the cells as the columns are named."""
        row.update(stored_columns(dict(row)))

    def skip_row(self, instance, original, row, import_validation_errors=None) -> bool:
        """Rows that can make no contact are skipped, beside unchanged ones."""
        if instance.pk is None and not has_address(row):
            return True
        return super().skip_row(instance, original, row, import_validation_errors)


def import_contacts(file: Path) -> None:
    """Bring the contacts up to a file; new ones join the group with the first id."""
    with file.open(encoding="utf-8", newline="") as reading:
        dataset = tablib.Dataset().load(reading, format="csv")
    # It asks for this column before rows are prepared.
    dataset.append_col(dataset["user.Identifier"], header="identifier")
    ContactResource().import_data(dataset, use_transactions=True, raise_errors=True)
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO engage.membership (group_id, contact_id) SELECT 1, contact_id FROM engage.contact AS c"
            " WHERE NOT EXISTS (SELECT FROM engage.membership AS m WHERE m.contact_id = c.contact_id)"
        )


if __name__ == "__main__":
    import_contacts(Path(sys.argv[1]))
