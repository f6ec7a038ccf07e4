"""The model card of a bundle, from its metadata and the figures of its evaluation."""

from __future__ import annotations

from typing import Any

from spine_node.evaluation.markdown import markdown

_TEXT = """\
# spinenet {version}

Segments the standing spine: every vertebra from C1 to L6 (body and posterior elements), sacrum,
hip bones, femoral heads. Grey values need not be Hounsfield units.

**Intended use**: research. Not a medical device; nobody has validated it on patients.

## How it was made

A residual 3-D U-Net ({widths} channels), {spacing:g} mm voxels, windows of {patch} voxels. Three heads:
tissue, offset to the own body's centre (tells neighbours apart), level (C1 to L6, S1). Levels are then
named by dynamic programming over appearance, spacing and the sacrum; sides follow from geometry.

Trained with

    {command}

for {hours:g} hours ({steps} steps) on {device}, finished {finished}. Seeds: training from 0, validation from
1 000 000, test from 2 000 000.
{remarks}
**Data**: phantoms made by this project (`spine-node phantom`): analytic vertebrae, pelvis and soft
tissue, posed along standing curves with scoliosis and rotation, painted and degraded as cone-beam CT.
Apache-2.0, as the weights.
{real}
## Figures

{figures}

## Known failures and limits

- The phantoms' bones are smoother and more alike than people's: expect less on real images than the
  figures say. The figures are for phantoms unless they say otherwise.
- Without the sacrum in the field, levels rest on appearance and spacing: the label "level uncertain" in
  the report is meant.
- A spine with four lumbar vertebrae can be read as one without T12; "level uncertain" is then said.
- S1 can be tilted by 5 degrees or more where its marrow is dark or the disc is narrow.
- Implants, fractures, fused vertebrae and children were hardly or not seen in training.
- Ribs, discs and the spinal canal are not segmented.

## Licence

Weights: Apache-2.0. SHA-256 of `models/model.safetensors`: `{digest}`.
"""


def model_card(metadata: dict[str, Any], figures: dict[str, Any] | None) -> str:
    """The card as Markdown.

    Parameters
    ----------
    metadata : dict
        Content of the bundle's metadata.json.
    figures : dict, optional
        What `evaluate` returned; None is said in words.
    """
    training, network = metadata["training"], metadata["network"]
    real = f"\nBesides: {training['real_data']}\n" if training.get("real_data") else ""
    return _TEXT.format(
        version=metadata["version"],
        widths=", ".join(map(str, network["widths"])),
        spacing=metadata["spacing_mm"],
        patch=" x ".join(map(str, training["recipe"]["patch"])),
        command=training["command"],
        hours=training["hours"],
        steps=training["steps"],
        device=training.get("device", "two CPU cores"),
        finished=training["finished"],
        real=real,
        remarks=f"\n{training['remarks']}\n" if training.get("remarks") else "",
        figures=markdown(figures) if figures else "Not evaluated.",
        digest=next(iter(metadata["sha256"].values())),
    )
