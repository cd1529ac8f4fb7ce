"""Whether the files are there and of use that an account names: certificates, keys, passwords."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pop3proto._io.tls import client_context

from .certificate_facts import CertificateFacts
from .errors import AccountError, SecretError
from .origins import FromFile, FromNetrc, Wanted, read_secret
from .tls_files import key_exposure, show_certificate, trust_authorities

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .access import Access

__all__ = ["check_files"]


def check_files(access: Access, note: Callable[[str], object]) -> Iterator[str]:
    """Yield what is wrong with the files that an account names, a line each.

    No program is run, nothing is asked for, and no server is connected to.

    Args:
        access: of the account.
        note: takes what the user should know, in one line: that others may read a file, for example.
    """
    if access.ca_file is not None:
        try:
            trust_authorities(client_context(), access.ca_file)
        except AccountError as error:
            yield str(error)
    if access.certificate is not None:
        try:
            show_certificate(client_context(), access.certificate, access.certificate_key)
        except AccountError as error:
            yield str(error)
        facts = CertificateFacts.of(access.certificate)
        if facts is not None and facts.until < time.time():
            yield f"the client certificate {access.certificate} has expired: it was valid until {facts.until_words}"
        if exposed := key_exposure(access):
            note(exposed)
    for what, origin in (("password", access.password), ("token", access.token)):
        if isinstance(origin, FromFile | FromNetrc):
            try:
                read_secret(origin, Wanted(what, access.user, access.host, note))
            except SecretError as error:
                yield str(error)
