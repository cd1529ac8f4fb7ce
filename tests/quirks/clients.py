"""What real clients do, as transcripts. The rows are those of the page about deviations.

The server has two messages for ann, whose password is tanstaaf. What it says in place of a message's size or a random
number stands as it is with the store and the driver of the tests.
"""

import base64

from pop3proto.core.limits import Quirk

from .transcripts import OfClient

UNIX = b"Subject: one\n\n.dot\nlast"
DOS = b"Subject: two\r\n\r\nbody\r\n"
BODY = b"+OK 28 octets\r\nSubject: one\r\n\r\n..dot\r\nlast\r\n.\r\n"
CAPABILITIES = (
    b"+OK capabilities follow\r\nTOP\r\n%bUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n"
    b"%bIMPLEMENTATION pop3proto\r\n.\r\n"
)
PROHIBITED = b"the text contains a character that is prohibited in names and passwords (RFC 4013 section 2.3)"
NO_NUMBER = b"a message number must be at least 1 and have at most 20 digits"


def plain(password: bytes = b"tanstaaf", user: bytes = b"ann") -> bytes:
    return base64.b64encode(b"\0%b\0%b" % (user, password))


CLIENTS = (
    OfClient(
        "auth-list",
        "AUTH without an argument, and with a blank",
        [(line, b"+OK mechanisms follow\r\nPLAIN\r\nLOGIN\r\n.\r\n") for line in (b"AUTH\r\n", b"AUTH \r\n")],
        login=False,
    ),
    OfClient(
        "command-form",
        "verbs in any case, blanks behind",
        [
            (b"noop\r\n", b"+OK nothing done\r\n"),
            (b"nOOp   \r\n", b"+OK nothing done\r\n"),
            (b"Dele 1 \r\n", b"+OK message 1 deleted\r\n"),
        ],
    ),
    OfClient(
        "command-form",
        "a blank before, a tab",
        [
            (b" NOOP\r\n", b"-ERR unknown command\r\n"),
            (b"NOOP\t\r\n", b"-ERR unknown command\r\n"),
            (b"DELE\t1\r\n", b"-ERR unknown command\r\n"),
        ],
    ),
    OfClient(
        "bare-lf-client",
        "LF alone, strictly",
        [
            (b"NOOP\n", b"-ERR a line must end with CRLF, not with LF alone\r\n"),
            (b"NOOP\r\n", b"+OK nothing done\r\n"),
            (b"NOOP\nNOOP\r\n", b"-ERR a line must end with CRLF, not with LF alone\r\n+OK nothing done\r\n"),
        ],
    ),
    OfClient(
        "bare-lf-client",
        "LF alone",
        [
            (b"USER ann\n", b"+OK send the password\r\n"),
            (b"PASS tanstaaf\n", b"+OK maildrop has 2 messages (50 octets)\r\n"),
            (b"NOOP\nRETR 1\nNOOP\r\n", b"+OK nothing done\r\n" + BODY + b"+OK nothing done\r\n"),
        ],
        frozenset({Quirk.BARE_LF}),
        login=False,
    ),
    OfClient(
        "password-blanks",
        "a password with other blanks",
        [
            (b"USER ann\r\n", b"+OK send the password\r\n"),
            (b"PASS tanstaaf \r\n", b"-ERR [AUTH] wrong name or password\r\n"),
            (b"USER ann\r\n", b"+OK send the password\r\n"),
            (b"PASS  tanstaaf\r\n", b"-ERR [AUTH] wrong name or password\r\n"),
        ],
        login=False,
    ),
    OfClient(
        "pipelining",
        "commands in one segment",
        [(b"NOOP\r\n" * 50 + b"DELE 1\r\n", b"+OK nothing done\r\n" * 50 + b"+OK message 1 deleted\r\n")],
    ),
    OfClient(
        "pipelining",
        "QUIT behind RETR",
        [(b"RETR 1\r\nRETR 1\r\nQUIT\r\n", BODY + BODY + b"+OK bye\r\n")],
        ends=True,
    ),
    OfClient(
        "numbers",
        "numbers that are none",
        [
            *(
                (b"RETR %b\r\n" % number, b"-ERR RETR needs a number\r\n")
                for number in (b"-1", b"+1", b"1abc", b"1 2", b"1" * 21)
            ),
            (b"RETR 0\r\n", b"-ERR %b\r\n" % NO_NUMBER),
            (b"RETR\r\n", b"-ERR RETR needs an argument\r\n"),
            (b"RETR 9223372036854775808\r\n", b"-ERR no such message, only 2 messages in maildrop\r\n"),
            (b"RETR 001\r\n", BODY),
        ],
    ),
    OfClient(
        "garbage",
        "binary octets, HTTP, lines that are too long",
        [
            (b"\x16\x03\x01\x02\r\n", b"-ERR unknown command\r\n"),
            (b"GET / HTTP/1.1\r\n", b"-ERR unknown command\r\n"),
            (b"\r\n", b"-ERR unknown command\r\n"),
            (b"NO\0OP\r\n", b"-ERR a command must not contain CR, LF or NUL\r\n"),
            (b"x" * 12_300 + b"\r\n", b"-ERR the line is too long\r\n"),
            (b"NOOP\r\n", b"+OK nothing done\r\n"),
        ],
    ),
    OfClient(
        "garbage",
        "nothing but bad commands before login",
        [
            (b"x\r\n" * 9, b"-ERR unknown command\r\n" * 9),
            (b"x\r\nQUIT\r\n", b"-ERR unknown command; closing the connection\r\n"),
        ],
        login=False,
        ends=True,
    ),
    OfClient(
        "garbage",
        "many bad commands, and good ones between them",
        [(b"x\r\n" * 99 + b"NOOP\r\n", b"-ERR unknown command\r\n" * 99 + b"+OK nothing done\r\n")] * 2,
    ),
    OfClient(
        "too-early",
        "CAPA, NOOP and STAT before login",
        [
            (
                b"CAPA\r\n",
                CAPABILITIES % (b"USER\r\n", b"SASL PLAIN LOGIN\r\n"),
            ),
            (b"NOOP\r\n", b"-ERR NOOP is not legal before login\r\n"),
            (b"STAT\r\n", b"-ERR STAT is not legal before login\r\n"),
            (b"USER ann\r\nSTAT\r\n", b"+OK send the password\r\n-ERR STAT is not legal before login\r\n"),
        ],
        login=False,
    ),
    OfClient(
        "capa-after-login",
        "CAPA after login",
        [
            (
                b"CAPA\r\n",
                CAPABILITIES % (b"USER\r\n", b"SASL PLAIN LOGIN\r\n"),
            ),
            (b"USER ann\r\n", b"-ERR USER is not legal: already logged in\r\n"),
        ],
    ),
    OfClient(
        "login-order",
        "PASS without USER, USER twice, PASS again after a failure",
        [
            (b"PASS tanstaaf\r\n", b"-ERR PASS is not legal yet; send USER first\r\n"),
            (b"USER bob\r\nUSER ann\r\n", b"+OK send the password\r\n" * 2),
            (b"PASS wrong\r\n", b"-ERR [AUTH] wrong name or password\r\n"),
            (b"PASS tanstaaf\r\n", b"-ERR PASS is not legal yet; send USER first\r\n"),
            (b"USER ann\r\n", b"+OK send the password\r\n"),
            (b"PASS tanstaaf\r\n", b"+OK maildrop has 2 messages (50 octets)\r\n"),
        ],
        login=False,
    ),
    OfClient(
        "login-order",
        "AUTH between USER and PASS",
        [
            (b"USER ann\r\n", b"+OK send the password\r\n"),
            (b"AUTH\r\n", b"+OK mechanisms follow\r\nPLAIN\r\nLOGIN\r\n.\r\n"),
            (b"AUTH PLAIN\r\n", b"+ \r\n"),
            (b"*\r\n", b"-ERR the exchange is cancelled\r\n"),
            (b"PASS tanstaaf\r\n", b"-ERR PASS is not legal yet; send USER first\r\n"),
            (b"USER ann\r\n", b"+OK send the password\r\n"),
            (b"AUTH PLAIN " + plain() + b"\r\n", b"+OK maildrop has 2 messages (50 octets)\r\n"),
        ],
        login=False,
    ),
    OfClient(
        "sasl-responses",
        "cancel, an empty initial response, bad base64, then a login",
        [
            (b"AUTH PLAIN\r\n", b"+ \r\n"),
            (b"*\r\n", b"-ERR the exchange is cancelled\r\n"),
            (b"AUTH PLAIN =\r\n", b"-ERR a PLAIN message must have three parts, separated by NUL\r\n"),
            (b"AUTH PLAIN\r\n", b"+ \r\n"),
            (b"AGFubg\r\n", b"-ERR the response is not valid base64\r\n"),
            (b"AUTH PLAIN AG Fu\r\n", b"-ERR the initial response of AUTH is not valid base64\r\n"),
            (b"auth login\r\n", b"+ VXNlcm5hbWU6\r\n"),
            (b"YW5u\r\n", b"+ UGFzc3dvcmQ6\r\n"),
            (b"dGFuc3RhYWY=\r\n", b"+OK maildrop has 2 messages (50 octets)\r\n"),
        ],
        login=False,
    ),
    OfClient(
        "sasl-responses",
        "a response that is too long",
        [
            (b"AUTH PLAIN\r\n", b"+ \r\n"),
            (b"A" * 12_288 + b"\r\nCAPA\r\n", b"-ERR the line is too long; closing the connection\r\n"),
        ],
        login=False,
        ends=True,
    ),
    OfClient(
        "sasl-controls",
        "CR, LF and NUL in a name and a password",
        [
            (b"AUTH PLAIN %b\r\n" % plain(password=b"tan\nstaaf"), b"-ERR [AUTH] wrong name or password\r\n"),
            (
                b"AUTH PLAIN %b\r\n" % plain(user=b"a\rnn"),
                b"-ERR %b\r\n" % PROHIBITED,
            ),
            (
                b"AUTH PLAIN %b\r\n" % plain(password=b"tan\0staaf"),
                b"-ERR a PLAIN message must have three parts, separated by NUL\r\n",
            ),
        ],
        login=False,
    ),
    OfClient(
        "top",
        "TOP 1 0, beyond the end, with a huge and with a negative number",
        [
            (b"TOP 1 0\r\n", b"+OK top of message follows\r\nSubject: one\r\n\r\n.\r\n"),
            (b"TOP 1 1\r\n", b"+OK top of message follows\r\nSubject: one\r\n\r\n..dot\r\n.\r\n"),
            *(
                (
                    b"TOP 1 %b\r\n" % number,
                    b"+OK top of message follows\r\nSubject: one\r\n\r\n..dot\r\nlast\r\n.\r\n",
                )
                for number in (b"99", b"9" * 40)
            ),
            (b"TOP 1 -1\r\n", b"-ERR TOP needs a number\r\n"),
        ],
    ),
    OfClient(
        "deleted",
        "commands about a deleted message",
        [
            (b"DELE 1\r\n", b"+OK message 1 deleted\r\n"),
            *(
                (line + b"\r\n", b"-ERR message 1 is deleted\r\n")
                for line in (b"DELE 1", b"RETR 1", b"TOP 1 0", b"LIST 1", b"UIDL 1")
            ),
            (b"STAT\r\n", b"+OK 1 22\r\n"),
            (b"LIST\r\n", b"+OK 1 message (22 octets)\r\n2 22\r\n.\r\n"),
            (b"UIDL\r\n", b"+OK 1 message (22 octets)\r\n2 id.2\r\n.\r\n"),
            (b"RSET\r\n", b"+OK maildrop has 2 messages (50 octets)\r\n"),
            (b"LIST 1\r\n", b"+OK 1 28\r\n"),
        ],
    ),
    OfClient(
        "hang-up",
        "a hang-up after DELE",
        [(b"DELE 1\r\nDELE 2\r\n", b"+OK message 1 deleted\r\n+OK message 2 deleted\r\n")],
    ),
    OfClient(
        "arguments",
        "arguments where there are none",
        [
            (line + b" x\r\n", b"-ERR %b takes no arguments\r\n" % line)
            for line in (b"CAPA", b"QUIT", b"STAT", b"STLS", b"RSET", b"NOOP")
        ],
    ),
)
