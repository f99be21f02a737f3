"""Certificates of an authority of our own."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Authority:
    """An authority that signs certificates of servers. certificate: its own, as PEM."""

    key: ec.EllipticCurvePrivateKey
    itself: x509.Certificate

    @property
    def certificate(self) -> bytes:
        """Its own certificate, as PEM."""
        return self.itself.public_bytes(serialization.Encoding.PEM)

    def sign(self, *names: str, address: str | None = None) -> tuple[bytes, bytes]:
        """A certificate for a server of these names, and its key; both as PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternatives: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
        if address is not None:
            alternatives.append(x509.IPAddress(ipaddress.ip_address(address)))
        made = _builder(names[0], self.itself.subject, key).add_extension(
            x509.SubjectAlternativeName(alternatives), critical=False
        )
        encoding = serialization.Encoding.PEM
        secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return made.sign(self.key, hashes.SHA256()).public_bytes(encoding), secret


def make_authority(name: str) -> Authority:
    """An authority that nobody trusts unless told so."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(name, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return Authority(key, builder.sign(key, hashes.SHA256()))


def _builder(name: str, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
    )
