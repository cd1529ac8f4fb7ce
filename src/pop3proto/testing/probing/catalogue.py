"""The findings that there may be, each with how bad it is, and what to do."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ANSWERS", "CATALOGUE"]

_N, _W, _B, _U = "NOTE", "WARNING", "BROKEN", "UNREACHABLE"

ANSWERS: Final = frozenset({"wrong-protocol", "tls-where-clear", "clear-where-tls", "silent", "hangs-up"})
"""Findings about what answers at all: they come before others that are as bad."""

CATALOGUE: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        # What answers at all.
        "not-reached": (_U, "Check the name, the port, and what is between here and there (a firewall)."),
        "port-closed": (_N, ""),
        "wrong-protocol": (_B, "POP3 has the ports 995 (TLS from the start) and 110: use another port."),
        "tls-where-clear": (_B, "Use TLS from the first octet on this port: a pops:// URL."),
        "clear-where-tls": (_B, "Use a pop:// URL (TLS by STLS) or another port, or have the server begin with TLS."),
        "silent": (_B, "It may hang, or wait for something before it speaks: look at its log."),
        "hangs-up": (
            _B,
            "Look at the server's log: too many sessions, a block list, or a program that does not start.",
        ),
        "session-refused": (_B, "Look at the server's log; it may take no sessions now, or none from this address."),
        "greeting-malformed": (_B, "A greeting begins with +OK (RFC 1939 section 4)."),
        "slow-greeting": (_N, "It may look up the name of each client: clients wait for that."),
        # TLS and its certificate.
        "tls-fails": (_B, "Look at the server's log and at its certificate and key files."),
        "no-tls": (_W, "Offer TLS on port 995, and STLS on this one (RFC 8314)."),
        "stls-refused": (_B, "It announces STLS and does not do it: give it a certificate, or do not announce it."),
        "stls-unannounced": (_N, "Clients that look at CAPA will not use it: announce STLS."),
        "stls-injection": (_B, "Update the server: it must discard what came in clear behind STLS (CVE-2011-0411)."),
        "stls-trailing": (_B, "Update the server, or look for what is between: this is how answers are injected."),
        "old-tls": (_W, "Switch TLS 1.0 and 1.1 off (RFC 8996)."),
        "no-modern-tls": (_B, "Update the server: clients of today refuse TLS before 1.2."),
        "connections-limited": (_N, "Not all was tried; the server may need an exception for the machine that probes."),
        "no-tls-1.3": (_N, "TLS 1.2 is enough for all clients; 1.3 needs an update of the server's TLS library."),
        "certificate-expired": (_B, "Renew it, and have the server load it (a restart or a reload)."),
        "certificate-early": (_B, "Check the clock of the server that has issued it, and the one of this machine."),
        "certificate-name": (_B, "Connect to a name that it is for, or have one made for this name."),
        "certificate-self-signed": (_B, "Get one of an authority that clients trust, or give --ca-file to yours."),
        "certificate-untrusted": (
            _B,
            "If the authority is your own, use --ca-file; else send the intermediate certificates along.",
        ),
        "certificate-ends-soon": (_W, "Renew it, and look why that was not done by itself."),
        "certificate-weak": (_W, "Have a new one made, with RSA 2048 at least or EC, and SHA-256."),
        "certificate-without-sni": (_N, "Clients that send no server name (old ones) get this other certificate."),
        # Before login.
        "no-capa": (_W, "Clients have to guess what it can do (RFC 2449)."),
        "capa-unreadable": (_W, "Clients have to guess what it can do: one capability to a line, then a lone dot."),
        "password-in-clear": (_W, "Offer USER, PLAIN and LOGIN after STLS only (RFC 8314, RFC 5034 section 4)."),
        "no-way-to-log-in": (_W, "Offer PLAIN, SCRAM-SHA-256 or USER, and announce it."),
        "mechanism-fails": (_W, "Announce only what is configured."),
        "ok-as-challenge": (_W, "Clients need the quirk ok_as_challenge (RFC 5034 section 4 has + for a challenge)."),
        "unencoded-challenge": (_W, "Clients need the quirk unencoded_challenge: a challenge is base64."),
        # The login.
        "login-not-tried": (
            _B,
            "No password was sent. --ca-file trusts an authority; --allow-cleartext does without TLS.",
        ),
        "login-refused": (_B, "Check user and password or token; see what the server said."),
        "maildrop-in-use": (_W, "Another client uses the account now: probe later, or use an account of its own."),
        "logins-too-often": (_W, "Probe this account less often: the server wants time between two logins."),
        "back-end-fails": (_B, "The server cannot get at its users or their mail: look at its log and its storage."),
        "login-detour": (_W, "Each login takes longer by that: announce only mechanisms that work."),
        "login-delay": (_N, "What needs a second session was left out."),
        # After login.
        "maildrop-empty": (_N, "Send a message or two to this account, and probe again."),
        "maildrop-expires": (_N, "Sizes and framing of messages were not looked at."),
        "out-of-step": (_B, "Clients take the answer to one command for that to another: update the server."),
        "pipelining-broken": (_B, "Switch PIPELINING off in CAPA; clients need the quirk no_pipelining."),
        "pipelining-unannounced": (_N, "It works: announce PIPELINING, and clients become faster."),
        "command-fails": (_W, "CAPA announces it: repair it, or do not announce it."),
        "command-unannounced": (_N, "It works: announce it in CAPA."),
        "no-uidl": (_W, "Clients that leave mail on the server cannot know what they have fetched."),
        "no-top": (_N, "Clients that look at headers first have to fetch whole messages."),
        "stat-malformed": (_W, "Clients need the quirk stat_without_octets."),
        "stat-differs": (_W, "Clients show or believe wrong numbers; look at the index of the mailbox."),
        "listing-unreadable": (_W, "Clients skip or refuse such rows; look at the messages that they are about."),
        "size-wrong": (_W, "Clients that allocate or stop by it cut messages or hang: rebuild the index."),
        "dot-unstuffed": (_B, "A line with a lone dot ends a message early: update the server (RFC 1939 section 3)."),
        "body-ends-early": (_B, "The rest of a message is taken for answers, which its sender can choose: update."),
        "gone-after-retr": (_B, "Clients lose it if the connection breaks now: switch that off on the server."),
        "no-terminator": (_B, "Clients wait until they time out: update the server."),
        "bare-lf": (_B, "Clients need the quirk bare_lf; a message can then fake its own end."),
        "bare-lf-in-message": (_W, "Have it send CRLF at the end of each line of a message."),
        "stray-dot": (_W, "Clients need the quirk stray_dot."),
        "retr-fails": (_B, "Look at these messages on the server: clients stop at them each time."),
        "top-lines": (_W, "Clients that preview messages get more or fewer lines than they ask for."),
        "top-differs": (_W, "The header in TOP is not that of RETR: clients that compare fetch messages twice."),
        "uid-invalid": (_W, "Clients need the quirk uidl_any_unique_id: 1 to 70 octets from ! to ~ are allowed."),
        "uid-prefixed": (_W, "Clients need the quirk uidl_prefixed_rows."),
        "uid-duplicate": (_W, "Clients that know messages by these ids fetch only one of them."),
        "uid-differs": (_W, "UIDL of one message and of all must agree."),
        "uid-unstable": (_B, "Clients fetch all mail again each time: look how the server makes its unique ids."),
        "lock-without-code": (_N, "With [IN-USE] clients know that the password is right, and try again later."),
        "lock-stays": (_N, "Clients that come back within a second are refused."),
        "second-login-refused": (_W, "See what the server said."),
        "lang-fails": (_W, "CAPA announces LANG: repair it, or do not announce it."),
        "utf8-fails": (_W, "CAPA announces UTF8: repair it, or do not announce it."),
        # With --deep.
        "idle-short": (_W, "RFC 1939 section 3 wants 10 minutes at least; clients that read slowly are cut off."),
        "bad-commands-unlimited": (_N, "A limit makes it harder to use the server for nothing."),
        "line-limit-low": (_W, "RFC 2449 section 4 wants 255 octets at least."),
        # With --destructive.
        "no-test-message": (_W, "Send a message with the subject 'pop3proto probe' to the account, and probe again."),
        "test-message-differs": (
            _B,
            "Clients that delete by unique id delete other mail: look how the server makes its unique ids.",
        ),
        "rset-fails": (_B, "Clients rely on RSET to take deletions back."),
        "deleted-without-quit": (_B, "Mail is lost when a connection breaks (RFC 1939 section 6): update the server."),
        "delete-fails": (_B, "Clients that empty the maildrop fill it instead: see what the server said."),
        "others-changed": (_B, "Look for another client that uses this account now; else the server loses mail."),
        # The probe itself.
        "breaks-off": (_B, "No client gets beyond that: look at the server's log."),
        "time-up": (_W, "Give it more time: --timeout."),
        "failed": (_W, "The connection failed during this part; the server's log may say why."),
    }
)
"""Each finding's severity and advice, by its id. `Findings.add` may choose another severity."""
