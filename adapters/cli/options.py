"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter, validators

AtLeastOne = validators.Number(gte=1)
Shards = Annotated[int, Parameter(env_var="CEP_SHARDS", validator=validators.Number(gte=1, lte=64))]
Redis = Annotated[str | None, Parameter(env_var="CEP_REDIS_URL")]
RedisCa = Annotated[str | None, Parameter(env_var="CEP_REDIS_CA")]
AllowPlain = Annotated[bool, Parameter(env_var="CEP_ALLOW_PLAIN", negative=())]
Alerts = Annotated[str, Parameter(env_var="CEP_ALERTS")]
Partitions = Annotated[int | None, Parameter(env_var="CEP_PARTITIONS", validator=validators.Number(gte=1, lte=1000))]
