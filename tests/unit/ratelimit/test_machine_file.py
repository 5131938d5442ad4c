"""Folder and files: whose they are, what they are, and what becomes of them."""

from __future__ import annotations

import os
import stat
import sys

import pytest

from okx_funding import InvalidArgumentError
from okx_funding.ratelimit.machine import file
from okx_funding.ratelimit.machine.alive import Lives, lives_in
from okx_funding.ratelimit.machine.file import (
    LimitFile,
    LimitFileError,
    check_folder,
    open_checked,
)

pytestmark = pytest.mark.skipif(os.name != "posix", reason="Linux and macOS only")


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "limits")


def never(_data: bytes) -> bool:
    return False


def test_the_folder_depends_on_the_user_and_on_nothing_else(monkeypatch):
    before = file.default_folder()
    for name in ("TMPDIR", "XDG_RUNTIME_DIR", "HOME"):
        monkeypatch.setenv(name, "/elsewhere")
    assert file.default_folder() == before
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert file.default_folder().endswith("/okx-funding-4711")


def test_other_systems_hear_of_the_other_two_ways(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(InvalidArgumentError, match=r"(?s)Redis.*rate_limits="):
        file.default_folder()


def test_folder_and_files_are_the_users_alone(folder):
    LimitFile(folder, "a.limit").close()
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(f"{folder}/a.limit").st_mode) == 0o600


def test_a_folder_that_its_group_may_write_to_is_shared_with_the_group(folder):
    os.mkdir(folder)
    os.chmod(folder, 0o770)
    LimitFile(folder, "a.limit").close()
    assert stat.S_IMODE(os.stat(f"{folder}/a.limit").st_mode) == 0o660


def test_a_link_in_place_of_the_folder_is_refused(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    os.symlink(tmp_path / "elsewhere", folder)
    with pytest.raises(LimitFileError, match="links aren't followed"):
        check_folder(folder)


def test_a_link_in_place_of_a_file_is_refused(folder, tmp_path):
    check_folder(folder)
    target = tmp_path / "target"
    target.write_bytes(b"mine")
    os.symlink(target, f"{folder}/a.limit")
    with pytest.raises(LimitFileError, match="links aren't followed"):
        open_checked(folder, "a.limit")
    assert target.read_bytes() == b"mine"


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_what_is_no_plain_file_is_refused(folder, make):
    check_folder(folder)
    make(f"{folder}/a.limit")
    with pytest.raises(LimitFileError, match="no plain file"):
        open_checked(folder, "a.limit")


def test_a_folder_of_another_user_is_refused(folder, monkeypatch):
    check_folder(folder)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(LimitFileError, match=f"belongs to user {os.getuid()}"):
        check_folder(folder)


def test_a_file_of_another_user_is_refused(folder, monkeypatch):
    check_folder(folder)
    os.close(os.open(f"{folder}/a.limit", os.O_CREAT | os.O_RDWR, 0o600))
    monkeypatch.setattr(file, "check_folder", lambda _: 0o600)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(LimitFileError, match=f"belongs to user {os.getuid()}"):
        open_checked(folder, "a.limit")


def test_what_everybody_may_write_is_refused(folder):
    check_folder(folder)
    LimitFile(folder, "a.limit").close()
    os.chmod(f"{folder}/a.limit", 0o666)
    with pytest.raises(LimitFileError, match="its mode is 666, not 600"):
        open_checked(folder, "a.limit")
    os.chmod(folder, 0o777)
    with pytest.raises(LimitFileError, match="everybody may write"):
        check_folder(folder)


def test_two_openings_of_one_file_exclude_each_other_even_in_one_process(folder):
    one, two = LimitFile(folder, "a.limit"), LimitFile(folder, "a.limit")
    assert one.lock()
    assert not two.lock()
    one.unlock()
    assert two.lock()
    one.close()
    two.close()


def test_who_holds_the_lock_of_a_replaced_file_sees_that_it_has_no_name(folder):
    stopped, other = LimitFile(folder, "a.limit"), LimitFile(folder, "a.limit")
    assert stopped.lock()
    assert stopped.has_name()
    other.replace()
    assert not stopped.has_name()
    fresh = LimitFile(folder, "a.limit")
    assert fresh.lock()
    assert fresh.read() == b""
    assert os.listdir(folder) == ["a.limit"]
    for each in (stopped, other, fresh):
        each.close()


def test_room_for_a_part_only_is_an_error(folder, monkeypatch):
    it = LimitFile(folder, "a.limit")
    monkeypatch.setattr(os, "pwrite", lambda *_: 3)
    with pytest.raises(OSError, match="no room"):
        it.write(b"longer")
    it.close()


def age(path: str, seconds: float) -> None:
    then = os.stat(path).st_mtime - seconds
    os.utime(path, (then, then))


def test_files_unused_for_a_day_are_removed_and_others_stay(folder):
    for name in ("old.limit", "new.limit", "left.limit.1.new", "used.limit", "alive"):
        LimitFile(folder, name).close()
    for name in ("old.limit", "left.limit.1.new", "used.limit", "alive"):
        age(f"{folder}/{name}", 90_000)
    used = LimitFile(folder, "used.limit")
    used.write(b"in use")
    age(f"{folder}/used.limit", 90_000)
    list(file.removing_unused(folder, lambda data: data == b"in use"))
    assert sorted(os.listdir(folder)) == ["alive", "new.limit", "used.limit"]
    used.close()


def test_a_file_in_somebodys_hand_is_not_removed(folder):
    held = LimitFile(folder, "a.limit")
    age(f"{folder}/a.limit", 90_000)
    assert held.lock()
    list(file.removing_unused(folder, never))
    assert held.has_name()
    held.close()


# -- who lives --------------------------------------------------------------------------------


def another(folder: str, work: str) -> int:
    """A process of its own that has a number in the folder, prints it and waits for its end."""
    import subprocess

    code = (
        "import sys; from okx_funding.ratelimit.machine.alive import lives_in; "
        f"print(lives_in({folder!r}).begin(), flush=True); {work}"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    number = int(process.stdout.readline())
    lives = Lives(folder)
    assert lives.is_alive(number) is True
    process.kill()
    process.communicate()
    return number


def test_a_process_lives_until_it_ends_however_it_ends(folder):
    number = another(folder, "sys.stdin.read()")
    lives = Lives(folder)
    assert not lives.is_alive(number)
    lives._close()


def test_two_sessions_of_one_process_live_and_end_each_by_itself(folder):
    lives = lives_in(folder)
    one, two = lives.begin(), lives.begin()
    assert lives.is_alive(one)
    assert lives.is_alive(two)
    lives.end(one)
    assert not lives.is_alive(one)
    assert lives.is_alive(two)
    lives.end(two)


def test_a_forked_child_does_not_live_by_its_parents_lock(folder):
    lives = lives_in(folder)
    number = lives.begin()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        mine = lives_in(folder)
        fresh = mine is not lives and mine.is_alive(number) and mine.begin() != number
        os.write(writer, b"y" if fresh else b"n")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 1) == b"y"
    assert lives.is_alive(number)
    os.close(reader)
    os.close(writer)
    lives.end(number)


def test_who_lives_goes_on_living_in_a_new_file_when_the_old_one_was_deleted(folder):
    lives = lives_in(folder)
    number = lives.begin()
    os.unlink(f"{folder}/alive")
    lives.ensure()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, b"y" if lives_in(folder).is_alive(number) else b"n")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reader, 1) == b"y"
    os.close(reader)
    os.close(writer)
    lives.end(number)
