"""What is deployed works: the access list on a real broker, the units by systemd's own judgement."""

import asyncio
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import aiomqtt
import pytest

from benchmarks.servers import free_port, serving

PASSWORD = "of a test"  # noqa: S105 - guards nothing
DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


@pytest.fixture(scope="module")
def guarded(need_server: Callable[[str, str], str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A mosquitto with our access list; names come with passwords here, with certificates in the street."""
    program, port, folder = need_server("mosquitto", "mosquitto"), free_port(), tmp_path_factory.mktemp("guarded")
    passwords, config = folder / "passwords", folder / "mosquitto.conf"
    set_password = [need_server("mosquitto_passwd", "mosquitto"), "-b", str(passwords)]
    passwords.touch()
    for name in ("gw-1", "gw-2", "citynerve-cloud"):
        subprocess.run([*set_password, name, PASSWORD], check=True, capture_output=True)
    passwords.chmod(0o644)
    acl = folder / "acl"
    shutil.copy(DEPLOY / "mosquitto" / "citynerve.acl", acl)
    acl.chmod(0o644)
    folder.chmod(0o755)
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {passwords}\nacl_file {acl}\nuser root\n")
    with serving([program, "-c", str(config)], port):
        yield port


def client(port: int, name: str) -> aiomqtt.Client:
    return aiomqtt.Client("127.0.0.1", port, username=name, password=PASSWORD, protocol=aiomqtt.ProtocolVersion.V5)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("speaker", "topic", "listener", "passes"),
    [
        pytest.param("gw-1", "gw/gw-1/up/readings", "citynerve-cloud", True, id="a gateway speaks to the cloud"),
        pytest.param("gw-1", "gw/gw-1/status", "citynerve-cloud", True, id="a gateway says how it is"),
        pytest.param("gw-1", "gw/gw-2/up/readings", "citynerve-cloud", False, id="a gateway cannot speak in another's name"),
        pytest.param("gw-1", "gw/gw-1/down/ack", "gw-1", False, id="a gateway cannot acknowledge to itself"),
        pytest.param("citynerve-cloud", "gw/gw-1/down/ack", "gw-1", True, id="the cloud acknowledges to a gateway"),
        pytest.param("citynerve-cloud", "gw/gw-1/down/ack", "gw-2", False, id="another gateway does not hear it"),
    ],
)
async def test_the_access_list_lets_each_say_what_is_its_own(
    guarded: int, speaker: str, topic: str, listener: str, passes: bool
) -> None:
    async with client(guarded, listener) as hearing, client(guarded, speaker) as speaking:
        await hearing.subscribe(topic, qos=1)
        await speaking.publish(topic, b"word", qos=1)
        try:
            async with asyncio.timeout(5 if passes else 0.5):
                heard = (await anext(aiter(hearing.messages))).payload
        except TimeoutError:
            heard = None
    assert (heard == b"word") is passes


@pytest.mark.parametrize("unit", sorted(DEPLOY.glob("systemd/*.service")), ids=lambda unit: unit.name)
def test_a_unit_is_sound(unit: Path, tmp_path: Path) -> None:
    analyse = shutil.which("systemd-analyze")
    if analyse is None:
        pytest.skip("systemd-analyze is not installed")
    installed = tmp_path / unit.name
    installed.write_text(
        unit.read_text()
        .replace("/opt/citynerve/bin/citynerve", "/bin/true")
        .replace("User=citynerve", "User=root")
        .replace("Group=citynerve", "Group=root")
    )
    done = subprocess.run([analyse, "verify", str(installed)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
