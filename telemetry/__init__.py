"""The contract between the edge and the cloud: records, batches, acknowledgements, topics and the clock.

Imports the standard library and msgspec only. Everything here is a value; nothing here does I/O.
"""
