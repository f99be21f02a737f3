"""R27, R40: files that arrive at an OpenSSH server; its host key and our key are checked."""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import BigInteger, cast, func

from engage_etl.errors import SourceUnavailable
from engage_etl.raw_file.settling import settle_file
from engage_etl.sources.opening import Sources
from engage_etl.store.engine import open_store
from engage_etl.store.imports import Import
from engage_etl.triggers import arrivals
from engage_etl.triggers.arrivals import recover_claims, take_arrivals
from engage_etl_tests.sources.dropping import Drops
from engage_etl_tests.sources.services import SECRET, SftpServer


def claimed(sftp: SftpServer, entry: Import) -> Path:
    return sftp.folder / ".claimed" / entry.import_id / entry.arrived_name


def files(sftp: SftpServer) -> list[str]:
    return sorted(str(file.relative_to(sftp.folder)) for file in sftp.folder.rglob("*") if file.is_file())


def drop(sftp: SftpServer, name: str, content: str = "x", modified: int = 1_700_000_000) -> Path:
    file = sftp.folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(content)
    os.utime(file, (modified, modified))
    return file


def test_r40_a_file_is_registered_and_moved_aside(sftp_drops: Drops, sftp: SftpServer) -> None:
    file = drop(sftp, "contacts.csv")
    [entry] = sftp_drops.take()
    assert entry.source_path == f"{sftp.address}{file}"
    assert entry.modified_at is not None and entry.modified_at.timestamp() == 1_700_000_000
    assert claimed(sftp, entry).read_text() == "x"
    assert not file.exists()
    assert sftp_drops.take() == []
    assert sftp_drops.complaints == []


def test_r27_a_growing_file_waits(sftp_drops: Drops, sftp: SftpServer) -> None:
    for number in range(1, 5):
        drop(sftp, "contacts.csv", "x" * number)
        assert sftp_drops.look() == []
    assert len(sftp_drops.look()) == 1


def test_r27_a_file_that_is_touched_waits(sftp_drops: Drops, sftp: SftpServer) -> None:
    for number in range(1, 4):
        drop(sftp, "contacts.csv", modified=number)
        assert sftp_drops.look() == []
    assert len(sftp_drops.look()) == 1


def test_r40_the_order_is_modification_time_then_name(sftp_drops: Drops, sftp: SftpServer) -> None:
    for name, modified in (("b.csv", 20), ("a.csv", 20), ("0.csv", 30), ("z.csv", 10)):
        drop(sftp, name, modified=modified)
    assert [entry.file for entry in sftp_drops.take()] == ["z.csv", "a.csv", "b.csv", "0.csv"]


def test_what_is_no_arrival(sftp_drops: Drops, sftp: SftpServer) -> None:
    for name in (".hidden.csv", "sub/a.csv", ".claimed/old/a.csv", "done/crm/old/a.csv"):
        drop(sftp, name)
    (sftp.folder / "link.csv").symlink_to(sftp.folder / "sub" / "a.csv")
    before = files(sftp)
    assert sftp_drops.take() == []
    assert files(sftp) == before


@pytest.mark.parametrize("name", ["Kündigungen 2024 (neu).csv", "50% + #1?.csv", "a\nb.csv", "a*b.csv", " x .csv"])
def test_names_of_every_kind(sftp_drops: Drops, sftp: SftpServer, name: str) -> None:
    drop(sftp, name)
    [entry] = sftp_drops.take()
    assert entry.file == name
    assert claimed(sftp, entry).read_text() == "x"


@pytest.mark.parametrize(("status", "folder"), [("applied", "done"), ("failed", "failed")])
def test_r40_the_file_ends_below_its_source(sftp_drops: Drops, sftp: SftpServer, status: str, folder: str) -> None:
    drop(sftp, "contacts.csv")
    [entry] = sftp_drops.take()
    sftp_drops.end(entry, status)
    for _ in range(2):
        settled = settle_file(sftp_drops.store, entry.import_id)
        assert str(settled) == f"{sftp.url}/{folder}/crm/{entry.import_id}/contacts.csv"
        assert files(sftp) == [f"{folder}/crm/{entry.import_id}/contacts.csv"]
    assert not claimed(sftp, entry).parent.exists()
    assert sftp_drops.take() == []


