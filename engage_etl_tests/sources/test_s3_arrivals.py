"""R27, R40: objects that arrive at S3 are claimed once, whatever happens in between, and end below their source."""

from __future__ import annotations

import hashlib
import socket
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from moto.backends import get_backend
from sqlalchemy import BigInteger, cast, func

from engage_etl.errors import SourceRefused
from engage_etl.raw_file.settling import settle_file
from engage_etl.sources import s3
from engage_etl.sources.opening import Sources
from engage_etl.store.engine import open_store
from engage_etl.store.imports import Import, update_import
from engage_etl.triggers import arrivals
from engage_etl.triggers.arrivals import recover_claims, take_arrivals
from engage_etl.triggers.outbox import settle_ended
from engage_etl_tests.sources.dropping import Drops
from engage_etl_tests.sources.services import Bucket


def claimed_key(entry: Import) -> str:
    return f"in/.claimed/{entry.import_id}/{entry.arrived_name}"


def modified(bucket: Bucket, key: str, seconds: int) -> None:
    """Set the modification time of an object, as nobody can but the service itself."""
    backend: Any = get_backend("s3")
    found = next(region.buckets[bucket.name] for account in backend.values() for region in account.values()
                 if bucket.name in region.buckets)  # fmt: skip
    found.keys[key].last_modified = datetime.fromtimestamp(seconds, UTC)


def test_r40_an_object_is_registered_and_moved_aside_at_the_first_look(s3_drops: Drops, bucket: Bucket) -> None:
    bucket.put("in/contacts.csv", "x")
    modified(bucket, "in/contacts.csv", 1_700_000_000)
    [entry] = [s3_drops.entry(import_id) for import_id in s3_drops.look()]
    assert entry.source_path == f"s3://{bucket.name}/in/contacts.csv"
    assert (entry.file, entry.is_claimed, entry.status) == ("contacts.csv", True, "received")
    assert entry.modified_at is not None and entry.modified_at.timestamp() == 1_700_000_000
    assert bucket.list_keys() == [claimed_key(entry)]
    assert bucket.get(claimed_key(entry)) == b"x"
    assert s3_drops.take() == []
    assert s3_drops.complaints == []


def test_what_is_no_arrival(s3_drops: Drops, bucket: Bucket) -> None:
    kept = [
        "in/",
        "in/.hidden.csv",
        "in/.claimed/old/a.csv",
        "in/done/crm/x/a.csv",
        "in/sub/a.csv",
        "in2/a.csv",
        "a.csv",
    ]
    for key in kept:
        bucket.put(key)
    assert s3_drops.take() == []
    assert bucket.list_keys() == sorted(kept)


def test_only_what_fits_the_pattern(s3_drops: Drops, bucket: Bucket) -> None:
    s3_drops.automation = replace(s3_drops.automation, pattern="*.csv")
    bucket.put("in/a.csv")
    bucket.put("in/b.xml")
    assert [entry.file for entry in s3_drops.take()] == ["a.csv"]


@pytest.mark.parametrize("name", ["Kündigungen 2024 (neu).csv", "50% + #1?.csv", "a&b=c.csv", " x .csv", "a\\b.csv"])
def test_names_of_every_kind(s3_drops: Drops, bucket: Bucket, name: str) -> None:
    bucket.put(f"in/{name}", "x")
    [entry] = s3_drops.take()
    assert entry.file == name
    assert bucket.list_keys() == [claimed_key(entry)]
    s3_drops.end(entry, "applied")
    settle_file(s3_drops.store, entry.import_id)
    assert bucket.list_keys() == [f"in/done/crm/{entry.import_id}/{name}"]


def test_a_name_that_no_file_can_have_here_is_named_and_left(s3_drops: Drops, bucket: Bucket) -> None:
    bucket.put("in/" + "x" * 260)
    assert s3_drops.take() == []
    assert "longer than 250 bytes" in " ".join(s3_drops.complaints)


def test_r40_the_order_is_modification_time_then_name(s3_drops: Drops, bucket: Bucket) -> None:
    for name, seconds in (("b.csv", 20), ("a.csv", 20), ("0.csv", 30), ("z.csv", 10)):
        bucket.put(f"in/{name}")
        modified(bucket, f"in/{name}", seconds)
    assert [entry.file for entry in s3_drops.take()] == ["z.csv", "a.csv", "b.csv", "0.csv"]


def test_a_listing_of_several_pages(s3_drops: Drops, bucket: Bucket) -> None:
    """S3 gives a thousand objects at a time."""
    names = [f"{number:04d}.csv" for number in range(1100)]
    for name in names:
        bucket.put(f"in/{name}", "x")
    with Sources(s3_drops.store.settings) as sources:
        listed = sources.at(s3_drops.source).list_files(s3_drops.source)
    assert [name for name, _ in listed] == names


def test_the_whole_bucket_as_a_source(s3_drops: Drops, bucket: Bucket) -> None:
    bucket.put("a.csv")
    whole = Drops(s3_drops.store, f"s3://{bucket.name}")
    [entry] = whole.take()
    assert bucket.list_keys() == [f".claimed/{entry.import_id}/a.csv"]


