"""The report of a probe in words: for people, for a monitor, and for the options of a client."""

from __future__ import annotations

import textwrap
import time
from typing import TYPE_CHECKING, Final

from pop3proto.core.limits import Quirk
from pop3proto.core.quirks import PROFILES
from pop3proto.core.text import counted, visible
from pop3proto.fetching.wording import reason
from pop3proto.testing.probing.findings import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pop3proto.procedures.cleartext import TlsMode
    from pop3proto.testing.probing.before_login import Opened
    from pop3proto.testing.probing.findings import Finding
    from pop3proto.testing.probing.mailbox import Mailbox
    from pop3proto.testing.probing.report import PortReport, Report, TlsReport

__all__ = ["nagios_line", "nagios_unknown", "profile_of", "report_text"]

_WIDTH: Final = 80
_LABEL: Final = 16
_MODES: Final[dict[TlsMode, str]] = {
    "implicit": "POP3 over TLS from the start",
    "starttls": "POP3, TLS by STLS",
    "none": "POP3 without TLS",
}
_WORDS: Final = {
    Severity.NOTE: "note",
    Severity.WARNING: "warning",
    Severity.BROKEN: "broken",
    Severity.UNREACHABLE: "not reached",
}
_LONGEST: Final = 1_000
"""Characters of the line for a monitor, without its performance data: some monitors cut longer ones anywhere."""
_NAGIOS: Final = {
    Severity.NOTE: "OK",
    Severity.WARNING: "WARNING",
    Severity.BROKEN: "CRITICAL",
    Severity.UNREACHABLE: "CRITICAL",
}


# ------------------------------------------------------------------------------------------- for people


def report_text(report: Report) -> str:
    """Return the report for people: the verdict, what to do, and what is known; 80 columns."""
    lines = [*_verdict(report)]
    several = len(report.ports) > 1
    worst = report.findings[1:] if report.severity > Severity.NOTE else report.findings
    for finding in worst:
        lines += ["", *_finding(finding, several=several)]
    for port in report.ports:
        if port.protocol != "nothing":
            lines += ["", *_port(port)]
    if report.mailbox is not None:
        lines += ["", *_maildrop(report, report.mailbox)]
    if report.told:
        lines += ["", "Tried, too"]
        for told in report.told:
            lines += _wrapped("  ", told, hanging="    ")
    if report.checks is not None:
        told = ", ".join(f"{number} {result}" for result, number in report.checks.items())
        lines += ["", *_row("checks", told)]
    return "\n".join(lines)


def _verdict(report: Report) -> Iterator[str]:
    """Yield the verdict with the worst finding, and what to do about it."""
    if report.severity is Severity.NOTE:
        notes = counted(len(report.findings), "note") if report.findings else "nothing to remark"
        yield f"{report.host}: FINE ({notes})"
        return
    worst = report.findings[0]
    yield from _wrapped(f"{report.host}: {report.verdict.upper()}: ", worst.text, hanging="  ")
    if worst.advice:
        yield from _wrapped("  -> ", worst.advice, hanging="     ")
    if worst.evidence:
        yield from _wrapped("  seen: ", _seen(worst), hanging="        ")


def _seen(finding: Finding) -> str:
    """Return the evidence; where it is an error of the library, its advice names options, not arguments."""
    return reason(Exception(finding.evidence))


def _finding(finding: Finding, *, several: bool) -> Iterator[str]:
    where = f"port {finding.port}: " if several and finding.port and "ort " not in finding.text[:5] else ""
    label = f"{_WORDS[finding.severity]:<8} "
    yield from _wrapped(label, where + finding.text, hanging=" " * 9)
    if finding.advice:
        yield from _wrapped(" " * 9 + "-> ", finding.advice, hanging=" " * 12)
    if finding.evidence:
        yield from _wrapped(" " * 9 + "seen: ", _seen(finding), hanging=" " * 15)


def _port(port: PortReport) -> Iterator[str]:
    title = f"Port {port.port}: {_spoken(port)}"
    if port.implementation is not None:
        title += f", {port.implementation.name}"
    yield from _wrapped("", title, hanging="  ")
    if port.implementation is not None and port.implementation.known:
        yield from _row("known of it", port.implementation.known)
    opened = port.clear or port.secure
    if opened is not None and opened.greeting is not None:
        yield from _row("greeting", f"after {_duration(opened.greeted_after)}: {opened.greeting}")
    if opened is not None and port.speaks_pop3:
        yield from _row("APOP", "offered by a timestamp" if opened.timestamp else "not offered")
    if port.clear is not None and port.speaks_pop3:
        stls = {True: "works", False: "does not work", None: "was not tried"}[port.stls]
        yield from _row("STLS", stls)
    if port.tls is not None:
        yield from _tls(port.tls)
    if port.speaks_pop3:
        yield from _announced(port)
    if port.plan:
        yield from _row("login plan", f"{', '.join(port.plan)} (our client with a password)")


