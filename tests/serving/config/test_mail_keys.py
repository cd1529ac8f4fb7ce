"""The keys of the server's file about mail: quota, retention, filters."""

import pytest

from pop3proto.serving import Filtering, JunkAction, OnDelete, Quota, Retain
from pop3proto.serving.config import ConfigError, read_config
from tests.serving.config.test_reading import LEAST

ALL = """
quota = { octets = "1G", messages = 50000, warn = 0.8, grace = false, when_full = "refuse", trash = true }
retain = { unread = "90d", read = "30d", every = "10m" }
on_delete = { to = "trash", keep = "3d" }
last = true
[filter]
clamd = "/run/clamd"
rspamd = "http://127.0.0.1:11333"
spamd = "127.0.0.1:783"
command = ["program", "-x"]
timeout = "5s"
largest = "10M"
junk = "tag"
virus = "folder"
folder = ".Spam"
"""


def read(tmp_path, text):
    file = tmp_path / "serve.toml"
    file.write_text(LEAST + text)
    return read_config(file)


def test_every_key_is_read(tmp_path):
    config = read(tmp_path, ALL)
    assert config.quota == Quota(10**9, 50_000, warn=0.8, grace=False, when_full="refuse", trash=True)
    assert config.retain == Retain(90 * 86_400, 30 * 86_400, every=600)
    assert config.on_delete == OnDelete("trash", 3 * 86_400)
    assert config.last
    assert config.filter_ == Filtering(
        clamd="/run/clamd", rspamd="http://127.0.0.1:11333", spamd="127.0.0.1:783", command=("program", "-x"),
        timeout=5, largest=10**7, junk=JunkAction.TAG, virus=JunkAction.FOLDER, folder=".Spam",
    )  # fmt: skip


def test_what_is_not_said_has_a_default(tmp_path):
    config = read(tmp_path, "")
    assert (config.quota, config.retain, config.on_delete, config.filter_) == (
        Quota(), Retain(), OnDelete(), Filtering()
    )  # fmt: skip


@pytest.mark.parametrize(
    "text,error",
    [
        ("quota = { octets = 0 }", "quota.octets: a size above 0 is expected"),
        ("quota = { messages = -1 }", "quota: the quota's messages must be above 0"),
        ("quota = { warn = true }", "quota.warn: a number is expected"),
        ('quota = { when_full = "bounce" }', 'quota.when_full: "later" or "refuse" is expected'),
        ('quota = { octet = "1G" }', 'quota: unknown key "octet"; did you mean "octets"?'),
        ('retain = { read = "soon" }', "retain.read: a duration is expected"),
        ("retain = { read = 0 }", "retain: read must be a duration above 0"),
        ('on_delete = { to = "bin" }', 'on_delete.to: "remove" or "trash" or "hide" is expected'),
        ('filter = { junk = "burn" }', 'filter.junk: "deliver" or "tag" or "folder" or "refuse" is expected'),
        ('filter = { clamd = "nowhere" }', "filter: a filter listens on"),
        ('filter = { rspamd = "nowhere" }', "filter: rspamd is named by a URL"),
        ('filter = { folder = "Junk" }', "filter: a folder of a Maildir is named"),
        ("filter = { command = [] }", "filter.command: a list is expected"),
    ],
)
def test_an_error_names_the_key(tmp_path, text, error):
    with pytest.raises(ConfigError) as failed:
        read(tmp_path, text)
    assert error in str(failed.value)
