"""What a PACS reports of a question for storage commitment (PS3.4 J.3.3)."""

from __future__ import annotations

from collections.abc import Mapping

from pydicom import Dataset


def report(asked: Dataset, failed: Mapping[str, int] | None = None) -> Dataset:
    """The answer to a question: all is committed, but what is named."""
    failed = failed or {}
    answer = Dataset()
    answer.TransactionUID = asked.TransactionUID
    answer.ReferencedSOPSequence, answer.FailedSOPSequence = [], []
    for item in asked.ReferencedSOPSequence:
        if item.ReferencedSOPInstanceUID in failed:
            item.FailureReason = failed[item.ReferencedSOPInstanceUID]
            answer.FailedSOPSequence.append(item)
        else:
            answer.ReferencedSOPSequence.append(item)
    if not failed:
        del answer.FailedSOPSequence
    return answer