def _spoken(port: PortReport) -> str:
    if port.speaks_pop3:
        return {
            "implicit": "POP3 over TLS from the start",
            "starttls": "POP3, TLS by STLS",
            "none": "POP3 without TLS",
        }[port.mode]
    if port.secure is not None and port.secure.foreign is not None:
        return f"{port.secure.foreign} over TLS"
    names = {
        "silent": "nothing answers",
        "closed": "closes at once",
        "other": "an unknown protocol",
        "TLS": "TLS, and no POP3 in it",
        "POP3": "POP3",
    }
    return names.get(port.protocol, port.protocol)


def _tls(tls: TlsReport) -> Iterator[str]:
    works = [version for version, result in tls.versions.items() if result == "yes"]
    lacks = [version for version, result in tls.versions.items() if result == "no"]
    unknown = [version for version, result in tls.versions.items() if result == "unknown"]
    told = _listed(works)
    told += f"; not {_listed(lacks, 'or')}" if lacks else ""
    told += f"; {_listed(unknown)} cannot be tried from here" if unknown else ""
    yield from _row("TLS", f"{told} ({tls.cipher})")
    if not tls.certificates:
        return
    own, *others = tls.certificates
    until = time.strftime("%Y-%m-%d", time.gmtime(own.ends))
    left = f"{tls.days_left:,} days left" if (tls.days_left or 0) >= 0 else "expired"
    yield from _row("certificate", f"for {', '.join(own.names[:4]) or own.subject}; {left} ({until}); {own.key}")
    chain = f", sent with {counted(len(others), 'other certificate')}" if others else ", sent alone"
    issuer = "itself (self-signed)" if own.self_issued else own.issuer
    trust = "trusted" if tls.trusted else f"not trusted: {tls.distrust}"
    yield from _row("issued by", f"{issuer}{chain}; {trust}")
    yield from _row("pin", f"sha256/{own.pin}")


def _announced(port: PortReport) -> Iterator[str]:
    if port.clear is not None:
        yield from _row("announced", _tags(_lines(port.clear)) if port.clear.has_capa else "nothing: CAPA is unknown")
    if port.secure is not None:
        if port.clear is None:
            yield from _row("announced", _tags(_lines(port.secure)) or "nothing: CAPA is unknown")
        else:
            yield from _row("over TLS", _difference(_lines(port.clear), _lines(port.secure)))
    opened = port.secure or port.clear
    if opened is not None and opened.mechanisms:
        tried = ", ".join(
            f"{name} {'ok' if result == 'works' else result}" for name, result in opened.mechanisms.items()
        )
        yield from _row("mechanisms", f"{tried} (begun, and cancelled)")


def _maildrop(report: Report, mailbox: Mailbox) -> Iterator[str]:
    yield f"After login, on port {report.login_port}"
    known = next((port for port in report.ports if port.port == report.login_port), None)
    before = None if known is None else known.secure or known.clear
    if report.announced is not None and before is not None:
        yield from _row("announced", _difference(_lines(before), report.announced))
    octets = f", {mailbox.octets:,} octets" if mailbox.octets is not None else ""
    if mailbox.count is not None:
        yield from _row("maildrop", f"{counted(mailbox.count, 'message')}{octets}")
    elif mailbox.sizes:
        yield from _row("maildrop", f"{counted(len(mailbox.sizes), 'message')} by LIST")
    else:
        yield from _row("maildrop", "unknown")
    if mailbox.sampled:
        exact = sum(mailbox.sizes.get(number) == size for number, size in mailbox.sampled.items())
        yield from _row("fetched", f"{counted(len(mailbox.sampled), 'message')}; {exact} as large as LIST says")
    works = [*(f"{name} {'works' if ok else 'does not work'}" for name, ok in sorted(mailbox.works.items()))]
    if mailbox.pipelining is not None:
        works.append(f"pipelining {'works' if mailbox.pipelining else 'does not work'}")
    if works:
        yield from _row("tried", ", ".join(works))
    if mailbox.lock is not None:
        told = {"exclusive": "one session at a time", "shared": "several sessions at once"}
        yield from _row("lock", told[mailbox.lock])
    if mailbox.answer_seconds is not None:
        login = f"; the login took {_duration(report.login_seconds)}" if report.login_seconds is not None else ""
        yield from _row("answers", f"after {_duration(mailbox.answer_seconds)}{login}")
    yield from _row("client", f"quirks: {profile_of(report)}")