@pytest.mark.parametrize("is_moved", [False, True], ids=["row", "row and move"])
def test_r40_killed_between_the_steps_of_a_claim(sftp_drops: Drops, sftp: SftpServer, is_moved: bool) -> None:
    file = drop(sftp, "contacts.csv")
    entry = sftp_drops.begun("contacts.csv")
    if is_moved:
        claimed(sftp, entry).parent.mkdir(parents=True)
        file.rename(claimed(sftp, entry))
    assert sftp_drops.take() == []
    assert sftp_drops.registered() == [replace(entry, is_claimed=True)]
    assert files(sftp) == [f".claimed/{entry.import_id}/contacts.csv"]


def test_r40_killed_after_the_move_and_the_same_name_dropped_again(sftp_drops: Drops, sftp: SftpServer) -> None:
    file = drop(sftp, "contacts.csv", "first")
    entry = sftp_drops.begun("contacts.csv")
    claimed(sftp, entry).parent.mkdir(parents=True)
    file.rename(claimed(sftp, entry))
    drop(sftp, "contacts.csv", "second")
    [second] = sftp_drops.take()
    assert (claimed(sftp, entry).read_text(), claimed(sftp, second).read_text()) == ("first", "second")


NAMES = [f"{number:02d}.csv" for number in range(20)]


def take_until_all_are_gone(drops: Drops, sftp: SftpServer) -> None:
    """What a daemon does, again and again; the clock of each look is a minute later."""
    with open_store(drops.store.settings) as store:
        seen, now = {}, 1_000_000.0
        while any(file.is_file() for file in sftp.folder.iterdir()):
            _, seen = take_arrivals(store, [drops.automation], seen, now)
            now += 60


@pytest.mark.parametrize("has_lock", [True, False], ids=["one look at a time", "the lock is lost"])
def test_r40_two_daemons_never_take_a_file_twice(
    sftp_drops: Drops, sftp: SftpServer, monkeypatch: pytest.MonkeyPatch, has_lock: bool
) -> None:
    if not has_lock:
        monkeypatch.setattr(arrivals, "_ONE_LOOK_AT_A_TIME", cast(func.random() * 2**40, BigInteger))
    for name in NAMES:
        drop(sftp, name)
    daemons = [threading.Thread(target=take_until_all_are_gone, args=(sftp_drops, sftp)) for _ in range(3)]
    for daemon in daemons:
        daemon.start()
    for daemon in daemons:
        daemon.join(timeout=120)
    recover_claims(sftp_drops.store)
    entries = sftp_drops.registered()
    assert sorted(entry.file for entry in entries) == NAMES
    assert files(sftp) == sorted(f".claimed/{entry.import_id}/{entry.file}" for entry in entries)


def listing(drops: Drops, **update: Any) -> str:
    """What comes of listing the source with other settings: names, or the sentence."""
    settings = drops.store.settings.model_copy(update=update)
    with Sources(settings) as sources:
        try:
            return repr([name for name, _ in sources.at(drops.source).list_files(drops.source)])
        except SourceUnavailable as error:
            return str(error)


