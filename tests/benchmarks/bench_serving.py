"""How fast the node answers about what it holds: queries, retrieval, and what it keeps of a modality's.

    python tests/benchmarks/bench_serving.py            10 000 studies of results, 100 000 received instances
    python tests/benchmarks/bench_serving.py --small    a hundredth of that, to try it

The node's SCP and index run in this process, the caller in another; results are small, so that it is the
answering that is measured and not the disk. Each figure is the median of five: seconds by the clock, and
processor seconds of the node, which a busy machine does not change much and the bars are about.

Bars: a study by its accession number or patient in 0.1 s; every study by a pattern of names in 30 s,
which is 3 ms a match; a
commitment request for 500 of the received instances decided in 2 s, and for 500 that are absent in 4 s.
Exit status: 0 bars met, 1 one is missed.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import structlog

sys.path.insert(0, str(Path(__file__).parents[2]))
from spine_node.custody import Custody
from spine_node.inbox import Inbox
from spine_node.ledger.commitment_requests import CommitmentRequests
from spine_node.network.access import Access, Caller
from spine_node.network.peer import Peer
from spine_node.network.query import find
from spine_node.network.scp import StorageSCP
from tests.conftest import make_ct
from tests.network.kept_results import Serving

REPEATS = 5
SLICES = 500
BARS_S = {
    "a study by accession number": 0.1,
    "the studies of a patient": 0.1,
    "every study by a pattern of names": 30.0,
    "500 instances that are kept": 2.0,
    "500 instances that are absent": 4.0,
}


def main() -> int:
    """Measure, print a table, hold it to the bars."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="a hundredth of everything")
    scale = 100 if parser.parse_args().small else 1
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory() as folder:
        took = queries(Path(folder), 10_000 // scale) | commitments(Path(folder), 100_000 // scale)
    missed = [name for name, (_, busy_s) in took.items() if busy_s > BARS_S[name]]
    print(f"{'':36} {'clock':>10} {'processor':>10} {'bar':>10}")
    for name, (seconds, busy_s) in took.items():
        print(f"{name:36} {seconds:8.3f} s {busy_s:8.3f} s {BARS_S[name]:8.1f} s")
    print("all bars met" if not missed else f"missed: {', '.join(missed)}")
    return 1 if missed else 0


def queries(folder: Path, studies: int) -> dict[str, tuple[float, float]]:
    """Answers to C-FIND while so many studies are held."""
    serving = Serving(folder, most_matches=100_000)
    serving.keep()
    rows = serving.holdings.select()
    headers = serving.holdings.headers([row.sop_instance_uid for row in rows])
    print(f"entering {studies} studies of {len(rows)} result instances", file=sys.stderr)
    for number in range(studies):
        study = f"1.2.{number}"
        made = [
            (
                replace(
                    row, job=f"other{number}", study_uid=study, series_uid=f"{study}.{n}",
                    sop_instance_uid=f"{study}.{n}.1", patient_id=f"P{number // 3}",
                    accession_number=f"X{number}",
                ),
                headers[row.sop_instance_uid],
            )
            for n, row in enumerate(rows)
        ]  # fmt: skip
        serving.holdings.put(f"other{number}", made)
    access = Access("NODE", (Caller("*", may=("query", "retrieve")),))
    inbox = Inbox(folder / "empty")
    scp = StorageSCP("NODE", "127.0.0.1", 0, inbox, access=access, services=[serving.service])
    peer = Peer("node", "NODE", "127.0.0.1", scp.start())
    with ProcessPoolExecutor(1) as caller:

        def asked(keys: dict[str, str]) -> Callable[[], object]:
            return lambda: caller.submit(found, peer, keys).result()

        caller.submit(found, peer, {"StudyInstanceUID": "1.2.3"}).result()
        # the header is the same in all, so what is asked for by whole values is what the index tells apart
        took = {
            "a study by accession number": median(asked({"AccessionNumber": "A1", "StudyInstanceUID": ""})),
            "the studies of a patient": median(asked({"PatientID": "T1", "StudyInstanceUID": ""})),
            "every study by a pattern of names": median(
                asked({"PatientName": "T*", "StudyInstanceUID": "", "NumberOfStudyRelatedInstances": ""}), 1
            ),
        }
    scp.stop(0.0)
    return took


def found(peer: Peer, keys: dict[str, str]) -> int:
    """How many studies a caller finds."""
    return len(find(peer, "BENCH", "STUDY", keys))


def commitments(folder: Path, instances: int) -> dict[str, tuple[float, float]]:
    """Verdicts on requests while so many instances lie in the inbox, in series of 500."""
    (folder / "commitments").mkdir()
    serving = Serving(folder / "commitments")
    inbox = Inbox(folder / "inbox")
    (file,) = make_ct(folder / "ct", slices=1)
    content = file.read_bytes()
    print(f"storing {instances} instances", file=sys.stderr)
    for number in range(instances):
        series = number // SLICES
        path = inbox.root / "receiving" / f"1.3.{series}" / f"1.3.{series}.{number}.dcm"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    requests = CommitmentRequests(serving.ledger.database)
    custody = Custody(requests, inbox, serving.holdings, folder)
    ct = "1.2.840.10008.5.1.4.1.1.2"
    kept = [(ct, f"1.3.0.{number}") for number in range(SLICES)]  # of the series that came first
    absent = [(ct, f"1.4.0.{number}") for number in range(500)]
    took = {}
    for name, references in (("kept", kept), ("absent", absent)):
        requests.accept(name, "CT1", "127.0.0.1", references, time.time(), 0.0)
        took[f"500 instances that are {name}"] = median(lambda uid=name: custody.verdict(uid))
    return took


def median(work: Callable[[], object], repeats: int = REPEATS) -> tuple[float, float]:
    """Seconds that some work takes, and processor seconds of this process."""
    seconds, busy = [], []
    for _ in range(repeats):
        began, busy_before = time.monotonic(), time.process_time()
        work()
        seconds.append(time.monotonic() - began)
        busy.append(time.process_time() - busy_before)
    return statistics.median(seconds), statistics.median(busy)


if __name__ == "__main__":
    sys.exit(main())
