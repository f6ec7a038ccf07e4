"""Where a data set rests while it arrives: in memory, and past a size in an unnamed file.

pynetdicom gathers a data set in memory whole, or (its chunked mode) in the system's temporary folder,
where a broken association leaves it and a full disk breaks the association. A `Spool` bounds the
memory, leaves nothing behind, and keeps a full disk for the C-STORE answer to tell.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, cast

from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import DIMSEMessage
from pynetdicom.pdu_primitives import P_DATA

MEMORY_BYTES = 32 << 20
"""A data set longer than this goes to disk while it arrives: many slices, or a multi-frame volume."""

_COPY_BYTES = 4 << 20


class Spool(BytesIO):
    """A data set being received; a BytesIO because pynetdicom takes nothing else.

    Attributes
    ----------
    problem : OSError or None
        Why the rest of the data set could not be kept. What came after it was dropped.
    """

    def __init__(self, folder: Callable[[], Path]) -> None:
        super().__init__()
        self._folder = folder
        self._file: BinaryIO | None = None
        self.problem: OSError | None = None

    def write(self, fragment: Any) -> int:
        """Add a fragment. Never raises for the disk: this runs in the thread that reads the socket."""
        if self.problem is None:
            try:
                if self._file is None and self.tell() + len(fragment) > MEMORY_BYTES:
                    self._file = cast(BinaryIO, tempfile.TemporaryFile(dir=self._folder()))  # noqa: SIM115 - see close
                    self._file.write(self.getbuffer())
                    self.seek(0)
                    self.truncate()
                if self._file is None:
                    return super().write(fragment)
                self._file.write(fragment)
            except OSError as problem:
                self.problem = problem
        return len(fragment)

    def require_whole(self) -> None:
        """Raise the OSError that kept the data set from being gathered whole, if one did."""
        if self.problem is not None:
            raise self.problem

    def reader(self) -> BinaryIO:
        """The data set as a file to seek and read in."""
        return self if self._file is None else self._file

    def chunks(self) -> Iterator[bytes | memoryview]:
        """The data set from its start, in pieces; raises OSError if it could not be kept whole."""
        self.require_whole()
        if self._file is None:
            yield self.getbuffer()
            return
        self._file.seek(0)
        while piece := self._file.read(_COPY_BYTES):
            yield piece

    def close(self) -> None:
        """Free the memory and the file."""
        if self._file is not None:
            self._file.close()
        super().close()


class SpoolingProvider(DIMSEServiceProvider):
    """Gathers incoming data sets in a Spool; otherwise pynetdicom's own provider."""

    def __init__(self, association: Association, folder: Callable[[], Path]) -> None:
        super().__init__(association)
        self._folder = folder

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take the next fragments from the peer."""
        if self.message is None:
            self.message = DIMSEMessage()
            self.message.data_set = Spool(self._folder)
        super().receive_primitive(primitive)
