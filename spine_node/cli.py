"""The commands. Each body is one call into the core; errors become exit codes here and nowhere else.

Results go to stdout, everything else to stderr. Heavy packages (torch, monai, highdicom, matplotlib)
are imported by the command that needs them, so that `--help` and the receiving process start fast.
"""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from spine_node import __version__
from spine_node.annotation.commands import app as annotate
from spine_node.bookkeeping.commands import forget, retry, studies, study
from spine_node.disk import worlds_fault
from spine_node.errors import Refused, SpineNodeError
from spine_node.logs import configure_logs
from spine_node.printing.commands import print_surfaces
from spine_node.reports.commands import report

REFUSED, FAILED = 3, 1

app = typer.Typer(
    name="spine-node",
    help="A PACS-integrated DICOM node for the standing spine: cone-beam CT in, DICOM SEG and structured "
    "reports out. Research software, not a medical device.",
    epilog="Exit status: 0 done, 3 refused (the data; the reason is on stderr), 1 anything else.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(annotate, name="annotate")
app.command("print")(print_surfaces)


def _device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise typer.BadParameter(f"{name} is none of auto, cpu, cuda, cuda:N")
    return name


ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config", exists=True, dir_okay=False, help="TOML file; config/node.toml explains every key."
    ),
]
Device = Annotated[
    str, typer.Option(callback=_device, help="auto (a GPU when there is one), cpu, or cuda:N.")
]
Model = Annotated[
    str,
    typer.Option(
        help="Folder of a bundle (ours or MONAI's), spinenet, totalsegmentator or totalsegmentator-fast."
    ),
]
Pins = Annotated[
    list[str] | None,
    typer.Option(
        "--pin",
        help="Fix a level: L5=L4 (what is called L4 is L5) or L5=x,y,z (the body there, LPS mm); may be "
        "given more than once. The other names follow.",
    ),
]
ProfileName = Annotated[
    str,
    typer.Option(
        "--profile",
        help="Which DICOM objects, in which forms: generic, ohif, weasis, slicer, research, or a .toml file "
        "(config/destinations explains them).",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print measurements.json instead of a table.")]


def main() -> None:
    """Run one command and exit with its status."""
    try:
        app()
    except SystemExit as end:
        # The command line library says 2 for wrong usage; we promise 1 for anything that is not data.
        sys.exit(FAILED if end.code == 2 else end.code)
    except Refused as refusal:
        print(f"{type(refusal).__name__}: {refusal}", file=sys.stderr)
        sys.exit(REFUSED)
    except SpineNodeError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(FAILED)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if words := worlds_fault(error):
            print(f"Unavailable: {words}. Make room, or look at the disk, and try again.", file=sys.stderr)
            sys.exit(FAILED)
        raise


def _print_version(value: bool) -> None:
    if value:
        print(f"spine-node {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if log_level.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
        raise typer.BadParameter(f"{log_level} is none of DEBUG, INFO, WARNING, ERROR")
    configure_logs(log_level)


@app.command()
def serve(config: ConfigFile = None) -> None:
    """Run the node: receive series, segment and measure them, send SEG and SR to the destinations.

    Stops cleanly on SIGTERM or Ctrl-C; what was in flight is resumed by the next start. Listens on
    loopback and accepts any sender unless the config says otherwise.
    """
    from spine_node.config import load_settings
    from spine_node.node import serve as run_node

    run_node(load_settings(config), config)


@app.command(hidden=True)
def worker(
    config: ConfigFile = None,
    parent: Annotated[
        int | None, typer.Option(help="Process id of the node; the worker ends with it.")
    ] = None,
) -> None:
    """The process that segments and measures; `serve` starts it."""
    from spine_node.config import load_settings
    from spine_node.node import work

    work(load_settings(config), parent)


@app.command(hidden=True)
def receiver(
    parent: Annotated[int, typer.Option(help="Process id of the node; the receiver ends with it.")],
    config: ConfigFile = None,
    listen_fd: Annotated[
        int | None, typer.Option(help="Number of the plain port's inherited socket.")
    ] = None,
    tls_listen_fd: Annotated[int | None, typer.Option(help="Number of the TLS port's.")] = None,
) -> None:
    """One of the processes that receive; `serve` starts them."""
    import socket

    from spine_node.config import load_settings
    from spine_node.receivers import receive
    from spine_node.stopping import stop_signals

    stopping = stop_signals()
    plain, tls = (None if fd is None else socket.socket(fileno=fd) for fd in (listen_fd, tls_listen_fd))
    receive(load_settings(config), plain, tls, parent, stopping)


@app.command()
def check(config: ConfigFile = None) -> None:
    """Validate a config and call every destination by C-ECHO, before going live.

    Exit status: 0 all well, 3 the config is refused, 1 a destination did not answer.
    """
    from spine_node.config import load_settings
    from spine_node.site_check import check as run_check

    if not run_check(load_settings(config)):
        raise typer.Exit(FAILED)


@app.command()
def analyse(
    series_dir: Annotated[Path, typer.Argument(exists=True, file_okay=False, help="One DICOM series.")],
    out: Annotated[
        Path, typer.Option(file_okay=False, help="Folder for the results; earlier results are replaced.")
    ],
    as_json: AsJson = False,
    device: Device = "auto",
    model: Model = "spinenet",
    pin: Pins = None,
    profile: ProfileName = "generic",
) -> None:
    """Segment and measure one series on disk. Sends nothing, needs no running node.

    Writes labels.nii.gz, naming.json, measurements.json, dicom/ (SEG, SR and what else the profile lists,
    each in its best form), pictures/ and stl/.
    Exit status: 0 measured, 3 refused (with the reason in words), 1 anything else.
    """
    from spine_node import pipeline
    from spine_node.dicom.series import read_series
    from spine_node.profiles import load_profile
    from spine_node.results import require_replaceable, write_results
    from spine_node.segmentation.plug import load_segmenter
    from spine_node.tables import print_measurements

    pins = _pins(pin)
    making = pipeline.Making(__version__, load_profile(profile).best())
    require_replaceable(out)
    series = read_series(series_dir)
    segmenter = load_segmenter(model, device)  # slow: only once the data are good
    with _progress("Analysing") as report:
        results = pipeline.analyse(series, segmenter, making, report, pins)
        write_results(results, out)
    print_measurements(results.findings.measurements, as_json=as_json)
    print(f"Results are in {out}", file=sys.stderr)


@app.command()
def segment(
    source: Annotated[
        Path, typer.Argument(metavar="INPUT", exists=True, help="A DICOM folder or a NIfTI volume.")
    ],
    out: Annotated[Path, typer.Option(dir_okay=False, help="Label map to write (.nii.gz).")],
    device: Device = "auto",
    model: Model = "spinenet",
    pin: Pins = None,
) -> None:
    """Segment one volume into a NIfTI label map. Measures nothing.

    Beside that of a spine lies *.naming.json: how sure the levels are, and what else they could be.
    """
    pins = _pins(pin)
    if not out.name.endswith((".nii", ".nii.gz")):
        raise typer.BadParameter(f"{out} would not be NIfTI: name it .nii.gz or .nii", param_hint="--out")
    from spine_node import nifti
    from spine_node.results import write_labels
    from spine_node.segmentation.plug import load_segmenter
    from spine_node.segmentation.renaming import renamed
    from spine_node.tables import print_naming

    if source.is_dir():
        from spine_node.dicom.series import read_series
        from spine_node.dicom.voxels import read_volume

        volume = read_volume(read_series(source))
    else:
        volume = nifti.read_volume(source)
    segmenter = load_segmenter(model, device, any_structure=not pins)  # slow: only once the data are good
    with _progress("Segmenting") as report:
        segmentation = renamed(segmenter.segment(volume, report), pins)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_labels(segmentation, out)
    print_naming(segmentation)
    print(out)


@app.command()
def rename(
    results: Annotated[
        Path, typer.Argument(exists=True, help="Results folder of analyse, or label map of segment.")
    ],
    pin: Pins = None,
    series: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="The DICOM series of a results folder."),
    ] = None,
    as_json: AsJson = False,
    profile: ProfileName = "generic",
) -> None:
    """Give vertebrae other names: fix one level, and the rest follows without the net running again.

    Rewrites the label map and, of a results folder, measurements, DICOM objects, pictures and STL; the new
    objects have UIDs and a series description of their own, and the new report names the one it replaces.
    All pins that are to hold are given at once.
    Refused, and nothing written: another series than the one analysed, pins that cost a vertebra its name,
    and a label map that was edited beside its naming.json.
    """
    from spine_node import nifti, pipeline
    from spine_node.profiles import load_profile
    from spine_node.results import read_headers_of, write_labels, write_results
    from spine_node.segmentation.naming_file import naming_path, read_segmentation
    from spine_node.segmentation.renaming import renamed
    from spine_node.tables import print_measurements, print_naming

    pins = _pins(pin)
    if not pins:
        raise typer.BadParameter("say which level is to be fixed, such as L5=L4", param_hint="--pin")
    labels = results / "labels.nii.gz" if results.is_dir() else results
    found = read_segmentation(naming_path(labels), nifti.read_label_map(labels))
    if not results.is_dir():
        segmentation = renamed(found, pins)
        write_labels(segmentation, labels)
        print_naming(segmentation)
        print(labels)
        return
    if series is None:
        raise typer.BadParameter(
            "SEG and SR refer to the series: name its folder (a node keeps received ones below inbox/done)",
            param_hint="--series",
        )
    from spine_node.dicom.series import read_series

    seg, reports = read_headers_of(results, "seg")[0], read_headers_of(results, "sr")
    making = pipeline.Making(__version__, load_profile(profile).best(), reports)
    made = pipeline.rename(read_series(series), found, seg, making, pins)
    write_results(made, results)
    print_measurements(made.findings.measurements, as_json=as_json)
    print(f"Results are in {results}", file=sys.stderr)


@app.command()
def measure(
    labels: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="NIfTI label map.")],
    as_json: AsJson = False,
    scheme: Annotated[
        str, typer.Option(help="Whose values it holds: spine (ours), verse or totalsegmentator (version 2).")
    ] = "spine",
    vertical: Annotated[
        str,
        typer.Option(
            help="standing or lying (the image's z axis is the vertical), unknown, or X,Y,Z: the direction "
            "against gravity, LPS, of a patient who stood."
        ),
    ] = "unknown",
    image: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, help="The image on the same grid (NIfTI): grey values, metal."
        ),
    ] = None,
    age: Annotated[
        float | None, typer.Option(min=0, max=130, help="The patient's age in years, for the GAP score.")
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, help="Folder for pictures with each number drawn where it was measured."
        ),
    ] = None,
    pin: Pins = None,
) -> None:
    """Measure a label map: the numbers the node would report for it.

    The values are those of the README's table: bodies 1-25 and 28, posterior elements + 100, sacrum 26,
    hip bones 29/30 and femoral heads 31/32 (left/right); or those of another --scheme. Any orientation
    and spacing. Vertebrae in one value are parted into body and posterior elements by their shape. Classes
    of standing people (Schwab, GAP, Roussouly, Lenke) need --vertical and both femoral heads. With --pin
    all names shift along the column; the file stays as it is.
    """
    pins = _pins(pin)
    from spine_node import nifti
    from spine_node.anatomy.locate import locate
    from spine_node.anatomy.schemes import SCHEMES, from_scheme
    from spine_node.anatomy.vertical import vertical_told
    from spine_node.parameters.measure import measure as measure_spine
    from spine_node.tables import print_measurements

    if scheme not in SCHEMES:
        raise typer.BadParameter(f"{scheme} is none of {', '.join(SCHEMES)}", param_hint="--scheme")
    try:
        upright = vertical_told(vertical)
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong), param_hint="--vertical") from wrong
    if scheme == "spine":
        label_map, quality = nifti.read_label_map(labels), ()
    else:
        label_map, quality = from_scheme(*nifti.read_whole_numbers(labels), SCHEMES[scheme])
    if pins:
        from spine_node.segmentation.renaming import with_shifted_names

        label_map, said = with_shifted_names(label_map, pins)
        quality = (*quality, said)
    volume = None if image is None else nifti.read_volume(image)
    if volume is not None and not volume.grid.matches(label_map.grid, tolerance_mm=0.01):
        raise typer.BadParameter(
            f"{image} has {volume.grid.shape} voxels elsewhere than the label map's {label_map.grid.shape}",
            param_hint="--image",
        )
    spine = locate(label_map, upright, volume)
    measurements = measure_spine(replace(spine, quality=(*quality, *spine.quality)), age)
    if pictures is not None:
        from spine_node.pictures.pictures import write_pictures

        for path in write_pictures(volume, label_map, spine, measurements, pictures):
            print(path, file=sys.stderr)
    print_measurements(measurements, as_json=as_json)


