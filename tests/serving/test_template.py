"""Paths of maildrops: no name leads out of the folder that the template names."""

import re
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from pop3proto.serving import Template

TEMPLATES = ["/mail/{user}", "/mail/{domain}/{local}/Maildir", "/mail/{local}", "/mail/x{user}y"]


@pytest.mark.parametrize("text", TEMPLATES)
@given(user=st.text(alphabet=st.sampled_from("a./@\0\\~{}\udc80é"), max_size=8))
def test_no_name_leads_out(text, user):
    path = Template.parse(text).path(user)
    if path is not None:
        assert path.is_relative_to("/mail")
        assert len(path.parts) == len(Path(text).parts)
        assert ".." not in path.parts
        assert "\0" not in str(path)


@given(home=st.text(alphabet=st.sampled_from("a./\0"), max_size=8))
def test_no_home_leads_out(home):
    path = Template.parse("{home}/Maildir").path("ann", Path(home))
    if path is not None:
        assert Path("/", *path.parts[1:]) == Path("/", str(Path(home)).lstrip("/"), "Maildir")  # "//" is "/"
        assert path.is_absolute()
        assert ".." not in path.parts


@pytest.mark.parametrize(
    "text, user, home, path",
    [
        ("/mail/{user}", "ann", None, "/mail/ann"),
        ("/mail/{user}", "ann@example.org", None, "/mail/ann@example.org"),
        ("/mail/{domain}/{local}/Maildir", "ann@example.org", None, "/mail/example.org/ann/Maildir"),
        ("/mail/{domain}/{local}", "a@b@example.org", None, "/mail/example.org/a@b"),
        ("/mail/{domain}/{local}", "ann", None, None),
        ("/mail/{domain}/{local}", "ann@", None, None),
        ("/mail/{domain}/{local}", "@example.org", None, None),
        ("/mail/{user}", "..", None, None),
        ("/mail/{user}", ".ann", None, None),
        ("/mail/{user}", "a/b", None, None),
        ("/mail/{user}", "a\0", None, None),
        ("/mail/{user}", "", None, None),
        ("/mail/{domain}/{local}", "a@..", None, None),
        ("/mail/{user}", "{home}", "/h", "/mail/{home}"),
        ("{home}/Maildir", "ann", "/home/ann/", "/home/ann/Maildir"),
        ("{home}/Maildir", "ann", None, None),
        ("{home}", "ann", "/home/ann", "/home/ann"),
        ("{home}/{user}", "ann", "/h", "/h/ann"),
        ("{home}/Maildir", "ann", "h", None),
        ("{home}/Maildir", "ann", "/home/../root", None),
        ("{home}/Maildir", "ann", "/home/a\0b", None),
    ],
)
def test_what_a_user_has(text, user, home, path):
    found = Template.parse(text).path(user, None if home is None else Path(home))
    assert found == (None if path is None else Path(path))


@pytest.mark.parametrize(
    "text, why",
    [
        ("mail/{user}", "must begin with /"),
        ("/mail/{usr}", 'did you mean "user"'),
        ("/mail/{user", "a brace stands for nothing but a field"),
        ("/mail/{user}}", "a brace stands for nothing but a field"),
        ("/mail/{user}/../x", "no .. and no NUL"),
        ("/mail\0/{user}", "no .. and no NUL"),
        ("/mail", "all users would share one maildrop"),
        ("/mail/{domain}", "all users would share one maildrop"),
        ("/mail/{home}", "must begin with / or {home}/"),
        ("{home}x", "must begin with / or {home}/"),
        ("{home}/{home}", "must begin with / or {home}/"),
    ],
)
def test_what_cannot_be_one_is_refused(text, why):
    with pytest.raises(ValueError, match=re.escape(why)):
        Template.parse(text)
