"""Where training cases come from: phantoms by seed, and folders of labelled scans.

A stream only names its cases and makes each one on demand: `samples` keeps them, `augment` cuts patches.
Phantoms of a seed are the same everywhere. Seeds are kept apart: training from 0, validation from 10^6,
test from 2 * 10^6. Readers of files are imported when a folder has such files, not before.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from spine_node.anatomy.unlabelled import mask_unknown
from spine_node.errors import ConfigRefused, LabelMapRefused
from spine_node.imaging.volume import LabelMap, Volume
from spine_node.scans import nifti_files, stamp_of

if TYPE_CHECKING:
    from spine_node.phantom.library import TemplateLibrary

TRAIN_SEED, VALIDATION_SEED = 0, 1_000_000
"""First seed of each range; no range reaches into the next (test seeds: `evaluation.cases`)."""

FIELDS = {"whole": 0.5, "random": 0.3, "thoracolumbar": 0.1, "lumbopelvic": 0.1}
PAINTING = {"cbct": 0.82, "random": 0.18}


class Stream(Protocol):
    """Cases of one kind. Must be picklable: worker processes make the cases."""

    name: str
    share: float

    @property
    def skips_refused(self) -> bool:
        """Whether a case that shows no structure is passed over; else it ends the training."""
        ...

    def training(self) -> Sequence[str]:
        """Names of the cases to train on, in the order in which they are made."""
        ...

    def validation(self) -> Sequence[str]:
        """Names of cases that are only looked at, never trained on."""
        ...

    def content(self) -> dict[str, Any]:
        """What a case's voxels depend on besides its name: another content, other cases."""
        ...

    def make(self, case: str, spacing_mm: float) -> tuple[Volume, LabelMap]:
        """Image and labels of a case; `spacing_mm` is the net's, a maker may work at it."""
        ...

    def draw(self, ready: Sequence[str], rng: np.random.Generator) -> str:
        """One of the cases that are ready."""
        ...

    def words(self) -> str:
        """What the data are and under which licence, for the model card."""
        ...


def _check(stream: Any) -> None:
    if not stream.name or not stream.name.replace("_", "").replace("-", "").isalnum():
        raise ValueError(f"a stream's name is of letters, digits, - and _, not {stream.name!r}")
    if not stream.share > 0:
        raise ValueError(f"share is a positive weight, not {stream.share!r}")


@dataclass(frozen=True, slots=True)
class PhantomStream:
    """Standing phantoms; field of view, painting and cleanliness follow from the seed.

    Attributes
    ----------
    name : str
    share : float
        Weight of this stream among all when patches are drawn.
    count : int
        Number of phantoms to make; they are made while the net trains.
    first_seed : int
        Of this stream; two phantom streams choose different ranges.
    validate : int
        Number of phantoms held out for validation.
    fields, painting : dict of str to float
        Weights of fields of view and of paintings, as `phantom.generate.generate` names them. Some
        phantoms have random contrast, so that the net learns shapes rather than one scanner's greys.
    clean : float
        Fraction of clean adults: little noise, no metal.
    device : str
        Where the workers compute them: "cpu", or "auto" for a GPU that has time to spare.
    templates : Path, optional
        Real shapes of bones: a library file or a folder, see `phantom.library`; only those that their
        sources give to training are used. The card names the sources.
    template_share : float
        Fraction of persons who have them.
    """

    name: str = "phantoms"
    share: float = 1.0
    count: int = 150
    first_seed: int = TRAIN_SEED
    validate: int = 2
    fields: dict[str, float] = field(default_factory=lambda: dict(FIELDS))
    painting: dict[str, float] = field(default_factory=lambda: dict(PAINTING))
    clean: float = 0.2
    device: str = "cpu"
    templates: Path | None = None
    template_share: float = 0.7

    def __post_init__(self) -> None:
        _check(self)
        if not 0 <= self.template_share <= 1:
            raise ValueError(f"template_share is a fraction from 0 to 1, not {self.template_share!r}")
        if not (self.count > 0 <= self.validate and 0 <= self.clean <= 1):
            raise ValueError("count is at least 1, validate at least 0, clean a fraction from 0 to 1")
        if not TRAIN_SEED <= self.first_seed <= VALIDATION_SEED - self.count:
            raise ValueError(
                f"seeds {self.first_seed} to {self.first_seed + self.count - 1} leave the range of training, "
                f"{TRAIN_SEED} to {VALIDATION_SEED - 1}: phantoms of validation or test would be trained on"
            )
        if self.first_seed + self.validate > VALIDATION_SEED:  # tests begin at twice that
            raise ValueError(f"{self.validate} phantoms to validate on reach into the seeds of tests")
        for mix in (self.fields, self.painting):
            if not mix or min(mix.values()) < 0 or sum(mix.values()) <= 0:
                raise ValueError(f"weights are not negative and at least one is positive, not {mix!r}")

    @property
    def skips_refused(self) -> bool:
        """A field of view may show no bone that counts: another seed does."""
        return True

    def training(self) -> Sequence[str]:
        """One case a seed."""
        return [f"seed_{seed:07d}" for seed in range(self.first_seed, self.first_seed + self.count)]

    def validation(self) -> Sequence[str]:
        """Seeds of the validation range."""
        first = VALIDATION_SEED + self.first_seed
        return [f"seed_{seed:07d}" for seed in range(first, first + self.validate)]

    def content(self) -> dict[str, Any]:
        """Mixture and templates."""
        return {
            "fields": self.fields,
            "painting": self.painting,
            "clean": self.clean,
            "templates": [stamp_of(self.templates), self.template_share] if self.templates else [],
        }

    def make(self, case: str, spacing_mm: float) -> tuple[Volume, LabelMap]:
        """The phantom of this seed."""
        from spine_node.phantom.generate import generate

        seed = int(case.removeprefix("seed_"))
        rng = np.random.default_rng((seed, 77))
        seen = _one_of(self.fields, rng)
        painting = _one_of(self.painting, rng)
        phantom = generate(
            seed,
            spacing_mm=spacing_mm,
            field_of_view=seen,  # type: ignore[arg-type]
            clean=bool(rng.random() < self.clean),
            painting=painting,  # type: ignore[arg-type]
            device=self.device,
            templates=_library(self.templates) if self.templates else None,
            template_share=self.template_share,
        )
        return phantom.volume, phantom.label_map

    def draw(self, ready: Sequence[str], rng: np.random.Generator) -> str:
        """Any, all alike."""
        return ready[int(rng.integers(len(ready)))]

    def words(self) -> str:
        """What phantoms are."""
        said = (
            f"{self.count} phantoms made by this project (`spine-node phantom`): vertebrae, pelvis and soft "
            "tissue posed along standing curves with scoliosis and rotation, painted and degraded as "
            "cone-beam CT. Apache-2.0, as the weights."
        )
        if self.templates is None:
            return said
        sources = " ".join(_library(self.templates).card_lines())
        return f"{said} {100 * self.template_share:.0f} % of them have real shapes of bones. {sources}"