@pytest.mark.parametrize(("status", "folder"), [("applied", "done"), ("failed", "failed")])
def test_r40_the_object_ends_below_its_source(s3_drops: Drops, bucket: Bucket, status: str, folder: str) -> None:
    bucket.put("in/contacts.csv", "x")
    [entry] = s3_drops.take()
    s3_drops.end(entry, status)
    for _ in range(2):
        settled = settle_file(s3_drops.store, entry.import_id)
        assert str(settled) == f"s3://{bucket.name}/in/{folder}/crm/{entry.import_id}/contacts.csv"
        assert bucket.list_keys() == [f"in/{folder}/crm/{entry.import_id}/contacts.csv"]
    assert s3_drops.entry(entry.import_id).settled_path == str(settled)
    assert s3_drops.take() == []


def test_r40_a_failed_import_that_is_applied_later_goes_on_to_done(s3_drops: Drops, bucket: Bucket) -> None:
    bucket.put("in/contacts.csv", "x")
    [entry] = s3_drops.take()
    for status in ("failed", "applied"):
        s3_drops.end(entry, status)
        settle_file(s3_drops.store, entry.import_id)
    assert bucket.list_keys() == [f"in/done/crm/{entry.import_id}/contacts.csv"]


def test_r40_killed_between_the_copy_to_done_and_the_deletion(s3_drops: Drops, bucket: Bucket) -> None:
    bucket.put("in/contacts.csv", "x")
    [entry] = s3_drops.take()
    s3_drops.end(entry, "applied")
    bucket.put(f"in/done/crm/{entry.import_id}/contacts.csv", "x")
    settle_ended(s3_drops.store, s3_drops.complaints.append)
    assert s3_drops.complaints == []
    assert bucket.list_keys() == [f"in/done/crm/{entry.import_id}/contacts.csv"]


def copy(bucket: Bucket, entry: Import) -> None:
    source = {"Bucket": bucket.name, "Key": f"in/{entry.arrived_name}"}
    bucket.client.copy_object(Bucket=bucket.name, Key=claimed_key(entry), CopySource=source)


@pytest.mark.parametrize("steps", [0, 1, 2], ids=["row", "row and copy", "row, copy and deletion"])
def test_r40_killed_between_the_steps_of_a_claim(s3_drops: Drops, bucket: Bucket, steps: int) -> None:
    bucket.put("in/contacts.csv", "x")
    entry = s3_drops.begun("contacts.csv")
    if steps > 0:
        copy(bucket, entry)
    if steps > 1:
        bucket.client.delete_object(Bucket=bucket.name, Key="in/contacts.csv")
    assert s3_drops.take() == []
    assert s3_drops.registered() == [replace(entry, is_claimed=True)]
    assert bucket.list_keys() == [claimed_key(entry)]


@pytest.mark.parametrize("content", ["second", "x"])
def test_r40_killed_after_the_copy_and_the_same_name_dropped_again(
    s3_drops: Drops, bucket: Bucket, content: str
) -> None:
    """Even the same bytes are another arrival, if they were put there later."""
    bucket.put("in/contacts.csv", "x")
    modified(bucket, "in/contacts.csv", 1_700_000_000)
    entry = s3_drops.begun("contacts.csv")
    copy(bucket, entry)
    bucket.put("in/contacts.csv", content)
    [second] = s3_drops.take()
    assert second.import_id != entry.import_id
    assert bucket.list_keys() == sorted([claimed_key(entry), claimed_key(second)])
    assert (bucket.get(claimed_key(entry)), bucket.get(claimed_key(second))) == (b"x", content.encode())


def test_r40_replaced_before_it_was_copied_is_another_arrival(s3_drops: Drops, bucket: Bucket) -> None:
    bucket.put("in/contacts.csv", "first")
    entry = s3_drops.begun("contacts.csv")
    bucket.put("in/contacts.csv", "second")
    [second] = s3_drops.take()
    assert [found.import_id for found in s3_drops.registered()] == [second.import_id]
    assert second.import_id != entry.import_id
    assert bucket.get(claimed_key(second)) == b"second"


def test_r40_an_object_in_neither_place_is_no_arrival(s3_drops: Drops, bucket: Bucket) -> None:
    bucket.put("in/contacts.csv", "x")
    s3_drops.begun("contacts.csv")
    bucket.client.delete_object(Bucket=bucket.name, Key="in/contacts.csv")
    recover_claims(s3_drops.store)
    assert s3_drops.registered() == []


