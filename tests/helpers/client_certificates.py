"""Certificates of clients with chosen names, and lists of those that are revoked."""

import datetime as dt
import ssl
from collections.abc import Sequence
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = dt.timedelta(days=1)


class ClientAuthority:
    """An authority whose certificates name users."""

    def __init__(self, parent: "ClientAuthority | None" = None) -> None:
        self.authority = trustme.CA() if parent is None else parent.authority.create_child_ca()
        pem = self.authority.private_key_pem.bytes()
        key = serialization.load_pem_private_key(pem, None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        self._own = x509.load_pem_x509_certificate(self.authority.cert_pem.bytes())

    def issue(
        self,
        file: Path,
        subject: x509.Name,
        names: Sequence[x509.GeneralName] | x509.ExtensionType = (),
        ends: dt.datetime | None = None,
    ) -> x509.Certificate:
        """Write a new certificate and its key; the names are those of subjectAltName, or the extension itself.

        It is valid for two days, from yesterday on; or for the day that ends then.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        now = dt.datetime.now(dt.UTC)
        begins, ends = (now - DAY, now + DAY) if ends is None else (ends - DAY, ends)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._own.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(ends)
        )
        if names:
            extension = names if isinstance(names, x509.ExtensionType) else x509.SubjectAlternativeName(names)
            builder = builder.add_extension(extension, critical=False)
        made = builder.sign(self._key, hashes.SHA256())
        encoding, no_password = serialization.Encoding.PEM, serialization.NoEncryption()
        private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, no_password)
        file.write_bytes(private + made.public_bytes(encoding) + self.authority.cert_pem.bytes())
        return made

    def issue_for(self, file: Path, email: str) -> x509.Certificate:
        """Write a new certificate for a mail address, and its key."""
        return self.issue(file, x509.Name([]), [x509.RFC822Name(email)])

    @property
    def certificate(self) -> x509.Certificate:
        """Its own."""
        return self._own

    def revoke(self, file: Path, *revoked: x509.Certificate, days: float = 1, begins: float = -1) -> None:
        """Write the list of what is revoked, good for some days from yesterday on."""
        then = dt.datetime.now(dt.UTC) + begins * DAY
        builder = x509.CertificateRevocationListBuilder().issuer_name(self._own.subject)
        builder = builder.last_update(then).next_update(then + days * DAY + dt.timedelta(hours=1))
        for each in revoked:
            entry = x509.RevokedCertificateBuilder().serial_number(each.serial_number).revocation_date(then)
            builder = builder.add_revoked_certificate(entry.build())
        file.write_bytes(builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))


def with_subject(**parts: str) -> x509.Name:
    """A subject, by the names of `NameOID`."""
    return x509.Name([x509.NameAttribute(getattr(NameOID, kind), text) for kind, text in parts.items()])


def showing(context: ssl.SSLContext, file: Path) -> ssl.SSLContext:
    """The context, which shows a certificate."""
    context.load_cert_chain(file)
    return context
