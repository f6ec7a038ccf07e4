"""`spine-node report` in this process: exit status, stdout and stderr as a shell sees them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import structlog

from spine_node.cli import main


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def report_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Done]]:
    """Runs `spine-node report` with arguments."""

    def run(*arguments: str | Path) -> Done:
        monkeypatch.setattr("sys.argv", ["spine-node", "report", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        return Done(int(end.value.code or 0), told.out, told.err)

    logs = structlog.get_config()
    yield run
    structlog.configure(**logs)
