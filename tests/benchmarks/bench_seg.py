"""How fast a SEG is written, against highdicom's own constructor and dcmqi, and in what memory.

    python tests/benchmarks/bench_seg.py [--slices 400] [--matrix 512] [--segments 26] [--repeat 3]
    python tests/benchmarks/bench_seg.py --slices 1000 --segments 30 --repeat 1 --cases ours

A spine from the lowest vertebra up, with posterior elements, sacrum, hip bones and femoral heads, on single
CT slices. Every case has a process of its own; memory is that process's peak (Linux only). Seconds are of
the processor; they vary with the machine: compare the ratios of one run. `construct` is the dataset from a
label map in memory (highdicom: from an array of segment numbers in memory and the series' headers), `save`
the file; dcmqi (where itkimage2segimage is on the PATH) is one program from reading to file, of which
reading is some 0.3 s. The pixels of all are compared.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

sys.path.insert(0, str(Path(__file__).parents[2]))
from spine_node.anatomy.levels import POSTERIOR_OFFSET, STRUCTURE_VALUES, VERTEBRA_VALUES
from spine_node.dicom.checks import check_geometry
from spine_node.dicom.seg import present_structures, write_seg
from spine_node.dicom.series import read_series
from spine_node.imaging.volume import Grid, LabelMap
from spine_node.segmentation.segmenter import ModelIdentity, Segmentation
from tests.dicom.small_series import grid_of, write_series

DCMQI = "itkimage2segimage"
FORMS = ("seg-binary", "seg-labelmap")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slices", type=int, default=400)
    parser.add_argument("--matrix", type=int, default=512)
    parser.add_argument("--segments", type=int, default=26, help="6 to 30")
    parser.add_argument("--repeat", type=int, default=3, help="the fastest counts")
    parser.add_argument("--cases", nargs="+", default=["ours", "highdicom", "dcmqi"])
    parser.add_argument("--one", nargs=3, metavar=("CASE", "FORM", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        case, form, folder = arguments.one
        print(json.dumps(CASES[case](Path(folder), form, arguments.repeat)))
        return
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name), arguments.slices, arguments.matrix, arguments.segments)
        size = f"{arguments.slices} x {arguments.matrix} x {arguments.matrix}"
        print(f"{arguments.segments} segments on {size} voxels; the fastest of {arguments.repeat}")
        for form in FORMS:
            compare(Path(name), form, arguments.cases, arguments.repeat)


def compare(folder: Path, form: str, cases: list[str], repeat: int) -> None:
    print(
        f"\n{form:16} {'construct s':>12} {'save s':>8} {'both s':>8} {'peak MiB':>9} {'frames':>7} {'MB':>7}"
    )
    whole: dict[str, dict[str, Any]] = {}
    for case in cases:
        if case == "dcmqi" and shutil.which(DCMQI) is None:
            print(f"{case:16} not run: {DCMQI} is not on the PATH")
            continue
        command = [sys.executable, __file__, "--repeat", str(repeat), "--one", case, form, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{case:16} failed: {done.stderr.strip().splitlines()[-1]}")
            continue
        found = whole[case] = json.loads(done.stdout.splitlines()[-1])
        construct, save = (f"{found[k]:.2f}" if k in found else "" for k in ("construct", "save"))
        print(
            f"{case:16} {construct:>12} {save:>8} {found['both']:8.2f} {found['peak'] / 2**20:9.0f} "
            f"{found['frames']:7} {found['bytes'] / 1e6:7.1f}"
        )
    ours = whole.get("ours")
    if ours is None:
        return
    print(f"{'geometry check':16} {ours['check']:12.2f}")
    for case, other in whole.items():
        if case != "ours":
            parts = [f"file {other['both'] / ours['both']:.1f}"]
            if "construct" in other:
                parts.insert(0, f"construct {other['construct'] / ours['construct']:.1f}")
            same = "equal" if other["marked"] == ours["marked"] else "DIFFERENT"
            print(f"faster than {case}: {', '.join(parts)}; pixels of every segment {same}")


def ours(folder: Path, form: str, repeat: int) -> dict[str, Any]:
    """What the node does."""
    series = read_series(folder / "ct")
    label_map = LabelMap(series.grid, np.load(folder / "labels.npy"))
    segmentation = Segmentation(label_map, ModelIdentity("bench", "1", "0" * 64))
    out = folder / f"ours-{form}.dcm"
    times = []
    for _ in range(repeat):
        started = time.process_time()
        seg = write_seg(series, segmentation, software_version="bench", form=form)
        constructed = time.process_time()
        check_geometry(seg, label_map)
        checked = time.process_time()
        seg.save_as(out, enforce_file_format=True)
        times.append((constructed - started, time.process_time() - checked, checked - constructed))
    return measured(times, out) | {"check": min(t[2] for t in times)}


def highdicom(folder: Path, form: str, repeat: int) -> dict[str, Any]:
    """Its constructor, given an array of segment numbers and the headers of the source."""
    import highdicom as hd

    series = read_series(folder / "ct")
    numbers = np.load(folder / "numbers.npy")
    like = pydicom.dcmread(folder / f"ours-{form}.dcm", stop_before_pixels=True)
    descriptions = [hd.seg.SegmentDescription.from_dataset(item) for item in like.SegmentSequence]
    out = folder / f"highdicom-{form}.dcm"
    times = []
    for _ in range(repeat):
        started = time.process_time()
        seg = hd.seg.Segmentation(
            source_images=series.headers,
            pixel_array=numbers,
            segmentation_type=like.SegmentationType,
            segment_descriptions=descriptions,
            series_instance_uid="2.25.1",
            series_number=1,
            sop_instance_uid="2.25.2",
            instance_number=1,
            manufacturer="bench",
            manufacturer_model_name="bench",
            software_versions="bench",
            device_serial_number="1",
            transfer_syntax_uid=like.file_meta.TransferSyntaxUID,
        )
        constructed = time.process_time()
        seg.save_as(out, enforce_file_format=True)
        times.append((constructed - started, time.process_time() - constructed))
    return measured(times, out)


def dcmqi(folder: Path, form: str, repeat: int) -> dict[str, Any]:
    """Its converter, from a label image and a folder of slices to a file."""
    out = folder / f"dcmqi-{form}.dcm"
    command = [
        DCMQI, "--inputImageList", folder / "numbers.nrrd", "--inputDICOMDirectory", folder / "ct",
        "--inputMetadata", folder / "dcmqi.json", "--outputDICOM", out,
        *(["--segmentationType", "labelmap"] if form == "seg-labelmap" else []),
    ]  # fmt: skip
    seconds, spent = [], 0.0
    for _ in range(repeat):
        subprocess.run(command, check=True, capture_output=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(used.ru_utime + used.ru_stime - spent)
        spent += seconds[-1]
    return measured([], out) | {
        "both": min(seconds),
        "peak": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024,
    }


CASES = {"ours": ours, "highdicom": highdicom, "dcmqi": dcmqi}


def measured(times: list[tuple[float, ...]], out: Path) -> dict[str, Any]:
    """The fastest, the peak of this process so far, and what is in the file."""
    found: dict[str, Any] = {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}
    if times:
        found |= {"construct": min(t[0] for t in times), "save": min(t[1] for t in times)}
        found["both"] = min(t[0] + t[1] for t in times)
    seg = pydicom.dcmread(out)
    return found | {"bytes": out.stat().st_size, "frames": int(seg.NumberOfFrames), "marked": marked(seg)}


def marked(seg: pydicom.Dataset) -> list[list[int]]:
    """Pixels of each segment, with a sum over their places that no two arrangements share by chance."""
    frames = pydicom.pixels.iter_pixels(seg, raw=True)
    binary = seg.SegmentationType == "BINARY"
    found: dict[int, list[int]] = {}
    for group, frame in zip(seg.PerFrameFunctionalGroupsSequence, frames, strict=True):
        at = np.flatnonzero(frame)
        height = round(float(group.PlanePositionSequence[0].ImagePositionPatient[2]) * 1000)
        numbers = frame.ravel()[at]
        if binary:
            numbers = numbers * int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        for number in np.unique(numbers):
            here = at[numbers == number]
            total = found.setdefault(int(number), [0, 0, 0])
            total[0] += len(here)
            total[1] += int((here.astype(np.int64) ** 2 % 1_000_003).sum()) * (height % 9973 + 1)
            total[2] += height * len(here)
    return [found[number] for number in sorted(found)]


def prepare(folder: Path, slices: int, matrix: int, segments: int) -> None:
    """CT slices, labels, segment numbers as .npy and .nrrd, and dcmqi's description of the segments."""
    grid = grid_of(shape=(slices, matrix, matrix), spacing=(0.75, 0.8, 0.8))
    write_series(folder / "ct", grid, np.zeros(grid.shape, dtype=np.int16))
    label_map = spine(grid, segments)
    np.save(folder / "labels.npy", label_map.labels)
    table = np.zeros(256, dtype=np.uint8)
    structures = present_structures(label_map)
    for number, structure in enumerate(structures, start=1):
        table[list(structure.values)] = number
    numbers = table[label_map.labels]
    np.save(folder / "numbers.npy", numbers)
    axes = [f"({','.join(f'{v:.6f}' for v in axis)})" for axis in grid.affine[:3, 2::-1].T]
    head = (
        "NRRD0004\ntype: uchar\ndimension: 3\nspace: left-posterior-superior\n"
        f"sizes: {matrix} {matrix} {slices}\nspace directions: {' '.join(axes)}\n"
        "kinds: domain domain domain\nencoding: raw\n"
        f"space origin: ({','.join(f'{v:.6f}' for v in grid.affine[:3, 3])})\n\n"
    )
    with (folder / "numbers.nrrd").open("wb") as file:
        file.write(head.encode())
        file.write(numbers.tobytes())

    def code(value: str, scheme: str, meaning: str) -> dict[str, str]:
        return {"CodeValue": value, "CodingSchemeDesignator": scheme, "CodeMeaning": meaning}

    described = [
        {
            "labelID": number,
            "SegmentLabel": structure.label,
            "SegmentDescription": structure.label,
            "SegmentAlgorithmType": "AUTOMATIC",
            "SegmentAlgorithmName": "bench",
            "SegmentedPropertyCategoryCodeSequence": code("91723000", "SCT", "Anatomical Structure"),
            "SegmentedPropertyTypeCodeSequence": code("51282000", "SCT", "Vertebra"),
            "recommendedDisplayRGBValue": [round(255 * c) for c in structure.rgb],
        }
        for number, structure in enumerate(structures, start=1)
    ]
    about = {
        "ContentCreatorName": "Bench", "ClinicalTrialSeriesID": "1", "ClinicalTrialTimePointID": "1",
        "SeriesDescription": "dcmqi", "SeriesNumber": "300", "InstanceNumber": "1", "BodyPartExamined": "",
        "ContentLabel": "SEGMENTATION", "ContentDescription": "bench", "segmentAttributes": [described],
    }  # fmt: skip
    (folder / "dcmqi.json").write_text(json.dumps(about), encoding="utf-8")


