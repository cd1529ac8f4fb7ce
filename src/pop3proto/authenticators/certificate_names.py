"""An authenticator for client certificates that takes the user's name from them (EXTERNAL)."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from typing_extensions import override

from pop3proto.core.errors import LocalProtocolError
from pop3proto.core.text import visible
from pop3proto.sasl.authenticator import CertificateVerifier
from pop3proto.sasl.mechanism import MechanismError

from .user_table import prepare_name

if TYPE_CHECKING:
    from pop3proto.sasl.channel import SessionInfo

__all__ = ["CertificateField", "CertificateNames"]

CertificateField: TypeAlias = Literal["email", "common_name", "user_id"]

_log: Final = logging.getLogger("pop3proto")

_KINDS: Final[dict[CertificateField, tuple[str, ...]]] = {
    "email": ("email", "emailAddress"),  # RFC 5280 section 4.1.2.6: the second one is how it was done before
    "common_name": ("commonName",),
    "user_id": ("userId",),
}
"""Kinds of `TlsInfo.names`. The first that a certificate has counts."""


class CertificateNames(CertificateVerifier):
    """An authenticator that admits the user whom a client's certificate names.

        authenticator = CombinedAuthenticator(UsersFile(path), CertificateNames("email"))

    The authority has verified the name. It is not known here whether there is such a user: the store refuses one that
    it does not have. A certificate with several mail addresses is good for each of them: the client says which one it
    wants. A name without a domain gets that of the listener, as in a login by password. So with listeners of several
    domains use "email": by another field one certificate would be good for a user of each domain.

    Args:
        field: which name it is: "email" (rfc822Name of the subjectAltName, and where it has none, emailAddress of the
            subject), "common_name" or "user_id" (the last CN or UID of the subject).

    Raises:
        ValueError: there is no such name.
    """

    def __init__(self, field: CertificateField) -> None:
        if field not in _KINDS:
            raise ValueError(f"field must be one of {', '.join(map(repr, _KINDS))}")
        self._field: Final = field
        self._kinds: Final = _KINDS[field]

    @property
    @override
    def blocks(self) -> bool:
        return False

    @override
    def check_certificate(self, certificate: bytes, authzid: str, session: SessionInfo, /) -> str | None:
        """Return the user whom the certificate names, with the domain of the listener.

        Returns:
            None if it has no such name, or has several and none of them is the one that the client wants to be.
        """
        owners: dict[str, None] = {}
        objections: list[str] = []
        for name in self._found(session):
            if objection := self._objection(name):
                objections.append(objection)
            else:
                owners[session.full_name(name)] = None
        if authzid in owners:
            return authzid
        if len(owners) == 1:
            return owners.popitem()[0]
        if owners:
            what = f"the client wants to be {authzid}" if authzid else "the client does not say which"
            objections = [f"it names {', '.join(owners)}, and {what}"]
        why = "; ".join(objections) or f"it has no {self._field}"
        address = session.address or "-"
        _log.warning("session %d from %s: its certificate was refused: %s", session.id, address, visible(why))
        return None

    def _objection(self, name: str) -> str:
        """Return why no user can have a name in a certificate; "" if one can."""
        try:
            prepared = prepare_name(name)
        except (MechanismError, LocalProtocolError) as error:
            return f"its name cannot be used to log in: {error}"
        if prepared != name:  # it is another name to the authority, and may be of another person
            return f"its name {name} is not {prepared}, which it looks like"
        return f"its name {name} is no mail address" if self._field == "email" and "@" not in name else ""

    def _found(self, session: SessionInfo) -> list[str]:
        names = () if session.tls is None else session.tls.names
        for kind in self._kinds:
            if found := [name for each, name in names if each == kind]:
                # The last part of a subject is the nearest one: before it are those of the folders around.
                return found if self._field == "email" else found[-1:]
        return []
