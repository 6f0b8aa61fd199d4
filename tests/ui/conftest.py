"""A real service over a tiny model, and one finished run."""

import pytest

from tests.tiny_runs import make_recipe
from workbench.runs.service import RunService


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return make_recipe(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def service(tmp_path_factory):
    service = RunService(tmp_path_factory.mktemp("runs"))
    yield service
    service.close()


@pytest.fixture(scope="session")
def finished(service, tiny):
    run = service.submit(tiny)
    assert service.wait(run, 120).status == "finished"
    return run
