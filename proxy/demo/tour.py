"""The tour of the demo, step by step. A step is a command that a user can type, with its real answer."""

import logging
import shlex
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any

from pydicom import Dataset, dcmread
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage, StudyRootQueryRetrieveInformationModelFind

from proxy.cli.output import say
from proxy.demo.gateway import GatewayProcess
from proxy.demo.image import write_ct
from proxy.demo.site import NORTH_NAME, NORTH_TITLE, SOUTH_NAME, SOUTH_TITLE, Site
from proxy.tls.client import client_context

_METRICS = (
    "dicomgate_associations_total",
    "dicomgate_association_refusals_total",
    "dicomgate_tls_handshakes_total",
    "dicomgate_received_bytes_total",
)
_RECORD = ("decision", "reason", "answer", "tenant", "calling_aet", "called_aet", "sni")


class TourFailed(Exception):
    """A step had an unexpected result."""


class Tour:
    """The steps, in the order of `run`. The function `dicomgate` runs one verb and returns its exit code."""

    def __init__(self, site: Site, gateway: GatewayProcess, dicomgate: Callable[[Sequence[str]], int]) -> None:
        self._site = site
        self._gateway = gateway
        self._dicomgate = dicomgate
        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # its tracebacks would disturb the tour

    def run(self) -> None:
        """Run all steps. Raises TourFailed, GatewayFailed, OSError."""
        self._echo()
        self._store()
        self._refuse()
        self._metrics()

    def _echo(self) -> None:
        _heading("1. C-ECHO over TLS: the server name selects the tenant, the gateway forwards to its PACS")
        self._type(0, "echo", f"127.0.0.1:{self._site.port}", *self.echo_options())

    def echo_options(self) -> tuple[str, ...]:
        """Return the options of `dicomgate echo` for the tenant that demands no certificate."""
        return ("--tls", "--ca", str(self._site.ca), "--sni", NORTH_NAME, "--called", NORTH_TITLE)

    def _store(self) -> None:
        _heading("2. C-STORE of a CT image to the other tenant, which requires a client certificate; then C-FIND")
        uid = write_ct(self._site.image)
        association = self._associate(SOUTH_NAME, SOUTH_TITLE)
        status = association.send_c_store(dcmread(self._site.image))
        query = Dataset()
        query.QueryRetrieveLevel, query.PatientID, query.StudyInstanceUID = "STUDY", "DEMO-1", ""
        answers = association.send_c_find(query, StudyRootQueryRetrieveInformationModelFind)
        found = sum(identifier is not None for _, identifier in answers)
        association.release()
        stored = self._site.folder / SOUTH_TITLE / f"{uid}.dcm"
        if "Status" not in status or status.Status != 0 or not stored.is_file():
            raise TourFailed("the image was not stored")
        say(f"C-STORE of {self._site.image}: status 0000H, stored as {stored}")
        say(f"C-FIND for PatientID DEMO-1: {found} {'study' if found == 1 else 'studies'}")

    def _associate(self, name: str, title: str) -> Any:
        """Return an association that CT1 has opened with its certificate. Raises TourFailed."""
        site = self._site
        context = client_context(
            ca=site.ca.read_bytes(), certificate=site.device_chain.read_bytes(), key=site.device_key.read_bytes()
        )
        modality = AE(ae_title="CT1")
        modality.add_requested_context(CTImageStorage)
        modality.add_requested_context(StudyRootQueryRetrieveInformationModelFind)
        association = modality.associate("127.0.0.1", site.port, ae_title=title, tls_args=(context, name))
        if not association.is_established:
            raise TourFailed(f"no association with {title}; see {site.folder / 'gateway.log'}")
        return association

    def _refuse(self) -> None:
        _heading("3. A modality that is not configured is refused, and the answer names the reason")
        self._type(1, "echo", f"127.0.0.1:{self._site.port}", *self.echo_options(), "--calling", "STRANGER")
        say()
        say("its access record:")
        record = self._gateway.record_of("STRANGER")
        say(f"  {', '.join(f'{key} {record[key]}' for key in _RECORD)}, client {record['client']['ip']}")
        say()
        say("an administrator asks:")
        self._type(1, *self.explain_command())

    def explain_command(self) -> tuple[str, ...]:
        """Return the command that explains the refusal."""
        sender = ("--sni", NORTH_NAME, "--calling", "STRANGER", "--called", NORTH_TITLE)
        return ("explain", "--config", str(self._site.config), *sender)

    def _metrics(self) -> None:
        _heading("4. The metrics")
        for line in self._gateway.page("/metrics").splitlines():
            if line.startswith(_METRICS) and not line.endswith(" 0.0"):
                say(f"  {line}")

    def _type(self, expected: int, *arguments: str) -> None:
        """Print a command and run it. Raises TourFailed unless its exit code is the expected one."""
        say(f"$ {shlex.join([*program(), *arguments])}", "bold")
        code = self._dicomgate(arguments)
        if code != expected:
            raise TourFailed(f"dicomgate {arguments[0]} ended with exit code {code} instead of {expected}")


def program() -> tuple[str, ...]:
    """Return the words that a user types for `dicomgate`, which may not be on the PATH."""
    if shutil.which("dicomgate"):
        return ("dicomgate",)
    return (sys.argv[0],) if sys.argv[0].endswith("dicomgate") else (sys.executable, "-m", "proxy.cli")


def say_commands(site: Site, tour: Tour) -> None:
    """Print commands to try while the gateway runs."""
    _heading("Try these in another terminal")
    here, port = "127.0.0.1", str(site.port)
    trust = ("+cf", str(site.ca))
    device = ("+tls", str(site.device_key), str(site.device_chain))
    for command in (
        (*program(), "echo", f"{here}:{port}", *tour.echo_options()),
        (*program(), *tour.explain_command()),
        (*program(), "check", "--config", str(site.config)),
        ("echoscu", "-v", "+tla", *trust, "-aet", "CT1", "-aec", NORTH_TITLE, here, port),
        ("echoscu", "-v", "+tla", *trust, "-aet", "CT1", "-aec", SOUTH_TITLE, here, port),
        ("storescu", "-v", *device, *trust, "-aet", "CT1", "-aec", SOUTH_TITLE, here, port, str(site.image)),
        ("curl", "-s", f"http://127.0.0.1:{site.admin}/metrics"),
        ("tail", "-f", str(site.folder / "gateway.log")),
    ):
        say(f"  {shlex.join(command)}")
    say("echoscu and storescu are those of DCMTK; an activated .venv may have pynetdicom's of the same name first")


def _heading(text: str) -> None:
    say()
    say(text, "bold cyan")
    say("-" * len(text), "cyan")
