"""Links with stations as a config says them: options, addresses, and every mistake with what to write."""

from pathlib import Path

import pytest

from device_profiles.mistakes import ConfigError
from edge_agent.config import load_config
from edge_agent.link_kinds import HydrologyOptions, StationOptions

HEAD = 'gateway = "g"\ndata_dir = "d"\nbroker = "mqtt://b"\n[[links]]\nname = "stations"\n'
NOISE = '\n[[links.devices]]\nid = "n1"\nprofile = "noise_station_hj212"\naddress = "{address}"\n'
GAUGE = '\n[[links.devices]]\nid = "g1"\nprofile = "rain_gauge_sl651"\naddress = "{address}"\n'


def load(folder: Path, text: str) -> list[str]:
    """The mistakes in a config, as `where: what`."""
    (folder / "edge.toml").write_text(HEAD + text, "utf-8")
    try:
        load_config(folder / "edge.toml")
    except ConfigError as error:
        return [mistake.where for mistake in error.mistakes]
    return []


def test_stations_listen_on_their_usual_ports(tmp_path: Path) -> None:
    assert load(tmp_path, 'driver = "hj212"' + NOISE.format(address="010000A8900016F000169DC0")) == []
    assert load_config(tmp_path / "edge.toml").links[0].options == StationOptions(port=9212)
    assert load(tmp_path, 'driver = "sl651"' + GAUGE.format(address="3101150207")) == []
    assert load_config(tmp_path / "edge.toml").links[0].options == HydrologyOptions(port=9651)


def test_everything_about_stations_may_be_said(tmp_path: Path) -> None:
    said = 'driver = "sl651"\nhost = "0.0.0.0"\nport = 1\npassword_file = "pw"\nudp = true\nstay_online = false'
    assert load(tmp_path, said + GAUGE.format(address="00000000FF")) == ["links[0].password_file"], "it is not there"
    (tmp_path / "pw").write_text("1234")
    assert load(tmp_path, said + GAUGE.format(address="00000000FF")) == []
    options = load_config(tmp_path / "edge.toml").links[0].options
    want = HydrologyOptions(host="0.0.0.0", port=1, password_file=tmp_path / "pw", udp=True, stay_online=False)  # noqa: S104
    assert options == want


@pytest.mark.parametrize(
    "mn", ["010000A8900016F000169DC0", "000101", "ZLDSZ20210127", "huantai_device_0021", "NJGDKYYC202101q0001w0001", "A110000-1"]
)
def test_equipment_numbers_as_loggers_have_them_are_addresses(tmp_path: Path, mn: str) -> None:
    assert load(tmp_path, 'driver = "hj212"' + NOISE.format(address=mn)) == []


@pytest.mark.parametrize(
    ("text", "where"),
    [
        pytest.param('driver = "hj212"' + NOISE.format(address="1;CN=2011"), "devices[0].address", id="an MN with separators"),
        pytest.param('driver = "hj212"' + NOISE.format(address="1"), "devices[0].address", id="an MN too short"),
        pytest.param('driver = "sl651"' + GAUGE.format(address="310115020"), "devices[0].address", id="nine digits"),
        pytest.param('driver = "sl651"' + NOISE.format(address="3101150207"), "devices[0].profile", id="another language"),
        pytest.param('driver = "sl651"\nudp = 1' + GAUGE.format(address="3101150207"), "udp", id="1 is not true"),
        pytest.param('driver = "hj212"\nudp = true' + NOISE.format(address="000101"), "udp", id="HJ 212 has no datagrams"),
        pytest.param('driver = "hj212"\nport = 70000' + NOISE.format(address="000101"), "port", id="no port"),
        pytest.param('driver = "hj212"', "devices", id="nobody"),
    ],
)
def test_mistakes_are_told_where_they_are(tmp_path: Path, text: str, where: str) -> None:
    assert load(tmp_path, text) == [f"links[0].{where}"]
