"""Two real nodes, and kernels of notebooks on one of them."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from local_kernel import LocalKernel, local_kernel
from pair import Pair


@pytest.fixture(scope="session")
def pair(base_image: str) -> Iterator[Pair]:
    """`desk` lends so little to each session that several fit onto the smallest machine of a CI."""
    with Pair(desk={"container_cpu_limit": "0.5", "container_memory_limit": "512m"}) as pair:
        yield pair


Start = Callable[..., AbstractContextManager[LocalKernel]]


@pytest.fixture(scope="session")
def start_kernel(pair: Pair) -> Start:
    """Start a kernel of laptop's user: `with start_kernel(folder, KEY="value") as kernel:`."""
    return lambda folder, **env: local_kernel(folder, HOMIE_HOME=str(pair.laptop.home), **env)


@pytest.fixture(scope="module")
def kernel(start_kernel: Start, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKernel]:
    """One kernel for the tests of a file, with one session that they share."""
    with start_kernel(tmp_path_factory.mktemp("notebook")) as kernel:
        yield kernel
        kernel.run("%homie end", fine=False)


@pytest.fixture
def folder(kernel: LocalKernel) -> Path:
    """The notebook's folder."""
    return Path(kernel.run("import os; os.getcwd()").results[0].strip("'"))
