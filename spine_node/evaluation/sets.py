"""The sets of an evaluation, never mixed in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from spine_node.errors import ConfigRefused
from spine_node.evaluation.cases import TEST_SEED, Case
from spine_node.evaluation.phantoms import STRESSES, stress, synthetic, templates
from spine_node.evaluation.references import Notes, labelled

WHAT = {
    "synthetic": "unseen phantoms, drawn as the training ones are",
    "stress": "unseen phantoms with what is hard: " + ", ".join(STRESSES),
    "templates": "unseen phantoms with shapes of bones and scanner settings that were not trained on",
    "real": "labelled scans: the labels are a reference, not the truth",
    "crop": "labelled cut-outs of a few vertebrae: the labels are a reference, not the truth",
    "standing": "labelled standing cone-beam scans of your own: the labels are a reference, not the truth",
    "trained": "labelled scans that the model was trained on: they say what it remembers, not what it can",
}
"""The sets, in words."""


def chosen(
    names: Sequence[str],
    folders: Mapping[str, Path | None],
    *,
    count: int,
    spacing_mm: float,
    clean: bool = False,
    notes: Mapping[str, Notes] | None = None,
    trained_on: Sequence[str] = (),
) -> dict[str, list[Case]]:
    """The sets somebody asked for.

    Parameters
    ----------
    names : sequence of str
        "synthetic", "stress"; "synthetic" when there are neither names nor folders.
    folders : mapping
        Where the sets "real", "crop", "standing" and "templates" are; None for those that nobody asked for.
    count : int
        Phantoms in each set.
    spacing_mm, clean
        Of the phantoms; only synthetic ones can be clean.
    notes : mapping of scan to Notes, optional
        What of its labels is not scored.
    trained_on : sequence of str
        Scans of any folder that go to the set "trained".

    Raises
    ------
    ConfigRefused
        If there is no set, or no scan, of that name.
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
                f"there is no set {name!r}: synthetic and stress are made; real, crop, standing and "
                "templates come from a folder (--real DIR, --crop DIR, --standing DIR, --templates DIR)."
            )
    for name, folder in given.items():
        if name == "templates":
            made[name] = templates(folder, count, spacing_mm)
        else:
            made[name] = labelled(folder, name, notes)
    return _parted(made, trained_on)


def _parted(made: dict[str, list[Case]], trained_on: Sequence[str]) -> dict[str, list[Case]]:
    scans = [case for name, cases in made.items() if name in ("real", "crop", "standing") for case in cases]
    if unknown := sorted(set(trained_on) - {case.name for case in scans}):
        raise ConfigRefused(
            f"no scan is called {', '.join(unknown)}, which the model is said to be trained on; there are "
            f"{', '.join(case.name for case in scans) or 'none'}."
        )
    seen = [case for case in scans if case.name in trained_on]
    kept = {name: [case for case in cases if case not in seen] for name, cases in made.items()}
    if seen:
        kept["trained"] = [replace(case, group="trained") for case in seen]
    return {name: cases for name, cases in kept.items() if cases}