@app.command()
def phantom(
    out: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder for the series, its labels and its truth.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same spine, voxel for voxel.")] = 1,
    spacing: Annotated[float, typer.Option(min=0.2, max=4.0, help="Voxel size, mm.")] = 1.0,
    clean: Annotated[
        bool, typer.Option("--clean", help="A clean adult: little noise, no metal, moderate curves.")
    ] = False,
    field_of_view: Annotated[
        Literal["whole", "thoracolumbar", "lumbopelvic", "cervicothoracic", "random"],
        typer.Option(help="What the scan shows."),
    ] = "whole",
    painting: Annotated[
        Literal["cbct", "random", "mixed"],
        typer.Option(help="As a scanner shows it, any contrast, or every fourth seed any contrast."),
    ] = "cbct",
    population: Annotated[
        Literal["standing", "asymptomatic", "scoliosis"], typer.Option(help="Whom people are drawn from.")
    ] = "standing",
    pi: Annotated[
        float | None, typer.Option("--pi", min=25, max=90, help="Pelvic incidence, degrees.")
    ] = None,
    curve_deg: Annotated[float | None, typer.Option(min=0, max=100, help="Cobb angle of one curve.")] = None,
    curve_side: Annotated[Literal["right", "left"], typer.Option(help="Its convexity.")] = "right",
    curve_apex: Annotated[str, typer.Option(help="Its apical vertebra, T3 to L3.")] = "T8",
    templates: Annotated[
        Path | None, typer.Option(exists=True, help="Real shapes for its bones: see spine-node templates.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(dir_okay=False, help="Draw a contact sheet of --count seeds as PNG.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="How many phantoms the sheet shows.")] = 12,
    outlines: Annotated[bool, typer.Option("--outlines", help="Draw label borders on the sheet.")] = False,
    device: Device = "auto",
) -> None:
    """Make standing CBCT phantoms: DICOM series, exact label map and exact parameters; or a contact sheet.

    --out writes dicom/, labels.nii.gz and truth.json (the schema of measurements.json). --sheet draws
    seeds SEED, SEED + 1, ... side by side and writes no series. The options about the person hold for both.
    """
    if (out is None) == (sheet is None):
        raise typer.BadParameter("give one of --out and --sheet")
    from spine_node.phantom.order import Order, templates_in
    from spine_node.phantom.series import write_phantom
    from spine_node.phantom.sheet import draw_sheet

    order = Order(
        spacing_mm=spacing,
        field_of_view=field_of_view,
        painting=painting,
        clean=clean,
        population=population,
        PI_deg=pi,
        curve_deg=curve_deg,
        curve_side=curve_side,
        curve_apex=curve_apex,
        templates=templates_in(templates),
        device=device,
    )
    try:
        order.person(seed)
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong), param_hint="--curve-apex") from wrong
    if out is not None:
        write_phantom(order.make(seed), out)
    if sheet is not None:
        with _progress("Phantoms") as report:
            draw_sheet(order, range(seed, seed + count), sheet, outlines=outlines, report=report)
    print(out or sheet)


