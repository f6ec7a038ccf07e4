"""Which segmenter somebody's words or folder mean. Imports torch only when one is made."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from spine_node.errors import BundleRefused
from spine_node.segmentation import totalsegmentator
from spine_node.segmentation.bundle import DEFAULT_BUNDLE, INFERENCE, METADATA, load_bundle
from spine_node.segmentation.monai_config import load_monai_bundle
from spine_node.segmentation.segmenter import ModelIdentity, Segmenter

OWN_NAME = DEFAULT_BUNDLE.name
"""How the bundle that comes with the project is called: spinenet."""

NAMES = (OWN_NAME, totalsegmentator.NAME, totalsegmentator.FAST_NAME)
"""What is understood beside the folder of a bundle."""


def load_segmenter(choice: str | Path, device: str = "auto", *, any_structure: bool = False) -> Segmenter:
    """The segmenter of that name, or of the bundle in that folder.

    Parameters
    ----------
    choice : str or Path
        One of `NAMES`, or the folder of a bundle: the project's own or MONAI's.
    device : str
        "auto" (a GPU if there is one), "cpu", "cuda" or "cuda:N".
    any_structure : bool
        Take bundles of other structures than the spine too: they make label maps, but nothing is
        measured on them.

    Raises
    ------
    BundleRefused
        If there is no such thing, or it cannot be trusted or used.
    """
    found = _resolved(choice)
    if isinstance(found, str):
        return totalsegmentator.TotalSegmentatorSegmenter(found, device)
    if _is_monai(found):
        from spine_node.segmentation.monai_bundle import MonaiSegmenter

        return MonaiSegmenter(found, device)
    if any_structure:
        from spine_node.segmentation.structures import segmenter_of

        return segmenter_of(found, device)
    from spine_node.segmentation.inference import BundleSegmenter

    return BundleSegmenter(found, device)


def identity_of(choice: str | Path) -> ModelIdentity:
    """What `load_segmenter(choice).identity` will be, for the spine; verifies the files, builds nothing.

    Raises
    ------
    BundleRefused
        If there is no such thing, it cannot be trusted, or it segments something else than the spine.
    """
    found = _resolved(choice)
    if isinstance(found, str):
        return totalsegmentator.identity_of(found)
    if _is_monai(found):
        return load_monai_bundle(found).identity
    bundle = load_bundle(found)
    if not bundle.is_spine:
        named = ", ".join(bundle.scheme.classes[1:])
        raise BundleRefused(
            f"the bundle in {found} segments {named}: the node measures spines and cannot use it."
        )
    return bundle.identity


def settings_digest(choice: str | Path) -> str:
    """What a bundle says of how its net is used (channels, spacing, windows): the same weights under other
    settings make other label maps. "" for what has no such files."""
    found = _resolved(choice)
    if isinstance(found, str):
        return ""
    digest = hashlib.sha256()
    for path in sorted(
        path for name in (INFERENCE, METADATA) for path in found.glob(f"{name.with_suffix('')}.*")
    ):
        content = path.read_bytes()
        digest.update(f"{path.name} {len(content)} ".encode() + content)
    return digest.hexdigest()


def _resolved(choice: str | Path) -> str | Path:
    """A name of TotalSegmentator, or a folder."""
    if isinstance(choice, str) and choice in (totalsegmentator.NAME, totalsegmentator.FAST_NAME):
        return choice
    if choice == OWN_NAME and not Path(choice).is_dir():
        return DEFAULT_BUNDLE
    folder = Path(choice)
    if not folder.is_dir():
        raise BundleRefused(
            f"{choice} is no model: neither the folder of a bundle nor one of {', '.join(NAMES)}."
        )
    return folder


def _is_monai(folder: Path) -> bool:
    """Whether the bundle is built as MONAI builds them, and not as this project does."""
    try:
        inference = json.loads((folder / INFERENCE).read_text(encoding="utf-8"))
        metadata = json.loads((folder / METADATA).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return (folder / INFERENCE).with_suffix(".yaml").is_file()
    if not isinstance(inference, dict) or not isinstance(metadata, dict):
        return False
    return "network" not in metadata and "context" not in metadata
