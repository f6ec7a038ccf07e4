"""The folders of received instances: nothing acknowledged is lost, nothing is decided twice."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spine_node.inbox import SETTLED, Inbox, Rest

SERIES, OTHER = "1.2.3", "1.2.4"


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    return Inbox(tmp_path)


def put(inbox: Inbox, sop_uid: str, content: bytes, series_uid: str = SERIES, ae: str = "CT1") -> str:
    return inbox.store(series_uid, sop_uid, ae, [content]).how


def contents(paths: Iterator[Path] | tuple[Path, ...] | list[Path]) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in paths}


def everything_below(folder: Path) -> dict[str, bytes]:
    found = (p for p in folder.rglob("*") if p.is_file() and p.name != "lock")
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}


def test_what_was_stored_is_an_open_series_with_its_sender(inbox: Inbox) -> None:
    before = time.time()
    for sop_uid in ("1.2.3.2", "1.2.3.1"):
        inbox.store(SERIES, sop_uid, "CT1", [b"head ", memoryview(b"body"), b""])
    (series,) = inbox.open_series()
    assert (series.series_uid, series.calling_ae) == (SERIES, "CT1")
    assert [path.name for path in series.paths] == ["1.2.3.1.dcm", "1.2.3.2.dcm"]
    assert contents(series.paths) == {"1.2.3.1": b"head body", "1.2.3.2": b"head body"}
    assert before - 1 <= series.last_arrival_unix_s <= time.time() + 1


_DEEDS = st.one_of(
    st.tuples(
        st.just("store"), st.sampled_from("ab"), st.sampled_from("xyz"), st.sampled_from(["CT1", "CT2"])
    ),
    st.tuples(st.sampled_from(["claim", "finish", "reopen", "forget"])),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), _DEEDS), max_size=14))
def test_what_a_process_remembers_of_a_series_changes_nothing(
    deeds: list[tuple[int, tuple[str, ...]]],
) -> None:
    """Two processes that live on, and one that is started anew for every deed, come to the same."""

    def done(inbox: Inbox, deed: str, *words: str) -> object:
        try:
            if deed == "store":
                sop, content, ae = words
                return put(inbox, f"1.2.3.{ord(sop)}", content.encode(), ae=ae)
            at = getattr(inbox, deed)(SERIES)
            return str(at.relative_to(inbox.root)) if isinstance(at, Path) else at
        except (FileNotFoundError, ValueError) as problem:
            return type(problem)

    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        living = Inbox(Path(one)), Inbox(Path(one))
        for who, (deed, *words) in deeds:
            assert done(living[who], deed, *words) == done(Inbox(Path(two)), deed, *words)
            assert everything_below(Path(one)) == everything_below(Path(two))


def test_the_series_that_is_silent_longest_comes_first(inbox: Inbox) -> None:
    put(inbox, "1.2.4.1", b"a", OTHER)
    put(inbox, "1.2.3.1", b"a")
    os.utime(inbox.root / "receiving" / OTHER, (1e9, 1e9))
    assert [s.series_uid for s in inbox.open_series()] == [OTHER, SERIES]


@pytest.mark.parametrize("end", SETTLED)
def test_each_end_is_a_place_to_look_at(inbox: Inbox, end: str) -> None:
    put(inbox, "1.2.3.1", b"a")
    claimed = inbox.claim(SERIES)
    assert inbox.claimed() == [SERIES]
    assert inbox.open_series() == []
    settle = {"done": inbox.finish, "refused": inbox.refuse, "ignored": inbox.ignore, "failed": inbox.fail}[
        end
    ]
    reason = () if end == "done" else ("two slices are missing",)
    folder = settle(SERIES, *reason)
    assert (folder, claimed.exists()) == (inbox.root / end / SERIES, False)
    assert contents(list(folder.glob("*.dcm"))) == {"1.2.3.1": b"a"}
    assert inbox.reason(SERIES) == "".join(reason)
    assert inbox.folders(SERIES) == {end: folder}
    assert settle(SERIES, *reason) == folder, "saying it twice changes nothing"


def test_claiming_twice_gives_the_same_folder(inbox: Inbox) -> None:
    put(inbox, "1.2.3.1", b"a")
    assert inbox.claim(SERIES) == inbox.claim(SERIES)


def test_only_who_has_claimed_a_series_may_settle_it(inbox: Inbox) -> None:
    put(inbox, "1.2.3.1", b"a")
    with pytest.raises(FileNotFoundError, match=rf"nothing of series {SERIES} is claimed"):
        inbox.finish(SERIES)
    with pytest.raises(FileNotFoundError, match=rf"nothing of series {OTHER} is receiving"):
        inbox.claim(OTHER)
    with pytest.raises(FileNotFoundError, match="claimed or settled"):
        inbox.reopen(SERIES)


@pytest.mark.parametrize("state", ["receiving", "claimed", *SETTLED])
def test_the_same_instance_again_changes_nothing_in_any_state(inbox: Inbox, state: str) -> None:
    put(inbox, "1.2.3.1", b"a")
    _bring(inbox, state)
    before = everything_below(inbox.root)
    assert put(inbox, "1.2.3.1", b"a", ae="ANOTHER") == "same"
    assert everything_below(inbox.root) == before


def test_the_same_instance_again_shows_that_its_sender_is_still_there(inbox: Inbox) -> None:
    put(inbox, "1.2.3.1", b"a")
    os.utime(inbox.root / "receiving" / SERIES, (1e9, 1e9))
    put(inbox, "1.2.3.1", b"a")
    assert inbox.open_series()[0].last_arrival_unix_s > 1e9 + 1


def test_a_corrected_instance_takes_the_place_and_the_older_content_is_kept(inbox: Inbox) -> None:
    for content in (b"first", b"second", b"third"):
        put(inbox, "1.2.3.1", content)
    assert contents(inbox.open_series()[0].paths) == {"1.2.3.1": b"third"}
    kept = sorted((inbox.root / "superseded" / SERIES).glob("*.dcm"))
    assert [(path.name, path.read_bytes()) for path in kept] == [
        ("1.2.3.1-1.dcm", b"first"),
        ("1.2.3.1-2.dcm", b"second"),
    ]


@pytest.mark.parametrize("state", SETTLED)
def test_a_late_slice_opens_a_settled_series_and_the_claim_takes_the_union(inbox: Inbox, state: str) -> None:
    put(inbox, "1.2.3.1", b"a")
    put(inbox, "1.2.3.2", b"old")
    _bring(inbox, state)
    assert put(inbox, "1.2.3.3", b"c") == "new"
    assert put(inbox, "1.2.3.2", b"new") == "new"
    (series,) = inbox.open_series()
    union = {"1.2.3.1": b"a", "1.2.3.2": b"new", "1.2.3.3": b"c"}
    assert contents(series.paths) == union
    claimed = inbox.claim(SERIES)
    assert contents(list(claimed.glob("*.dcm"))) == union
    assert inbox.folders(SERIES) == {"claimed": claimed}
    assert inbox.reason(SERIES) == ""
    assert [p.read_bytes() for p in (inbox.root / "superseded" / SERIES).iterdir()] == [b"old"]


def test_a_late_slice_leaves_a_claimed_series_alone_and_waits_for_its_end(inbox: Inbox) -> None:
    put(inbox, "1.2.3.1", b"a")
    claimed = inbox.claim(SERIES)
    put(inbox, "1.2.3.2", b"b")
    assert contents(list(claimed.glob("*.dcm"))) == {"1.2.3.1": b"a"}
    assert inbox.open_series() == []
    assert inbox.claim(SERIES) == claimed
    assert not (claimed / "1.2.3.2.dcm").exists()
    inbox.finish(SERIES)
    assert contents(inbox.open_series()[0].paths) == {"1.2.3.1": b"a", "1.2.3.2": b"b"}


@pytest.mark.parametrize("state", ["claimed", *SETTLED])
def test_a_series_can_be_judged_anew(inbox: Inbox, state: str) -> None:
    put(inbox, "1.2.3.1", b"a")
    _bring(inbox, state)
    inbox.reopen(SERIES)
    assert contents(inbox.open_series()[0].paths) == {"1.2.3.1": b"a"}
    assert inbox.reason(SERIES) == ""


def test_a_series_refused_again_after_more_of_it_came_is_one_folder(inbox: Inbox) -> None:
    put(inbox, "1.2.3.1", b"a")
    _bring(inbox, "refused")
    put(inbox, "1.2.3.2", b"b")
    inbox.claim(SERIES)
    folder = inbox.refuse(SERIES, "still incomplete")
    assert contents(list(folder.glob("*.dcm"))) == {"1.2.3.1": b"a", "1.2.3.2": b"b"}
    assert inbox.reason(SERIES) == "still incomplete"


def settled(inbox: Inbox, series_uid: str) -> Rest:
    """A series that was sent, corrected and analysed."""
    for content in (b"a", b"b"):
        put(inbox, "1.1", content, series_uid)
    inbox.claim(series_uid)
    inbox.finish(series_uid)
    return next(rest for rest in inbox.rests() if rest.series_uid == series_uid)


def test_a_settled_series_is_removed_with_its_older_contents(inbox: Inbox) -> None:
    settled(inbox, "1.2.1")
    assert inbox.remove(settled(inbox, "1.2.0"))
    assert [p.name for p in (inbox.root / "superseded").iterdir()] == ["1.2.1"]
    assert [p.name for p in (inbox.root / "done").iterdir()] == ["1.2.1"]


def test_a_series_that_something_happened_to_meanwhile_is_not_removed(inbox: Inbox) -> None:
    """Between choosing and deleting, it was sent again, is analysed again, or settled anew."""
    rest = settled(inbox, SERIES)
    put(inbox, "1.2", b"new")
    assert not inbox.remove(rest)
    inbox.claim(SERIES)
    assert not inbox.remove(rest)
    os.utime(inbox.finish(SERIES), (1e9, 1e9))
    assert not inbox.remove(rest)
    assert contents((inbox.root / "done" / SERIES).glob("*.dcm")) == {"1.1": b"b", "1.2": b"new"}


def test_only_what_has_settled_is_removed(inbox: Inbox) -> None:
    put(inbox, "1.1", b"a")
    (rest,) = inbox.rests()
    with pytest.raises(ValueError, match="receiving is not removed"):
        inbox.remove(rest)


def test_a_kill_while_deleting_leaves_nothing_that_looks_like_a_series(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    rest = settled(inbox, SERIES)
    monkeypatch.setattr("spine_node.inbox.shutil.rmtree", lambda *_, **__: None)
    assert inbox.remove(rest)
    monkeypatch.undo()
    assert list(inbox.rests()) == []
    assert everything_below(inbox.root)
    assert everything_below(Inbox(inbox.root).root) == {}


def test_a_study_that_an_operator_forgets_is_gone_in_every_state(inbox: Inbox) -> None:
    settled(inbox, SERIES)
    put(inbox, "1.9", b"more")
    assert inbox.forget(SERIES)
    assert everything_below(inbox.root) == {}
    assert not inbox.forget(SERIES)


def test_what_is_being_analysed_is_not_forgotten(inbox: Inbox) -> None:
    put(inbox, "1.1", b"a")
    inbox.claim(SERIES)
    with pytest.raises(ValueError, match="is being analysed"):
        inbox.forget(SERIES)


def test_older_contents_are_forgotten_when_they_are_old(inbox: Inbox) -> None:
    settled(inbox, SERIES)
    assert inbox.forget_superseded(50) == []
    (old,) = (inbox.root / "superseded").glob("*/*.dcm")
    os.utime(old, (1e9, 1e9))
    assert inbox.forget_superseded(50) == [old]


def test_nothing_is_stored_until_there_is_room_again(inbox: Inbox) -> None:
    """In any process that shares the inbox; the reason is what an operator finds in the folder."""
    Inbox(inbox.root).stop_storing("the quota of 5 GB is used up")
    with pytest.raises(OSError, match="quota of 5 GB") as refused:
        put(inbox, "1.1", b"a")
    assert refused.value.errno == errno.ENOSPC
    assert list(inbox.rests()) == []
    Inbox(inbox.root).store_again()
    assert put(inbox, "1.1", b"a") == "new"


@pytest.mark.parametrize(
    "uid",
    [
        "",
        ".",
        "..",
        "../../etc",
        "1..2",
        "1.2.",
        ".1",
        "1/2",
        "1.2\n",
        "1.2\0",
        "a.b",
        "1." * 32 + "1",
        "१.२",
    ],
)
def test_text_that_is_no_uid_never_becomes_a_path(inbox: Inbox, uid: str) -> None:
    before = sorted(inbox.root.rglob("*"))
    with pytest.raises(ValueError, match="not a UID"):
        inbox.store(uid, "1.2", "CT1", [b"a"])
    with pytest.raises(ValueError, match="not a UID"):
        inbox.store(SERIES, uid, "CT1", [b"a"])
    assert [p for p in sorted(inbox.root.rglob("*")) if p.name != "lock" and p not in before] == []


@given(st.text(max_size=70))
def test_whatever_is_taken_for_a_uid_stays_within_its_folder(
    tmp_path_factory: pytest.TempPathFactory, uid: str
) -> None:
    inbox = Inbox(tmp_path_factory.getbasetemp() / "fuzz")
    try:
        path = inbox.store(SERIES, uid, "CT1", [b"a"]).path
    except ValueError:
        return
    assert path.resolve().parent == inbox.root / "receiving" / SERIES


def test_a_disk_that_fills_while_writing_leaves_nothing_behind(inbox: Inbox) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"the first part"
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        inbox.store(SERIES, "1.2.3.1", "CT1", chunks())
    assert everything_below(inbox.root) == {}


def test_a_disk_that_is_full_only_when_synced_leaves_nothing_behind(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Delayed allocation: the write succeeds, and fsync tells the truth."""

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        put(inbox, "1.2.3.1", b"a")
    monkeypatch.undo()
    assert everything_below(inbox.root) == {}


