"""The fuzz targets: each plays its seeds, and finds the fault that is put into the library for it."""

import json
import subprocess
import sys
from contextlib import nullcontext

import pytest

from fuzz import corpus, engine
from fuzz.__main__ import main
from fuzz.engine import attempt, fuzz, made_small, place
from fuzz.registry import TARGETS
from fuzz.target import Choices, Target, check, patched, seed
from tests.helpers.depth import deep
from tests.helpers.processes import PATIENCE


@pytest.fixture(autouse=True)
def findings(tmp_path, monkeypatch):
    """Where findings go, in place of the checkout."""
    monkeypatch.setattr(engine, "FINDINGS", tmp_path / "findings")
    return tmp_path / "findings"


def brittle(octets):
    check(b"!" not in octets, "there is an exclamation mark")
    return octets[:1]


BRITTLE = Target("brittle", "a target that fails", brittle, lambda: [b"abc", b"a!c"], nullcontext, b"!")


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_wrong_with_the_seeds(name):
    seeds = list(dict.fromkeys(TARGETS[name].seeds()))
    step = max(len(seeds) // deep(100, 25), 1)
    for octets in seeds[::step]:
        _, error = attempt(TARGETS[name], octets)
        assert error is None, octets


@pytest.mark.parametrize("name", TARGETS)
def test_a_planted_fault_is_seen(name):
    target = TARGETS[name]
    assert attempt(target, target.proof)[1] is None
    with target.plant():
        assert attempt(target, target.proof)[1] is not None
    assert attempt(target, target.proof)[1] is None


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_is_found(name):
    mutations = deep(50, 5)
    start = len(set(TARGETS[name].seeds()))
    target = TARGETS[name]
    short = Target(name, target.about, target.run, lambda: list(target.seeds())[:5], target.plant, target.proof)
    assert start > 5
    assert fuzz(short, runs=5 + mutations, seed=1).finding is None


# ------------------------------------------------------------------------------------------- the corpus


def test_the_dialogues_of_the_rfcs_and_the_transcripts_are_seeds():
    said = {octets for dialogue in corpus.dialogues() for octets in dialogue.said_by("C")}
    assert {b"STAT\r\n", b"user  ann \r\nPASS  two words \r\nSTAT\r\nLIST 1\r\nRETR 1\r\nDELE 1\r\nQUIT\r\n"} <= said


def test_every_transcript_in_python_joins(tmp_path, monkeypatch):
    (tmp_path / "quirks").mkdir()
    text = 'X = (Of("a", [Turn(Stat(), b"+OK 1\\r\\n"), Turn(None, b"x", b"." b"\\r\\n")]), Of("b"), f(b"c"))\n'
    (tmp_path / "quirks" / "servers.py").write_text(text, "utf-8")
    monkeypatch.setattr(corpus, "TESTS", tmp_path)
    monkeypatch.setattr(corpus, "QUIRKS", tmp_path / "quirks" / "none.json")
    (tmp_path / "quirks" / "none.json").write_text("[]", "utf-8")
    steps = (("C", b"+OK 1\r\n"), ("S", b"+OK 1\r\n"), ("C", b".\r\n"), ("S", b".\r\n"))
    assert corpus.dialogues.__wrapped__() == (corpus.Dialogue(steps),)


def test_every_transcript_in_json_joins(tmp_path, monkeypatch):
    steps = [["S", "+OK a\r\n"], ["S_BODY", "\xff\r\n"], ["C", "XNEW\r\n"], ["C", "\u20ac\r\n"]]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "quirks.json").write_text(json.dumps({"peers": [{"name": "x", "transcript": steps}]}), "utf-8")
    (tmp_path / "other.json").write_text('{"a": [1, ["x", "y"], []]}', "utf-8")
    (tmp_path / "none.json").write_bytes(b"\xff{")
    monkeypatch.setattr(corpus, "TESTS", tmp_path)
    monkeypatch.setattr(corpus, "QUIRKS", tmp_path / "other.json")
    assert corpus.dialogues.__wrapped__() == (
        corpus.Dialogue((("S", b"+OK a\r\n\xff\r\n"), ("C", b"XNEW\r\n\xe2\x82\xac\r\n"))),
    )


