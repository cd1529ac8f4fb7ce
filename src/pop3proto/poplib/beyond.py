"""What a POP3 object can do that those of the standard library cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import attrs

from pop3proto.core.refusals import CommandFailed

from .errors import OutOfStep, translated
from .handing_over import take_back
from .hooks import Hooks

if TYPE_CHECKING:
    import builtins
    from collections.abc import Collection, Mapping
    from typing import BinaryIO

    from pop3proto.blocking import Client
    from pop3proto.procedures.cleartext import Cleartext
    from pop3proto.sasl.mechanism import ClientMechanism

    from .beneath import ClientBeneath

__all__ = ["Beyond", "ListedMessage"]


@attrs.frozen
class ListedMessage:
    """A message in the maildrop.

    Args:
        number: in this session.
        octets: its size, as LIST tells it.
        unique_id: as UIDL tells it; None: the server has none that can be read.
    """

    number: int
    octets: int
    unique_id: str | None = None


class Beyond(Hooks):
    """Logging in by the best method, whole messages to a file, typed listings, and the client itself."""

    cleartext: Cleartext = "loopback"
    """When `login` and `auth` may send passwords and tokens without verified TLS, as in `pop3proto.blocking.connect`.
    `user` and `pass_` send them always."""

    _tls_established = False

    @property
    def client(self) -> Client:
        """The client of this library over the same connection, in the state in which the session is now.

        It is made when it is first asked for. Ask for it again after `stls`, `pass_`, `apop` or `set_debuglevel`, and
        after a change of `sock` or its timeout: one that was replaced refuses what it is asked. What it has left of a
        message is read before another takes over.

        Raises:
            OutOfStep: answers are due that were not read, the server has sent what nothing asked for, or the session is
                over.
            SessionEnded, EndOfStream: the server has ended it.
            Busy: the client is reading a message, and another one would have to take its place.
        """
        answers, sock = self._answers(), self.sock
        if answers.due or answers.broken is not None:
            raise OutOfStep(f"there is no client: {answers.trouble or 'an answer is due'}")
        trace = bool(self._debugging)
        beneath = cast("ClientBeneath | None", answers.client)
        if beneath is not None and beneath.fits(sock, cleartext=self.cleartext, trace=trace, logged_in=self._logged_in):
            return beneath
        logged_in = self._is_logged_in
        take_back(answers, "something has changed")
        answers.check()
        from .beneath import client_beneath  # noqa: PLC0415 - an import that few programs need

        made = client_beneath(
            sock,
            answers,
            host=getattr(self, "host", ""),
            port=getattr(self, "port", 0),
            welcome=getattr(self, "welcome", b""),
            in_clear=self._tls_established,
            logged_in=logged_in,
            cleartext=self.cleartext,
            limits=self.limits,
            trace=trace,
        )
        answers.client = made
        return made

    @property
    def _is_logged_in(self) -> bool:
        client = None if self._used is None else self._used.client
        if client is not None and client.logged_in:
            self._logged_in = True
        return self._logged_in

    def login(
        self,
        user: str,
        password: str | None = None,
        *,
        token: str | None = None,
        only: Collection[str] | None = None,
    ) -> bytes:
        """Log in by the best method that both sides support: SCRAM, OAuth, APOP and others, or `user` and `pass_`.

        Args:
            user: the mailbox.
            password: its password.
            token: or an OAuth 2.0 access token for it.
            only: names of mechanisms, "APOP" and "USER/PASS" included, that may be tried.

        Returns:
            The server's answer.

        Raises:
            LoginRefused: the server refused.
            LocalProtocolError: no method is usable: see `cleartext`. No credentials were sent.
        """
        try:
            with translated():
                self.client.login(user, password, token=token, only=only)
        finally:
            del password, token  # some loggers write down the local variables of a traceback
        return self._last_answer()

    def auth(self, mechanism: ClientMechanism, *, initial_response: bool = True) -> bytes:
        """Log in by one SASL mechanism of `pop3proto.sasl`, or of your own; return the server's answer.

        Args:
            mechanism: a new one for each call.
            initial_response: it may be sent with AUTH.

        Raises:
            LoginRefused: the server refused.
            LocalProtocolError: it would show a secret: see `cleartext`. Nothing was sent.
        """
        with translated():
            self.client.authenticate(mechanism, initial_response=initial_response)
        return self._last_answer()

    def _last_answer(self) -> bytes:
        reply = self.client.last_reply
        return b"" if reply is None else reply.encode().removesuffix(b"\r\n")

    def retr_to(self, number: int, file: BinaryIO) -> int:
        """Write a message to a file, in constant memory: its octets as they are, with CRLF. Return how many they are.

        Raises:
            CommandRefused: there is no such message.
        """
        with translated(), self.client.retr(number) as message:
            return message.copy_to(file)

    def messages(self) -> builtins.list[ListedMessage]:
        """Return what LIST and UIDL tell of each message, in the server's order.

        Raises:
            CommandRefused: the server refused LIST.
            Malformed: the answer makes no sense.
        """
        from pop3proto.core.commands import List, Uidl  # noqa: PLC0415 - likewise

        client = self.client
        with translated():
            sizes = client.call(List())
            try:
                ids: Mapping[int, str] = client.call(Uidl())
            except CommandFailed:
                ids = {}
        return [ListedMessage(number, octets, ids.get(number)) for number, octets in sizes.items()]
