"""What must be true of a node after whatever happened to it."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from spine_node.ledger import Job, Ledger
from spine_node.owed import ARRIVED
from spine_node.results import read_done
from tests.chaos.pacs import arrivals, promised
from tests.chaos.site import Site
from tests.chaos.studies import KINDS, Study

STATES = ("receiving", "claimed", "done", "refused", "ignored", "failed")


def body_of(path: Path) -> bytes:
    """A DICOM file without what the writer of the file adds: preamble and File Meta Information."""
    content = path.read_bytes()
    # PS3.10 7.1: File Meta Information Group Length (0002,0000) UL says how far the rest of the group goes.
    return content[144 + int.from_bytes(content[140:144], "little") :]


def digest_of(path: Path) -> str:
    return hashlib.sha256(body_of(path)).hexdigest()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one law found: `broken` lists each breach in words."""

    law: str
    checked: int
    broken: tuple[str, ...]


def judge(
    site: Site, studies: Sequence[Study], acknowledged: Mapping[str, Path], refused: Mapping[str, str]
) -> list[Verdict]:
    """Every law of a node that has come to rest."""
    ledger = Ledger(f"sqlite:///{site.data / 'node.sqlite'}")
    jobs = defaultdict(list)
    for job in ledger.jobs():
        jobs[job.series_uid].append(job)
    ledger.close()
    return [
        Verdict("no instance is refused", len(acknowledged), tuple(f"{u}: {w}" for u, w in refused.items())),
        _kept(site, acknowledged, studies),
        _ended(studies, jobs),
        *_delivered(site, jobs),
        *_committed(site),
        _once(studies, jobs),
    ]


def _kept(site: Site, acknowledged: Mapping[str, Path], studies: Sequence[Study]) -> Verdict:
    series_of = {path.stem: study.series_uid for study in studies for path in study.paths}
    broken = []
    for sop_uid, path in acknowledged.items():
        places = [site.inbox / state / series_of[sop_uid] / f"{sop_uid}.dcm" for state in STATES]
        found = [place for place in places if place.exists()]
        if not found:
            broken.append(f"{sop_uid} was acknowledged and is nowhere")
        elif digest_of(found[0]) != digest_of(path):
            broken.append(f"{sop_uid} was acknowledged and has other bytes in {found[0].parent.parent.name}")
    return Verdict("acknowledged instances are kept, byte for byte", len(acknowledged), tuple(broken))


def _ended(studies: Sequence[Study], jobs: Mapping[str, list[Job]]) -> Verdict:
    broken = []
    for study in studies:
        known = jobs.get(study.series_uid, [])
        last = max(known, key=lambda job: job.instances, default=None)
        if last is None:
            broken.append(f"{study.kind} series {study.series_uid} is not in the ledger")
        elif last.state not in KINDS[study.kind] or last.instances != len(study.paths):
            how = f"{last.state}, {last.instances} of {len(study.paths)} instances, job {last.job}"
            broken.append(f"{study.kind} series {study.series_uid}: {how}: {last.reason[-200:]}")
        elif last.state != "delivered" and not last.reason:
            broken.append(f"{study.kind} series {study.series_uid} is {last.state} without a reason")
    return Verdict("every study ends as it must, with its reason", len(studies), tuple(broken))


def _delivered(site: Site, jobs: Mapping[str, list[Job]]) -> list[Verdict]:
    came = arrivals(site.journal)
    contents = defaultdict(set)
    for row in came:
        contents[row["sop_uid"]].add(row["sha256"])
    missing, strange, known = [], [], set()
    analysed = [
        j for each in jobs.values() for j in each if j.state in ("analysed", "delivered", "undelivered")
    ]
    for job in analysed:
        done = read_done(site.results / job.job) or {"objects": {}}
        rows = [row for each in done["objects"].values() for row in each]
        if not rows:
            missing.append(f"job {job.job} is {job.state} and has no results")
        for row in rows:
            uid = row["sop_instance_uid"]
            known.add(uid)
            if contents.get(uid) != {digest_of(site.results / job.job / row["file"])}:
                missing.append(f"{row['file']} of job {job.job}: {uid} came {len(contents[uid])} ways")
    for row in came:
        if row["sop_uid"] not in known:
            strange.append(f"{row['modality']} {row['sop_uid']} of series' study {row['study_uid']}")
    return [
        Verdict("every result is at the PACS as it is on disk", len(known), tuple(missing)),
        Verdict("nothing is at the PACS under a second UID", len(contents), tuple(strange)),
    ]


def _committed(site: Site) -> list[Verdict]:
    rows = site.ask("SELECT sop_instance_uid, outcome, commitment FROM ledger_deliveries")
    kept = promised(site.journal)
    held = [str(uid) for uid, _, commitment in rows if commitment == "committed"]
    arrived = [row for row in rows if row[1] in ARRIVED]
    return [
        Verdict(
            "what counts as committed was promised",
            len(held),
            tuple(f"{uid} was not promised" for uid in held if uid not in kept),
        ),
        Verdict(
            "all that was delivered is committed",
            len(arrived),
            tuple(f"{uid}: {state or 'not asked'}" for uid, _, state in arrived if state != "committed"),
        ),
    ]


def _once(studies: Sequence[Study], jobs: Mapping[str, list[Job]]) -> Verdict:
    """A series has one analysis a set of instances that it was once complete with, each larger."""
    broken = []
    for study in studies:
        each = sorted(jobs.get(study.series_uid, []), key=lambda job: job.received_at)
        counts = Counter(job.instances for job in each)
        if max(counts.values(), default=1) > 1 or list(counts) != sorted(counts):
            broken.append(f"series {study.series_uid} has jobs with {[j.instances for j in each]} instances")
    return Verdict("no set of instances is analysed twice", len(studies), tuple(broken))


def report(verdicts: Sequence[Verdict]) -> int:
    """Print each law; the exit status."""
    for verdict in verdicts:
        word = "held" if not verdict.broken else f"BROKEN {len(verdict.broken)} times"
        print(f"{verdict.law}: {word} ({verdict.checked} checked)")
        for breach in verdict.broken[:10]:
            print(f"    {breach}")
    return int(any(verdict.broken for verdict in verdicts))
