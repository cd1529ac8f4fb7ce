"""The login penalty: how long a login waits after failures from its address. Time is an argument."""

from __future__ import annotations

import hashlib
from collections import OrderedDict, deque
from typing import Final

import attrs

from pop3proto.core.errors import LocalProtocolError

__all__ = ["LoginAttempt", "LoginDelay", "LoginPenalties", "LoginPenalty"]

_LONGEST: Final = 1_000_000  # seconds, as for deadlines
_REMEMBERED: Final = 8  # credentials of one address that failed last
_DIGEST: Final = 16  # octets


@attrs.frozen(kw_only=True)
class LoginPenalty:
    """How long logins wait after failures from the same address: each new failure doubles the delay.

    A login waits until the delay has passed since it began, and since the last failure that counted. Meanwhile the
    logins of the address are verified one at a time, so that more sessions do not make for more guesses.

    The login waits before its credentials are looked at, so that guesses cost the server nothing. The same wrong
    credentials count once, where they look the same on the wire: not those of SCRAM, CRAM-MD5 and APOP. A successful
    login does not shorten the delay: an attacker may have an account.

    Args:
        first: seconds after the first failure.
        most: the longest delay in seconds.
        forget_after: seconds without a new failure after which an address has no delay any more.
        addresses: number of addresses that are remembered; the one that has been quiet longest goes first.

    Raises:
        LocalProtocolError: a time is not positive, or `most` is less than `first`, or there is room for no address.
    """

    first: float = 2
    most: float = 15
    forget_after: float = 300
    addresses: int = 10_000

    def __attrs_post_init__(self) -> None:
        if not (0 < self.first <= self.most <= _LONGEST and 0 < self.forget_after <= _LONGEST):
            raise LocalProtocolError(f"the seconds of a login penalty must be from 0 to {_LONGEST}, and first <= most")
        if self.addresses < 1:
            raise LocalProtocolError("a login penalty needs room for one address at least")


@attrs.frozen
class LoginDelay:
    """What the failures from an address demand of a login.

    Args:
        seconds: how long it has to wait yet.
        alone: no other login of the address may be verified at the same time.
    """

    seconds: float = 0
    alone: bool = False


class LoginAttempt:
    """One attempt to log in: when it began, how, and a digest of what the client showed.

    Args:
        method: a SASL mechanism, "USER/PASS" or "APOP".
        began: the time of the PASS, APOP or AUTH command.
        key: secret octets of this process, at most 64: without them the digest would allow guessing passwords.
    """

    __slots__ = ("_digest", "began", "method")

    def __init__(self, method: str, began: float, key: bytes) -> None:
        self.method: Final = method
        self.began: Final = began
        self._digest: Final = hashlib.blake2b(method.encode(), key=key, digest_size=_DIGEST)

    def add(self, *shown: bytes) -> None:
        """Add octets that the client has shown."""
        for octets in shown:
            self._digest.update(len(octets).to_bytes(8, "big") + octets)

    @property
    def digest(self) -> bytes:
        """The digest of all that was added. It does not tell the credentials."""
        return self._digest.digest()


@attrs.define
class _Failures:
    """The failures of one address.

    Args:
        delay: seconds that a login waits now.
        last: when the last one counted.
        digests: of the last attempts that failed.
    """

    delay: float
    last: float
    digests: deque[bytes]


class LoginPenalties:
    """The failures of each address. Not thread-safe.

    Args:
        settings: the delays.
    """

    def __init__(self, settings: LoginPenalty) -> None:
        self._settings = settings
        self._failures: Final[OrderedDict[str, _Failures]] = OrderedDict()  # the quietest first

    def use(self, settings: LoginPenalty) -> None:
        """Take other delays. What was noted of addresses stays."""
        self._settings = settings

    def demand(self, address: str, began: float, now: float) -> LoginDelay:
        """Return what a login from this address has to wait for.

        Args:
            address: the client's.
            began: when the login began.
            now: as `delay`.
        """
        if not (delay := self.delay(address, now)):
            return LoginDelay()
        due = max(began, self._failures[address].last) + delay
        return LoginDelay(max(0, due - now), alone=True)

    def delay(self, address: str, now: float) -> float:
        """Return the delay of logins from this address in seconds; 0 if they need not wait.

        Args:
            address: the client's.
            now: the time, on any clock that never goes back.
        """
        failures = self._failures.get(address)
        if failures is None or now - failures.last >= self._settings.forget_after:
            return 0
        return failures.delay

    def failed(self, address: str, attempt: LoginAttempt, now: float) -> None:
        """Take note that an attempt has failed; one that failed before, with the same credentials, does not count.

        Args:
            address: the client's.
            attempt: what it has shown.
            now: as `delay`.
        """
        delay, failures = self.delay(address, now), self._failures.get(address)
        digest = attempt.digest
        if failures is None or not delay:
            failures = self._failures[address] = _Failures(0, now, deque(maxlen=_REMEMBERED))
        elif digest in failures.digests:
            return
        failures.digests.append(digest)
        failures.delay = min(delay * 2 or self._settings.first, self._settings.most)
        failures.last = max(failures.last, now)
        self._failures.move_to_end(address)
        while len(self._failures) > self._settings.addresses:
            self._failures.popitem(last=False)
