"""The configuration as a whole: every key at the top level of the file."""

from typing import Annotated, Any

from pydantic import WithJsonSchema

from proxy.config import fields as f
from proxy.config.fields import Frozen, default, mandatory
from proxy.config.models import (
    AccessLog,
    Admin,
    LimitsModel,
    ListenerModel,
    LogModel,
    ReloadModel,
    TimeoutsModel,
    UpstreamModel,
)
from proxy.config.models_identity import IdentityProvider
from proxy.config.models_tenant import TenantModel
from proxy.config.values import DEFAULT_CONTROL


class Configuration(Frozen):
    """The configuration file."""

    version: Annotated[int, *f.whole(1, 1)] = mandatory("Version of the format.")
    include: list[f.String] | None = default(
        None,
        "Patterns of further files, e.g. [tenants.d/*.yaml]. Such a file contains `tenants`, and `upstreams` and "
        "`identity_providers` that only its own tenants may name.",
    )
    workers: f.Processes = default("auto", "Number of processes that carry traffic; auto: one per CPU.")
    control: f.Nullable[f.File] = default(
        DEFAULT_CONTROL, "Unix socket of the verbs reload, drain, stop and status; null: none."
    )
    log: LogModel = default({}, "The log of events.")
    access_log: AccessLog = default({}, "The access log: one record per association.")
    admin: f.Nullable[Admin] = default({}, "The admin server: metrics and health; null: none.")
    reload: ReloadModel = default({}, "Automatic reload when watched files change.")
    timeouts: TimeoutsModel = default({}, "The limit of each wait.")
    limits: LimitsModel = default({}, "Upper limits on what peers may use.")
    listeners: dict[f.Name, ListenerModel] = mandatory("Listeners by name: where senders connect.")
    # `assemble` merges it into each tenant before the models see it; `schema` gives it the keys of a tenant.
    tenant_defaults: Annotated[Any, WithJsonSchema({"type": "object"})] = default(
        None, "Keys of a tenant that apply to each tenant which does not set them itself."
    )
    tenants: dict[f.Name, TenantModel] = mandatory("Tenants by name: which senders may do what.")
    identity_providers: dict[f.Name, IdentityProvider] | None = default(None, "Identity providers by name.")
    upstreams: dict[f.Name, UpstreamModel] = mandatory("The PACS by name.")
