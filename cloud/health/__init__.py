"""How well the alarms serve a desk: the figures of ISA-18.2 and EEMUA 191, counted from the alarm log."""
