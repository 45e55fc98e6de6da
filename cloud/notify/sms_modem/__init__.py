"""SMS over a modem on a serial port: the one way to people that needs no internet. `pdu` and `dialog` do no I/O."""
