"""One line a destination: order, patience, and whose trouble a failure is. Days pass by the clock's hand."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from spine_node.config import EngineSettings
from spine_node.sender import LONGEST_OWN_RETRY_S, LONGEST_RETRY_S, REJECTED_RETRY_S, retry_wait_s
from tests.campaigns.hospital import Hospital, destination
from tests.campaigns.moody_pacs import MoodyPacs

HOUR_S, DAY_S = 3600.0, 86400.0


@pytest.fixture
def pacs() -> Iterator[MoodyPacs]:
    pacs = MoodyPacs()
    yield pacs
    pacs.stop()


@pytest.fixture
def hospital(tmp_path: Path, pacs: MoodyPacs) -> Iterator[Callable[..., Hospital]]:
    made: list[Hospital] = []

    def make(*others: MoodyPacs, **how: Any) -> Hospital:
        peers = [destination(pacs, **how)]
        peers += [destination(p, f"other{n}") for n, p in enumerate(others, start=1)]
        made.append(Hospital(tmp_path / "node", peers))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_results_arrive_in_the_order_of_their_analyses_the_segmentation_before_its_report(
    hospital: Callable[..., Hospital], pacs: MoodyPacs
) -> None:
    node = hospital()
    expected = [uid for n in range(5) for uid in node.analyse(f"job{n}")]
    node.settle()
    assert pacs.kept == expected
    assert node.outbox.counts() == {}
    assert {node.state(f"job{n}") for n in range(5)} == {("delivered", "")}


def test_one_call_finds_that_a_pacs_is_back_and_everything_follows_in_order(
    hospital: Callable[..., Hospital], pacs: MoodyPacs
) -> None:
    """Waiting results have no clocks of their own: a call every ten minutes, whether one waits or many."""
    node = hospital()
    pacs.be("busy")
    expected = [uid for n in range(8) for uid in node.analyse(f"job{n}")]
    node.go_by(6 * HOUR_S)
    assert 36 < pacs.calls < 46
    away = node.outbox.away()["pacs"]
    assert "rejected the association" in away.reason
    assert node.clock.now - away.since == 6 * HOUR_S
    pacs.be("well")
    node.go_by(LONGEST_RETRY_S)
    assert pacs.kept == expected
    assert node.outbox.away() == {}


def test_a_pacs_that_does_not_know_us_is_called_slowly_and_loudly_and_loses_nothing(
    hospital: Callable[..., Hospital], pacs: MoodyPacs
) -> None:
    node = hospital()
    pacs.be("rejects us")
    expected = node.analyse("job")
    with capture_logs() as events:
        node.go_by(6 * HOUR_S)
    loud = [e for e in events if e["event"] == "destination_rejects_us"]
    assert len(loud) - 6 * HOUR_S / REJECTED_RETRY_S in (0, 1)
    assert {e["log_level"] for e in loud} == {"error"}
    assert "alling AE title not recognised" in loud[0]["reason"]
    pacs.be("well")
    node.go_by(REJECTED_RETRY_S)
    assert pacs.kept == expected


def test_an_instance_that_the_pacs_fails_on_lets_the_others_by_and_is_tried_on(
    hospital: Callable[..., Hospital], pacs: MoodyPacs
) -> None:
    node = hospital()
    poison, *_ = node.analyse("poison")
    pacs.statuses[poison] = 0x0110
    others = [uid for n in range(3) for uid in node.analyse(f"job{n}")]
    node.until(lambda: pacs.kept == others, patience_s=120)
    assert pacs.received[poison] == 3
    assert node.outcomes("poison") == ["postponed", ""]
    later = node.analyse("later")
    node.settle()
    assert pacs.kept == others + later  # known by now: nobody waits for it any more
    node.go_by(6 * HOUR_S)
    assert 8 < pacs.received[poison] < 16
    pacs.statuses.clear()
    node.go_by(LONGEST_OWN_RETRY_S)
    assert node.state("poison") == ("delivered", "")


def test_a_pacs_that_fails_on_everything_is_waited_for_and_gets_all_in_order(
    hospital: Callable[..., Hospital], pacs: MoodyPacs
) -> None:
    """0x0110 because its database is down: nothing overtakes, although each answer is about one instance."""
    node = hospital()
    pacs.be("well", status=0x0110)
    expected = []
    for n in range(4):
        expected += node.analyse(f"job{n}")
        node.go_by(0.3 * HOUR_S)
    pacs.be("well")
    node.go_by(LONGEST_RETRY_S)
    assert pacs.kept == expected


def test_nothing_of_a_study_overtakes_what_waits_of_it(
    hospital: Callable[..., Hospital], pacs: MoodyPacs
) -> None:
    """An earlier result that the PACS fails on, and a later one of the same study."""
    node = hospital()
    poison, report = node.analyse("earlier", study_uid="1.2.3")
    pacs.statuses[poison] = 0xA700
    other = node.analyse("other")
    later = node.analyse("later", study_uid="1.2.3")
    node.go_by(HOUR_S)
    assert pacs.kept == other
    pacs.statuses.clear()
    node.go_by(LONGEST_OWN_RETRY_S)
    assert pacs.kept == [*other, poison, report, *later]


def test_with_more_associations_each_study_keeps_its_order(
    hospital: Callable[..., Hospital], pacs: MoodyPacs
) -> None:
    node = hospital(associations=3)
    studies = {f"1.2.{s}": [f"job{s}.{n}" for n in range(3)] for s in range(6)}
    for n in range(3):
        for study, jobs in studies.items():
            node.analyse(jobs[n], study_uid=study)
    assert len(node.sender.due()) == 3
    node.settle()
    assert len(pacs.kept) == 2 * 18
    for jobs in studies.values():
        expected = [uid for job in jobs for uid in node.uids[job]]
        assert [uid for uid in pacs.kept if uid in expected] == expected


def test_one_pacs_that_is_away_holds_no_other(hospital: Callable[..., Hospital], pacs: MoodyPacs) -> None:
    other = MoodyPacs()
    node = hospital(other)
    pacs.be("away")
    expected = node.analyse("job")
    node.go_by(60)
    assert other.kept == expected
    assert pacs.kept == []
    assert node.outbox.counts() == {"pacs": 1}
    assert node.state("job")[0] == "analysed"
    other.stop()


def test_what_waits_too_long_is_given_up_and_can_be_had_again(
    hospital: Callable[..., Hospital], pacs: MoodyPacs
) -> None:
    assert EngineSettings().give_up_s == 14 * DAY_S
    node = hospital()
    node.give_up_s = 2 * HOUR_S
    node.open()
    pacs.be("away")
    expected = node.analyse("job")
    node.go_by(1.9 * HOUR_S)
    assert node.outcomes("job") == ["", ""]
    node.go_by(0.3 * HOUR_S)
    assert node.outcomes("job") == ["undelivered", "undelivered"]
    assert node.state("job")[0] == "undelivered"
    assert node.outbox.counts() == {}
    # the command runs in another process, with the ledger alone
    assert Hospital(node.folder, node.peers, node.clock).deliveries.retry("job") == ["pacs"]
    pacs.be("well")
    node.settle()
    assert pacs.kept == expected
    assert node.state("job") == ("delivered", "")
    assert node.deliveries.retry("job") == []


def test_a_retry_that_cannot_be_says_why(hospital: Callable[..., Hospital]) -> None:
    node = hospital()
    node.analyse("job")
    with pytest.raises(LookupError, match="job nobody is not in the ledger"):
        node.deliveries.retry("nobody")
    with pytest.raises(LookupError, match="no destination archive in the config; there are: pacs"):
        node.deliveries.retry("job", "archive")
    (node.settings.storage.results / "job" / "done.json").unlink()
    with pytest.raises(LookupError, match="holds no complete results to send"):
        node.deliveries.retry("job")


def test_results_of_a_destination_that_left_the_config_end(hospital: Callable[..., Hospital]) -> None:
    node = hospital()
    node.analyse("job")
    node.outbox.put("job", "former", node.clock())
    node.settle()
    assert node.outcomes("job", "former") == ["undelivered", "undelivered"]
    assert node.outbox.counts() == {}


def test_a_bug_met_on_one_job_stops_no_other(hospital: Callable[..., Hospital], pacs: MoodyPacs) -> None:
    node = hospital()
    node.analyse("broken")
    (node.settings.storage.results / "broken" / "dicom" / "seg-binary.dcm").write_bytes(b"no DICOM")
    expected = node.analyse("job")
    node.settle()
    assert pacs.kept == expected
    (waiting,) = node.outbox.waits("broken")
    assert "is no DICOM file" in waiting.reason


def test_superseded_results_are_sent_no_more_and_what_went_out_unanswered_is_made_sure_of(
    hospital: Callable[..., Hospital], pacs: MoodyPacs
) -> None:
    """Never two live reports that contradict each other, nor one that nobody knows of."""
    node = hospital()
    pacs.be("loses its answers")
    first, _ = node.analyse("first", study_uid="1.2.3", series_uid="1.2.3.4")
    node.settle()
    assert node.outcomes("first") == ["unknown", ""]
    later = node.analyse("later", study_uid="1.2.3", series_uid="1.2.3.4")
    node.ledger.supersede("later")
    pacs.be("well")
    node.go_by(60)
    assert pacs.kept == [first, *later]
    assert node.outcomes("first") == ["stored", "superseded"]
    assert node.state("later") == ("delivered", "")


def test_the_waits_double_up_to_ten_minutes() -> None:
    waits = [retry_wait_s(n) for n in range(12)]
    assert waits[0] == 15
    assert all(later == min(2 * earlier, 600) for earlier, later in itertools.pairwise(waits))


def test_a_clock_that_was_wrong_and_is_set_right_keeps_no_result_waiting(
    hospital: Callable[..., Hospital], pacs: MoodyPacs
) -> None:
    """A machine starts with a clock a year ahead, finds the PACS away, and then gets the right time."""
    node = hospital()
    node.clock.now += 365 * DAY_S
    pacs.be("busy")
    expected = node.analyse("job")
    node.settle()
    node.clock.now -= 365 * DAY_S
    pacs.be("well")
    node.go_by(2 * LONGEST_OWN_RETRY_S)
    assert pacs.kept == expected


def test_a_clock_set_right_while_the_node_is_down_keeps_no_result_waiting(
    hospital: Callable[..., Hospital], pacs: MoodyPacs
) -> None:
    node = hospital()
    node.clock.now += 365 * DAY_S
    pacs.be("busy")
    expected = node.analyse("job")
    node.settle()
    node.close()
    node.clock.now -= 365 * DAY_S
    pacs.be("well")
    node.open()
    node.go_by(2 * LONGEST_OWN_RETRY_S)
    assert pacs.kept == expected
