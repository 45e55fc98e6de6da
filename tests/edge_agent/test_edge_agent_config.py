"""The configuration: a sound one is read as written, a wrong one is refused with every mistake and its line."""

from importlib.resources import files
from pathlib import Path

import pytest
from typer.testing import CliRunner

from citynerve.commands.edge import app
from device_profiles.shelf import load_catalog
from edge_agent.agent import Agent
from edge_agent.config import ConfigError, OutboxLimits, load_config
from edge_agent.link_kinds import LINK_KINDS, Admit, DriverName, Jt808Options, ModbusTcpOptions, SerialOptions

SMALL = """
gateway = "gw1"
data_dir = "data"
broker = "mqtt://127.0.0.1:1883"

[[links]]
name = "loop"
driver = "modbus_tcp"
host = "10.0.0.1"

[[links.devices]]
id = "lamp-1"
profile = "lamp_loop"
address = 7
position = [121.5, 31.2]
"""


def load(folder: Path, text: str) -> list[str]:
    """The mistakes in `text` as `line: where: what`."""
    path = folder / "edge.toml"
    path.write_text(text, "utf-8")
    try:
        load_config(path)
    except ConfigError as error:
        return [f"{mistake.line}: {mistake.where}: {mistake.what}; {mistake.instead}" for mistake in error.mistakes]
    return []


def test_a_small_configuration_is_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(SMALL)
    config = load_config(path)
    assert (config.gateway, config.data_dir, config.broker) == ("gw1", tmp_path / "data", "mqtt://127.0.0.1:1883")
    assert config.outbox == OutboxLimits()
    (link,) = config.links
    assert (link.name, link.driver, link.options) == ("loop", DriverName.MODBUS_TCP, ModbusTcpOptions(host="10.0.0.1"))
    (device,) = link.devices
    assert (device.id, device.profile, device.address, device.position) == ("lamp-1", "lamp_loop", "7", (121.5, 31.2))