def _lines(opened: Opened) -> Sequence[str]:
    return () if opened.capabilities is None else opened.capabilities.lines()


def _tags(lines: Sequence[str]) -> str:
    return "; ".join(map(visible, lines))


def _difference(before: Sequence[str], after: Sequence[str]) -> str:
    """Return which capabilities came and went; of one that is there in another form, which words did."""
    earlier, later = ({line.split(" ")[0]: line.split(" ")[1:] for line in lines} for lines in (before, after))
    told: list[str] = []
    for tag in dict.fromkeys([*later, *earlier]):
        if tag not in earlier:
            told.append(" ".join([f"+{tag}", *later[tag]]))
        elif tag not in later:
            told.append(f"-{tag}")
        elif earlier[tag] != later[tag]:
            more = [f"+{word}" for word in later[tag] if word not in earlier[tag]]
            less = [f"-{word}" for word in earlier[tag] if word not in later[tag]]
            told.append(" ".join([f"{tag}:", *(more + less or ["in another order"])]))
    return visible("; ".join(told)) or "the same"


def _listed(words: Sequence[str], last: str = "and") -> str:
    return f" {last} ".join(filter(None, (", ".join(words[:-1]), *words[-1:]))) or "no version"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "?"
    return f"{seconds * 1000:.1f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _row(label: str, text: str) -> list[str]:
    return _wrapped(f"  {label}".ljust(_LABEL), text, hanging=" " * _LABEL)


def _wrapped(first: str, text: str, *, hanging: str) -> list[str]:
    return textwrap.wrap(
        visible(text), _WIDTH, initial_indent=first, subsequent_indent=hanging, break_on_hyphens=False
    ) or [first.rstrip()]


# --------------------------------------------------------------------------- for monitors and for clients


def nagios_line(report: Report, days: int) -> str:
    """Return the report in one line, as the plugins of Nagios print it.

    Args:
        report: the report.
        days: of fewer days left of the certificate is warned.
    """
    problems = [finding.text for finding in report.findings if finding.severity > Severity.NOTE]
    said = "; ".join(problems) if problems else "; ".join(filter(None, map(_in_short, report.ports))) or "nothing"
    data = " ".join(_performance(report, days))
    text = _in_one_line(f"POP3 {_NAGIOS[report.severity]} - {report.host}: {said}")
    return f"{text} | {data}" if data else text


def nagios_unknown(why: str) -> str:
    """Return the line of a probe that says nothing about the server.

    Args:
        why: it does not.
    """
    return _in_one_line(f"POP3 UNKNOWN - {why}")


def _in_one_line(text: str) -> str:
    line = visible(text.replace("|", "/"))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


def _in_short(port: PortReport) -> str:
    if not port.speaks_pop3:
        return ""
    parts = [f"port {port.port}"]
    if port.implementation is not None:
        parts.append(port.implementation.name)
    if port.tls is not None:
        parts.append(f"{port.tls.version}, certificate {port.tls.days_left} days")
    return ", ".join(parts)


def _performance(report: Report, days: int) -> Iterator[str]:
    several = len(report.ports) > 1
    for port in report.ports:
        mark = f"_{port.port}" if several else ""
        opened = port.clear or port.secure
        if opened is not None and opened.greeting is not None:
            yield f"greeting{mark}={opened.greeted_after:.6f}s;;;0"
        if port.tls is not None and port.tls.days_left is not None:
            yield f"days{mark}={port.tls.days_left};{days}:;0:"
    if report.login_seconds is not None:
        yield f"login={report.login_seconds:.6f}s;;;0"
    if report.mailbox is not None:
        if report.mailbox.answer_seconds is not None:
            yield f"answer={report.mailbox.answer_seconds:.6f}s;;;0"
        if report.mailbox.count is not None:
            yield f"messages={report.mailbox.count};;;0"
    yield f"time={report.seconds:.3f}s;;;0"


def profile_of(report: Report) -> str:
    """Return the names of the quirks that a client needs, as `quirks_named` takes them: "strict" if it needs none."""
    profiles = [
        port.implementation.profile
        for port in report.ports
        if port.implementation is not None and port.implementation.profile is not None
    ]
    named = profiles[:1]
    have = PROFILES[named[0]] if named else frozenset[Quirk]()
    return ",".join([*named, *(quirk.name.lower() for quirk in Quirk if quirk in report.quirks - have)]) or "strict"