def test_r40_what_may_not_be_deleted_is_not_imported_and_not_copied_again(
    s3_drops: Drops, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = s3.S3Files._ask

    def refuse(files: s3.S3Files, method: str, **arguments: Any) -> dict[str, Any]:
        if method == "delete_object":
            raise SourceRefused(f"s3://{bucket.name} refuses access (AccessDenied); check the keys.")
        return ask(files, method, **arguments)

    bucket.put("in/contacts.csv", "x")
    bucket.put("in/other.csv", "x")
    with monkeypatch.context() as patched:
        patched.setattr(s3.S3Files, "_ask", refuse)
        for _ in range(3):
            s3_drops.look()
            assert any("AccessDenied" in complaint for complaint in s3_drops.complaints)
        assert [entry.is_claimed for entry in s3_drops.registered()] == [False, False]
        assert len(bucket.list_keys()) == 4
    assert s3_drops.take() == []
    assert [entry.is_claimed for entry in s3_drops.registered()] == [True, True]
    assert bucket.list_keys() == sorted(claimed_key(entry) for entry in s3_drops.registered())


def test_an_object_too_large_for_one_request_is_copied_in_parts(
    s3_drops: Drops, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    mebibyte = 1024 * 1024
    monkeypatch.setattr(s3, "COPIED_WHOLE", 6 * mebibyte)
    monkeypatch.setattr(s3, "PART", 5 * mebibyte)
    content = b"".join(hashlib.sha256(bytes([number])).digest() * 32768 for number in range(12))
    bucket.put("in/contacts.csv", content)
    [entry] = s3_drops.take()
    assert bucket.list_keys() == [claimed_key(entry)]
    assert bucket.get(claimed_key(entry)) == content


NAMES = [f"{number:02d}.csv" for number in range(30)]


def take_until_all_are_gone(drops: Drops, bucket: Bucket) -> None:
    """What a daemon does, again and again."""
    with open_store(drops.store.settings) as store:
        while any(key.count("/") == 1 for key in bucket.list_keys()):
            take_arrivals(store, [drops.automation], {})


@pytest.mark.parametrize("has_lock", [True, False], ids=["one look at a time", "the lock is lost"])
def test_r40_two_daemons_never_take_an_object_twice(
    s3_drops: Drops, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, has_lock: bool
) -> None:
    """The lock goes with its connection: a daemon that lost it meets another one in the middle of a look."""
    if not has_lock:
        monkeypatch.setattr(arrivals, "_ONE_LOOK_AT_A_TIME", cast(func.random() * 2**40, BigInteger))
    for name in NAMES:
        bucket.put(f"in/{name}", name)
    daemons = [threading.Thread(target=take_until_all_are_gone, args=(s3_drops, bucket)) for _ in range(3)]
    for daemon in daemons:
        daemon.start()
    for daemon in daemons:
        daemon.join(timeout=120)
    recover_claims(s3_drops.store)
    entries = s3_drops.registered()
    assert sorted(entry.file for entry in entries) == NAMES
    assert all(entry.is_claimed for entry in entries)
    assert bucket.list_keys() == sorted(claimed_key(entry) for entry in entries)


def test_a_source_whose_bucket_lacks_does_not_stop_the_others(s3_drops: Drops, bucket: Bucket) -> None:
    other = Drops(s3_drops.store, "s3://there-is-no-such-bucket/in")
    bucket.put("in/contacts.csv", "x")
    complaints: list[str] = []
    both = [other.automation, s3_drops.automation]
    taken, _ = take_arrivals(s3_drops.store, both, {}, complain=complaints.append)
    assert len(taken) == 1
    assert complaints == ["s3://there-is-no-such-bucket: there is no such bucket; correct the source or create it."]


def test_a_service_that_does_not_answer_gets_a_sentence(s3_drops: Drops) -> None:
    settings = s3_drops.store.settings.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:1", "remote_timeout": 1})
    s3_drops.store = replace(s3_drops.store, settings=settings)
    assert s3_drops.take() == []
    [complaint] = s3_drops.complaints
    assert complaint.startswith(f"{s3_drops.source.address} does not answer (")


def test_a_service_that_accepts_and_says_nothing_gets_a_sentence(s3_drops: Drops) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        endpoint = f"http://127.0.0.1:{mute.getsockname()[1]}"
        settings = s3_drops.store.settings.model_copy(update={"s3_endpoint_url": endpoint, "remote_timeout": 0.2})
        s3_drops.store = replace(s3_drops.store, settings=settings)
        assert s3_drops.take() == []
    [complaint] = s3_drops.complaints
    assert complaint.startswith(f"{s3_drops.source.address} does not answer (")


def test_without_credentials_there_is_a_sentence(s3_drops: Drops, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    assert s3_drops.take() == []
    assert "there are no credentials; set AWS_ACCESS_KEY_ID" in " ".join(s3_drops.complaints)


def test_put_away_waits_for_a_source_that_does_not_answer(s3_drops: Drops, bucket: Bucket) -> None:
    bucket.put("in/contacts.csv", "x")
    [entry] = s3_drops.take()
    with s3_drops.store.engine.begin() as connection:
        update_import(connection, entry.import_id, status="applied")
    silent = s3_drops.store.settings.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:1", "remote_timeout": 1})
    settle_ended(replace(s3_drops.store, settings=silent), s3_drops.complaints.append)
    assert "does not answer" in " ".join(s3_drops.complaints)
    settle_ended(s3_drops.store, s3_drops.complaints.append)
    assert bucket.list_keys() == [f"in/done/crm/{entry.import_id}/contacts.csv"]
