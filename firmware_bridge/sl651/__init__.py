"""SL 651-2014 hydrology stations: reports of rain, levels and flows in both encodings, and the centre's answers."""