def test_a_host_that_is_unknown_is_refused(sftp_drops: Drops, tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    for path in (tmp_path / "empty", tmp_path / "lacks"):
        said = listing(sftp_drops, sftp_known_hosts=path)
        assert "the host key of the server is unknown (ssh-ed25519 SHA256:" in said
    assert (tmp_path / "empty").read_text() == ""


def test_a_host_key_that_has_changed_is_refused(sftp_drops: Drops, sftp: SftpServer, tmp_path: Path) -> None:
    other = (sftp.host_key.parent / "other_key.pub").read_text()
    (tmp_path / "known").write_text(f"[127.0.0.1]:{sftp.port} {other}")
    said = listing(sftp_drops, sftp_known_hosts=tmp_path / "known")
    assert "the host key of the server has changed" in said and said.count("SHA256:") == 2


def test_known_hosts_that_are_nonsense(sftp_drops: Drops, tmp_path: Path) -> None:
    (tmp_path / "known").write_text("[127.0.0.1]:22 ssh-ed25519 nonsense\n\0\n")
    assert "known hosts" in listing(sftp_drops, sftp_known_hosts=tmp_path / "known")


def test_another_key_is_not_let_in(sftp_drops: Drops, sftp: SftpServer) -> None:
    said = listing(sftp_drops, sftp_private_key=sftp.host_key.parent / "other_key")
    assert "does not let us in with this user and key" in said


def test_the_key_is_missing_or_nonsense(sftp_drops: Drops, tmp_path: Path) -> None:
    assert "there is no private key; name its file in ENGAGE_SFTP_PRIVATE_KEY" in listing(
        sftp_drops, sftp_private_key=None
    )
    assert "cannot be read (No such file" in listing(sftp_drops, sftp_private_key=tmp_path / "lacks")
    (tmp_path / "key").write_text("nonsense")
    assert "cannot be used" in listing(sftp_drops, sftp_private_key=tmp_path / "key")


def test_a_key_with_a_passphrase(sftp_drops: Drops, sftp: SftpServer, tmp_path: Path) -> None:
    """From the secrets file, which names the server; a wrong one is told and not shown."""
    key = sftp.key
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", SECRET, "-f", str(key)], check=True)
    secrets = tmp_path / "secrets.yaml"
    for passphrase, expected in ((SECRET, "[]"), ("wrong", "cannot be used"), (None, "has a passphrase")):
        secrets.write_text(
            f"{sftp.address}:\n  private-key: {key}\n" + (f"  passphrase: {passphrase}\n" if passphrase else "")
        )
        secrets.chmod(0o600)
        said = listing(sftp_drops, secrets_file=secrets, sftp_private_key=None)
        assert expected in said
        assert SECRET not in said and "wrong" not in said


def test_a_folder_that_lacks_gets_a_sentence(sftp_drops: Drops, sftp: SftpServer) -> None:
    sftp.folder.rmdir()
    assert listing(sftp_drops) == f"{sftp_drops.source} does not exist; correct the source, or create it."


def test_a_server_that_does_not_answer_does_not_stop_the_others(sftp_drops: Drops, sftp: SftpServer) -> None:
    other = Drops(sftp_drops.store, f"sftp://{getpass.getuser()}@127.0.0.1:1/in")
    drop(sftp, "contacts.csv")
    complaints: list[str] = []
    both, seen, taken = [other.automation, sftp_drops.automation], {}, []
    for now in (100.0, 200.0):
        taken, seen = take_arrivals(sftp_drops.store, both, seen, now, complaints.append)
    assert len(taken) == 1
    assert set(complaints) == {
        f"{other.source.address} does not answer (NoValidConnectionsError); check host, port and network."
    }


def test_a_server_that_accepts_and_says_nothing_gets_a_sentence(sftp_drops: Drops) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        user, port = getpass.getuser(), mute.getsockname()[1]
        other = Drops(sftp_drops.store, f"sftp://{user}@127.0.0.1:{port}/in")
        said = listing(other, remote_timeout=0.2)
    assert said == f"{other.source.address} does not answer (SSHException); check host, port and network."


def test_a_server_that_goes_away_while_it_is_asked(sftp_drops: Drops, sftp: SftpServer) -> None:
    drop(sftp, "contacts.csv")
    with Sources(sftp_drops.store.settings) as sources:
        storage = sources.at(sftp_drops.source)
        assert len(storage.list_files(sftp_drops.source)) == 1
        storage.close()
        with pytest.raises(SourceUnavailable, match="does not answer"):
            storage.list_files(sftp_drops.source)