@dataclass(frozen=True, slots=True)
class FolderStream:
    """Labelled scans: one sub-folder each, with a NIfTI pair, or a DICOM series and its SEG.

    A NIfTI pair is `labels*.nii.gz` and the only other NIfTI file; 255 where nobody annotated. DICOM is
    a sub-folder with the series, and one SEG file beside it, of the spine. Sub-folders with neither are
    passed over.

    Attributes
    ----------
    path : Path
    name : str
    share : float
        Weight of this stream among all when patches are drawn.
    validate : tuple of str
        Sub-folders that are held out.
    ignore : dict of str to tuple of int
        Label values of a sub-folder that are not to be trusted; see `anatomy.unlabelled`.
    partial_ends : bool
        Whether the spine goes on, without labels, beyond the labelled part; see there.
    repaint : float
        Fraction of patches from scans whose grey values were painted anew from their labels.
    repaint_count : int
        Number of repainted versions of each scan.
    repaint_styles : tuple of str
        Styles of `phantom.repaint` that the versions have in turn: "random", "cbct", "degrade".
    attribution, licence : str
        Whose data these are, for the model card.
    """

    path: Path
    name: str = "scans"
    share: float = 1.0
    validate: tuple[str, ...] = ()
    ignore: dict[str, tuple[int, ...]] = field(default_factory=dict)
    partial_ends: bool = False
    repaint: float = 0.0
    repaint_count: int = 4
    repaint_styles: tuple[Literal["random", "cbct", "degrade"], ...] = ("random", "cbct")
    attribution: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        _check(self)
        if not 0 <= self.repaint <= 1 or self.repaint_count < 1 or not self.repaint_styles:
            raise ValueError("repaint is a fraction from 0 to 1, repaint_count at least 1, of some style")

    @property
    def skips_refused(self) -> bool:
        """A scan that cannot be used is somebody's mistake: it is said."""
        return False

    def training(self) -> Sequence[str]:
        """Every labelled sub-folder that is not held out, and its repainted versions."""
        if unknown := sorted(set(self.ignore) - set(_scans(self.path))):
            raise LabelMapRefused(
                f"{self.path} has no labelled scan {', '.join(unknown)}, which ignore names."
            )
        scans = [name for name in _scans(self.path) if name not in self.validate]
        if not scans:
            raise LabelMapRefused(f"{self.path}: every labelled scan is held out, none is left to train on.")
        again = range(self.repaint_count if self.repaint else 0)
        return scans + [f"{name}~{k}" for k in again for name in scans]

    def validation(self) -> Sequence[str]:
        """The sub-folders that the config names."""
        scans = _scans(self.path)
        if missing := sorted(set(self.validate) - set(scans)):
            raise LabelMapRefused(
                f"{self.path} has no labelled scan {', '.join(missing)} to validate on; there are "
                f"{', '.join(scans)}."
            )
        return list(self.validate)

    def content(self) -> dict[str, Any]:
        """The folder, and names, sizes and times of its files: corrected labels are other cases."""
        known = {"ignore": self.ignore, "partial_ends": self.partial_ends}
        return {"path": str(self.path), "styles": self.repaint_styles, "files": stamp_of(self.path)} | known

    def make(self, case: str, spacing_mm: float) -> tuple[Volume, LabelMap]:
        """Read a scan with its labels; paint it anew if the case's name says so."""
        scan, _, version = case.partition("~")
        volume, label_map = _read(self.path / scan)
        known = mask_unknown(
            label_map.labels, label_map.grid, self.ignore.get(scan, ()), partial_ends=self.partial_ends
        )
        label_map = replace(label_map, labels=known)
        if not version:
            return volume, label_map
        from spine_node.phantom.repaint import repaint

        style = self.repaint_styles[int(version) % len(self.repaint_styles)]
        return repaint(volume, label_map, zlib.crc32(case.encode()), style=style)

    def draw(self, ready: Sequence[str], rng: np.random.Generator) -> str:
        """Repainted or not, as `repaint` says; then any."""
        again = [case for case in ready if "~" in case]
        plain = [case for case in ready if "~" not in case]
        chosen = (again or plain) if rng.random() < self.repaint else (plain or again)
        return chosen[int(rng.integers(len(chosen)))]

    def words(self) -> str:
        """Whose scans they are."""
        whose = self.attribution or f"labelled scans of the folder {self.path.name} (no attribution given)"
        return f"{whose.rstrip('.')}. Licence: {self.licence or 'not stated'}."


