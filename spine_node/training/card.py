"""The model card of a bundle, from its metadata and the figures of its evaluation."""

from __future__ import annotations

from typing import Any

_TEXT = """\
# {name} {version}

{segments}

**Intended use**: research. Not a medical device; nobody has validated it on patients.

## How it was made

A residual 3-D U-Net ({widths} channels), {spacing:g} mm voxels, windows of {patch} voxels. {heads}

Trained with

    {command}

for {hours:g} hours ({steps} steps) on {device}, finished {finished}. {seeds}
{remarks}
**Data**, by share of the patches:

{data}
{curve}
## Figures

{figures}

## Known failures and limits

{limits}

## Licence

Weights: {licence}. SHA-256 of `models/model.safetensors`: `{digest}`.
"""

_SPINE = {
    "segments": """\
Segments the standing spine: every vertebra from C1 to L6 (body and posterior elements), sacrum,
hip bones, femoral heads. Grey values need not be Hounsfield units.""",
    "heads": """\
Three heads:
tissue, offset to the own body's centre (tells neighbours apart), level (C1 to L6, S1). Levels are then
named by dynamic programming over appearance, spacing and the sacrum; sides follow from geometry.""",
    "seeds": """\
Seeds: training from 0,
validation from 1 000 000, test from 2 000 000.""",
    "limits": """\
- The phantoms' bones are smoother and more alike than people's: expect less on real images than the
  figures say. The figures are for phantoms unless they say otherwise.
- Without the sacrum in the field, levels rest on appearance and spacing: the label "level uncertain" in
  the report is meant.
- A spine with four lumbar vertebrae can be read as one without T12; "level uncertain" is then said.
- S1 can be tilted by 5 degrees or more where its marrow is dark or the disc is narrow.
- Implants, fractures, fused vertebrae and children were hardly or not seen in training.
- Ribs, discs and the spinal canal are not segmented.""",
}

_LIST = {
    "heads": """\
One head:
the classes. Left and right of a pair are one class; sides are told afterwards, from where a piece lies
to the midline of all pieces.""",
    "seeds": "",
    "limits": """\
- With a single side in view, left and right are told from its place in the image: check them.
- The node does not measure these structures: `spine-node segment --model` writes label maps.
- What the training data did not show (metal, fractures, children, another posture) was not learned.""",
}


def model_card(metadata: dict[str, Any], figures: dict[str, Any] | None, *, curve: str | None = None) -> str:
    """The card as Markdown.

    Parameters
    ----------
    metadata : dict
        Content of the bundle's metadata.json.
    figures : dict, optional
        What `evaluate` returned; None is said in words.
    curve : str, optional
        File name of the learning curve, beside the card.
    """
    training, network = metadata["training"], metadata["network"]
    spine = metadata["labels"] == "spine"
    values = metadata["network_data_format"]["outputs"]["label_map"]["channel_def"]
    table = "\n".join(f"| {value} | {name} |" for value, name in values.items())
    words = _SPINE if spine else _LIST | {"segments": f"| value | structure |\n|---|---|\n{table}"}
    return _TEXT.format(
        **words,
        name=metadata["name"],
        version=metadata["version"],
        licence=metadata["licence"],
        widths=", ".join(map(str, network["widths"])),
        spacing=metadata["spacing_mm"],
        patch=" x ".join(map(str, training["recipe"]["patch"])),
        command=training["command"],
        hours=training["hours"],
        steps=training["steps"],
        device=training["device"] or "a machine that was not noted",
        finished=training["finished"],
        data="\n".join(f"- {said}" for said in training["data"]),
        curve=f"\n![Loss and validation over the training]({curve})\n" if curve else "",
        remarks=f"\n{training['remarks']}\n" if training["remarks"] else "",
        figures=_figures(figures) if figures else "Not evaluated.",
        digest=next(iter(metadata["sha256"].values())),
    )


def _figures(figures: dict[str, Any]) -> str:
    # Only who evaluates needs what evaluation needs.
    from spine_node.evaluation.markdown import markdown

    return markdown(figures)