@app.command()
def templates(
    folders: Annotated[
        list[Path], typer.Argument(exists=True, help="Meshes, labelled scans, or folders of them.")
    ],
    out: Annotated[Path, typer.Option(dir_okay=False, help="Library file to write (.npz).")],
) -> None:
    """Cut vertebrae and sacra out of meshes and labelled scans, as shapes for phantoms.

    Meshes (STL, OBJ, PLY) are named by level (L3.stl, L3_body.stl, sacrum.stl), scans are folders with
    labels*.nii.gz. A templates.toml beside them tells axes, unit, licence, and whether the person serves
    training or testing. Prints what is to be cited; what was left out, and why, goes to stderr.
    """
    from spine_node.phantom.library import TemplateLibrary

    library = TemplateLibrary.from_folders(folders)
    library.save(out)
    for name, reason in library.left_out.items():
        print(f"left out: {name}: {reason}", file=sys.stderr)
    for line in library.card_lines():
        print(line)
    print(out)


@app.command()
def train(
    config: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="TOML file; config/train.toml explains every key."),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(
            file_okay=False, help="Folder of cases, checkpoint, learning curve; default: runs/NAME."
        ),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Bundle to start from, instead of the config's."),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="Wall-clock budget of the run, instead of the config's.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(file_okay=False, help="Write the net there as a bundle, with its card.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Instead of the config's.")] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that make cases meanwhile, instead of the config's.")
    ] = None,
    device: Device = "auto",
    evaluate_on: Annotated[
        int, typer.Option(min=0, help="Unseen phantoms to evaluate a spine's net on, for the card.")
    ] = 0,
) -> None:
    """Train a net on what a config says (phantoms, labelled scans), and export it as a bundle.

    Killed or stopped, the same command goes on from the last checkpoint; with a larger --minutes it trains
    further. With --start BUNDLE a new run begins with what that bundle's net has learned. The learning curve
    is RUN/curve.png. Where few packages are installed, python -m spine_node.training does the same.
    """
    from spine_node.training.run import run as run_training

    command = " ".join(["spine-node", *sys.argv[1:]])
    checkpoint, words = run_training(
        config,
        run,
        command=command,
        start=start,
        minutes=minutes,
        seed=seed,
        workers=workers,
        device=device,
        out=out,
    )
    if out is not None and evaluate_on:
        from spine_node.evaluation.cases import TEST_SEED
        from spine_node.evaluation.run import evaluate as run_evaluation
        from spine_node.segmentation.plug import load_segmenter
        from spine_node.training.export import export

        seeds = range(TEST_SEED, TEST_SEED + evaluate_on)
        figures = run_evaluation(
            load_segmenter(out, device), seeds=seeds, out=checkpoint.parent / "evaluation.json"
        )
        export(checkpoint, out, **words, figures=figures)
    print(out or checkpoint)


