"""Before going live: what a config means, and what each destination answers and takes."""

from __future__ import annotations

from spine_node.config import Destination, Settings
from spine_node.deliveries import ESSENTIAL
from spine_node.dicom.forms import CONTEXT_OF, kind_of
from spine_node.errors import PeerUnavailable
from spine_node.network.scu import echo, takes
from spine_node.segmentation.plug import identity_of


def check(settings: Settings) -> bool:
    """Print what this config means, call every destination and ask what it takes; True when all is well."""
    identity = identity_of(settings.model.choice)
    callers = ", ".join(settings.scp.callers) or "any sender"
    print(f"model         {identity.name} {identity.version}, SHA-256 {identity.sha256[:16]}")
    print(
        f"listens as    {settings.scp.ae_title} on {settings.scp.host}:{settings.scp.port}, accepts {callers}"
    )
    print(f"storage       {settings.storage.folder}")
    well = True
    for peer in settings.destinations:
        print(f"destination   {peer.name}: {peer.ae_title} at {peer.host}:{peer.port} ", end="")
        try:
            echo(peer, settings.scp.ae_title)
            print("answers C-ECHO")
            well = _print_results(peer, settings.scp.ae_title) and well
        except PeerUnavailable as unavailable:
            print(f"DOES NOT ANSWER: {unavailable}")
            well = False
    if not settings.destinations:
        print("destination   none: results stay in the results folder")
    return well


def _print_results(peer: Destination, calling_ae: str) -> bool:
    """Print what a destination will get of its profile, as its PACS answers now; True if all that it must."""
    accepted = takes(peer, {CONTEXT_OF[p.form] for forms in peer.offers() for p in forms}, calling_ae)
    notices = "told" if peer.notices else "not told"
    print(f"              profile {peer.profile}; {notices} of series that are not analysed")
    well = True
    for products in peer.offers():
        forms = list(dict.fromkeys(product.form for product in products))
        sent = next((form for form in forms if CONTEXT_OF[form] in accepted), None)
        if sent is None:
            must = kind_of(forms[0]) in ESSENTIAL
            print(f"              {'TAKES NO' if must else 'takes no'} {' or '.join(forms)}")
            well = well and not must
        else:
            print(f"              {sent}" + ("" if sent == forms[0] else f", as it takes no {forms[0]}"))
    return well
