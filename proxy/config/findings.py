"""What loading a configuration found: one value per finding, and the table of all codes."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from proxy.config.tree import Block, Items, Mark, Node

#: Every code, and what it stands for. `E`: the configuration is refused. `W`: it loads, somebody should look.
CODES: dict[str, str] = {
    "E101": "the file cannot be read",
    "E102": "the file is not UTF-8 text",
    "E103": "the YAML cannot be parsed",
    "E104": "an anchor, alias, tag, directive or second document",
    "E105": "a key set twice",
    "E106": "a list or mapping that is present but empty",
    "E107": "too large or too deep",
    "E108": "an include that cannot be followed",
    "E109": "an environment variable that is not set, or a broken ${...}",
    "E110": "a value that its key does not take",
    "E111": "an unknown key",
    "E112": "a mandatory key that is missing",
    "E201": "a name that nothing has",
    "E202": "a name of another include file",
    "E203": "a name used twice",
    "E204": "one server name in two tenants of a listener",
    "E205": "an address bound twice",
    "E206": "a plaintext listener that does not list its tenants",
    "E207": "a legacy profile on a listener without networks",
    "E208": "client certificates demanded, and none is trusted",
    "E209": "an upstream that is the gateway itself",
    "E210": "an upstream's certificate that cannot be held against a name",
    "E211": "a source address that does not reach a server",
    "E212": "a server listed twice",
    "E301": "a file that cannot be read",
    "E302": "a file that does not hold what its key needs",
    "E303": "a certificate that does not match its key",
    "E304": "a private key that everybody can read",
    "E305": "an encrypted private key",
    "E306": "a certificate of the gateway that is expired or not yet valid",
    "E307": "a weak key or signature",
    "E308": "a device certificate among the CAs",
    "E309": "a CRL that cannot be used",
    "E310": "a secret that is not there",
    "E311": "TLS that cannot be set up, or fails in a handshake with itself",
    "E312": "an OpenSSL that does not work here",
    "E900": "a feature that is not built yet",
    "W201": "tenants that cannot be told apart without SNI",
    "W202": "a peer that can never match",
    "W203": "a peer on a public listener with nothing but a title",
    "W204": "a range that holds every address",
    "W205": "a tenant that no listener reaches",
    "W206": "a tenant setting without effect",
    "W207": "a tenant weaker than its listener",
    "W208": "certificates asked for, and none is trusted",
    "W209": "an operation that another word of allow covers",
    "W210": "a SOP class that allow never keeps",
    "W211": "transfer syntaxes without the one that every device must support",
    "W212": "a source address that this machine does not have",
    "W301": "a certificate that is about to expire, or a CA that has",
    "W302": "a certificate that does not cover a server name",
    "W303": "a certificate of the gateway that many peers cannot use",
    "W304": "a pinned certificate that will be refused",
    "W305": "a CRL past its next update",
}


MAXIMUM_FINDINGS = 500  # nobody reads more, and a hostile file could hold a million


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. `where` is `file:line:column`, `path` the dotted key; both may be empty where there is none."""

    code: str
    severity: str  # error | warning | info
    where: str
    path: str
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.path, self.message) if part)

    def to_dict(self) -> dict[str, str]:
        """For `--format json`."""
        return {
            "code": self.code,
            "severity": self.severity,
            "where": self.where,
            "path": self.path,
            "message": self.message,
        }


def _printable(text: str) -> str:
    """Keys and file names are whatever stands in the file: one line, and nothing that a terminal would obey."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


@dataclass(slots=True)
class Report:
    """Collects findings. A mistake in `tenant_defaults` is told once, not once per tenant."""

    has_errors: bool = False
    _found: list[tuple[Mark | None, Finding]] = field(default_factory=list)
    _told: set[tuple[str, str, str]] = field(default_factory=set)

    def add(self, code: str, mark: Mark | None, path: str, message: str) -> None:
        """Report `message`; the severity is the first letter of the code."""
        where = "" if mark is None else str(mark)
        severity = "error" if code.startswith("E") else "warning"
        self.has_errors = self.has_errors or severity == "error"
        if (code, where, message) in self._told or len(self._found) == MAXIMUM_FINDINGS:
            return
        self._told.add((code, where, message))
        self._found.append((mark, Finding(code, severity, _printable(where), _printable(path), _printable(message))))

    @property
    def findings(self) -> list[Finding]:
        """In the order of the text: what has no place first, then file by file."""
        files = list(dict.fromkeys(mark.file for mark, _ in self._found if mark is not None))
        order = sorted(
            self._found, key=lambda entry: (files.index(entry[0].file), *entry[0][1:]) if entry[0] else (-1, 0, 0)
        )
        return [finding for _, finding in order]


Path = Sequence[str | int]


def locate(root: Node, path: Path, *, key: bool = False) -> tuple[Mark, str]:
    """The mark and dotted path of what `path` leads to; steps that the text does not have are left out.

    With `key`, the last step is always named, and marks its key where there is one (unknown and missing keys).
    """
    node, mark, steps = root, root.mark, list[str]()
    for index, step in enumerate(path):
        last = key and index == len(path) - 1
        if isinstance(node, Block) and isinstance(step, str) and step in node:
            steps.append(step)
            key_mark = node.key_marks[step]
            node = node[step]
            # What begins on a line of its own is found by its key.
            mark = key_mark if last or node.mark.line != key_mark.line else node.mark
        elif isinstance(node, Items) and isinstance(step, int) and step < len(node):
            steps.append(str(step))
            node = node[step]
            mark = node.mark
        elif last:
            steps.append(str(step))
    return mark, ".".join(steps)
