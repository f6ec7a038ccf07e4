"""A router as hospitals have them: sends studies, writes down what was acknowledged, sends the rest again."""

from __future__ import annotations

import json
import queue
import threading
import time
from pathlib import Path

from spine_node.errors import PeerUnavailable
from spine_node.network.peer import Peer
from spine_node.network.scu import Alternative, Offer, send_offers

AE_TITLE = "ROUTER"

PAUSE_S = 0.02
"""Between instances: a series takes half a second, as its images would from a slower source."""


class Router:
    """Sends over one association at a time, in a thread, until everything it was given is acknowledged.

    Attributes
    ----------
    acknowledged : dict of str to Path
        What was answered with success, by SOP Instance UID; in `journal` too.
    refused : dict of str to str
        What was answered with anything else, and how. Not sent again.
    resent : int
        Instances that were sent again, as an association had ended without their answer.
    sending : bool
        An association is being asked for, or open.
    """

    def __init__(self, peer: Peer, journal: Path, pause_s: float = PAUSE_S) -> None:
        self._pause_s = pause_s
        self.acknowledged: dict[str, Path] = {}
        self.refused: dict[str, str] = {}
        self.resent = 0
        self.sending = False
        self._peer, self._journal = peer, journal.open("a")
        self._parts: queue.Queue[tuple[Path, ...]] = queue.Queue()
        self._open = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def send(self, part: tuple[Path, ...]) -> None:
        """Have these files sent, after what is under way."""
        self._open += 1
        self._parts.put(part)

    @property
    def idle(self) -> bool:
        """Everything was answered."""
        return self._open == 0

    def stop(self) -> None:
        """Send no more."""
        self._stopping.set()
        self._thread.join()
        self._journal.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                part = self._parts.get(timeout=0.1)
            except queue.Empty:
                continue
            left = {path.stem: path for path in part}
            while left and not self._stopping.is_set():
                self.sending = True
                self._attempt(left)
                self.sending = False
                if left:
                    self.resent += len(left)
                    time.sleep(0.2)
            self._open -= 1

    def _attempt(self, left: dict[str, Path]) -> None:
        offers = [Offer((Alternative(path.name, (path,)),)) for path in left.values()]
        try:
            for outcome in send_offers(self._peer, offers, AE_TITLE):
                time.sleep(self._pause_s)
                uid = outcome.sop_instance_uid
                if outcome.stored:
                    self.acknowledged[uid] = left.pop(uid)
                    self._journal.write(json.dumps([uid, time.time()]) + "\n")
                    self._journal.flush()
                elif outcome.name in ("refused", "not accepted"):
                    self.refused[uid] = outcome.detail
                    del left[uid]
        except PeerUnavailable:
            return
