"""Nothing in the package runs text as code, opens a pickle, or starts a shell: read from its source."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "spine_node"

FORBIDDEN_CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "pickle.load", "pickle.loads",
    "marshal.load", "marshal.loads", "shelve.open", "joblib.load", "dill.load", "yaml.load",
    "yaml.unsafe_load", "tarfile.open", "torch.hub.load", "torch.jit.load",
}  # fmt: skip

BETWEEN_OURSELVES = {"pictures/aside.py: calls pickle.loads"}
"""Not foreign: over an unnamed socket pair, between a process of ours and the one that it started."""

FORBIDDEN_IMPORTS = {"marshal", "shelve", "dill", "cloudpickle", "joblib", "telnetlib", "ftplib", "yaml"}


def trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def name_of(node: ast.expr) -> str:
    """A dotted name, as far as it is one."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def faults(tree: ast.Module) -> Iterator[str]:
    """What of a module is against the rules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"imports {a.name}" for a in node.names if a.name.split(".")[0] in FORBIDDEN_IMPORTS)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FORBIDDEN_IMPORTS:
            yield f"imports {node.module}"
        if not isinstance(node, ast.Call):
            continue
        name = name_of(node.func)
        said = {keyword.arg: keyword.value for keyword in node.keywords}
        if name in FORBIDDEN_CALLS:
            yield f"calls {name}"
        if name.endswith("torch.load") and not _is(said.get("weights_only"), True):
            yield "calls torch.load without weights_only=True"
        if name in ("np.load", "numpy.load") and not _is(said.get("allow_pickle"), False):
            yield f"calls {name} without allow_pickle=False"
        if "shell" in said and not _is(said["shell"], False):
            yield f"calls {name} with a shell"
        if name.endswith("import_module") and not (node.args and isinstance(node.args[0], ast.Constant)):
            yield "imports a module by a name that is not in the source"


def _is(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def test_nothing_runs_text_as_code_opens_a_pickle_or_starts_a_shell() -> None:
    found = {f"{path.relative_to(PACKAGE)}: {fault}" for path, tree in trees() for fault in faults(tree)}
    assert found == BETWEEN_OURSELVES
    for path in {PACKAGE / entry.split(":")[0] for entry in BETWEEN_OURSELVES}:
        nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        calls = {name_of(node.func).split(".")[-1] for node in nodes if isinstance(node, ast.Call)}
        assert "socketpair" in calls
        assert not calls & {"bind", "listen", "accept", "connect", "create_connection", "create_server"}


@pytest.mark.parametrize(
    "line",
    [
        "eval(x)",
        "torch.load(p)",
        "torch.load(p, weights_only=False)",
        "np.load(p)",
        "np.load(p, allow_pickle=flag)",
        "subprocess.run(x, shell=True)",
        "import yaml",
        "pickle.loads(x)",
        "importlib.import_module(name)",
        "os.system(x)",
    ],
)
def test_the_check_sees_what_it_is_for(line: str) -> None:
    assert list(faults(ast.parse(line)))


def test_what_is_received_names_no_path_but_through_the_check_of_a_uid() -> None:
    """Files of received instances are named in the inbox only, and there every name passes `_checked`."""
    tree = ast.parse((PACKAGE / "inbox.py").read_text(encoding="utf-8"))
    checked = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and name_of(n.func) == "_checked"]
    assert len(checked) >= 2, "the folder of a series and the file of an instance"
    for hostile in (
        "..",
        "../x",
        "1.2/3",
        "/etc/passwd",
        "1.2\0",
        "",
        ".",
        "1..2",
        "1.2\n",
        "a" * 65,
        "1" * 65,
    ):
        with pytest.raises(ValueError, match="not a UID"):
            _checked(hostile)


def _checked(text: str) -> str:
    from spine_node import inbox

    return inbox._checked(text)


RECEIVING = (
    "access", "acceptor", "admission", "arriving", "commands", "commitment_scp", "connection", "doors",
    "identifiers", "matching", "part10", "query_retrieve", "query_scp", "retrieve_scp", "scp", "server",
    "upper_layer",
)  # fmt: skip


@pytest.mark.parametrize("name", RECEIVING)
def test_the_receiving_side_opens_no_file_and_makes_no_path_by_itself(name: str) -> None:
    """What comes from the network is given to the inbox and the ledger, which name files by checked UIDs."""
    tree = ast.parse((PACKAGE / "network" / f"{name}.py").read_text(encoding="utf-8"))
    calls = {name_of(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    opening = {"open", "os.open", "io.open", "Path", "os.rename", "os.replace", "os.remove", "os.path.join"}
    assert calls & opening == set()
