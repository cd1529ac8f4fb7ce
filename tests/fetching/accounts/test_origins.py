"""Where secrets come from, and that they are seen nowhere."""

import os
import sys
import time
import traceback

import keyring
import keyring.backend
import keyring.errors
import pytest

from pop3proto.fetching.accounts import (
    AccountError,
    FromCommand,
    FromEnvironment,
    FromFile,
    FromKeyring,
    FromNetrc,
    FromTerminal,
    SecretError,
)
from pop3proto.fetching.accounts.origins import Wanted, read_secret

MARKER = "Tr0ub4dor-Marker-and-3"


@pytest.fixture
def notes():
    return []


@pytest.fixture
def wanted(notes):
    return Wanted("password", "ann", "pop.example.org", notes.append)


@pytest.fixture
def token(notes):
    return Wanted("token", "ann", "pop.example.org", notes.append)


def prints(code):
    return FromCommand((sys.executable, "-c", code))


def failure(origin, wanted):
    with pytest.raises(AccountError) as failed:
        read_secret(origin, wanted)
    seen = "".join(traceback.TracebackException.from_exception(failed.value, capture_locals=True).format())
    assert MARKER not in seen
    return str(failed.value)


class TestCommand:
    def test_the_first_line_is_the_secret(self, wanted, token):
        assert prints("print(' tan staaf ', 2, sep='\\n')").read(wanted) == " tan staaf "
        assert prints("print(' ya29.token\\r')").read(token) == "ya29.token"
        assert prints("import sys; sys.stdout.buffer.write(b'\\xc3\\xa4')").read(wanted) == "ä"

    def test_there_is_no_shell(self, wanted, tmp_path):
        assert FromCommand(("echo", "$HOME; touch x")).read(wanted) == "$HOME; touch x"

    def test_it_reads_nothing_from_standard_input(self, wanted, tmp_path):
        (tmp_path / "input").write_text("of the caller")
        before = os.dup(0)
        with (tmp_path / "input").open() as file:
            os.dup2(file.fileno(), 0)
        try:
            assert prints("import sys; print(repr(sys.stdin.read()))").read(wanted) == "''"
        finally:
            os.dup2(before, 0)
            os.close(before)

    def test_what_a_failed_one_says_is_told(self, wanted):
        code = f"import sys; print('{MARKER}'); print('gpg: no\\x1b key', file=sys.stderr); sys.exit(3)"
        text = failure(prints(code), wanted)
        assert text.startswith(
            f"the password cannot be had: the command {sys.executable} failed with status 3: gpg: no"
        )
        assert "\x1b" not in text

    def test_one_that_is_not_there(self, wanted):
        assert failure(FromCommand(("/nowhere/pass",)), wanted) == (
            "the password cannot be had: cannot run /nowhere/pass: No such file or directory"
        )
        assert "cannot run" in failure(FromCommand(("a\0b",)), wanted)

    def test_one_that_takes_too_long(self, wanted):
        origin = FromCommand((sys.executable, "-c", f"import time; print('{MARKER}', flush=True); time.sleep(99)"), 0.5)
        begin = time.monotonic()
        assert failure(origin, wanted).endswith("took longer than 0.5 seconds")
        assert time.monotonic() - begin < 30

    @pytest.mark.parametrize(
        "code, why",
        [
            ("pass", "is empty"),
            (f"import sys; sys.stdout.buffer.write(b'{MARKER}\\xff')", "is not UTF-8"),
            (f"print('{MARKER}' * 1000)", "is too long for a password"),
        ],
    )
    def test_what_is_no_secret(self, wanted, code, why):
        assert failure(prints(code), wanted).endswith(why)

    def test_what_is_no_token(self, token):
        assert "is not an access token" in failure(prints(f"print('a {MARKER}')"), token)

    def test_its_arguments_are_not_shown(self):
        assert MARKER not in str(FromCommand(("pass", MARKER)))


class Backend(keyring.backend.KeyringBackend):
    """A keyring in memory."""

    priority = 1

    def __init__(self, secrets):
        super().__init__()
        self.secrets = secrets

    def get_password(self, service, username):
        if self.secrets is None:
            raise keyring.errors.KeyringLocked("it is locked")
        return self.secrets.get((service, username))

    def set_password(self, service, username, password):
        raise NotImplementedError


@pytest.fixture
def use():
    before = keyring.get_keyring()
    yield lambda secrets: keyring.set_keyring(Backend(secrets))
    keyring.set_keyring(before)


