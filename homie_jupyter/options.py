"""What stands behind `%%homie`."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from homie_core.model.gpu import GpuAsk


@dataclass(frozen=True)
class Options:
    """What stands behind `%%homie`; None leaves it to the peer's own limits."""

    node: str | None = None
    session: str | None = None
    fresh: bool = False
    gpu: GpuAsk | None = None
    """None: no graphics card."""
    files: tuple[str, ...] = ()
    cpus: float | None = None
    memory: int | None = None
    """Bytes."""
    timeout: float | None = None
    """Seconds."""
    inputs: tuple[str, ...] = ()
    """Variables that go with the cell."""
    outputs: tuple[str, ...] = ()
    """Those that come back after it."""
    offers: tuple[str, ...] = ()
    """Those that come back if they are there, data, and not too large."""
    auto_limit: int | None = None
    """Bytes that `--auto` sends, and brings back, without asking; None: all variables were named by the person."""
    marks: Mapping[str, bytes] = field(default_factory=dict)
    """What the variables were that `--auto` found to be read or defined (see `Shared`)."""
    keeps: tuple[str, ...] = ()
    """Those that stay there, and are told about."""
    gets: tuple[str, ...] = ()
    """Patterns of files that come back after it."""
    capture: str | None = None
    """Name of the variable that takes the cell's output, instead of its being shown."""
    quiet: bool = False
    """Whether Homie itself says nothing as long as all goes well."""
