"""The citizens' and other systems' door: Open311 GeoReport v2."""