class TestKeyring:
    def test_it_has_it(self, use, wanted):
        use({("pop3proto", "ann@pop.example.org"): "tan staaf "})
        assert FromKeyring(True).read(wanted) == "tan staaf "

    def test_it_has_none(self, use, wanted):
        use({})
        assert failure(FromKeyring(True), wanted) == (
            "the keyring has no password for ann@pop.example.org; store it: keyring set pop3proto ann@pop.example.org"
        )

    def test_it_is_locked(self, use, wanted):
        use(None)
        assert failure(FromKeyring(True), wanted) == "the password cannot be read from the keyring: it is locked"

    def test_it_is_not_installed(self, monkeypatch, wanted):
        monkeypatch.setitem(sys.modules, "keyring", None)
        assert "install pop3proto with the extra [keyring]" in failure(FromKeyring(True), wanted)


class TestNetrc:
    def write(self, path, mode=0o600):
        path.write_text(f"machine pop.example.org login ann password {MARKER}\n")
        path.chmod(mode)

    def test_the_usual_file(self, a_home_of_ones_own, wanted, notes):
        self.write(a_home_of_ones_own / ".netrc")
        assert FromNetrc(True).read(wanted) == MARKER
        assert notes == []

    @pytest.mark.parametrize("mode", [0o640, 0o604])
    def test_that_others_may_read_it_is_told(self, tmp_path, wanted, notes, mode):
        file = tmp_path / "netrc"
        self.write(file, mode)
        assert FromNetrc(file).read(wanted) == MARKER
        [note] = notes
        assert note == (
            f"note: other users of this machine may read the password in {file} (mode {mode:04o}): chmod 600 it"
        )

    def test_there_is_none(self, tmp_path, wanted, notes):
        assert failure(FromNetrc(True), wanted).startswith("cannot read the netrc file ")
        file = tmp_path / "netrc"
        self.write(file)
        eve = Wanted("password", "eve", "pop.example.org", notes.append)
        assert failure(FromNetrc(file), eve) == f"{file} has no password for machine pop.example.org login eve"


class TestEnvironment:
    def test_it_is_read(self, monkeypatch, wanted):
        monkeypatch.setenv("POP3_PASSWORD", "tan ä ")
        assert FromEnvironment("POP3_PASSWORD").read(wanted) == "tan ä "

    def test_it_is_not_set(self, monkeypatch, wanted):
        monkeypatch.delenv("POP3_PASSWORD", raising=False)
        text = failure(FromEnvironment("POP3_PASSWORD"), wanted)
        assert text == "the password cannot be had: the variable POP3_PASSWORD is not set, or empty"


class TestFile:
    def test_the_first_line_is_the_secret(self, tmp_path, wanted, notes):
        file = tmp_path / "password"
        file.write_bytes(b"\xef\xbb\xbf tan\r\nsecond")
        assert FromFile(file).read(wanted) == " tan"
        assert notes == []

    @pytest.mark.parametrize("mode", [0o640, 0o602, 0o644])
    def test_that_others_may_read_it_is_told(self, tmp_path, wanted, notes, mode):
        file = tmp_path / "password"
        file.write_text(MARKER)
        file.chmod(mode)
        assert FromFile(file).read(wanted) == MARKER
        assert [f"(mode {mode:04o}): chmod 600 it" in note for note in notes] == [True]
        assert MARKER not in notes[0]

    def test_it_is_not_there(self, tmp_path, wanted):
        assert "No such file or directory" in failure(FromFile(tmp_path / "password"), wanted)


class TestTerminal:
    def test_it_is_typed(self, monkeypatch, wanted):
        asked = []
        monkeypatch.setattr("getpass.getpass", lambda question: asked.append(question) or "tan")
        assert FromTerminal(True).read(wanted) == "tan"
        assert asked == ["Password for ann on pop.example.org: "]

    def test_nothing_is_typed(self, monkeypatch, wanted):
        monkeypatch.setattr("getpass.getpass", lambda _: "")
        assert failure(FromTerminal(True), wanted) == "no password was given"

    def test_there_is_no_terminal(self, monkeypatch, wanted):
        def ended(_):
            raise EOFError

        monkeypatch.setattr("getpass.getpass", ended)
        text = "cannot ask for the password without a terminal: say where else it comes from"
        assert failure(FromTerminal(True), wanted) == text


def test_a_failure_of_all_is_one_kind(wanted):
    with pytest.raises(SecretError):
        FromEnvironment("").read(wanted)
