"""A training as one call: recipe in, checkpoint and bundle out. What both entries share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from spine_node.errors import ConfigRefused
from spine_node.training.export import export
from spine_node.training.progress import device_words
from spine_node.training.recipe import load_recipe
from spine_node.training.train import device_of, train


def run(
    config: Path | None,
    run_dir: Path | None = None,
    *,
    command: str,
    start: Path | None = None,
    minutes: float | None = None,
    seed: int | None = None,
    workers: int | None = None,
    device: str = "auto",
    out: Path | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Train as the config says, and export the result.

    Parameters
    ----------
    config : Path, optional
        TOML file; None: the shipped net's recipe.
    run_dir : Path, optional
        Of cases, checkpoint and learning curve; by default `runs/NAME`, of a context net
        `runs/NAME-context`.
    command : str
        What was typed, for the card.
    start, minutes, seed, workers : optional
        Instead of the config's.
    device : str
        "auto", "cpu" or "cuda:N".
    out : Path, optional
        Folder of the bundle.

    Returns
    -------
    Path
        The checkpoint.
    dict
        What `export` takes besides it to write the bundle again, with figures.

    Raises
    ------
    Refused
        If the config, the device or a folder of scans cannot be used.
    """
    recipe = load_recipe(config)
    told = {"start": start, "minutes": minutes, "seed": seed, "workers": workers}
    try:
        recipe = replace(recipe, **{key: value for key, value in told.items() if value is not None})
    except ValueError as problem:
        raise ConfigRefused(f"{problem}. Nothing was trained.") from problem
    # The two nets of a bundle share its name, not their checkpoints.
    place = Path("runs") / (recipe.name + "-context" * (recipe.role == "context"))
    checkpoint = train(run_dir or place, recipe, device=device)
    words = {"command": command, "device": device_words(device_of(device))}
    if out is not None:
        export(checkpoint, out, **words)
    return checkpoint, words
