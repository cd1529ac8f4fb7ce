"""Where mail is, how much of it there may be, and for how long."""

from __future__ import annotations

import attrs

from pop3proto._config.keys import about
from pop3proto.serving.template import Template  # noqa: TC001 - cattrs reads the annotations

__all__ = ["Maildrops"]


@attrs.frozen(kw_only=True)
class Maildrops:
    """Where the maildrops are."""

    maildir: Template = attrs.field(
        metadata=about(
            "the Maildir of a user. `{user}`, `{local}` and `{domain}` stand for the name and its two parts, `{home}` "
            "for the folder that the users' file or database names: `/var/vmail/{domain}/{local}/Maildir`"
        )
    )
    follow_links: bool = attrs.field(
        default=False,
        metadata=about(
            "Maildirs, and their folders `new` and `cur`, may be symbolic links; users with access to them can make "
            "them lead to the mail of others"
        ),
    )
