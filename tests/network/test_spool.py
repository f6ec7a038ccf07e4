"""A data set may be longer than memory, and the disk may be full."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from spine_node.network import spool
from spine_node.network.spool import Spool


@pytest.fixture(autouse=True)
def _small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MEMORY_BYTES", 1000)
    monkeypatch.setattr(spool, "_COPY_BYTES", 300)


def of(fragments: list[bytes], folder: Path) -> Spool:
    gathered = Spool(lambda: folder)
    for fragment in fragments:
        assert gathered.write(fragment) == len(fragment)
    return gathered


@pytest.mark.parametrize("sizes", [[], [1], [999, 1], [1001], [1000, 1], [400] * 7, [3, 5000, 2]])
def test_what_goes_in_comes_out(tmp_path: Path, sizes: list[int]) -> None:
    fragments = [bytes([n % 251]) * size for n, size in enumerate(sizes, start=1)]
    gathered = of(fragments, tmp_path)
    expected = b"".join(fragments)
    assert b"".join(gathered.chunks()) == expected
    gathered.reader().seek(0)
    assert gathered.reader().read() == expected
    assert b"".join(gathered.chunks()) == expected, "also after someone has read in it"


def test_memory_holds_no_more_than_its_bound(tmp_path: Path) -> None:
    gathered = of([b"a" * 600, b"b" * 600, b"c" * 600], tmp_path)
    assert len(gathered.getbuffer()) == 0


def test_nothing_is_left_on_disk(tmp_path: Path) -> None:
    """The file has no name: not even a killed process leaves it."""
    gathered = of([b"a" * 5000], tmp_path)
    assert list(tmp_path.iterdir()) == []
    gathered.close()
    assert gathered.closed


def test_a_full_disk_is_told_when_the_data_set_is_wanted_and_not_before(tmp_path: Path) -> None:
    def no_room() -> Path:
        raise OSError(errno.ENOSPC, "No space left on device")

    gathered = Spool(no_room)
    for _ in range(3):
        assert gathered.write(b"a" * 600) == 600
    with pytest.raises(OSError, match="No space left"):
        list(gathered.chunks())
