"""Certificates of our own, for servers that speak TLS."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def make_authority(folder: Path) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    """Write `authority.pem` to a folder and return its key and certificate."""
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _sign("Test Authority", key, None, key, days=30, authority=True)
    (folder / "authority.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return key, certificate


def server_context(
    folder: Path, host: str, authority: tuple[ec.EllipticCurvePrivateKey, x509.Certificate] | None, *, days: int = 30
) -> ssl.SSLContext:
    """Return the TLS side of a server for a host; without authority it signs for itself, with negative days it is old."""
    key = ec.generate_private_key(ec.SECP256R1())
    signer, issuer = authority or (key, None)
    certificate = _sign(host, key, issuer, signer, days=days)
    file = folder / f"{host}-{days}-{authority is not None}.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def _sign(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate | None, signer: ec.EllipticCurvePrivateKey,
    *, days: int, authority: bool = False,
) -> x509.Certificate:  # fmt: skip
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    at = datetime.now(UTC)
    ends = at + timedelta(days=days)
    key_id = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        x509.CertificateBuilder(subject_name=subject, issuer_name=issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(at, ends) - timedelta(days=1))
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name.replace(" ", "-"))]), critical=False)
        .add_extension(key_id, critical=False)
    )
    return builder.sign(signer, hashes.SHA256())