def spine(grid: Grid, segments: int = 29) -> LabelMap:
    """Boxes of anatomical size, stacked like a spine; posterior elements reach down beside the next body."""
    labels = np.zeros(grid.shape, dtype=np.uint8)
    slices, rows, columns = grid.shape
    count = segments - len(STRUCTURE_VALUES)
    levels = [v for k, v in VERTEBRA_VALUES.items() if k != "T13" and (k != "L6" or count > 24)][-count:]
    middle, height = columns // 2, int(slices * 0.7) // count
    for i, value in enumerate(levels):
        top = slices - (i + 1) * height
        labels[top : top + height - 3, rows // 2 - 20 : rows // 2 + 20, middle - 25 : middle + 25] = value
        behind = slice(rows // 2 + 20, rows // 2 + 60), slice(middle - 30, middle + 30)
        labels[top - height // 3 : top + height // 2, *behind] = value + POSTERIOR_OFFSET
    for (i, value), start in zip(enumerate(STRUCTURE_VALUES.values()), itertools.count(40, 80), strict=False):
        first = 5 if i < 3 else int(slices * 0.02)
        labels[first : int(slices * 0.28), rows // 2 - 40 : rows // 2 + 40, start : start + 60] = value
    return LabelMap(grid, labels)


if __name__ == "__main__":
    main()
