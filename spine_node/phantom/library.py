"""All real shapes at hand: read from folders, kept in one file, given to the bones of a person."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from spine_node.anatomy.levels import order
from spine_node.errors import LabelMapRefused
from spine_node.phantom.cutting import cut
from spine_node.phantom.layouts import LAYOUT_FILE, Layout, layouts_of
from spine_node.phantom.meshes import bones_in, fill_folder
from spine_node.phantom.skeleton import Skeleton
from spine_node.phantom.templates import Fitted, Rim, Source, Template

ALONE = ("C1", "C2", "S1")
"""Bones that no neighbour can stand in for."""


@dataclass(frozen=True, slots=True, eq=False)
class TemplateLibrary:
    """Shapes by level, with where they come from.

    Attributes
    ----------
    templates : tuple of Template
    left_out : dict of str to str
        What was found and not used ("source: level"), and why.
    """

    templates: tuple[Template, ...]
    left_out: dict[str, str]

    @classmethod
    def from_folder(cls, folder: Path) -> TemplateLibrary:
        """Read a library file, or cut templates out of what a folder holds.

        Parameters
        ----------
        folder : Path
            A file written by `save`; or a folder of meshes, a folder of one labelled scan
            (labels*.nii.gz), or a folder of such folders. A `templates.toml` in each tells axes, unit
            and licence.

        Raises
        ------
        LabelMapRefused
            If nothing in it could be used; the message lists why.
        ConfigRefused
            If a `templates.toml` is not understood, or the axes or unit in it cannot be.
        """
        if folder.is_file():
            return cls.load(folder)
        templates: list[Template] = []
        left_out: dict[str, str] = {}
        for place in (folder, *sorted(p for p in folder.iterdir() if p.is_dir())):
            for layout in layouts_of(place) or (Layout(Source(place.name, "not stated", "")),):
                try:
                    made, without = _read(place, layout)
                except LabelMapRefused as error:
                    left_out[layout.source.name] = str(error)
                    continue
                templates += made
                left_out |= {f"{layout.source.name}: {level}": why for level, why in without.items()}
        if not templates:
            raise LabelMapRefused(
                f"{folder} gave no template of a bone. Meshes named by level (L3.stl), labelled scans "
                f"(labels*.nii.gz) or folders of such were expected. "
                + " ".join(f"{name}: {why}" for name, why in left_out.items())
            )
        return cls(tuple(sorted(templates, key=lambda t: (t.source.name, _order(t.level)))), left_out)

    @classmethod
    def from_folders(cls, folders: Iterable[Path]) -> TemplateLibrary:
        """All of several folders or library files together; see `from_folder`."""
        found = [cls.from_folder(folder) for folder in folders]
        left_out = {name: why for library in found for name, why in library.left_out.items()}
        return cls(tuple(t for library in found for t in library.templates), left_out)

    def save(self, path: Path) -> None:
        """Write all templates to one file; a reader sees all of it or nothing."""
        arrays: dict[str, np.ndarray] = {}
        said = []
        for k, t in enumerate(self.templates):
            arrays[f"d{k}"] = t.distances
            rims = [np.vstack([r.centre_mm, r.normal, r.edges_mm]) for r in (t.superior, t.inferior)]
            arrays[f"p{k}"] = np.vstack([t.corner_mm, t.canal_mm, *rims])
            said.append({"level": t.level, "source": asdict(t.source)})
        part = path.with_suffix(f".{os.getpid()}.part")
        with part.open("wb") as file:
            np.savez_compressed(file, said=np.array(json.dumps([said, self.left_out])), **arrays)  # type: ignore[arg-type]
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> TemplateLibrary:
        """Read a file that `save` wrote.

        Raises
        ------
        LabelMapRefused
            If it is none.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                said, left_out = json.loads(str(stored["said"]))
                templates = tuple(
                    _template(s["level"], Source(**s["source"]), stored[f"d{k}"], stored[f"p{k}"])
                    for k, s in enumerate(said)
                )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LabelMapRefused(
                f"{path} is no library of templates ({error}): a file written by "
                "`spine-node templates --out` was expected."
            ) from error
        return cls(templates, left_out)

    def split(self, role: str) -> TemplateLibrary:
        """The templates for "train" or for "test": whole persons go to one side, as their sources say."""
        return replace(self, templates=tuple(t for t in self.templates if t.source.role == role))

    def of(self, level: str) -> tuple[Template, ...]:
        """Templates for a level: its own, else those of the nearest level of its region."""
        own = tuple(t for t in self.templates if t.level == level)
        if own or level in ALONE:
            return own
        near = [t for t in self.templates if t.level[0] == level[0] and t.level not in ALONE]
        if not near:
            return ()
        best = min(abs(order(t.level) - order(level)) for t in near)
        return tuple(t for t in near if abs(order(t.level) - order(level)) == best)

    def dress(self, skeleton: Skeleton, rng: np.random.Generator, share: float = 0.7) -> Skeleton:
        """Give real shapes to the bones of a person.

        Parameters
        ----------
        skeleton : Skeleton
        rng : Generator
        share : float
            Chance that a person has real shapes at all; of these, most bones come from one person.

        Returns
        -------
        Skeleton
            The same endplates, centres and edges measured on the new shapes.
        """
        if rng.random() >= share:
            return skeleton
        names = sorted({t.source.name for t in self.templates})
        favourite = names[int(rng.integers(len(names)))] if names else ""
        mirrored = bool(rng.random() < 0.5)
        bones = []
        for bone in skeleton.bones:
            chosen = self._choose(bone.level, favourite, rng)
            quirk = int(rng.integers(1, 1 << 31)) if bone.segment.quirk else 0
            fit = Fitted.onto(bone.body, chosen, mirrored=mirrored, quirk=quirk) if chosen else None
            bones.append(bone.wearing(fit) if fit else bone)
        s1 = self._choose("S1", favourite, rng)
        sacrum = Fitted.onto(skeleton.s1, s1, mirrored=mirrored) if s1 else None
        return replace(skeleton, bones=tuple(bones), sacrum=sacrum)

    def _choose(self, level: str, favourite: str, rng: np.random.Generator) -> Template | None:
        draw = rng.random()
        fitting = self.of(level)
        if not fitting:
            return None
        preferred = [t for t in fitting if t.source.name == favourite]
        if preferred and draw < 0.8:
            return preferred[0]
        return fitting[int(draw * 1e6) % len(fitting)]

    @property
    def sources(self) -> tuple[Source, ...]:
        """Everyone to be named."""
        return tuple(sorted({t.source for t in self.templates}, key=lambda s: s.name))

    def card_lines(self) -> list[str]:
        """A line for each source, as a model card prints it."""
        return [
            f"{s.name} ({', '.join(self.levels(s))}): {s.licence}. {s.citation}".rstrip(". ") + "."
            for s in self.sources
        ]

    def levels(self, source: Source) -> Sequence[str]:
        """Levels of one source, cranial to caudal."""
        return [t.level for t in self.templates if t.source == source]


def _order(level: str) -> int:
    return 99 if level == "S1" else order(level)


def _read(place: Path, layout: Layout) -> tuple[Iterable[Template], dict[str, str]]:
    """Templates of one layout in one folder; none where it holds neither scan nor meshes."""
    labels = sorted(p for p in place.glob("labels*.nii*"))
    if len(labels) > 1:
        raise LabelMapRefused(
            f"{place} holds {len(labels)} label maps ({', '.join(p.name for p in labels)}): one was expected."
        )
    if labels:
        from spine_node.nifti import read_label_map  # a training machine may have no NIfTI reader

        return cut(read_label_map(labels[0]), layout.source, spoiled=layout.spoiled)
    if bones_in(place, layout):
        return cut(fill_folder(place, layout), layout.source, spoiled=layout.spoiled)
    if (place / LAYOUT_FILE).exists():
        raise LabelMapRefused(f"{place} has a {LAYOUT_FILE} but no label map and no mesh of a bone.")
    return (), {}


def _template(level: str, source: Source, distances: np.ndarray, places: np.ndarray) -> Template:
    rims = [Rim(p[0], p[1], p[2:]) for p in (places[2:8], places[8:14])]
    return Template(level, distances, places[0], rims[0], rims[1], places[1], source)
