"""Storage commitment as proof: what a PACS keeps is committed, what it lost is sent again, a few times."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from spine_node.config import Destination
from spine_node.ledger import Delivery
from spine_node.ledger.commitments import Commitments
from spine_node.network.access import everybody
from spine_node.network.commitment import commitment_answers
from spine_node.proof import MAX_RESENDS
from tests.campaigns.hospital import Hospital, destination
from tests.campaigns.moody_pacs import MoodyPacs
from tests.conftest import Orthanc, wait_until
from tests.network.conftest import Receiver, receiving

HOUR_S = 3600.0

__all__ = ["receiving"]  # a fixture of the network's tests, used here too


@pytest.fixture
def pacs() -> Iterator[MoodyPacs]:
    pacs = MoodyPacs()
    yield pacs
    pacs.stop()


@pytest.fixture
def hospital(tmp_path: Path, pacs: MoodyPacs) -> Iterator[Callable[..., Hospital]]:
    made: list[Hospital] = []

    def make(**how: Any) -> Hospital:
        how = {"commitment": True, "commitment_wait_s": 0.1, **how}
        made.append(Hospital(tmp_path / "node", [destination(pacs, **how)]))
        return made[-1]

    yield make
    for one in made:
        one.close()


def said(node: Hospital, job: str) -> list[Delivery]:
    rows = {d.sop_instance_uid: d for d in node.ledger.deliveries(job)}
    return [rows[uid] for uid in node.uids[job]]


def commitments(node: Hospital, job: str) -> list[str]:
    return [d.commitment for d in said(node, job)]


def answer(node: Hospital, pacs: MoodyPacs, number: int) -> bool:
    """The archive reports on an association of its own, to the receiver, which keeps it like this."""
    _, told = pacs.answer_to(pacs.questions[number])
    return Commitments(node.ledger.database).answer(
        str(told.TransactionUID),
        [str(i.ReferencedSOPInstanceUID) for i in told.ReferencedSOPSequence],
        {str(i.ReferencedSOPInstanceUID): int(i.FailureReason) for i in told.FailedSOPSequence},
        "PACS",
        node.clock(),
    )


def test_what_is_stored_is_asked_for_and_committed(
    hospital: Callable[..., Hospital], pacs: MoodyPacs
) -> None:
    node = hospital()
    pacs.adds_bogus = True
    for n in range(3):
        node.analyse(f"job{n}")
    node.settle()
    for n in range(3):
        assert commitments(node, f"job{n}") == ["committed", "committed"]
        assert all(d.committed_at is not None for d in said(node, f"job{n}"))
        assert node.state(f"job{n}") == ("delivered", "")
    assert len(pacs.questions) == 3
    node.go_by(48 * HOUR_S)
    assert len(pacs.questions) == 3


def test_a_pacs_that_is_not_asked_is_not_asked(hospital: Callable[..., Hospital], pacs: MoodyPacs) -> None:
    node = hospital(commitment=False)
    node.analyse("job")
    node.settle()
    assert (commitments(node, "job"), pacs.questions) == (["", ""], [])


def test_an_answer_may_take_its_time_and_may_come_from_elsewhere(
    hospital: Callable[..., Hospital], pacs: MoodyPacs
) -> None:
    node = hospital()
    pacs.commits = "later"
    node.analyse("job")
    node.go_by(0.5 * HOUR_S)
    assert commitments(node, "job") == ["asked", "asked"]
    assert node.state("job") == ("delivered", "")
    assert answer(node, pacs, 0)
    assert answer(node, pacs, 0)  # told twice: nothing changes
    node.go_by(48 * HOUR_S)
    assert commitments(node, "job") == ["committed", "committed"]
    assert len(pacs.questions) == 1


def test_no_answer_is_asked_for_again_less_and_less_often_and_an_old_answer_counts(
    hospital: Callable[..., Hospital], pacs: MoodyPacs
) -> None:
    node = hospital()
    pacs.commits = "never"
    node.analyse("job")
    node.go_by(48 * HOUR_S)
    assert len(pacs.questions) == 6  # after 0, 1, 3, 7, 15 and 31 hours
    assert len({str(q.TransactionUID) for q in pacs.questions}) == 6
    assert answer(node, pacs, 1)
    assert commitments(node, "job") == ["committed", "committed"]
    node.go_by(48 * HOUR_S)
    assert len(pacs.questions) == 6
    assert node.state("job") == ("delivered", "")


def test_a_pacs_that_never_answers_is_left_alone_in_the_end_and_nothing_counts_as_kept(
    hospital: Callable[..., Hospital], pacs: MoodyPacs
) -> None:
    node = hospital()
    pacs.commits = "not now"
    node.analyse("job")
    node.go_by(15 * 24 * HOUR_S)
    asked = len(pacs.questions)
    assert 15 < asked < 25
    node.go_by(15 * 24 * HOUR_S)
    assert len(pacs.questions) == asked
    assert commitments(node, "job") == ["asked", "asked"]
    (only,) = {d.transaction_uid for d in said(node, "job")}
    transaction = Commitments(node.ledger.database).transaction(only)
    assert transaction is not None
    assert (transaction.state, transaction.detail) == (
        "failed", "not committed: 0x0213 resource limitation",
    )  # fmt: skip
    pacs.commits = "at once"
    assert node.deliveries.retry("job") == ["pacs"]
    node.settle()
    assert commitments(node, "job") == ["committed", "committed"]
    assert set(pacs.received.values()) == {1}


def test_what_a_pacs_lost_is_sent_again_and_committed(
    hospital: Callable[..., Hospital], pacs: MoodyPacs
) -> None:
    node = hospital()
    pacs.commits = "later"
    seg, report = node.analyse("job")
    node.settle()
    pacs.forget(report)
    pacs.commits = "at once"
    assert answer(node, pacs, 0)
    node.proof.follow_up()
    assert node.state("job") == ("analysed", "pacs lost 1 instances; sent again")
    node.settle()
    assert pacs.kept == [seg, report]
    assert pacs.received == {seg: 1, report: 2}
    assert commitments(node, "job") == ["committed", "committed"]
    assert node.state("job") == ("delivered", "")


def test_what_a_pacs_loses_again_and_again_is_said_to_be_undelivered(
    hospital: Callable[..., Hospital], pacs: MoodyPacs
) -> None:
    node = hospital()
    seg, report = node.analyse("job")
    pacs.reasons[report] = 0x0112
    node.go_by(24 * HOUR_S)
    assert pacs.received == {seg: 1, report: 1 + MAX_RESENDS}
    assert commitments(node, "job") == ["committed", "failed"]
    assert node.state("job") == ("undelivered", "pacs: sr-3d stored and not committed")
    # the PACS is repaired, and somebody types spine-node retry
    pacs.reasons.clear()
    assert node.deliveries.retry("job") == ["pacs"]
    node.settle()
    assert pacs.received == {seg: 1, report: 2 + MAX_RESENDS}
    assert commitments(node, "job") == ["committed", "committed"]
    assert node.state("job") == ("delivered", "")
    assert node.deliveries.retry("job") == []


@pytest.mark.parametrize(
    ("reason", "asked_again"),
    [(0x0110, True), (0x0213, True), (0x0131, True), (0x0122, False), (0x0119, False)],
)
def test_other_failures_pass_with_time_or_stay(
    hospital: Callable[..., Hospital], pacs: MoodyPacs, reason: int, asked_again: bool
) -> None:
    node = hospital()
    seg, _ = node.analyse("job")
    pacs.reasons[seg] = reason
    node.settle()
    node.round()
    assert node.state("job")[0] == ("delivered" if asked_again else "undelivered")
    pacs.reasons.clear()
    node.go_by(3 * HOUR_S)
    assert len(pacs.questions) == (2 if asked_again else 1)
    assert commitments(node, "job") == ["committed" if asked_again else "failed", "committed"]
    assert pacs.received[seg] == 1


def test_a_pacs_away_when_it_is_to_be_asked_is_asked_later_and_its_deliveries_do_not_wait(
    hospital: Callable[..., Hospital], pacs: MoodyPacs
) -> None:
    node = hospital()
    node.analyse("job")
    node.deliveries.deliver("job", "pacs")
    pacs.be("away")
    node.settle()
    assert commitments(node, "job") == ["asked", "asked"]
    pacs.be("well")
    node.analyse("next")
    node.settle()
    assert commitments(node, "next") == ["committed", "committed"]
    node.go_by(2 * HOUR_S)
    assert commitments(node, "job") == ["committed", "committed"]


def test_a_node_killed_between_question_and_answer_asks_again(
    hospital: Callable[..., Hospital], pacs: MoodyPacs
) -> None:
    node = hospital()
    pacs.commits = "never"
    node.analyse("job")
    node.settle()
    node.close()
    node.open()
    pacs.commits = "at once"
    node.go_by(2 * HOUR_S)
    assert commitments(node, "job") == ["committed", "committed"]


@pytest.fixture
def beside_orthanc(
    tmp_path: Path, orthanc: Orthanc, receiving: Callable[..., Receiver]
) -> Iterator[Hospital]:
    """A node that Orthanc knows, with the receiver that Orthanc reports to, by an association of its own."""
    peer = Destination(
        "pacs", orthanc.ae_title, "127.0.0.1", orthanc.port, commitment=True, commitment_wait_s=0.0
    )
    node = Hospital(tmp_path / "node", [peer])
    answers = commitment_answers(Commitments(node.ledger.database))
    receiver = receiving(services=[answers], access=everybody("NODE", check_called_ae=False))
    ours = node.settings.scp.ae_title
    modality = {"AET": ours, "Host": "127.0.0.1", "Port": receiver.peer.port, "AllowStorageCommitment": True}
    orthanc.rest("/modalities/node", modality, "PUT")
    yield node
    node.close()


@pytest.mark.orthanc
def test_orthanc_commits_what_it_has_and_gets_again_what_it_lost(
    beside_orthanc: Hospital, orthanc: Orthanc
) -> None:
    node = beside_orthanc
    seg, report = node.analyse("job")
    node.deliveries.deliver("job", "pacs")
    (found,) = orthanc.rest("/tools/find", {"Level": "Instance", "Query": {"SOPInstanceUID": report}})
    orthanc.rest(f"/instances/{found}", method="DELETE")

    def committed() -> bool:
        node.settle()
        return commitments(node, "job") == ["committed", "committed"]

    wait_until(committed)
    held = orthanc.rest("/tools/find", {"Level": "Instance", "Expand": True, "Query": {}})
    assert {h["MainDicomTags"]["SOPInstanceUID"] for h in held} == {seg, report}
    assert [d.attempts for d in said(node, "job")] == [1, 2]