# ------------------------------------------------------------------------------------------- the engine


def test_choices_come_from_the_end():
    choices = Choices(seed(b"rest", 3, 250, 7))
    assert [choices.number(10), choices.number(256), *choices.numbers(1, 5)] == [3, 250, 2]
    assert choices.rest() == b"rest"
    assert Choices(b"").numbers(3, 7) == [0, 0, 0]


def test_a_finding_is_small_and_is_written(findings, monkeypatch, capsys):
    monkeypatch.setitem(TARGETS, "brittle", BRITTLE)
    assert main(["brittle", "--engine", "ours", "--runs", "100"]) == 1
    [octets, report] = sorted(findings.iterdir())
    assert octets.read_bytes() == b"!"
    assert "there is an exclamation mark" in report.read_text("utf-8")
    command = f"python -m fuzz brittle --repeat {octets}"
    assert command in report.read_text("utf-8")
    assert command in capsys.readouterr().out
    assert main(["brittle", "--repeat", str(octets)]) == 1
    assert "there is an exclamation mark" in capsys.readouterr().out
    octets.write_bytes(b"?")
    assert main(["brittle", "--repeat", str(octets)]) == 0


def test_another_fault_is_not_taken_for_the_same_one():
    def run(octets):
        if octets == b"":
            raise ValueError("another fault")
        brittle(octets)

    target = Target("two faults", "", run, list, nullcontext, b"!")
    _, error = attempt(target, b"ab!")
    assert error is not None
    finding = made_small(target, b"ab!", error)
    assert finding.octets == b"!"
    assert place(finding.error) == place(error)


def test_the_same_seed_gives_the_same_inputs():
    def played(number):
        inputs = []
        target = Target("", "", inputs.append, lambda: [b"USER ann\r\n", b"STAT\r\n"], nullcontext, b"")
        assert fuzz(target, runs=200, seed=number).runs == 200
        return inputs

    assert played(1) == played(1)
    assert played(1) != played(2)
    assert played(1)[:2] == [b"USER ann\r\n", b"STAT\r\n"]


def test_an_input_that_took_a_new_way_is_kept():
    target = Target("", "", lambda octets: len(octets) > 40, lambda: [b"a"], nullcontext, b"")
    assert fuzz(target, runs=500).ways == 2


def test_what_takes_too_long_is_a_finding(monkeypatch):
    ticks = iter(range(0, 1000, 30))
    monkeypatch.setattr(engine, "process_time", lambda: next(ticks))
    _, error = attempt(BRITTLE, b"")
    assert isinstance(error, TimeoutError)
    assert place(error) == (TimeoutError,)


def test_a_fault_is_taken_out_again():
    class Owner:
        value = 1

    with patched(Owner, "value", 2):
        assert Owner.value == 2
    assert Owner.value == 1


# ------------------------------------------------------------------------------------- the command line


def test_the_targets_are_listed(capsys):
    assert main(["--list"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(TARGETS)


def test_seeds_alone(capsys):
    assert main(["names", "--replay"]) == 0
    assert capsys.readouterr().out.startswith("names ")


def test_planted_faults_on_the_command_line(monkeypatch, capsys):
    assert main(["names", "--plant"]) == 0
    assert "found by" in capsys.readouterr().out
    fine = Target("fine", "", len, lambda: [b""], nullcontext, b"")
    monkeypatch.setitem(TARGETS, "fine", fine)
    monkeypatch.setattr("fuzz.__main__._PLANT_SECONDS", 0.0)
    assert main(["fine", "--plant"]) == 1
    assert "NOT FOUND" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["brew"], ["--runs", "x"], ["--repeat", "file"]])
def test_wrong_arguments_are_refused(arguments, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert "error" in capsys.readouterr().err


@pytest.mark.deep
def test_atheris_chooses_inputs():
    pytest.importorskip("atheris")
    command = [sys.executable, "-m", "fuzz", "der", "--engine", "atheris", "--runs", "200"]
    root = corpus.ROOT.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert "200 inputs" in done.stdout
