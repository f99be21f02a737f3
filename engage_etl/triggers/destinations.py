"""Who is told of imports: the addresses in ENGAGE_NOTIFY, each for a service that Apprise knows.

An address holds passwords and tokens. It is given to Apprise and to nobody else: messages, logs and the store name a
destination by its kind and number, as in ``mailto`` and ``json 2``.
"""

from __future__ import annotations

import logging
import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import unquote

from engage_etl.errors import NotificationNotSent, SecretsUnusable, UsageError
from engage_etl.secrets_file import NOTIFY, secrets_of
from engage_etl.settings import Settings
from engage_etl.vocabulary.visible_text import visible

if TYPE_CHECKING:
    from apprise import AppriseResult, NotifyBase

    from engage_etl.reports.notification_texts import NotificationText

ADDRESSES = "addresses"
"""Key of the secrets file."""
LONGEST_SENDING = 20.0
"""Seconds that a service may take to accept a message."""
_BETWEEN_ADDRESSES = re.compile(r"\s*,\s*(?=[A-Za-z][A-Za-z0-9+.-]*://)|\s+")
_KIND = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_CAUSE = re.compile(r"[A-Za-z ]* Exception: (.+)", re.DOTALL)
"""How the cause begins in the details that Apprise logs."""
_LONGEST_REASON = 300


@dataclass(frozen=True)
class Destination:
    """Somebody who is told. name: kind and number; url: the address, which is a secret."""

    name: str
    url: str = field(repr=False)

    def send(self, text: NotificationText) -> None:
        """Send a message.

        Raises:
            NotificationNotSent: the service did not accept it, or the address is none; names no secret.
        """
        from apprise import Apprise, NotifyFormat, NotifyType

        service = self._service()
        apprise = Apprise()
        apprise.add(service)
        result = apprise.notify(
            title=text.subject,
            body=text.body,
            notify_type=NotifyType(text.severity.value),
            body_format=NotifyFormat.TEXT,
            timeout=LONGEST_SENDING,
            log_level=logging.DEBUG,
        )
        if not result:
            said = "; ".join(_said(result))
            reason = self._without_secrets(said, _host(service)) or "it did not answer in time"
            raise NotificationNotSent(f"The message to {self.name} was not accepted: {reason}.")

    def describe(self) -> str:
        """Where messages go, without secrets: ``E-Mail at mail.example.com``.

        Raises:
            NotificationNotSent: the address is none.
        """
        service = self._service()
        host = _host(service)
        return f"{service.service_name} at {host}" if host else str(service.service_name)

    def _service(self) -> NotifyBase:
        from apprise import Apprise, AppriseAsset

        _keep_to_ourselves()
        # Pictures would make the services of those who read load something from elsewhere.
        asset = AppriseAsset(
            app_id="Engage ETL", app_desc="Contact imports", app_url="", image_url_mask="", image_url_logo=""
        )
        service = Apprise.instantiate(self.url, asset=asset)
        if service is None:
            raise NotificationNotSent(
                f"The address of {self.name} in ENGAGE_NOTIFY cannot be used; "
                "docs/notifications.md says how addresses are written."
            )
        return service

    def _without_secrets(self, text: str, host: str | None) -> str:
        """A text on one line in which no part of the address stands but its kind and its host."""
        shown = visible(" ".join(text.split()))
        for part in sorted(_parts(self.url) | _parts(unquote(self.url)), key=len, reverse=True):
            if len(part) > 2 and part not in (self.name.split()[0], host):
                shown = shown.replace(part, "…")
        return textwrap.shorten(shown, _LONGEST_REASON, placeholder=" …")


def _said(result: AppriseResult) -> Iterator[str]:
    """What Apprise says about a failure; what the service itself said is among its details, beside whole messages."""
    for entry in result.logs():
        if entry.level in ("WARNING", "ERROR"):
            yield entry.message.strip().rstrip(".")
        elif (found := _CAUSE.match(entry.message)) is not None:
            yield found[1].strip().rstrip(".")


def _parts(url: str) -> set[str]:
    """What an address consists of: names, passwords, tokens, values; addresses in it as a whole and their halves."""
    wholes = set(re.split(r"[^\w.@+-]+", url))
    return wholes | {part for whole in wholes for part in whole.split("@")}


def _host(service: NotifyBase) -> str | None:
    """The machine that messages are sent to; of many services the place of the host holds a token."""
    if "host" not in service.template_tokens:
        return None
    host: str | None = getattr(service, "smtp_host", None) or service.host
    return host


def destinations(settings: Settings) -> list[Destination]:
    """Those who are told, in the order of ENGAGE_NOTIFY, or of the secrets file if it is not set.

    Raises:
        SecretsUnusable: the secrets file cannot be used.
        UsageError: something in it is no address; the sentence says which, and shows nothing of it.
    """
    counts: dict[str, int] = {}
    found: list[Destination] = []
    addresses = [part for part in _BETWEEN_ADDRESSES.split(_addresses(settings)) if part]
    for number, url in enumerate(addresses, 1):
        kind = _KIND.match(url)
        if kind is None:
            raise UsageError(
                f"Address {number} of {len(addresses)} in ENGAGE_NOTIFY does not begin with a kind like mailto:// or slack://; "
                "addresses are separated by white space."
            )
        name = kind[1].lower()
        counts[name] = counts.get(name, 0) + 1
        found.append(Destination(name if counts[name] == 1 else f"{name} {counts[name]}", url))
    return found


def are_configured(settings: Settings) -> bool:
    """Whether somebody is to be told; a secrets file that cannot be used counts, so that somebody hears of it."""
    try:
        return bool(_addresses(settings).strip())
    except SecretsUnusable:
        return True


def _addresses(settings: Settings) -> str:
    if settings.notify is not None:
        return settings.notify.get_secret_value()
    return secrets_of(settings, NOTIFY).get(ADDRESSES, "")


def _keep_to_ourselves() -> None:
    """Let Apprise log all details to us, and to nobody else: they show messages and addresses."""
    log = logging.getLogger("apprise")
    log.propagate = False
    log.setLevel(logging.DEBUG)