def test_the_links_limits_reach_the_uplink(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(SMALL.replace("[[links]]", "[uplink]\nrate_bits_s = 64000\nhistory_jitter_s = 7\n[[links]]", 1))
    settings = Agent(load_config(path))._uplink_settings()
    assert (settings.rate_bits_s, settings.history_jitter_s) == (64_000, 7.0)


def test_the_sample_is_valid_and_shows_every_driver_that_a_shipped_model_needs(tmp_path: Path) -> None:
    sample = files("edge_agent").joinpath("sample.toml").read_text("utf-8")
    path = tmp_path / "edge.toml"
    path.write_text(sample)
    config = load_config(path)
    spoken = {wire for profile in load_catalog().values() for wire in profile.wire.spoken()}
    shown = {LINK_KINDS[link.driver].wire for link in config.links}
    assert shown >= spoken


def test_the_keys_that_the_sample_shows_as_comments_are_defaults(tmp_path: Path) -> None:
    """Taking the comment sign from every `# key = value` changes nothing."""
    sample = files("edge_agent").joinpath("sample.toml").read_text("utf-8")
    plain, shown = tmp_path / "plain.toml", tmp_path / "shown.toml"
    plain.write_text(sample)
    lines = [line[2:] if line.startswith("# ") and " = " in line and line[2].islower() else line for line in sample.splitlines()]
    shown.write_text("\n".join(line for line in lines if not line.startswith("position = [longitude")))
    assert load_config(shown) == load_config(plain)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        pytest.param(
            "address = 7",
            f"address = 7\nname = '{'x' * 201}'",
            "15: links[0].devices[0].name: name 'xxx",
            id="a name without end",
        ),
        pytest.param('gateway = "gw1"', "", "1: gateway: is missing", id="a key that must be there"),
        pytest.param('gateway = "gw1"', "gateway = 5", "2: gateway: 5; a text in quotes", id="a wrong type"),
        pytest.param(
            'gateway = "gw1"',
            'gateway = "gw1"\nfirmware_key_file = "edge.toml"',
            "3: firmware_key_file: no public key in PEM",
            id="a firmware key that is none",
        ),
        pytest.param('gateway = "gw1"', 'gateway = "a/b"', "2: gateway: gateway 'a/b'", id="an id that no topic can hold"),
        pytest.param(
            'gateway = "gw1"',
            'gateway = "gw1"\nbrokr = "x"',
            "3: brokr: is not a key here; broker (did you mean",
            id="a misspelt key",
        ),
        pytest.param("mqtt://127", "http://127", "4: broker: 'http://127", id="a broker that is none"),
        pytest.param(":1883", ":99999", "4: broker: Port out of range", id="a broker's port out of range"),
        pytest.param(
            '"modbus_tcp"', '"modbus_tpc"', "8: links[0].driver: 'modbus_tpc'; modbus_tcp (did you mean", id="a misspelt driver"
        ),
        pytest.param('host = "10.0.0.1"', "", "6: links[0].host: is missing", id="an option of the driver"),
        pytest.param(
            "10.0.0.1", '10.0.0.1"\nbaudrate = "x', "10: links[0].baudrate: is not a key here", id="another driver's option"
        ),
        pytest.param('"10.0.0.1"', '"10.0.0.1"\nport = 65536', "10: links[0].port: 65536; a whole number from 1", id="a port"),
        pytest.param(
            "lamp_loop",
            "lamp_lop",
            "13: links[0].devices[0].profile: 'lamp_lop' is not in the catalog; lamp_loop (did",
            id="a profile",
        ),
        pytest.param(
            "lamp_loop", "cover_nbiot", "13: links[0].devices[0].profile: cover_nbiot speaks coap, not modbus", id="a wire"
        ),
        pytest.param(
            "address = 7", "address = 0", "14: links[0].devices[0].address: '0'; a unit number from 1 to 247", id="unit 0"
        ),
        pytest.param("address = 7", "address = 248", "14: links[0].devices[0].address: '248'", id="unit 248"),
        pytest.param("address = 7", 'address = "seven"', "14: links[0].devices[0].address: 'seven'", id="a unit in words"),
        pytest.param("address = 7", "", "11: links[0].devices[0].address: is missing", id="no address"),
        pytest.param("[121.5, 31.2]", "[31.2, 121.5]", "15: links[0].devices[0].position: [31.2, 121.5]", id="latitude first"),
        pytest.param("[121.5, 31.2]", "[181, 0]", "15: links[0].devices[0].position: [181, 0]", id="a longitude"),
        pytest.param(
            "address = 7",
            "address = 7\ncomponent_code = '12'",
            "15: links[0].devices[0].component_code: '12'; 16 digits",
            id="a code",
        ),
        pytest.param('gateway = "gw1"', 'gateway = "gw1', "2: file: ", id="a text that does not end"),
        pytest.param('broker = "', 'password_file = "gone"\nbroker = "', "4: password_file: ", id="a file that is not there"),
        pytest.param('broker = "', 'profile_dirs = ["gone"]\nbroker = "', "4: profile_dirs: ", id="a folder that is not there"),
        pytest.param(
            "[[links]]", "[outbox]\nmax_bytes = 5\n[[links]]", "7: outbox.max_bytes: 5; a whole number from", id="a limit"
        ),
        pytest.param(
            "[[links]]", "[outbox]\ncommit_s = true\n[[links]]", "7: outbox.commit_s: True; a number", id="true is no number"
        ),
    ],
)
def test_a_mistake_is_told_with_its_line_and_what_to_write(tmp_path: Path, old: str, new: str, expected: str) -> None:
    assert SMALL.replace(old, new, 1) != SMALL
    mistakes = load(tmp_path, SMALL.replace(old, new, 1))
    assert len(mistakes) == 1, mistakes
    assert mistakes[0].startswith(expected), mistakes


def test_every_mistake_is_told_at_once_in_the_order_of_lines(tmp_path: Path) -> None:
    text = SMALL.replace('"gw1"', '"g w"').replace("address = 7", "address = 999").replace("lamp_loop", "nothing")
    text += (
        '\n[[links.devices]]\nid = "lamp-1"\nprofile = "lamp_loop"\naddress = 3\n\n[[links]]\nname = "loop"\ndriver = "coap"\n'
    )
    mistakes = load(tmp_path, text)
    assert [mistake.split(": ")[:2] for mistake in mistakes] == [
        ["2", "gateway"],
        ["13", "links[0].devices[0].profile"],
        ["14", "links[0].devices[0].address"],
        ["18", "links[0].devices[1].id"],
        ["22", "links[1].devices"],
        ["23", "links[1].name"],
    ]


