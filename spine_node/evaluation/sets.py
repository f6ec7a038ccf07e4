"""The sets of an evaluation, never mixed in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from spine_node.errors import ConfigRefused
from spine_node.evaluation.cases import TEST_SEED, Case, labelled
from spine_node.evaluation.phantoms import STRESSES, stress, synthetic, templates

WHAT = {
    "synthetic": "unseen phantoms, drawn as the training ones are",
    "stress": "unseen phantoms with what is hard: " + ", ".join(STRESSES),
    "templates": "unseen phantoms with vertebrae from templates that were not trained on",
    "real": "labelled scans: the labels are a reference, not the truth",
    "standing": "labelled standing cone-beam scans of your own: the labels are a reference, not the truth",
}
"""The sets, in words."""


def chosen(
    names: Sequence[str],
    folders: Mapping[str, Path | None],
    *,
    count: int,
    spacing_mm: float,
    clean: bool = False,
) -> dict[str, list[Case]]:
    """The sets somebody asked for.

    Parameters
    ----------
    names : sequence of str
        "synthetic", "stress"; "synthetic" when there are neither names nor folders.
    folders : mapping
        Where the sets "real", "standing" and "templates" are; None for those that nobody asked for.
    count : int
        Phantoms in each set.
    spacing_mm, clean
        Of the phantoms; only synthetic ones can be clean.

    Raises
    ------
    ConfigRefused
        If there is no set of that name.
    LabelMapRefused
        If a folder holds no labelled scan.
    """
    given = {name: folder for name, folder in folders.items() if folder is not None}
    names = list(dict.fromkeys(names)) or ([] if given else ["synthetic"])
    made: dict[str, list[Case]] = {}
    for name in names:
        if name == "synthetic":
            seeds = range(TEST_SEED, TEST_SEED + count)
            made[name] = synthetic(seeds, spacing_mm=spacing_mm, clean=clean)
        elif name == "stress":
            made[name] = stress(count, spacing_mm)
        else:
            raise ConfigRefused(
                f"there is no set {name!r}: synthetic and stress are made; real, standing and templates come "
                "from a folder (--real DIR, --standing DIR, --templates DIR)."
            )
    for name, folder in given.items():
        made[name] = templates(folder, count, spacing_mm) if name == "templates" else labelled(folder, name)
    return made
