"""Bytes of others as a file that gives no more than a bound: a parser of it ends, and its memory is known.

A length field costs four bytes and may announce 4 GB; a deflated megabyte may hold a gigabyte; a hundred
thousand sequences nest in a megabyte. pydicom believes all of them. It is given these files to read, which
compare what is asked for with what is there, and count.
"""

from __future__ import annotations

import zlib
from typing import BinaryIO

MAX_READS = 1_000_000
"""Reads that one header may cost: each element takes two or three. 5000 frames with 60 elements each of
functional groups take as many, some 3 s, and the objects that they make 500 MB."""

_SHORT = 16384
"""A parser looks for the end with reads of this size at most; a longer one is the value of an element."""

_PIECE = 1 << 16


class TooMuchError(ValueError):
    """The bytes announce or hold more than the bound allows, or more than there is."""


def in_words(problem: BaseException) -> str:
    """What a parser ran into, in one short line.

    A parser's own words may quote the bytes that it could not read, and so the patient: its error's name
    is all that is told. On the way it may have met its own recursion, or an end of what we let it read.
    """
    cause: BaseException | None = problem
    while cause is not None:
        if isinstance(cause, RecursionError):
            return "its sequences are nested too deep"
        if isinstance(cause, TooMuchError):
            return str(cause)
        cause = cause.__cause__ or cause.__context__
    return f"its elements do not follow each other as they should ({type(problem).__name__})"


class UnboundedReadError(ValueError):
    """All that is left was asked for at once."""


class Bounded:
    """A binary file that is read forwards, with small steps back, as far as a bound.

    Parameters
    ----------
    file : binary file
        Read from where it stands when this is made; positions count from there.
    limit : int
        Bytes that may be read in all.
    reads : int
        Reads that may be made in all.
    """

    def __init__(self, file: BinaryIO, limit: int, reads: int = MAX_READS) -> None:
        self._file = file
        self._limit, self._left = limit, limit
        self._max_reads, self._reads = reads, reads
        self._base = file.tell()
        self._size = file.seek(0, 2) - self._base
        file.seek(self._base)
        self._at = 0  # known, as to ask the file takes as long as to read from it

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, fewer only at the end."""
        if size < 0:
            raise UnboundedReadError("all that is left was asked for at once")
        remaining = max(self._size - self._at, 0)
        if size > remaining and size > _SHORT:
            raise TooMuchError(f"an element announces {size} bytes where {remaining} are left")
        self._count(min(size, remaining))
        found = self._file.read(size)
        self._at += len(found)
        return found

    def tell(self) -> int:
        """Position."""
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a position, also beyond the end, where nothing is read."""
        if whence == 1:
            offset += self.tell()
        elif whence == 2:
            offset += self._size
        self._at = self._file.seek(self._base + max(offset, 0)) - self._base
        return self._at

    def _count(self, size: int) -> None:
        self._left -= size
        self._reads -= 1
        if self._left < 0:
            raise TooMuchError(f"more than {self._limit} bytes must be read of it")
        if self._reads < 0:
            raise TooMuchError(f"it has more elements than {self._max_reads} reads can take")


class Inflating(Bounded):
    """What is inside deflated bytes, inflated as far as it is read, and no further than the limit.

    Raises
    ------
    TooMuchError
        From `read`, where what is wanted lies beyond the limit, or the bytes are no deflated data.
    """

    def __init__(self, file: BinaryIO, limit: int, reads: int = MAX_READS) -> None:
        super().__init__(file, limit, reads)
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._out = bytearray()

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, fewer only at the end."""
        if size < 0:
            raise UnboundedReadError("all that is left was asked for at once")
        end = self._at + size
        if end > self._limit and size > _SHORT:
            raise TooMuchError(f"an element of {size} bytes ends beyond the {self._limit} bytes to inflate")
        self._inflate(min(end, self._limit + 1))
        if len(self._out) > self._limit:
            raise TooMuchError(f"it inflates to more than {self._limit} bytes")
        found = bytes(self._out[self._at : end])
        self._at += len(found)
        self._reads -= 1
        if self._reads < 0:
            raise TooMuchError(f"it has more elements than {self._max_reads} reads can take")
        return found

    def tell(self) -> int:
        """Position in what is inflated."""
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a position; what is skipped is inflated when something behind it is read."""
        if whence == 2:
            self._inflate(self._limit + 1)
        self._at = max(offset + {0: 0, 1: self._at, 2: len(self._out)}[whence], 0)
        return self._at

    def _inflate(self, end: int) -> None:
        try:
            while len(self._out) < end and not self._inflater.eof:
                block = self._inflater.unconsumed_tail or self._file.read(_PIECE)
                made = self._inflater.decompress(block, max(end - len(self._out), _PIECE))
                if not block and not made:
                    return
                self._out += made
        except zlib.error as problem:
            raise TooMuchError(f"it is not deflated as its transfer syntax says: {problem}") from problem
