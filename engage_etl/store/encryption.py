"""Whether a connection to the server is encrypted, and whether the server has proven who it is."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

_VERIFIED = {
    "verify-full": "yes, and the server is verified",
    "verify-ca": "yes, and the certificate of the server is verified, not its name; sslmode=verify-full does both",
}


def how_encrypted(connection: Connection) -> str:
    """What people are told about the encryption of a connection, as the client has it."""
    driver: Any = connection.connection.driver_connection
    if driver.info.host.startswith("/"):
        return "none, a socket of this machine"
    mode = next(option.val for option in driver.pgconn.info if option.keyword == b"sslmode").decode()
    if not driver.pgconn.ssl_in_use:
        return f"no (sslmode={mode}); anybody on the way can read and change what is sent; set sslmode=verify-full"
    not_verified = f"yes, but nobody has checked who the server is (sslmode={mode}); set sslmode=verify-full"
    return _VERIFIED.get(mode, not_verified)
