"""Dispatch (派遣): which department and which person a case goes to, who is told when it waits, and which case a report joins."""
