"""A file that turns out to be broken half way leaves no stage file, whole or not."""

from __future__ import annotations

from contextlib import suppress

import pytest

from engage_etl.errors import FileError
from engage_etl_tests.importing import Importing

ROW = "<user><identifier>{}</identifier><email>a{}@x.org</email></user>"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("broken.xml", "<userdata>" + "".join(ROW.format(number, number) for number in range(100)) + "<user>"),
        ("broken.csv", "user.Identifier,user.Email\n" + "1,a@x.org\n" * 100 + '1,"a@x.org\n'),
    ],
    ids=["xml", "csv"],
)
def test_no_stage_file(importing: Importing, name: str, content: str) -> None:
    store = importing.store
    small = Importing(type(store)(store.engine, store.settings.model_copy(update={"chunk_rows": 10})), importing.folder)
    import_id = small.register(content, name=name)
    with suppress(FileError):
        small.run(import_id)
    assert small.entry(import_id).status == "failed"
    assert [path.name for path in store.settings.import_dir(import_id).iterdir()] == ["raw"]
