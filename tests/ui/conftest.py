"""A real service over a tiny model, and one finished run."""

import functools

import pytest

from tests.tiny_runs import make_recipe
from tests.ui.served import Served
from workbench.runs.service import RunService
from workbench.ui import page


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


@pytest.fixture(scope="session")
def pages(service):
    """`pages(language)`: the service's page, built once for the tests that only press its buttons or read its parts."""
    return functools.cache(lambda language: page.build(service, language))


@pytest.fixture(scope="session")
def served(service):
    """The service's pages and endpoints on loopback, open to whoever asks; `served.under(policy)` asks more for a while."""
    with Served(service) as served:
        yield served
