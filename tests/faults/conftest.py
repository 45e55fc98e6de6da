"""What the tests of faults can be asked for on the command line."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--every-call`: not a sample of the system calls at which the outbox is killed, but each of them."""
    parser.addoption("--every-call", action="store_true", help="kill the outbox at every system call that writes")