def _one_of(weights: dict[str, float], rng: np.random.Generator) -> str:
    chance = np.array(list(weights.values()))
    return str(rng.choice(list(weights), p=chance / chance.sum()))


@cache
def _library(place: Path) -> TemplateLibrary:
    from spine_node.phantom.library import TemplateLibrary

    if not place.exists():
        raise ConfigRefused(f"{place}, where templates were to be, does not exist.")
    found = TemplateLibrary.from_folder(place).split("train")
    if not found.templates:
        raise ConfigRefused(f"{place} has no template that its sources give to training (role = train).")
    return found


def _pair(scan: Path) -> tuple[Path, Path] | None:
    images, labels = nifti_files(scan)
    return (images[0], labels[0]) if len(labels) == len(images) == 1 else None


def _dicom(scan: Path) -> tuple[Path, Path] | None:
    """The folder of a series, and the SEG file beside it."""
    folders = [p for p in sorted(scan.iterdir()) if p.is_dir()]
    files = [p for p in sorted(scan.iterdir()) if p.is_file() and not p.name.startswith(".")]
    if len(folders) != 1 or not files:
        return None
    from spine_node.dicom.seg_reading import is_seg

    segs = [f for f in files if is_seg(f)]
    return (folders[0], segs[0]) if len(segs) == 1 else None


def _scans(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise LabelMapRefused(f"{folder} is not a folder: no labelled scan can be read from it.")
    found = []
    for scan in sorted(p for p in folder.iterdir() if p.is_dir()):
        if _pair(scan) or _dicom(scan):
            found.append(scan.name)
        elif labels := [f.name for f in nifti_files(scan)[1]]:
            raise LabelMapRefused(
                f"{scan} holds {', '.join(labels)}, but not one labels file beside one image: nobody knows "
                "what belongs together. Leave one pair there. Nothing was trained."
            )
    if not found:
        raise LabelMapRefused(
            f"{folder} holds no labelled scan: for each a sub-folder was expected, with one labels*.nii.gz "
            "and one other NIfTI file, or with a folder of DICOM images and one DICOM SEG."
        )
    return found


def _read(scan: Path) -> tuple[Volume, LabelMap]:
    if pair := _pair(scan):
        from spine_node.nifti import read_label_map, read_volume

        return read_volume(pair[0]), read_label_map(pair[1])
    found = _dicom(scan)
    if found is None:
        raise LabelMapRefused(f"{scan} holds no labelled scan any more.")
    from spine_node.anatomy.split import split
    from spine_node.dicom.seg_reading import read_seg
    from spine_node.dicom.series import read_series
    from spine_node.dicom.voxels import read_volume as read_dicom

    series = read_series(found[0])
    volume, space = read_dicom(series), series.frame_of_reference_uid
    # Most Segmentations, the node's own among them, hold a vertebra in one piece.
    return volume, split(read_seg(found[1], volume.grid, frame_of_reference_uid=space, whole="body"))