@app.command()
def evaluate(
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="synthetic (the default) or stress; may be given more than once."),
    ] = None,
    real: Annotated[
        Path | None,
        typer.Option(exists=True, file_okay=False, help="Annotated scans: labels, or body centres."),
    ] = None,
    crop: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="The same of a few vertebrae each.")
    ] = None,
    standing: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="The same of standing cone-beam CT.")
    ] = None,
    notes: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="TOML file: what of each scan's labels is not scored, as config/real-scans.toml says it.",
        ),
    ] = None,
    trained_on: Annotated[
        list[str] | None,
        typer.Option(help="A scan (its folder's name) that the model was trained on: a set of its own."),
    ] = None,
    templates: Annotated[
        Path | None, typer.Option(exists=True, help="Shapes of bones to make phantoms of, not trained on.")
    ] = None,
    cases: Annotated[int, typer.Option(min=1, help="Phantoms of each set, none of them trained on.")] = 5,
    spacing: Annotated[float, typer.Option(min=0.3, max=4.0, help="Voxel size of the phantoms, mm.")] = 1.5,
    clean: Annotated[bool, typer.Option("--clean", help="Synthetic: clean adults, no metal.")] = False,
    baselines: Annotated[bool, typer.Option(help="Floor and ceiling on the same scans.")] = True,
    out: Annotated[
        Path | None, typer.Option(file_okay=False, help="Folder for figures, tables and pictures.")
    ] = None,
    device: Device = "auto",
    model: Model = "spinenet",
) -> None:
    """Say how good a model is: outlines, names of levels, clinical numbers; each set by itself.

    A scan is a folder (--real of one, or of many) with an image and labels*.nii.gz, or masks named as VerSe
    and TPTBox do, or a JSON file of body centres. Beside the model stand a floor (threshold and watershed,
    told what its pieces are called) and a ceiling (the truth taken to the net's voxels and back). --out
    writes evaluation.json, CSV, pictures and the ten worst cases (gallery.png), and goes on where a run was
    killed. Figures on phantoms say nothing about patients.
    """
    from spine_node.evaluation.references import read_notes
    from spine_node.evaluation.run import evaluate_sets
    from spine_node.evaluation.sets import chosen
    from spine_node.evaluation.tables import tables
    from spine_node.segmentation.plug import load_segmenter
    from spine_node.tables import print_tables

    groups = chosen(
        sets or [],
        {"real": real, "crop": crop, "standing": standing, "templates": templates},
        count=cases,
        spacing_mm=spacing,
        clean=clean,
        notes=read_notes(notes),
        trained_on=trained_on or [],
    )
    segmenter = load_segmenter(model, device)
    where = str(getattr(segmenter, "device", device))
    figures = evaluate_sets(segmenter, groups, out=out, device_words=where, baselines=baselines)
    print_tables(*tables(figures))


@app.command()
def demo(
    dicom_folder: Annotated[
        Path | None, typer.Argument(exists=True, file_okay=False, help="A CT series; default: a phantom.")
    ] = None,
    out: Annotated[Path, typer.Option(file_okay=False, help="Folder for what the demo leaves.")] = Path(
        "runs/demo"
    ),
    orthanc: Annotated[bool, typer.Option(help="Use Orthanc as the PACS where it is installed.")] = True,
) -> None:
    """See the whole node work on this machine: PACS, node, C-STORE there and back, results, pictures."""
    from spine_node.demo import run_demo

    configure_logs("WARNING")  # what people look at here is the story, not each instance
    run_demo(dicom_folder, out, use_orthanc=orthanc)


app.command()(report)
for command in (studies, study, retry, forget):
    app.command()(command)


def _pins(texts: list[str] | None):  # type: ignore[no-untyped-def]
    from spine_node.segmentation.pins import pin_of

    try:
        return [pin_of(text) for text in texts or ()]
    except ValueError as wrong:
        raise typer.BadParameter(str(wrong), param_hint="--pin") from wrong


def _progress(title: str):  # type: ignore[no-untyped-def]
    from spine_node.tables import progress

    return progress(title)
