"""Every setting of an installation: name, unit, default, meaning."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from engage_etl.errors import UsageError
from engage_etl.vocabulary.locations import Location, source_location
from engage_etl.vocabulary.outcomes import NOTIFIABLE, Status


class LogFormat(StrEnum):
    """How lines of the log are written."""

    TEXT = "text"
    JSON = "json"


class Executor(StrEnum):
    """Where the stages of an import run that was dropped or launched on the web page."""

    IN_PROCESS = "in_process"
    MULTIPROCESS = "multiprocess"
    CELERY = "celery"


_FOR_EVER = ("", "none", "forever", "for ever")


def _days(given: Any) -> Any:
    """What says that something is kept for ever, as None; all else is left to be checked."""
    return None if isinstance(given, str) and given.strip().lower() in _FOR_EVER else given


Days = Annotated[Annotated[int, Field(ge=1, le=36_500)] | None, BeforeValidator(_days)]
"""For how long something is kept; None: for ever, set as nothing or ``none``."""


class Settings(BaseSettings):
    """What an installation can set, each by an environment variable with the prefix ``ENGAGE_``."""

    model_config = SettingsConfigDict(env_prefix="ENGAGE_", frozen=True, extra="ignore")

    data_dir: Path = Field(
        Path("data"), description="Folder of the installation: embedded database, drop folders, imports, reports."
    )
    storage_url: str | None = Field(
        None,
        description="Where the stages keep files for each other: a folder, or s3://bucket/prefix, from where they run on any "
        "machine; default the data folder, with `imports/` and `reports/`. See [scale-out](scale-out.md).",
    )
    database_url: str | None = Field(
        None,
        description="An external PostgreSQL, 15 or later, instead of the embedded one: postgresql://user:password@host/database.",
    )
    direct_url: str | None = Field(
        None,
        description="The same database past a pooler (PgBouncer) that ENGAGE_DATABASE_URL goes through: for what outlives a "
        "transaction, as locks of imports do.",
    )
    migration_url: str | None = Field(
        None,
        description="The same database as the user who owns the store, for `engage-etl db upgrade`; without it, imports "
        "and upgrades are of one user.",
    )
    statement_timeout: float = Field(
        60.0,
        ge=0,
        description="Seconds that one statement of a command that shows something, or of /metrics, may take; 0: no limit.",
    )
    bulk_statement_timeout: float = Field(
        0.0, ge=0, description="The same for imports, reverts, exports and upgrades; 0: no limit."
    )
    idle_transaction_timeout: float = Field(
        600.0,
        ge=0,
        description="Seconds that one of our transactions may wait for the program before the server ends it; 0: no limit.",
    )
    dagster_database: str = Field(
        "dagster",
        pattern="^[a-z][a-z0-9_]{0,62}$",
        description="Database of Dagster's own runs and events, on the server of the store; one per installation.",
    )
    server_start_timeout: float = Field(120.0, gt=0, description="Seconds that the embedded server may take to start.")
    connect_timeout: int = Field(10, gt=0, description="Seconds to wait for the first answer of an external server.")
    connection_retries: int = Field(
        6, ge=0, description="How often a stage is tried again after a connection to database or network was lost."
    )
    connection_retry_pause: float = Field(
        1.0, gt=0, le=60, description="Seconds before it is tried again; twice as long each time."
    )
    lock_wait_limit: float = Field(
        600.0,
        gt=0,
        description="Seconds that applying waits for other writers before it gives up; other imports do not count.",
    )
    chunk_rows: int = Field(20_000, ge=1, description="Rows that are read, checked and written at a time.")
    ranges_from: int = Field(
        32 * 1024 * 1024,
        ge=0,
        description="Bytes of a file from which on several processes check it, each some ranges; of an XML file, a second "
        "process checks what the first reads. Valid rows of as many bytes, as Parquet encodes them, are loaded over several connections.",
    )
    range_bytes: int = Field(
        64 * 1024 * 1024,
        ge=1,
        description="Bytes of a range that is a step of its own, where steps run in processes of their own "
        "(ENGAGE_EXECUTOR); it ends where the next ENGAGE_CHUNK_ROWS rows do.",
    )
    sample_rows: int = Field(20, ge=0, description="Rows of the (masked) sample tables in the web UI.")
    max_cell_bytes: int = Field(16 * 1024 * 1024, ge=1024, description="Bytes that one cell of a CSV file may have.")
    max_archive_entries: int = Field(1000, ge=1, description="Files that a ZIP archive may hold (R26).")
    max_expanded_bytes: int = Field(
        20 * 1024**3, ge=1024, description="Bytes that may come out of one compressed file (R26)."
    )
    max_expansion_ratio: int = Field(
        200, ge=2, description="How many times its compressed size a file may expand to, past 10 MiB (R26)."
    )
    sensor_interval: int = Field(2, ge=1, description="Seconds between two looks at the drop folders.")
    settle_time: float = Field(
        1.0, ge=0, description="Seconds that a dropped file must have stopped growing before it is taken."
    )
    run_attempts: int = Field(
        3, ge=1, description="Runs that are started for one arrival if the process of a run dies."
    )
    concurrent_runs: int = Field(2, ge=1, description="Imports that `engage-etl up` runs at the same time.")
    executor: Executor = Field(
        Executor.IN_PROCESS,
        description="Where the stages of dropped files run: in_process, in one process for each import; multiprocess, each "
        "step in one of its own, several ranges of a large file at a time ([performance](performance.md#large-files)); "
        "celery, in workers on any machine ([more than one machine](scale-out.md)).",
    )
    celery_broker: SecretStr | None = Field(
        None, description="Redis through which Celery hands stages to its workers: redis://:password@host:6379/0."
    )
    step_silence: float = Field(
        60.0,
        gt=0,
        description="Seconds after which a stage counts as lost with its worker or its code server, if nothing is heard of it "
        "and nobody holds the lock of its import.",
    )
    remote_interval: float = Field(
        15.0,
        ge=0,
        description="Seconds between two looks at an S3 or SFTP source; one that did not answer rests for 60.",
    )
    remote_timeout: float = Field(
        10.0, gt=0, le=15, description="Seconds to wait for an answer of an S3 or SFTP source, each time."
    )
    s3_endpoint_url: str | None = Field(
        None, description="Address of an S3 service other than that of AWS; AWS_ENDPOINT_URL does as well."
    )
    sftp_private_key: Path | None = Field(
        None, description="File with the private key for SFTP sources that the secrets file says nothing about."
    )
    sftp_passphrase: SecretStr | None = Field(None, description="Passphrase of that private key.")
    sftp_known_hosts: Path = Field(
        Path("~/.ssh/known_hosts"), description="File with the host keys of SFTP servers, as ssh has it."
    )
    gnupg_home: Path | None = Field(
        None, description="Folder of GnuPG with the secret keys that .gpg and .pgp files are decrypted with."
    )
    pgp_passphrase: SecretStr | None = Field(
        None, description="Passphrase of these keys, unless it is in the secrets file."
    )
    log_format: LogFormat | None = Field(
        None,
        description="Log on standard error, one line per step of an import: text or json. `engage-etl up` logs as text "
        "unless told otherwise, other commands only if told.",
    )
    secrets_file: Path | None = Field(
        None,
        description="YAML file with secrets, readable by its owner only; [how it looks](sources.md#the-secrets-file).",
    )
    notify: SecretStr | None = Field(
        None,
        description="Who is told of imports: addresses for Apprise, separated by white space, as in "
        "[notifications](notifications.md). A secret; it can stand in the secrets file instead.",
    )
    notify_on: str = Field(
        f"{Status.FAILED} {Status.STOPPED} {Status.WAITING_FOR_APPROVAL}",
        description=f"Statuses that are told of, separated by white space, of {', '.join(NOTIFIABLE)}.",
    )
    web_url: str = Field(
        "http://127.0.0.1:3000",
        pattern="^https?://[^\\s]+$",
        description="Address at which people reach the web UI, for links in notifications.",
    )
    web_hosts: str = Field(
        "",
        description="Other names by which programs of yours ask the web server, separated by white space; it answers to no "
        "others than these, that of ENGAGE_WEB_URL, `localhost` and addresses in numbers.",
    )
    user_header: str | None = Field(
        None,
        pattern="^[A-Za-z0-9-]+$",
        description="Header in which a reverse proxy names the user whom it has let in, as `X-Forwarded-User`; then this name "
        "stands for who approves and reverts from the web page. Only with [such a proxy](security.md#a-reverse-proxy).",
    )
    keep_raw_files_days: Days = Field(
        90, description="Days that the bytes of a file are kept after its import has ended; `none`: for ever (R42)."
    )
    keep_stage_files_days: Days = Field(
        30, description="Days that its checked rows (Parquet) are kept; `none`: for ever (R42)."
    )
    keep_reports_days: Days = Field(90, description="Days that its report is kept; `none`: for ever (R42).")
    keep_settled_files_days: Days = Field(
        90, description="Days that a dropped file is kept in `done/` or `failed/`; `none`: for ever (R42)."
    )
    keep_plans_days: Days = Field(
        90, description="Days that the plan is kept row by row, as `imports rows` shows it; `none`: for ever (R42)."
    )
    keep_runs_days: Days = Field(
        90, description="Days that its runs and its partition are kept on the web page; `none`: for ever (R42)."
    )
    show_personal_data: bool = Field(
        False,
        description="Show addresses, names, dates of birth and custom values in logs, run metadata and the web page (R41).",
    )

    @field_validator("storage_url")
    @classmethod
    def _name_storage(cls, given: str | None) -> str | None:
        # Raises a ValueError that never repeats what may be a password.
        if given is not None and getattr(source_location(given, Path()), "scheme", "s3") != "s3":
            raise ValueError("files are kept in a folder or at s3://bucket/prefix")
        return given or None

    @field_validator("notify_on")
    @classmethod
    def _name_statuses(cls, given: str) -> str:
        if wrong := [word for word in given.split() if word not in NOTIFIABLE]:
            raise ValueError(f"{wrong[0]!r} is none of {', '.join(NOTIFIABLE)}")
        return given

    @property
    def notified_statuses(self) -> tuple[Status, ...]:
        """The statuses of imports that people are told of."""
        return tuple(Status(word) for word in dict.fromkeys(self.notify_on.split()))

    @property
    def root(self) -> Path:
        """The data folder as an absolute path."""
        return self.data_dir.expanduser().absolute()

    @property
    def storage_location(self) -> Location:
        """Where files are kept: the data folder, unless something else is set."""
        return self.root if self.storage_url is None else source_location(self.storage_url, self.root)

    @property
    def automations_file(self) -> Path:
        """Where the automations stand."""
        return self.root / "automations.yaml"

    @property
    def drop_dir(self) -> Path:
        """Where files are dropped, in one folder per automation."""
        return self.root / "drop"

    @property
    def dagster_home(self) -> Path:
        """Dagster's own folder."""
        return self.root / "dagster"

    def import_dir(self, import_id: str) -> Path:
        """Where the bytes and the stage files of an import are kept, if that is on this machine."""
        return self._kept_here / "imports" / import_id

    def report_dir(self, import_id: str) -> Path:
        """Where the report of an import is kept, if that is on this machine (R39)."""
        return self._kept_here / "reports" / import_id

    @property
    def _kept_here(self) -> Path:
        place = self.storage_location
        return place if isinstance(place, Path) else self.root


def load_settings(**overrides: Any) -> Settings:
    """Read the settings from the environment.

    Raises:
        UsageError: a variable has a value that does not fit; the sentence names it.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors()[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        raise UsageError(f"The setting ENGAGE_{name} does not fit: {first['msg']}.") from None
