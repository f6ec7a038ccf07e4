"""Plain values of a MONAI inference configuration, and what to add where only an expression stands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spine_node.errors import BundleRefused
from spine_node.segmentation.bundle import INFERENCE, METADATA, SPACINGS_MM

OWN_KEY = "spine_node"
"""Entry of metadata.json for what a bundle cannot say otherwise: spacing_mm, axcodes, roi_size, label_map."""

NETWORKS = (
    "AttentionUnet", "BasicUNet", "DynUNet", "SegResNet", "SwinUNETR", "UNETR", "UNet", "VNet",
)  # fmt: skip
"""Classes of monai.networks.nets that are built; they take plain numbers and return one map of channels."""

SCALINGS = ("ScaleIntensityRanged", "NormalizeIntensityd", "ScaleIntensityd")
SILENT = ("LoadImaged", "EnsureChannelFirstd", "AddChanneld", "EnsureTyped", "ToTensord", "CastToTyped")
"""Transforms that are reading, and nothing else."""


class Reader:
    """Plain values of an inference configuration; "@" references between them are followed."""

    def __init__(self, folder: Path, config: dict[str, Any], own: dict[str, Any]) -> None:
        self.folder, self.config, self.own = folder, config, own
        self.file = folder / INFERENCE

    def plain(self, value: Any, where: str, add: str, depth: int = 0) -> Any:
        """The value without references; refused, with what to `add`, where it is an expression."""
        if isinstance(value, str) and value.startswith("@") and depth < 8:
            target: Any = self.config
            for key in value[1:].replace("::", "#").split("#"):
                try:
                    target = target[int(key)] if isinstance(target, list) else target[key]
                except (KeyError, IndexError, ValueError, TypeError):
                    raise BundleRefused(
                        f"{self.file}: {where} refers to {value}, which is not there. {add}"
                    ) from None
            return self.plain(target, where, add, depth + 1)
        if isinstance(value, str) and value[:1] in ("$", "@", "%"):
            raise BundleRefused(
                f"{self.file}: {where} is the expression {value[:80]!r}. Text of a bundle is never run as "
                "code. "
                f"{add}"
            )
        if isinstance(value, list):
            return [self.plain(v, where, add, depth) for v in value]
        if isinstance(value, dict):
            return {k: self.plain(v, where, add, depth) for k, v in value.items()}
        return value

    def network(self) -> tuple[str, dict[str, Any]]:
        definition = self.config.get("network_def")
        add = "Write it as a plain value."
        definition = self.plain(definition, "network_def", add)
        if not isinstance(definition, dict) or "_target_" not in definition:
            raise BundleRefused(
                f'{self.file} has no network_def with a "_target_": without it the net cannot be built.'
            )
        target = str(definition["_target_"])
        name = target.removeprefix("monai.networks.nets.").split(".")[-1]
        home = target.removesuffix(name).rstrip(".")
        if name not in NETWORKS or not (home == "" or home.startswith("monai.networks.nets")):
            raise BundleRefused(
                f"{self.file} names the network {target!r}, which is not built here: only "
                f"{', '.join(NETWORKS)} of monai.networks.nets are."
            )
        arguments = {k: v for k, v in definition.items() if not k.startswith("_")}
        if arguments.get("spatial_dims", arguments.get("dimensions", 3)) != 3:
            raise BundleRefused(
                f"{self.file}: the net sees slices, not volumes; three dimensions are needed."
            )
        return name, arguments

    def transforms(self) -> Iterator[tuple[str, dict[str, Any]]]:
        chain = self.config.get("preprocessing") or {}
        steps = chain.get("transforms", []) if isinstance(chain, dict) else chain
        for step in steps if isinstance(steps, list) else []:
            if not isinstance(step, dict) or "_target_" not in step:
                raise BundleRefused(
                    f"{self.file} prepares images with {str(step)[:80]!r}: what that does is not known here. "
                    "Write it as an entry with a _target_ and plain values."
                )
            yield str(step["_target_"]).split(".")[-1], step

    def spacing(self) -> tuple[float, float, float]:
        add = f'Add "{OWN_KEY}": {{"spacing_mm": [1.5, 1.5, 1.5]}} to {METADATA}.'
        said = self.own.get("spacing_mm")
        if said is None:
            step = next((s for name, s in self.transforms() if name == "Spacingd"), None)
            if step is None:
                raise BundleRefused(f"{self.file} does not say at what spacing the net works. {add}")
            said = self.plain(step.get("pixdim"), "pixdim of Spacingd", add)
        values = [said] * 3 if isinstance(said, (int, float)) else said
        if not _numbers(values) or not all(SPACINGS_MM[0] <= v <= SPACINGS_MM[1] for v in values):
            raise BundleRefused(
                f"{self.folder} says that the net works at {said} mm; three numbers from "
                f"{SPACINGS_MM[0]:g} to "
                f"{SPACINGS_MM[1]:g} mm can be used."
            )
        return float(values[0]), float(values[1]), float(values[2])

    def axcodes(self) -> str:
        add = f'Add "{OWN_KEY}": {{"axcodes": "RAS"}} to {METADATA}.'
        said = self.own.get("axcodes")
        if said is None:
            step = next((s for name, s in self.transforms() if name == "Orientationd"), None)
            if step is None:
                raise BundleRefused(
                    f"{self.file} does not say how the net's axes lie (no Orientationd). {add}"
                )
            said = self.plain(step.get("axcodes"), "axcodes of Orientationd", add)
        pairs = sorted(
            "".join(sorted(p)) for p in ("LR", "AP", "IS") if isinstance(said, str) and set(p) & set(said)
        )
        if not isinstance(said, str) or len(said) != 3 or len(pairs) != 3:
            raise BundleRefused(
                f"{self.folder} gives the net's axes as {said!r}; three letters as in RAS were expected."
            )
        return said

    def scaling(self) -> tuple[tuple[str, dict[str, Any]], ...]:
        steps = []
        for name, step in self.transforms():
            if name in SCALINGS:
                arguments = {k: v for k, v in step.items() if k not in ("_target_", "keys")}
                steps.append((name, self.plain(arguments, name, "Write its numbers as plain values.")))
            elif name not in (*SILENT, "Spacingd", "Orientationd"):
                raise BundleRefused(
                    f"{self.file} prepares images with {name}, which is not known here: only Orientationd, "
                    f"Spacingd, {', '.join(SCALINGS)} and plain reading are."
                )
        if not steps:
            raise BundleRefused(
                f"{self.file} does not say how grey values are scaled: one of {', '.join(SCALINGS)} was "
                "expected "
                "in its preprocessing."
            )
        return tuple(steps)

    def require_one_class_each(self) -> None:
        """Refuse nets whose channels overlap: a voxel has one value here."""
        chain = self.config.get("postprocessing") or {}
        for step in chain.get("transforms", []) if isinstance(chain, dict) else []:
            if not isinstance(step, dict):
                raise BundleRefused(
                    f"{self.file} ends in {str(step)[:80]!r}: what that does is not known here. Write it as "
                    "an entry with a _target_ and plain values."
                )
            if str(step.get("_target_")).endswith("Activationsd") and step.get("sigmoid"):
                raise BundleRefused(
                    f"{self.file} ends in a sigmoid: its structures may overlap, and a label map has one "
                    "value a voxel."
                )

    def roi_size(self, metadata: dict[str, Any]) -> tuple[int, int, int]:
        add = f'Add "{OWN_KEY}": {{"roi_size": [96, 96, 96]}} to {METADATA}.'
        said = self.own.get("roi_size") or self._inferer("roi_size", add)
        if said is None:
            inputs = (metadata.get("network_data_format") or {}).get("inputs") or {}
            said = next((i.get("spatial_shape") for i in inputs.values() if isinstance(i, dict)), None)
        values = [said] * 3 if isinstance(said, int) else said
        if not _numbers(values) or not all(isinstance(v, int) and 8 <= v <= 512 for v in values):
            raise BundleRefused(
                f"{self.file} does not say what window the net sees (roi_size is {said!r}; three whole "
                "numbers from 8 "
                f"to 512 were expected). {add}"
            )
        return values[0], values[1], values[2]

    def overlap(self) -> float:
        said = self._inferer("overlap", "Write it as a plain number.")
        if said is None:
            return 0.25
        if not isinstance(said, (int, float)) or not 0 <= said < 1:
            raise BundleRefused(f"{self.file} has an overlap of {said!r}; 0 up to 1 was expected.")
        return float(said)

    def _inferer(self, key: str, add: str) -> Any:
        inferer = self.config.get("inferer")
        found = inferer.get(key) if isinstance(inferer, dict) else None
        return None if found is None else self.plain(found, f"{key} of the inferer", add)


def _numbers(values: Any) -> bool:
    return (
        isinstance(values, list)
        and len(values) == 3
        and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)
    )
