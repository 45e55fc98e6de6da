"""NB-IoT modems behind a serial line, driven by AT commands: Quectel BC95, BC28, BC35 and BC26."""
