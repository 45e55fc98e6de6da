"""What can happen to each kind of device, as tables: one file a family."""

from collections.abc import Mapping

from simulators.actions import covers, greenery, lamps, meters, stations, structures, supplies, toilets, vehicles
from simulators.deeds import Deed, Kind

__all__ = ["ACTIONS"]

ACTIONS: Mapping[Kind, Mapping[str, Deed]] = {
    **covers.ACTIONS,
    **lamps.ACTIONS,
    **toilets.ACTIONS,
    **vehicles.ACTIONS,
    **structures.ACTIONS,
    **supplies.ACTIONS,
    **meters.ACTIONS,
    **stations.ACTIONS,
    **greenery.ACTIONS,
}
