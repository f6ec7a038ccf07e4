"""What viewers make of our objects, judged against the objects themselves: `tests/viewers/check`.

The browser only tells what it sees (ohif.mjs, adapters.mjs); judges.py compares. Prints a table; ends with
1 if anything is wrong, 2 if something is not installed.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pydicom
import structlog

from spine_node.dicom.forms import FORMS, SR_FORMS, Product
from spine_node.dicom.frames import SUPPORTED_CLASSES
from spine_node.network.scu import send
from tests.validation.everything import phantom_study
from tests.viewers import servers
from tests.viewers.judges import (
    Line,
    Segments,
    adapters_lines,
    pdf_line,
    picture_lines,
    report_line,
    seg_lines,
)

HERE = Path(__file__).parent

SPACING_MM = 2.875
"""Of the phantom that is made when no folder is given: 120 rows and columns, so that frames of a BINARY SEG
are whole bytes. OHIF 3.13 shows no others rightly (README.md); try `--spacing 3`."""

TARGETS = ("T8 vertebra", "T8", "L3 vertebra", "L3", "Sacrum", "Femoral head left")
"""Labels of the segments that the planes are laid through."""


def check(folder: Path, out: Path) -> list[Line]:
    """Show every object of one study in the viewers."""
    objects, images = sorted_out(folder)
    series: dict[str, list[Path]] = {}
    kinds = {"SEG": "seg", "SR": "sr", "OT": "pictures", "DOC": "pdf"}
    jobs: list[dict[str, Any]] = []
    for path, header in objects.items():
        series.setdefault(str(header.SeriesInstanceUID), []).append(path)
    for uid, paths in series.items():
        header = objects[paths[0]]
        if (kind := kinds.get(str(header.Modality))) is None:
            continue
        job = {"kind": kind, "uid": uid, "name": paths[0].stem.removesuffix("-1"), "targets": []}
        if kind == "seg":
            segments = Segments.read(paths[0])
            job["targets"] = [
                {"label": label, "point": segments.middle_mm(number)}
                for number, label in segments.labels.items()
                if label in TARGETS
            ]
        jobs.append(job)
    told, listed = browse([*objects, *images], jobs, len(series) + 1, str(header.StudyInstanceUID), out)
    lines = [Line(f"OHIF lists {what}", None, how) for what, how in listed]
    for job in jobs:
        name, answer, paths = job["name"], told.get(job["name"], {"error": "no answer"}), series[job["uid"]]
        if "error" in answer:
            lines.append(Line(name, False, answer["error"]))
        elif job["kind"] == "seg":
            lines += seg_lines(name, answer, paths[0], out)
        elif job["kind"] == "pictures":
            lines += picture_lines(name, answer, paths)
        elif job["kind"] == "pdf":
            lines.append(pdf_line(name, answer, paths[0]))
        else:
            lines.append(report_line(name, answer))
    segs = [path for path, header in objects.items() if header.Modality == "SEG"]
    with tempfile.TemporaryDirectory() as alone:
        for number, path in enumerate(images):
            Path(alone, f"{number:05d}.dcm").symlink_to(path.resolve())
        lines += adapters_lines(Path(alone), segs)
    return lines


def sorted_out(folder: Path) -> tuple[dict[Path, pydicom.Dataset], list[Path]]:
    """Our objects with their headers, and the images of a study in a folder."""
    objects, images = {}, []
    for path in sorted(p for p in folder.rglob("*.dcm")):
        header = pydicom.dcmread(path, stop_before_pixels=True)
        if str(header.SOPClassUID) in SUPPORTED_CLASSES:
            images.append(path)
        else:
            objects[path] = header
    return objects, images


def browse(
    paths: Sequence[Path], jobs: Sequence[dict[str, Any]], sets: int, study_uid: str, out: Path
) -> tuple[dict[str, dict[str, Any]], list[tuple[str, str]]]:
    """Store everything, open each series in OHIF; gives its answers by name, and what it lists."""
    answers = out / "answers.jsonl"
    answers.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as work, servers.archive(Path(work)) as (peer, http_port):
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
        refused = [o for o in send(peer, list(paths), "CHECK") if not o.stored]
        if refused:
            raise RuntimeError(f"the archive refused {refused}")
        extra = {"/app-config.js": servers.OHIF_CONFIG}
        with servers.viewer(servers.CACHE / "package" / "dist", http_port, extra) as base:
            job = {
                "base": base, "study": study_uid, "series": list(jobs), "sets": sets, "out": str(out),
                "answers": str(answers), "cache": str(servers.CACHE), "chromium": servers.CHROMIUM,
            }  # fmt: skip
            (out / "job.json").write_text(json.dumps(job))
            subprocess.run(["node", str(HERE / "ohif.mjs"), str(out / "job.json")], check=True)
    read = [json.loads(line) for line in answers.read_text().splitlines()]
    listed = next((a["listed"] for a in read if a["name"] == "listed"), [])
    return {answer["name"]: answer for answer in read}, [(what, how) for what, how in listed]


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests/viewers/check", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="one study: images and our objects (*.dcm)")
    parser.add_argument("--install", action="store_true", help=f"install the viewers into {servers.CACHE}")
    parser.add_argument("--out", type=Path, default=Path("build/viewers"), help="folder for screenshots")
    parser.add_argument(
        "--spacing", type=float, default=SPACING_MM, help="of the phantom made without FOLDER"
    )
    chosen = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers end with it
    try:
        if chosen.install:
            servers.install()
        servers.require_installed()
    except servers.NotInstalledError as missing:
        sys.stderr.write(f"{missing}\n")
        return 2
    out = chosen.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        folder = chosen.folder
        if folder is None:
            folder = Path(work)
            study = phantom_study(folder, spacing_mm=chosen.spacing)
            study.write([Product(form) for form in FORMS if form not in SR_FORMS[1:]])
        lines = check(folder, out)
    width = max(len(line.what) for line in lines)
    marks = {True: "right", False: "WRONG", None: "told"}
    for line in lines:
        sys.stdout.write(f"{marks[line.right]:6} {line.what:{width}}  {line.seen}\n")
    return int(any(line.right is False for line in lines))


if __name__ == "__main__":
    sys.exit(main())
