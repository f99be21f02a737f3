"""Buckets of S3 and services like it, through s3fs.

S3 has no rename: a move is a copy of exactly the object that was seen (by its tag), then its deletion. A process may be
killed in between; whoever finishes the move finds both and deletes the first, if it is still the one that was copied.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from typing import Any, BinaryIO

from engage_etl.errors import SourceRefused, SourceUnavailable
from engage_etl.settings import Settings
from engage_etl.sources.remote_bytes import remote_bytes
from engage_etl.sources.storage import BLOCK, FileState
from engage_etl.vocabulary.locations import RemoteLocation

COPIED_WHOLE = 5 * 1024**3
"""Bytes up to which S3 copies an object in one request."""
PART = 256 * 1024**2
"""Bytes copied at a time beyond that."""
_PARTS_AT_ONCE = 8
_SECOND = 1_000_000_000
_GONE = ("404", "NoSuchKey", "412", "PreconditionFailed")
_LATER = ("500", "503", "InternalError", "RequestTimeout", "ServiceUnavailable", "SlowDown")
_NO_ENTRY = (
    "403", "AccessDenied", "AllAccessDisabled", "ExpiredToken", "InvalidAccessKeyId", "InvalidToken",
    "SignatureDoesNotMatch",
)  # fmt: skip


class S3Files:
    """The objects of one bucket; a sub"folder" is what a ``/`` in a key makes of it."""

    are_files_whole = True  # an object appears when all of it is there

    def __init__(self, address: str, secrets: Mapping[str, str], settings: Settings) -> None:
        """Prepare to ask a bucket; nothing is sent yet.

        Raises:
            SourceUnavailable: the library lacks; the sentence says how to install it.
        """
        self._address, self._bucket = address, address.removeprefix("s3://")
        try:
            from s3fs import S3FileSystem
        except ImportError:
            raise SourceUnavailable(
                f"{address}: S3 needs a library that is not installed; run `pip install 'engage-etl[s3]'`."
            ) from None
        self._files: Any = S3FileSystem(
            key=secrets.get("access-key-id"),
            secret=secrets.get("secret-access-key"),
            token=secrets.get("session-token"),
            endpoint_url=secrets.get("endpoint-url") or settings.s3_endpoint_url,
            client_kwargs={"region_name": secrets["region"]} if "region" in secrets else {},
            config_kwargs={
                "connect_timeout": settings.remote_timeout,
                "read_timeout": settings.remote_timeout,
                # Whoever asks knows whether to ask again.
                "retries": {"total_max_attempts": 1},
            },
            # Instances and listings that are kept would outlive secrets and files that change.
            skip_instance_cache=True,
            use_listings_cache=False,
        )
        self._files.retries = 1

    def list_files(self, folder: RemoteLocation) -> list[tuple[str, FileState]]:
        """The objects directly below a prefix, page by page."""
        prefix = f"{folder.path}/" if folder.path else ""
        found: list[tuple[str, FileState]] = []
        more: dict[str, str] = {}
        while True:
            page = self._ask("list_objects_v2", Prefix=prefix, Delimiter="/", **more)
            for entry in page.get("Contents", []):
                name = entry["Key"].removeprefix(prefix)
                if name and not name.startswith("."):
                    found.append((name, _state(entry["Size"], entry["LastModified"], entry["ETag"])))
            if not page.get("IsTruncated"):
                return found
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def find(self, file: RemoteLocation) -> FileState | None:
        """What an object is now, or None if there is none."""
        try:
            head = self._ask("head_object", Key=file.path)
        except _Gone:
            return None
        return _state(head["ContentLength"], head["LastModified"], head["ETag"])

    def is_being_written(self, file: RemoteLocation) -> bool:
        """Nobody can see an object that is being written."""
        return False

    def open(self, file: RemoteLocation, block: int = BLOCK, state: FileState | None = None) -> BinaryIO:
        """The bytes of an object, a range at a time."""
        state = state or self.find(file)
        if state is None:
            raise FileNotFoundError(str(file))
        return remote_bytes(state.size, lambda start, size: self._range(file, start, size), block)

    def move(self, file: RemoteLocation, target: RemoteLocation, state: FileState | None = None) -> bool:
        """Copy what ``state`` says, then delete it; copied twice is the same as once."""
        now = self.find(file)
        expected = state or now
        # Looked at before, since not every service keeps to the condition of the copy.
        if expected is None or now != expected or not self._is_copied(file, target, expected):
            # Copied and deleted before, or taken away or replaced meanwhile: another arrival, if any.
            return self.find(target) is not None
        if self.find(file) == expected:
            self._ask("delete_object", Key=file.path)
        return True

    def close(self) -> None:
        """Its connections end with it."""
        self._files = None

    def _is_copied(self, file: RemoteLocation, target: RemoteLocation, state: FileState) -> bool:
        try:
            self._copy(file, target, state)
        except _Gone:
            return False
        return True

    def _copy(self, file: RemoteLocation, target: RemoteLocation, state: FileState) -> None:
        of = {"CopySource": {"Bucket": self._bucket, "Key": file.path}, "CopySourceIfMatch": f'"{state.tag}"'}
        if state.size <= COPIED_WHOLE:
            self._ask("copy_object", Key=target.path, **of)
            return
        upload = {"Key": target.path, "UploadId": self._ask("create_multipart_upload", Key=target.path)["UploadId"]}
        starts = range(0, state.size, PART)

        def copy_part(number: int) -> dict[str, Any]:
            first = starts[number - 1]
            span = f"bytes={first}-{min(first + PART, state.size) - 1}"
            part = self._ask("upload_part_copy", PartNumber=number, CopySourceRange=span, **upload, **of)
            return {"PartNumber": number, "ETag": part["CopyPartResult"]["ETag"]}

        try:
            with ThreadPoolExecutor(_PARTS_AT_ONCE) as pool:
                parts = list(pool.map(copy_part, range(1, len(starts) + 1)))
            self._ask("complete_multipart_upload", MultipartUpload={"Parts": parts}, **upload)
        except BaseException:
            self._ask("abort_multipart_upload", **upload)
            raise

    def _range(self, file: RemoteLocation, start: int, size: int) -> bytes:
        with self._sentences():
            found: bytes = self._files.cat_file(f"{self._bucket}/{file.path}", start=start, end=start + size)
        if len(found) != size:
            raise SourceUnavailable(f"{file} broke off while it was read; it is read again later.", is_passing=True)
        return found

    def _ask(self, method: str, **arguments: Any) -> dict[str, Any]:
        with self._sentences():
            answer: dict[str, Any] = self._files.call_s3(method, Bucket=self._bucket, **arguments)
        return answer

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        """What the libraries raise as sentences of ours; theirs may tell more than people should read in a log."""
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

        try:
            yield
        except (NoCredentialsError, PartialCredentialsError):
            raise SourceUnavailable(
                f"{self._address}: there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or put "
                "access-key-id and secret-access-key into the secrets file."
            ) from None
        except (OSError, BotoCoreError, ClientError, TimeoutError) as error:
            raise self._refusal(_code(error), error) from None

    def _refusal(self, code: str | None, error: Exception) -> SourceUnavailable:
        if code in _GONE:
            return _Gone(f"{self._address}: the object is gone or is another by now.")
        if code == "NoSuchBucket":
            return SourceUnavailable(f"{self._address}: there is no such bucket; correct the source or create it.")
        if code in _NO_ENTRY:
            return SourceRefused(
                f"{self._address} refuses access ({code}); check the keys, and that they may list, read, write and delete."
            )
        if code is not None and code not in _LATER:
            return SourceRefused(f"{self._address} answers with an error ({code}); it is asked again later.")
        return SourceUnavailable(
            f"{self._address} does not answer ({code or type(error).__name__}); check the endpoint and the network.",
            is_passing=True,
        )


class _Gone(SourceRefused):
    """The object is not there, or not the one that was asked for."""


def _state(size: int, modified: datetime, tag: str) -> FileState:
    """Listings know the fraction of a second, single objects do not."""
    return FileState(size, int(modified.timestamp()) * _SECOND, tag.strip('"'))


def _code(error: BaseException) -> str | None:
    """The code of the answer that an error came with, None if there was no answer."""
    for one in (error, error.__cause__, error.__context__):
        response = getattr(one, "response", None)
        if isinstance(response, dict):
            return str(response.get("Error", {}).get("Code", "")) or None
    return None
