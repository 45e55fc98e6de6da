"""HJ 212 environment monitors: the 2017 standard, with the flags of 2005 and 2025."""
