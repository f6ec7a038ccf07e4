"""The model card of a bundle, from its metadata and the figures of its evaluation."""

from __future__ import annotations

from typing import Any

from spine_node.segmentation.bundle import learned_from, nets_in

_TEXT = """\
# {name} {version}

{segments}

**Intended use**: research. Not a medical device; nobody has validated it on patients.

## How it was made

{made}
## Figures

{figures}

## Known failures and limits

{limits}

## Licence

Weights: {licence}. {digests}
"""

_MADE = """\
{title}A residual 3-D U-Net ({widths} channels), {spacing:g} mm voxels, windows of {patch} voxels. {heads}

Trained with

    {command}

for {hours:g} hours ({steps} steps) on {device}, finished {finished}. {seeds}
To train it further, from this folder and in a new run folder:

    spine-node train --config CONFIG --start BUNDLE --run NEW_FOLDER --out BUNDLE
{remarks}
**Data**, by share of the patches:

{data}
{curve}"""

_TITLES = {
    "fine": "### The fine net: outlines, and which voxels are one vertebra\n\n",
    "context": "### The context net: where the spine is, and which vertebra is which\n\n",
}
"""Headings, where a bundle holds two nets."""

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


def model_card(
    metadata: dict[str, Any], figures: dict[str, Any] | None, *, curves: dict[str, str] | None = None
) -> str:
    """The card as Markdown.

    Parameters
    ----------
    metadata : dict
        Content of the bundle's metadata.json.
    figures : dict, optional
        What `evaluate` returned; None is said in words.
    curves : dict, optional
        File names of the learning curves, beside the card: of the "fine" and of the "context" net.
    """
    spine = metadata["labels"] == "spine"
    values = metadata["network_data_format"]["outputs"]["label_map"]["channel_def"]
    table = "\n".join(f"| {value} | {name} |" for value, name in values.items())
    words = _SPINE if spine else _LIST | {"segments": f"| value | structure |\n|---|---|\n{table}"}
    nets = nets_in(metadata)
    made = [
        _made(_TITLES[role] * (len(nets) > 1), net, words, (curves or {}).get(role))
        for role, net in nets.items()
    ]
    if "fine" not in nets:
        made.append("No fine net is beside it yet: this bundle cannot segment.\n")
    return _TEXT.format(
        **words,
        name=metadata["name"],
        version=metadata["version"],
        licence=metadata["licence"],
        made="\n".join(made),
        figures=_figures(figures) if figures else "Not evaluated.",
        digests=" ".join(f"SHA-256 of `{name}`: `{digest}`." for name, digest in metadata["sha256"].items()),
    )


def _made(title: str, net: dict[str, Any], words: dict[str, str], curve: str | None) -> str:
    training = net["training"]
    return _MADE.format(
        **words,
        title=title,
        widths=", ".join(map(str, net["network"]["widths"])),
        spacing=net["spacing_mm"],
        patch=" x ".join(map(str, training["recipe"]["patch"])),
        command=training["command"],
        hours=training["hours"],
        steps=training["steps"],
        device=training.get("device") or "a machine that was not noted",
        finished=training["finished"],
        data="\n".join(f"- {said}" for said in learned_from(net) or ["not noted"]),
        curve=f"\n![Loss and validation over the training]({curve})\n" if curve else "",
        remarks=f"\n{training['remarks']}\n" if training.get("remarks") else "",
    )


def _figures(figures: dict[str, Any]) -> str:
    # Only who evaluates needs what evaluation needs.
    from spine_node.evaluation.markdown import markdown

    return markdown(figures)
