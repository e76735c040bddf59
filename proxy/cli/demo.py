"""`dicomgate demo`: two PACS with a gateway in front of them, on this machine alone."""

import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from proxy.cli.output import NO, CommandError, note, say

if TYPE_CHECKING:
    from proxy.demo.gateway import GatewayProcess
    from proxy.demo.pacs import Pacs
    from proxy.demo.site import Site

_NORTH_PORT, _SOUTH_PORT, _ADMIN_PORT = 11112, 11113, 9280
_WATCH = 0.5  # seconds between two looks at the gateway


def command(
    once: Annotated[bool, typer.Option("--once", help="End after the tour.")] = False,
    folder: Annotated[Path, typer.Option("--dir", help="Folder for all files of the demo.")] = Path("demo-data"),
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port of the gateway.")] = 2762,
) -> None:
    """Show the gateway at work: C-ECHO and C-STORE over TLS, a refusal and its explanation, metrics."""
    try:
        import pynetdicom  # noqa: F401
    except ImportError:
        raise CommandError("the demo's PACS needs pynetdicom: pip install 'dicomgate[demo]'") from None
    from proxy.demo.gateway import GatewayFailed
    from proxy.demo.site import Site, free_port
    from proxy.demo.tour import TourFailed
    from proxy.pki.index import PkiError

    _require_free(port)
    site = Site(folder, port, free_port(_ADMIN_PORT))
    try:
        with _stop_on_sigterm(), _pacs_of(site) as (north, south):
            site.prepare(north.port, south.port)
            _show(site, north, south, once=once)
    except KeyboardInterrupt:
        note("stopped")
    except (GatewayFailed, TourFailed) as error:
        raise CommandError(f"{error}\nthe log of the gateway: {folder / 'gateway.log'}", NO) from None
    except PkiError as error:
        raise CommandError(f"{error}; or start over: dicomgate demo --dir another-folder") from None
    except OSError as error:
        raise CommandError(f"{error.filename or 'the demo'}: {error.strerror}") from None


def _show(site: "Site", north: "Pacs", south: "Pacs", *, once: bool) -> None:
    from proxy.cli.__main__ import main
    from proxy.demo.tour import Tour, say_commands

    say(f"two PACS, plain DICOM:  {north.title} on port {north.port}, {south.title} on port {south.port}")
    say(f"the configuration:      {site.config}")
    gateway = start_gateway(site)
    try:
        say(f"the gateway, DICOM TLS: 127.0.0.1:{site.port}, log in {site.folder / 'gateway.log'}")
        tour = Tour(site, gateway, main)
        tour.run()
        if once:
            return
        say_commands(site, tour)
        note("")
        note("the gateway and both PACS run until Ctrl-C")
        sys.stdout.flush()
        while True:
            gateway.wait(_WATCH)
    finally:
        gateway.stop()


def start_gateway(site: "Site") -> "GatewayProcess":
    """Start the gateway of the demo. Raises GatewayFailed, OSError, or CommandError if a port is taken."""
    from proxy.demo.gateway import GatewayFailed, GatewayProcess

    try:
        return GatewayProcess(site.config, site.folder / "gateway.log", site.admin)
    except GatewayFailed:
        # Another process, such as a second demo, may have taken a port since the demo chose it.
        _require_free(site.port)
        _require_free(site.admin, "start the demo again: it chooses another one")
        raise


def _require_free(port: int, remedy: str = "choose another: dicomgate demo --port N") -> None:
    from proxy.demo.site import free_port

    if free_port(port) != port:
        raise CommandError(f"port {port} of 127.0.0.1 is taken; {remedy}")


@contextlib.contextmanager
def _pacs_of(site: "Site") -> "Iterator[tuple[Pacs, Pacs]]":
    """Run both PACS, on their usual ports or on free ones."""
    from proxy.demo.pacs import start_pacs
    from proxy.demo.site import NORTH_TITLE, SOUTH_TITLE

    with contextlib.ExitStack() as stack:
        both = []
        for title, port in ((NORTH_TITLE, _NORTH_PORT), (SOUTH_TITLE, _SOUTH_PORT)):
            pacs = start_pacs(title, site.folder / title, port)
            stack.callback(pacs.close)
            both.append(pacs)
        yield both[0], both[1]


@contextlib.contextmanager
def _stop_on_sigterm() -> Iterator[None]:
    """Make SIGTERM end the demo as Ctrl-C does, so that no process of the demo stays."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