def test_two_devices_at_one_address_of_a_link_are_refused(tmp_path: Path) -> None:
    (mistake,) = load(tmp_path, SMALL + '\n[[links.devices]]\nid = "lamp-2"\nprofile = "lamp_loop"\naddress = "7"\n')
    assert mistake.startswith("20: links[0].devices[1].address: '7' is taken on this link")


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        pytest.param('admit = "any"\ndefault_profile = "vehicle_terminal"', None, id="anybody, with a profile"),
        pytest.param('admit = "any"', "default_profile", id="anybody, without a profile"),
        pytest.param('admit = "all"\ndefault_profile = "vehicle_terminal"', "admit", id="a word that is none"),
        pytest.param("require_auth = 1", "require_auth", id="1 is not true"),
    ],
)
def test_vehicles(tmp_path: Path, options: str, mistake: str | None) -> None:
    head = 'gateway = "g"\ndata_dir = "d"\nbroker = "mqtt://b"\n[[links]]\nname = "v"\ndriver = "jt808"\n'
    device = '\n[[links.devices]]\nid = "v1"\nprofile = "vehicle_terminal"\naddress = "013912345678"\n'
    mistakes = load(tmp_path, head + options + device)
    assert [text.split(": ")[1] for text in mistakes] == ([f"links[0].{mistake}"] if mistake else [])
    if not mistake:
        options_read = load_config(tmp_path / "edge.toml").links[0].options
        assert options_read == Jt808Options(admit=Admit.ANY, default_profile="vehicle_terminal")


def test_a_serial_line(tmp_path: Path) -> None:
    text = SMALL.replace("modbus_tcp", "modbus_rtu").replace(
        'host = "10.0.0.1"', 'port = "/dev/ttyS0"\nparity = "E"\nstopbits = 2'
    )
    assert load(tmp_path, text) == []
    options = load_config(tmp_path / "edge.toml").links[0].options
    assert options == SerialOptions(port="/dev/ttyS0", parity="E", stopbits=2)
    assert load(tmp_path, text.replace('"E"', '"X"'))[0].startswith("10: links[0].parity: 'X'")


@pytest.mark.parametrize(
    ("content", "what"),
    [
        pytest.param(b"\xff\xfe", "bytes that are not UTF-8", id="another encoding"),
        pytest.param(b"x" * 2_000_000, "2000000 bytes", id="a file that is much too large"),
        pytest.param(b"links = 5\n", "5", id="links that are no tables"),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, content: bytes, what: str) -> None:
    (tmp_path / "edge.toml").write_bytes(content)
    with pytest.raises(ConfigError, match=what):
        load_config(tmp_path / "edge.toml")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "gone.toml")


def test_init_then_check(tmp_path: Path) -> None:
    cli, path = CliRunner(), tmp_path / "edge.toml"
    assert cli.invoke(app, ["init", str(path)]).exit_code == 0
    answer = cli.invoke(app, ["check", str(path)])
    assert answer.exit_code == 0
    assert "good" in answer.output
    again = cli.invoke(app, ["init", str(path)])
    assert again.exit_code == 1
    assert "--force" in again.output


def test_check_tells_the_mistakes_and_fails(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(SMALL.replace("address = 7", "address = 300"))
    answer = CliRunner().invoke(app, ["check", str(path)])
    assert answer.exit_code == 1
    assert f"{path}:14: links[0].devices[0].address" in answer.output


def test_status_and_outbox_say_when_there_is_no_agent(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_text(SMALL)
    for command, said in (("status", "no agent is running"), ("outbox", "no outbox yet")):
        answer = CliRunner().invoke(app, [command, str(path)])
        assert answer.exit_code == 1
        assert said in answer.output
