"""Every device of the city in memory, for the map, the lists and the search box of one process."""
