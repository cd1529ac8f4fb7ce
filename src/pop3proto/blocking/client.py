"""The client for blocking adapters: nothing but calls of the procedures."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeVar, overload

from pop3proto.core.commands import (
    Dele,
    Lang,
    LangList,
    List,
    ListOne,
    Noop,
    Retr,
    Rset,
    Stat,
    Top,
    Uidl,
    UidlOne,
    Utf8,
)
from pop3proto.core.errors import forgetting_locals
from pop3proto.procedures.client.calls import call, call_all
from pop3proto.procedures.client.commands import keep_alive, learn_capabilities, quit_session, start_tls
from pop3proto.procedures.client.login import login, login_by
from pop3proto.procedures.client.pipeline import Pipeline
from pop3proto.sasl.credentials import Credentials
from pop3proto.sasl.registry import CLIENT_MECHANISMS, ClientMechanisms

from .message import IncomingMessage, WholeMessages, skip_rest
from .runner import SessionRunner

if TYPE_CHECKING:
    import builtins
    import ssl
    from collections.abc import Collection, Generator, Iterable, Iterator

    from pop3proto.core.capabilities import Capabilities
    from pop3proto.core.commands import Command
    from pop3proto.core.errors import MalformedReply
    from pop3proto.core.refusals import CommandFailed
    from pop3proto.core.results import Language, MaildropStatus, ScanListing, UniqueId, UniqueIdListing
    from pop3proto.sasl.channel import ChannelBinding, TlsInfo
    from pop3proto.sasl.mechanism import ClientMechanism


__all__ = ["Client"]

T = TypeVar("T")


class Client(SessionRunner):
    """A session with a server. As a context manager it sends QUIT at the end; left by an exception it hangs up.

    Every method may raise `CommandFailed` (the server said `-ERR`), `MalformedReply`, `LocalProtocolError` and `Busy`,
    after which the session goes on; and `RemoteProtocolError`, `ConnectionLost` and `TimedOut`, after which every
    call raises `Broken`.
    """

    def login(  # noqa: PLR0913 - each has its default, and a name
        self,
        user: str | Credentials,
        password: str | None = None,
        *,
        token: str | None = None,
        only: Collection[str] | None = None,
        initial_response: bool = True,
        binding: ChannelBinding | None = None,
        mechanisms: ClientMechanisms = CLIENT_MECHANISMS,
        password_encoding: str | None = None,
    ) -> None:
        """Log in by the best method that both sides support.

        It asks for the capabilities (CAPA) itself: before, unless they are known, and after, as they may differ then.
        If the server hangs up after a refusal, or on CAPA, a client that `connect` has made connects again, with TLS as
        before, and goes on with the next method of the plan; all within `timeout`. It causes at most three refusals.

        Args:
            user: the mailbox; or credentials of any kind, alone.
            password: its password.
            token: or an OAuth 2.0 access token for it.
            only: names of mechanisms, "APOP" and "USER/PASS" included, that may be tried.
            initial_response: it may go with AUTH; some servers want it on a line of its own.
            binding: the channel binding to use in place of what was found: "tls-exporter" for example.
            mechanisms: those that are known.
            password_encoding: of a name or password that is not ASCII, in USER and PASS, "latin-1" for example; None:
                it is UTF-8, and sent under verified TLS, on loopback, and where the server announces `UTF8 USER`.

        Raises:
            LoginFailed: the server refused; another try is possible, unless the connection was lost after that.
                `left` names what was not tried, and `why` says why not.
            CertificateError: over another connection; the message says what was refused before.
            LocalProtocolError: no method is usable: each would show a password or token to others, or the server does
                not support it. No credentials were sent.
        """
        try:
            with forgetting_locals():
                credentials = Credentials.of(user, password, token)
                self.perform(
                    login(
                        self.session,
                        credentials,
                        only=only,
                        initial_response=initial_response,
                        binding=binding,
                        mechanisms=mechanisms,
                        password_encoding=password_encoding,
                    )
                )
        finally:
            del password, token  # some loggers write down the local variables of a traceback

    def authenticate(self, mechanism: ClientMechanism, *, initial_response: bool = True) -> None:
        """Log in by one SASL mechanism of your own, or of `pop3proto.sasl`.

        Args:
            mechanism: a new one for each call.
            initial_response: it may be sent with AUTH.

        Raises:
            LoginFailed: the server refused; `__cause__` says more if the mechanism did not accept a challenge.
            LocalProtocolError: it would show a secret without verified TLS, or AUTH is not legal now. Nothing was sent.
        """
        with forgetting_locals():
            self.perform(login_by(self.session, mechanism, initial_response=initial_response))

    def start_tls(self, context: ssl.SSLContext | None = None) -> TlsInfo:
        """Begin TLS by STLS, and ask for the capabilities again.

        Args:
            context: for TLS, also over later connections of this client; None: that of `connect`. If this fails, the
                context stays what it was.

        Raises:
            CommandFailed: the server refused; the session goes on, in clear.
            CertificateError: the server's certificate was not accepted.
            ConnectionLost: the handshake failed.
            ValueError: the context is for a server. Nothing was sent.
        """
        return self._perform_with(start_tls(self.session), context)

    def capa(self) -> Capabilities | None:
        """Ask what the server can do; None if it does not know CAPA."""
        self.perform(learn_capabilities(self.session))
        return self.session.capabilities

    def stat(self) -> MaildropStatus:
        """Return how many messages there are, and their octets."""
        return self.call(Stat())

    def list(self) -> ScanListing:
        """Return the octets of each message."""
        return self.call(List())

    def list_one(self, number: int) -> int:
        """Return the octets of one message."""
        return self.call(ListOne(number))

    def uidl(self) -> UniqueIdListing:
        """Return the unique id of each message."""
        return self.call(Uidl())

    def uidl_one(self, number: int) -> UniqueId:
        """Return the unique id of one message."""
        return self.call(UidlOne(number))

    def retr(self, number: int) -> IncomingMessage:
        """Return a message, to be read in a `with` block."""
        return IncomingMessage(self, Retr(number))

    def top(self, number: int, lines: int) -> IncomingMessage:
        """Return the header of a message and the first lines of its body, to be read in a `with` block."""
        return IncomingMessage(self, Top(number, lines))

    @overload
    def retrieve(
        self, numbers: Iterable[int], *, return_exceptions: Literal[False] = False
    ) -> Iterator[tuple[int, bytes]]: ...
    @overload
    def retrieve(
        self, numbers: Iterable[int], *, return_exceptions: bool
    ) -> Iterator[tuple[int, bytes | CommandFailed | MalformedReply]]: ...
    def retrieve(
        self, numbers: Iterable[int], *, return_exceptions: bool = False
    ) -> Iterator[tuple[int, bytes]] | Iterator[tuple[int, bytes | CommandFailed | MalformedReply]]:
        """Yield whole messages with their numbers, in order; pipelined if the server announces that.

        One message is in memory at a time. Another command ends the iteration: going on with it raises `Broken`.

        Args:
            numbers: taken one by one.
            return_exceptions: yield `CommandFailed` or `MalformedReply` in place of a message, as `asyncio.gather`.

        Raises:
            CommandFailed, MalformedReply: a message is not available, unless `return_exceptions` is true; those before
                it were yielded.
        """
        return WholeMessages(self, numbers, return_exceptions=return_exceptions)

    def stream(self, commands: Iterable[Command[object]]) -> Iterator[IncomingMessage]:
        """Yield a message for each command, to be read in a `with` block; pipelined if the server takes that.

        It is for RETR and TOP; any other command is a message without octets, whose `reply` tells. What is left unread
        of one is discarded when the next is asked for. Any other command ends the iteration: going on with it raises
        `Broken`.
        """
        exchange = Pipeline(self.session, commands)
        self.perform(exchange.begin())
        while (command := exchange.command) is not None:
            index = exchange.answered
            yield IncomingMessage(self, command, exchange)
            skip_rest(self, exchange, index)
        exchange.poll()

    def fetch(self, number: int) -> bytes:
        """Return a whole message.

        Raises:
            MalformedReply: it has more than `Limits.body` octets: use `retr`.
        """
        return self.call(Retr(number))

    def dele(self, number: int) -> None:
        """Mark a message as deleted; QUIT removes it."""
        self.call(Dele(number))

    def noop(self) -> None:
        """Do nothing."""
        self.call(Noop())

    @contextmanager
    def keep_alive(self, every: float = 30) -> Generator[None]:
        """Send NOOP while a block is busy with something else: some servers hang up after a minute of silence.

        Inside the block the client cannot be used: any other call raises `Busy`.

        Args:
            every: seconds.
        """
        user = object()
        try:
            self._take(user)
            with self._stream.run_in_background(lambda: self._perform(keep_alive(self.session, every))):
                yield
        finally:
            self._release(user)

    def rset(self) -> None:
        """Take back every `dele`."""
        self.call(Rset())

    def utf8(self) -> None:
        """Enter UTF-8 mode (RFC 6856 section 2)."""
        self.call(Utf8())

    def lang(self, language: str) -> str | None:
        """Choose the language of the server's texts; return the tag of what it chose."""
        return self.call(Lang(language))

    def lang_list(self) -> tuple[Language, ...]:
        """Return the languages that the server speaks."""
        return self.call(LangList())

    def call(self, command: Command[T]) -> T:
        """Send a command and return what its answer means."""
        return self.perform(call(self.session, command))

    @overload
    def call_all(
        self, commands: Iterable[Command[T]], *, return_exceptions: Literal[False] = False
    ) -> builtins.list[T]: ...
    @overload
    def call_all(
        self, commands: Iterable[Command[T]], *, return_exceptions: bool
    ) -> builtins.list[T | CommandFailed | MalformedReply]: ...
    def call_all(
        self, commands: Iterable[Command[T]], *, return_exceptions: bool = False
    ) -> builtins.list[T] | builtins.list[T | CommandFailed | MalformedReply]:
        """Send commands, pipelined if the server announces that; return their results, in order.

        Args:
            commands: taken one by one.
            return_exceptions: return `CommandFailed` and `MalformedReply` among the results, as `asyncio.gather` does.

        Raises:
            CommandFailed, MalformedReply: the first failure, unless `return_exceptions` is true. Commands behind it may
                have been sent, and are then carried out; the others are not sent.
        """
        return self.perform(call_all(self.session, commands, return_exceptions=return_exceptions))

    def quit(self) -> None:
        """End the session: the server removes what is marked as deleted.

        Raises:
            CommandFailed: it did not remove all of it.
            UncertainUpdate: there was no answer: it may have removed them or not.
        """
        self._end(quit_session(self.session))
