"""Where others are reached, by their AE titles: to move results to, to answer questions of commitment."""

from __future__ import annotations

from spine_node.config import Settings
from spine_node.network.peer import Peer


def move_destination(settings: Settings, ae_title: str) -> Peer | None:
    """Whom a C-MOVE may have results sent to: a caller entered with host and port, or a destination."""
    destination = next((peer for peer in settings.destinations if peer.ae_title == ae_title), None)
    return settings.access.peer(ae_title) or destination


def report_address(settings: Settings, ae_title: str, address: str) -> Peer | None:
    """Where the answer to a storage commitment request goes, if the association that asked is over.

    As `move_destination`; else, where the config gives a port for that, the address that the caller called
    from, and has been judged by.
    """
    known = move_destination(settings, ae_title)
    port = settings.commitment.report_port
    if known is not None or not port:
        return known
    try:
        return Peer(ae_title, ae_title, address, port)
    except ValueError:  # no AE title that one could call
        return None