def test_the_reserve_is_left_alone(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path, reserve_bytes=1 << 60)
    with pytest.raises(OSError, match=f"{1 << 60} are reserved") as refusal:
        put(inbox, "1.2.3.1", b"a")
    assert refusal.value.errno == errno.ENOSPC


def test_an_instance_is_synced_before_it_is_in_its_place(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the folder afterwards: else a power cut could take what the sender was told we have."""
    receiving = inbox.root / "receiving" / SERIES
    synced: list[str] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        arrived = (receiving / "1.2.3.1.dcm").exists()
        synced.append(
            f"{'file' if path.endswith('.part') else Path(path).name} {'after' if arrived else 'before'}"
        )
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    put(inbox, "1.2.3.1", b"a")
    # where the sender is written, others take the folder's own name to be on the disk
    assert synced == ["file before", "receiving before", ".sender.txt before", f"{SERIES} after"]


def test_many_threads_lose_nothing(inbox: Inbox) -> None:
    """Eight senders, two of them with the same instances, while series are claimed and settled."""
    stop = threading.Event()

    def judge() -> None:
        while not stop.is_set():
            for series in inbox.open_series():
                inbox.claim(series.series_uid)
                inbox.finish(series.series_uid)

    def send(sender: int) -> None:
        for n in range(40):
            put(inbox, f"1.9.{sender % 7}.{n}", f"{sender % 7} {n}".encode(), f"1.2.{n % 3}")

    judging = threading.Thread(target=judge)
    judging.start()
    senders = [threading.Thread(target=send, args=[n]) for n in range(8)]
    for thread in senders:
        thread.start()
    for thread in senders:
        thread.join()
    stop.set()
    judging.join()
    for series in inbox.open_series():
        inbox.claim(series.series_uid)
        inbox.finish(series.series_uid)
    found = contents(list((inbox.root / "done").rglob("*.dcm")))
    assert found == {f"1.9.{s}.{n}": f"{s} {n}".encode() for s in range(7) for n in range(40)}
    assert not list((inbox.root / "superseded").iterdir())
    assert not list((inbox.root / "incoming").rglob("*.part"))


def test_instances_and_changes_of_state_wait_for_each_other_but_never_for_bytes(inbox: Inbox) -> None:
    """Also over processes: the file lock is held here as another process would hold it."""
    with (inbox.root / "lock").open("w") as lock:

        def slowly() -> Iterator[bytes]:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises if writing held it
            yield b"a"

        store = threading.Thread(target=inbox.store, args=[SERIES, "1.2.3.1", "CT1", slowly()])
        store.start()
        store.join(timeout=0.3)
        assert store.is_alive()
        assert inbox.open_series() == []
        fcntl.flock(lock, fcntl.LOCK_UN)
        store.join()
        assert len(inbox.open_series()) == 1
        fcntl.flock(lock, fcntl.LOCK_EX)
        claim = threading.Thread(target=inbox.claim, args=[SERIES])
        claim.start()
        claim.join(timeout=0.3)
        assert inbox.claimed() == []
        fcntl.flock(lock, fcntl.LOCK_UN)
        claim.join()
        assert inbox.claimed() == [SERIES]


def test_temporary_files_of_a_killed_process_are_cleared_and_those_of_a_living_one_are_not(
    tmp_path: Path,
) -> None:
    living = Inbox(tmp_path)
    mine = living._drafts.folder() / "mine.part"
    mine.write_bytes(b"half an instance")
    code = (
        "import sys, time; from pathlib import Path; from spine_node.inbox import Inbox\n"
        "folder = Inbox(Path(sys.argv[1]))._drafts.folder()\n"
        "(folder / 'half.part').write_bytes(b'half'); print(folder, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        theirs = Path(other.stdout.readline().strip())
        Inbox(tmp_path)
        assert (theirs / "half.part").exists()
        other.send_signal(signal.SIGKILL)
    Inbox(tmp_path)
    assert not theirs.exists()
    assert mine.exists()


def _bring(inbox: Inbox, state: str) -> None:
    """The open series into this state."""
    if state == "receiving":
        return
    inbox.claim(SERIES)
    if state == "done":
        inbox.finish(SERIES)
    elif state != "claimed":
        {"refused": inbox.refuse, "ignored": inbox.ignore, "failed": inbox.fail}[state](SERIES, "a reason")


def test_instances_are_found_by_their_uid_alone_in_any_state(tmp_path: Path) -> None:
    """And nothing that is not there; a name that is no UID finds nothing."""
    inbox = Inbox(tmp_path)
    for series, sop in (("1.1", "1.1.1"), ("1.1", "1.1.2"), ("1.2", "1.2.1"), ("1.3", "1.3.1")):
        inbox.store(series, sop, "CT1", [b"x"])
    inbox.claim("1.2")
    inbox.claim("1.3")
    inbox.refuse("1.3", "why")
    found = inbox.keep(["1.1.2", "1.2.1", "1.3.1", "1.4.1", "../1.1/1.1.1", ""])
    assert {uid: path.parent.parent.name for uid, path in found.items()} == {
        "1.1.2": "receiving",
        "1.2.1": "claimed",
        "1.3.1": "refused",
    }
    assert all(path.read_bytes() == b"x" for path in found.values())


def test_what_is_asked_for_is_kept_anew_and_the_rest_is_as_quiet_as_before(tmp_path: Path) -> None:
    """A settled series rests as long from now; one that is arriving is not made to wait longer."""
    inbox = Inbox(tmp_path)
    long_ago = time.time() - 1000.0
    for series in ("1.1", "1.2"):
        inbox.store(series, f"{series}.1", "CT1", [b"x"])
    inbox.claim("1.2")
    inbox.finish("1.2")
    for folder in (tmp_path / "receiving" / "1.1", tmp_path / "done" / "1.2"):
        os.utime(folder, (long_ago, long_ago))
    inbox.keep(["1.1.1", "1.2.1"])
    assert (tmp_path / "done" / "1.2").stat().st_mtime > long_ago + 900
    assert inbox.open_series()[0].last_arrival_unix_s == pytest.approx(long_ago)


def test_a_series_that_changes_its_state_meanwhile_is_not_overlooked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reopened after the look at those that arrive, before the look at those refused."""
    inbox = Inbox(tmp_path)
    inbox.store("1.1", "1.1.1", "CT1", [b"x"])
    inbox.claim("1.1")
    inbox.refuse("1.1", "why")
    look, looked = inbox._series, []

    def reopened_in_between(state: str) -> list[Path]:
        found = look(state)
        if not looked:
            assert state == "receiving"
            inbox.reopen("1.1")
        looked.append(state)
        return found

    monkeypatch.setattr(inbox, "_series", reopened_in_between)
    assert inbox.keep(["1.1.1"]) == {"1.1.1": tmp_path / "receiving" / "1.1" / "1.1.1.dcm"}
