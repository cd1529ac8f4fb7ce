"""Files that get other names: no other file loses its own, and none is without a name."""

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pop3proto._io.moving import move_file
from pop3proto.maildrops.moving import move_message


@contextmanager
def opened(*paths: Path) -> Generator[list[int]]:
    descriptors = [os.open(path, os.O_RDONLY) for path in paths]
    try:
        yield descriptors
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    (one / "a").write_bytes(b"mine")
    return one, other


@pytest.fixture(params=[True, False], ids=["links", "no links"])
def links(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the file system has links."""
    if not request.param:

        def failing(*_: Any, **__: Any) -> None:
            raise OSError(errno.EPERM, "no links")

        monkeypatch.setattr(os, "link", failing)
    return bool(request.param)


@pytest.mark.usefixtures("links")
def test_a_file_moves(folders: tuple[Path, Path]) -> None:
    one, other = folders
    with opened(one, other) as (here, there):
        move_file("a", here, "b", there)
        assert (other / "b").read_bytes() == b"mine"
        move_file("b", there, "b", there)
        move_file("b", there, "c", there)
        with pytest.raises(FileNotFoundError):
            move_file("b", there, "d", there)
    assert [path.name for path in other.iterdir()] == ["c"]
    assert (other / "c").stat().st_nlink == 1
    assert [*one.iterdir()] == []


@pytest.mark.usefixtures("links")
def test_a_name_that_another_file_has_is_not_taken(folders: tuple[Path, Path]) -> None:
    one, other = folders
    (other / "b").write_bytes(b"another's")
    with opened(one, other) as (here, there):
        with pytest.raises(FileExistsError):
            move_file("a", here, "b", there)
        assert (one / "a").read_bytes() == b"mine"
        name = move_message("a", here, "b", there)
    assert (other / "b").read_bytes() == b"another's"
    assert (other / name).read_bytes() == b"mine"


@pytest.mark.usefixtures("links")
def test_a_second_name_of_the_file_is_the_name(folders: tuple[Path, Path], request: pytest.FixtureRequest) -> None:
    one, other = folders
    os.system(f"ln {one}/a {other}/b")
    with opened(one, other) as (here, there):
        assert move_message("a", here, "b", there) == "b"
    assert [*one.iterdir()] == []
    assert (other / "b").read_bytes() == b"mine"


def test_a_name_that_is_taken_in_between_is_not_overwritten(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = folders
    link = os.link

    def slower(source: str, target: str, **how: Any) -> None:
        if target == "b":
            (other / "b").write_bytes(b"another's")
        link(source, target, **how)

    monkeypatch.setattr(os, "link", slower)
    tried: list[str] = []
    with opened(one, other) as (here, there):
        name = move_message("a", here, "b", there, tried.append)
    assert tried == ["b", name]
    assert (other / "b").read_bytes() == b"another's"
    assert (other / name).read_bytes() == b"mine"


@pytest.mark.parametrize("moved", [True, False])
def test_a_file_that_another_program_moves_meanwhile_keeps_one_name_at_least(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, moved: bool
) -> None:
    one, other = folders
    unlink = os.unlink

    def later(path: str, **how: Any) -> None:
        if path == "a" and (one / "a").exists():
            if moved:
                (one / "a").rename(one / "c")
            else:
                unlink(one / "a")
        unlink(path, **how)

    monkeypatch.setattr(os, "unlink", later)
    with opened(one, other) as (here, there):
        if moved:
            with pytest.raises(FileNotFoundError):
                move_file("a", here, "b", there)
        else:
            move_file("a", here, "b", there)
    assert [path.name for path in (*one.iterdir(), *other.iterdir())] == ["c" if moved else "b"]


def test_a_file_that_cannot_leave_its_place_has_its_old_name_only(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = folders
    unlink = os.unlink

    def failing(path: str, **how: Any) -> None:
        if path == "a":
            raise PermissionError(errno.EACCES, "no")
        unlink(path, **how)

    monkeypatch.setattr(os, "unlink", failing)
    with opened(one, other) as (here, there), pytest.raises(PermissionError):
        move_file("a", here, "b", there)
    assert (one / "a").exists()
    assert [*other.iterdir()] == []
