"""Objects of a bucket as stage storage uses them: put whole, with their SHA-256, and read back as they were put."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from engage_etl.errors import SourceUnavailable
from engage_etl.sources.s3 import S3Files
from engage_etl.vocabulary.locations import RemoteLocation

BLOCK = 16 * 1024**2
"""Bytes that are read or sent at a time, and so in memory."""
_MOST_PARTS = 10_000
_DIGEST = "sha256"
"""Metadata of an object: of its bytes, hexadecimal. The tag of an object that came in parts is no digest."""


class KeptObjects(S3Files):
    """The bucket of the stage storage, through the same client as sources are asked."""

    def list_below(self, place: RemoteLocation) -> dict[str, tuple[str, int]]:
        """Tag and size of the object of that name, and of all below it, by key."""
        found: dict[str, tuple[str, int]] = {}
        more: dict[str, str] = {}
        while True:
            page = self._ask("list_objects_v2", Prefix=place.path, **more)
            for entry in page.get("Contents", []):
                if entry["Key"] == place.path or entry["Key"].startswith(f"{place.path}/"):
                    found[entry["Key"]] = (entry["ETag"].strip('"'), entry["Size"])
            if not page.get("IsTruncated"):
                return found
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def put(self, file: Path, target: RemoteLocation) -> str:
        """Put a file; others see all of it or what was there before. Returns the tag of the object."""
        digest = digest_of(file)
        size = file.stat().st_size
        if size > BLOCK:
            return self._put_in_parts(file, target, size, digest)
        answer = self._ask("put_object", Key=target.path, Body=file.read_bytes(), Metadata={_DIGEST: digest})
        return str(answer["ETag"]).strip('"')

    def get(self, source: RemoteLocation, file: Path) -> str:
        """Write an object to a file, and see that it is what was put; returns its SHA-256.

        Raises:
            SourceUnavailable: it is not: it was replaced meanwhile or damaged; or the bucket does not answer.
        """
        head = self._ask("head_object", Key=source.path)
        aside = file.with_name(file.name + ".part")
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        aside.touch(mode=0o600)
        digest = hashlib.sha256()
        with aside.open("wb") as writing:
            for start in range(0, head["ContentLength"], BLOCK):
                block = self._range(source, start, min(BLOCK, head["ContentLength"] - start))
                digest.update(block)
                writing.write(block)
        if digest.hexdigest() != head.get("Metadata", {}).get(_DIGEST):
            aside.unlink()
            raise SourceUnavailable(
                f"{source} is not what was stored (its SHA-256 is another); it is read again. If that goes on, "
                "materialize the stage that made it again.",
                is_passing=True,
            )
        aside.replace(file)
        return digest.hexdigest()

    def delete(self, key: str) -> None:
        """Delete an object; one that is gone already is no matter."""
        self._ask("delete_object", Key=key)

    def _put_in_parts(self, file: Path, target: RemoteLocation, size: int, digest: str) -> str:
        begun = self._ask("create_multipart_upload", Key=target.path, Metadata={_DIGEST: digest})
        upload = {"Key": target.path, "UploadId": begun["UploadId"]}
        parts: list[dict[str, Any]] = []
        try:
            with file.open("rb") as reading:
                while block := reading.read(max(BLOCK, size // _MOST_PARTS + 1)):
                    number = len(parts) + 1
                    answer = self._ask("upload_part", PartNumber=number, Body=block, **upload)
                    parts.append({"PartNumber": number, "ETag": answer["ETag"]})
            answer = self._ask("complete_multipart_upload", MultipartUpload={"Parts": parts}, **upload)
        except BaseException:
            self._ask("abort_multipart_upload", **upload)
            raise
        return str(answer["ETag"]).strip('"')


def digest_of(file: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with file.open("rb") as reading:
        return hashlib.file_digest(reading, "sha256").hexdigest()
