"""Carriers' platforms that push over HTTP."""
