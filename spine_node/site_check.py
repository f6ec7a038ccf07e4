"""Before going live: what a config means, and what each destination answers and takes."""

from __future__ import annotations

from pathlib import Path

from spine_node.config import Destination, Settings
from spine_node.deliveries import ESSENTIAL
from spine_node.dicom.forms import CONTEXT_OF, kind_of
from spine_node.errors import ConfigRefused, PeerUnavailable
from spine_node.network.commitment import answers_for
from spine_node.network.scu import echo, takes
from spine_node.network.tls import certificate_facts, expiry_warning, server_context
from spine_node.segmentation.plug import identity_of
from spine_node.storage_check import report_of


def check(settings: Settings) -> bool:
    """Print what this config means, call every destination and ask what it takes; True when all is well."""
    identity = identity_of(settings.model.choice)
    print(f"model         {identity.name} {identity.version}, SHA-256 {identity.sha256[:16]}")
    scp = settings.scp
    ports = {"plain DICOM": scp.port, "TLS": scp.tls_port}
    where = " and ".join(f"{scp.host}:{port} ({name})" for name, port in ports.items() if port)
    print(f"listens as    {scp.ae_title} on {where}")
    _print_callers(settings)
    print(f"storage       {settings.storage.folder}")
    disk = report_of(settings)
    for sentence in disk.sentences:
        print(f"              {sentence}")
    print(f"audit         {_audit_words(settings)}")
    well = _print_tls(settings) and disk.well
    for peer in settings.destinations:
        secured = "with TLS " if peer.tls else ""
        print(f"destination   {peer.name}: {peer.ae_title} at {peer.host}:{peer.port} {secured}", end="")
        try:
            echo(peer, settings.scp.ae_title)
            print("answers C-ECHO")
            well = _print_results(peer, settings.scp.ae_title) and well
            well = _print_commitment(peer, settings) and well
        except PeerUnavailable as unavailable:
            print(f"DOES NOT ANSWER: {unavailable}")
            well = False
    if not settings.destinations:
        print("destination   none: results stay in the results folder")
    return well


def _print_callers(settings: Settings) -> None:
    for caller in settings.access.callers:
        name = "anybody" if caller.ae_title == "*" else caller.ae_title
        limits = [f"from {', '.join(caller.addresses)}"] if caller.addresses else []
        limits += [f"with certificate {caller.certificate}"] if caller.certificate else []
        may = ", ".join(caller.may) or "nothing but C-ECHO"
        print(f"caller        {' '.join([name, *limits])} may {may}")


def _audit_words(settings: Settings) -> str:
    if settings.audit_folder is None:
        return "off"
    sent_to = f", sent on to {settings.audit.repository}" if settings.audit.repository else ""
    return f"{settings.audit_folder}, kept {settings.audit.keep_days:g} days{sent_to}"


def _print_tls(settings: Settings) -> bool:
    """Print who we are on encrypted connections; False if that cannot be used, or not for much longer."""
    tls = settings.tls
    if not tls.certificate:
        return True
    try:
        server_context(settings.tls.server())
        facts = certificate_facts(tls.certificate)
    except ConfigRefused as problem:
        print(f"certificate   CANNOT BE USED: {problem}")
        return False
    print(f"certificate   {facts.subject}, issued by {facts.issuer}")
    print(f"              SHA-256 {facts.sha256}")
    warning = expiry_warning(facts, tls.warn_days)
    print(f"              {warning or f'valid for {facts.days_left:.0f} more days'}")
    if open_to_others := Path(tls.key).stat().st_mode & 0o077:
        print(f"              KEY {tls.key} IS OPEN TO OTHERS (mode {open_to_others:o} too much): chmod 600")
    return not warning and not open_to_others


def _print_commitment(peer: Destination, settings: Settings) -> bool:
    """Print whether a destination takes storage commitment requests; False if it should and does not."""
    takes_it = answers_for(peer, settings.scp.ae_title)
    if not peer.commitment:
        can = "; commitment = true would have it asked" if takes_it else ""
        print(f"              {'takes' if takes_it else 'takes no'} storage commitment requests{can}")
        return True
    if not takes_it:
        print("              TAKES NO storage commitment requests: set commitment = false, or have it set up")
        return False
    where = f"{settings.scp.ae_title}, port {settings.scp.port}"
    print(f"              takes storage commitment requests; it has to know us ({where}) to report")
    caller = settings.access.caller(peer.ae_title)
    if caller is None or "commit" not in caller.may:
        print(f"              {peer.ae_title} MAY NOT REPORT to us: a [[callers]] has to let it commit")
        return False
    return True


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
