"""Environment and hydrology stations that dial the gateway."""
