"""DICOM of many writers, each series read or refused in words: `python -m tests.fuzz.interop FOLDER`.

Takes any folder. Files are taken together by Series Instance UID and folder, as a PACS would send them, and
each series goes the way of the node as far as its grey values: headers, selection, completeness, grid,
posture, preflight, voxels; nothing is segmented. The pixels of every CT-like image are decoded besides, by
transfer syntax, also where its series is too small to be a volume. Prints what became of each; exit status 1
when one ended otherwise than in values or a refusal.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter, defaultdict
from pathlib import Path

from pydicom.errors import InvalidDicomError

from spine_node.dicom.frames import SUPPORTED_CLASSES, frames_of
from spine_node.dicom.headers import read_header
from spine_node.dicom.pixels import check_declared, stored_frames, transfer_syntax
from spine_node.dicom.series import read_headers
from spine_node.dicom.voxels import UNDECODABLE
from spine_node.errors import SeriesRefused
from tests.fuzz.datasets import as_the_node


def together(folder: Path) -> dict[str, list[Path]]:
    """Files by folder and series; those outside DICOM, or unreadable, each alone."""
    groups: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        place = str(path.relative_to(folder).parent)
        try:
            uid = str(read_headers([path])[0].get("SeriesInstanceUID") or "without a series UID")
        except SeriesRefused:
            groups[str(path.relative_to(folder))].append(path)
            continue
        groups[f"{place} {uid}"].append(path)
    return groups


def outcome(paths: list[Path]) -> tuple[str, str]:
    """ "read", "refused" or "BROKEN", and the words."""
    try:
        volume = as_the_node(paths)
    except SeriesRefused as refusal:
        return "refused", str(refusal)
    except Exception as problem:  # noqa: BLE001 - what is looked for
        return "BROKEN", f"{type(problem).__name__}: {problem}"
    low, high = volume.values.min(), volume.values.max()
    return "read", f"{volume.grid.shape} {volume.values.dtype} from {low} to {high}"


def pixels(path: Path) -> tuple[str, str] | None:
    """What becomes of the pixels of one image, and its transfer syntax; None where it is no image for us."""
    try:
        header = read_header(path)
    except (SeriesRefused, InvalidDicomError):
        return None
    if str(header.get("SOPClassUID")) not in SUPPORTED_CLASSES:
        return None
    syntax = transfer_syntax(header)
    try:
        frames = frames_of([header])
        check_declared([header], [path], frames)
        for _ in stored_frames(header, path, frames[0].shape):
            pass
    except SeriesRefused as refusal:
        return "refused", f"{syntax.name}: {refusal}"
    except UNDECODABLE as problem:  # as `voxels` does, which puts it in words
        return "refused", f"{syntax.name}: {' '.join(str(problem).split())[:200]}"
    except Exception as problem:  # noqa: BLE001 - what is looked for
        return "BROKEN", f"{syntax.name}: {type(problem).__name__}: {problem}"
    return "decoded", syntax.name


def main() -> None:
    """Read a folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="looked through with its subfolders")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    began, count, files = time.monotonic(), Counter[str](), 0
    for name, paths in together(asked.folder).items():
        what, words = outcome(paths)
        count[what] += 1
        files += len(paths)
        print(f"{what:8s} {len(paths):4d} files  {name[-70:]}\n{'':9s}{words[:400]}")
    print(
        f"{files} files in {sum(count.values())} series: "
        + ", ".join(f"{number} {what}" for what, number in count.most_common())
        + f" in {time.monotonic() - began:.0f} s"
    )
    images = Counter(found for p in sorted(asked.folder.rglob("*")) if p.is_file() and (found := pixels(p)))
    for (what, words), number in sorted(images.items()):
        print(f"{what:8s} {number:4d} images  {words}")
        count[what] += number
    sys.exit(1 if count["BROKEN"] else 0)


if __name__ == "__main__":
    main()
