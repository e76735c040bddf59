"""The types of the keys. Each one reads text, and describes itself in the JSON Schema for editors."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, PlainValidator, WithJsonSchema
from pydantic_core import CoreSchema

from proxy.config import hosts, scalars
from proxy.config.dictionary import SOP_CLASS, TRANSFER_SYNTAX, uid_of
from proxy.config.tree import Mark, Text
from proxy.policy import Network

T = TypeVar("T")
JsonSchema = dict[str, Any]


class Frozen(BaseModel):
    """A mapping of the configuration: unknown keys are errors, and the values do not change."""

    # `validate_default`: defaults are written as text, as in a file, and go through the same readers.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


def default(value: object, description: str, **constraints: Any) -> Any:
    """Declare a key that may be left out. `value` is read as if the file contained it."""
    return Field(value, description=description, **constraints)


def mandatory(description: str, **constraints: Any) -> Any:
    """Declare a key that must be present."""
    return Field(..., description=description, **constraints)


@dataclass(frozen=True, slots=True)
class FilePath:
    """A path, resolved against the folder of the configuration file that contains it at `mark`."""

    path: str
    mark: Mark | None = field(default=None, compare=False)


def _file_path(value: object) -> FilePath:
    text = scalars.scalar(value)
    if "\0" in text:
        raise ValueError("a path cannot contain a NUL character")
    if not isinstance(value, Text):
        return FilePath(text)
    return FilePath(os.path.join(os.path.dirname(value.mark.file), text), value.mark)


def _plain(read: Callable[[object], object], **schema: Any) -> tuple[Any, Any]:
    """Return the annotations of a key that `read` reads. pydantic does not convert the value or know its schema."""
    return PlainValidator(read), WithJsonSchema(schema)


def _uid(kind: str) -> Callable[[object], str]:
    """Return a reader of the UID, or keyword, of a SOP class or transfer syntax."""
    return lambda value: uid_of(scalars.uid_or_keyword(value), kind)


def null(value: object) -> object:
    """Return None for an unquoted `null` or `~`.

    An empty value is not null: the lines below `tls:` or `crl:` may have been lost or commented out by mistake.
    """
    return None if isinstance(value, Text) and value.is_null else value


class _Instead:
    """Replaces the type null in the schema by the constant `word`, the text that stands for None in a file."""

    def __init__(self, word: str | None) -> None:
        self.word = word

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        result = handler(schema)
        choices = [choice for choice in result["anyOf"] if choice != {"type": "null"}]
        return {"anyOf": [{"const": self.word}, *choices]}


def _word(word: str) -> BeforeValidator:
    return BeforeValidator(lambda value: None if value == word else value)


class _OneOrManySchema:
    """Adds the type of a single item to the schema of a list."""

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchema:
        result = handler(schema)
        many = next((choice for choice in result.get("anyOf", ()) if choice.get("type") == "array"), result)
        return {"anyOf": [many["items"], *result.get("anyOf", [result])]}


Nullable = Annotated[T | None, BeforeValidator(null), _Instead(None)]
AnyOr = Annotated[T | None, _word("any"), _Instead("any")]
AllOr = Annotated[T | None, _word("all"), _Instead("all")]
OneOrMany = Annotated[
    T,
    BeforeValidator(lambda value: [value] if isinstance(value, str) and null(value) is not None else value),
    _OneOrManySchema(),
]
#: Around a Literal: pydantic does not promise to match its choices with a subclass of `str` such as Text.
Word = Annotated[T, BeforeValidator(lambda value: str(value) if isinstance(value, str) else value)]

_TEXT: JsonSchema = {"type": ["string", "number", "boolean"], "minLength": 1}  # `0123` and `ON` are text here
_DURATION: JsonSchema = {"type": "string", "pattern": r"^\d{1,9}(ms|s|m|h|d)$"}
_TITLE: JsonSchema = {**_TEXT, "maxLength": 16}

Name = Annotated[str, *_plain(scalars.name, type="string", pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Label = Annotated[str, *_plain(scalars.label, **_TEXT, maxLength=64)]
Comment = Annotated[str, *_plain(scalars.comment, **_TEXT, maxLength=256)]
String = Annotated[str, *_plain(scalars.scalar, **_TEXT)]
Boolean = Annotated[bool, *_plain(scalars.boolean, type="boolean")]
Duration = Annotated[float, *_plain(scalars.duration(0.001), **_DURATION)]
DurationOrZero = Annotated[float, *_plain(scalars.duration(), **_DURATION)]
DurationOrNever = Annotated[
    float, *_plain(scalars.duration(0.001, never=True), type="string", pattern=r"^(never|\d{1,9}(ms|s|m|h|d))$")
]
AeTitle = Annotated[str, *_plain(scalars.literal_ae_title, **_TITLE)]
AeTitlePattern = Annotated[str, *_plain(scalars.ae_title, **_TITLE)]
NetworkRange = Annotated[Network, *_plain(hosts.network, type="string")]
LocalAddress = Annotated[tuple[str, int], *_plain(hosts.local_address, type="string", pattern=r":\d{1,5}$")]
RemoteAddress = Annotated[tuple[str, int], *_plain(hosts.remote_address, type="string", pattern=r":\d{1,5}$")]
Address = Annotated[str, *_plain(hosts.address, type="string")]
ServerName = Annotated[str, *_plain(hosts.server_name, type="string", maxLength=253)]
NameOfServer = Annotated[str, *_plain(hosts.name_of_server, type="string", maxLength=253)]
CertificateName = Annotated[str, *_plain(hosts.certificate_name, type="string", maxLength=253)]
Uri = Annotated[str, *_plain(hosts.uri, type="string", minLength=1)]
HttpUrl = Annotated[str, *_plain(hosts.url("http", "https"), type="string", pattern="^https?://")]
LdapUrl = Annotated[str, *_plain(hosts.url("ldap", "ldaps"), type="string", pattern="^ldaps?://")]
Fingerprint = Annotated[
    str, *_plain(scalars.fingerprint, type="string", pattern="^([0-9A-Fa-f]{2}:?){31}[0-9A-Fa-f]{2}$")
]
SpkiPin = Annotated[str, *_plain(scalars.spki_pin, type="string", pattern="^[A-Za-z0-9+/]{43}=$")]
SopClassUid = Annotated[str, *_plain(_uid(SOP_CLASS), type="string")]
TransferSyntaxUid = Annotated[str, *_plain(_uid(TRANSFER_SYNTAX), type="string")]
Moment = Annotated[float, *_plain(scalars.moment, type="string", pattern=r"^\d{4}-\d{2}-\d{2}")]
Processes = Annotated[
    int | None, *_plain(scalars.processes, anyOf=[{"const": "auto"}, {"type": "integer", "minimum": 1}])
]
AssociateRqSize = Annotated[
    # From the shortest request of PS3.8 Table 9-11 to 128 contexts and a user information item of 64 KiB each.
    int, *_plain(scalars.size(74, 8_454_667), type=["string", "integer"], pattern=r"^\d{1,12}(B|KiB|MiB|GiB)?$")
]
File = Annotated[FilePath, *_plain(_file_path, type="string", minLength=1)]


def whole(minimum: int, maximum: int) -> tuple[Any, Any]:
    """Return the annotations of an integer key."""
    return _plain(scalars.integer(minimum, maximum), type="integer", minimum=minimum, maximum=maximum)


Count = Annotated[int, *whole(1, 1_000_000)]
Contexts = Annotated[int, *whole(1, 128)]
Weight = Annotated[int, *whole(1, 1000)]
