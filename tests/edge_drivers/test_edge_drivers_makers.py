"""Every kind of link that a config may name has a driver."""

from importlib import import_module

import pytest

from edge_agent.drivers import MAKERS
from edge_agent.link_kinds import LINK_KINDS, DriverName


def test_every_kind_of_link_has_a_maker() -> None:
    assert MAKERS.keys() == set(DriverName) == LINK_KINDS.keys()


@pytest.mark.parametrize("driver", DriverName)
def test_a_maker_is_where_the_table_says(driver: DriverName) -> None:
    module, name = MAKERS[driver]
    assert callable(getattr(import_module(f"edge_agent.drivers.{module}"), name))
