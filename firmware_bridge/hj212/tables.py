"""The code tables of HJ 212: systems, commands, return codes, data flags (HJ 212-2017, clauses 6.5 and 6.6).

Commands of 2025 are known from one implementation's enumeration only, and what their messages hold is not in the sources
at hand: they are named here, and read as any other message. The letters that HJ/T 212-2005 gave its own data flags are
not there either; a letter that is not in the table is shown as it is.
"""

from enum import StrEnum

import msgspec

__all__ = [
    "COMMANDS",
    "DATA_FLAGS",
    "EQUIPMENT_STATES",
    "EXECUTION_CODES",
    "FIRST_CONNECTION",
    "MINUTE_INTERVALS",
    "REALTIME_INTERVALS",
    "REQUEST_CODES",
    "RESENDS",
    "SYSTEMS",
    "TIMEOUT_S",
    "Command",
    "Direction",
    "Meaning",
    "Up",
]


class Meaning(msgspec.Struct, frozen=True):
    """What a code means."""

    zh: str
    en: str


class Direction(StrEnum):
    """Who may send a command: the upper side (a platform) down, the site (a logger) up."""

    DOWN = "down"
    UP = "up"
    BOTH = "both"


class Up(StrEnum):
    """What a message upwards is, which says how it is answered."""

    DATA = "data"
    """Answered by 9014 where an answer is wanted."""
    NOTICE = "notice"
    """Answered by 9013."""
    ANSWER = "answer"
    """Ends an exchange: never answered."""
    NONE = "none"
    """Sent downwards only."""


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One command number. `carries_data` where its CP holds measured or stored values on the way up.

    `down_is_notice` where the message downwards is answered by 9013 alone, and not by 9011 and 9012. `period_start`
    where DataTime is the beginning of the time the values stand for, and not the instant. `since` is the first revision
    known to have it, None for a vendor's own.
    """

    zh: str
    en: str
    direction: Direction
    up: Up = Up.NONE
    carries_data: bool = False
    down_is_notice: bool = False
    period_start: bool = False
    since: int | None = 2017


_DOWN, _UP, _BOTH = Direction.DOWN, Direction.UP, Direction.BOTH


def _down(zh: str, en: str, *, notice: bool = False, since: int = 2017) -> Command:
    return Command(zh=zh, en=en, direction=_DOWN, down_is_notice=notice, since=since)


def _data(zh: str, en: str, *, period: bool = False, direction: Direction = _BOTH, since: int = 2017) -> Command:
    return Command(zh=zh, en=en, direction=direction, up=Up.DATA, carries_data=True, period_start=period, since=since)


def _answer(zh: str, en: str, direction: Direction) -> Command:
    return Command(zh=zh, en=en, direction=direction, up=Up.ANSWER)


COMMANDS: dict[str, Command] = {
    "1000": _down("设置超时时间及重发次数", "set timeout and resend count"),
    "1001": _data("上传数采仪硬件序号", "hardware serial number of the logger", direction=_UP, since=2025),
    "1002": _down("设置数采仪 MN 编码", "set the logger's MN", since=2025),
    "1011": _data("现场机时间", "time of the site"),
    "1012": _down("设置现场机时间", "set the time of the site"),
    "1013": Command(zh="现场机时间校准请求", en="ask for time calibration", direction=_UP, up=Up.NOTICE),
    "1014": _data("新密钥", "new key", since=2025),
    "1061": _data("实时数据间隔", "realtime interval"),
    "1062": _down("设置实时数据间隔", "set realtime interval"),
    "1063": _data("分钟数据间隔", "minute interval"),
    "1064": _down("设置分钟数据间隔", "set minute interval"),
    "1072": _down("设置现场机访问密码", "set access password"),
    "2011": _data("污染物实时数据", "realtime data"),
    "2012": _down("停止察看污染物实时数据", "stop realtime data", notice=True),
    "2013": _data("原始监测数据", "raw data", since=2025),
    "2021": _data("设备运行状态数据", "equipment states"),
    "2022": _down("停止察看设备运行状态", "stop equipment states", notice=True),
    "2031": _data("污染物日历史数据", "day data", period=True),
    "2041": _data("设备运行时间日历史数据", "equipment run time of a day", period=True),
    "2051": _data("污染物分钟数据", "minute data", period=True),
    "2052": _data("噪声单次测量数据", "single noise measurement", since=2025),
    "2061": _data("污染物小时数据", "hour data", period=True),
    "2062": _data("自动标样核查校准数据", "automatic check and calibration data", since=2025),
    "2081": _data("数采仪开机时间", "logger start time", direction=_UP),
    "2111": _data("炉膛温度 5 分钟均值", "furnace temperature, 5 min mean", direction=_UP, since=2025),
    "3011": _down("零点校准量程校准", "zero and span calibration"),
    "3012": _down("即时采样", "sample now"),
    "3013": _down("启动清洗/反吹", "clean or blow back"),
    "3014": _down("比对采样", "comparison sample"),
    "3015": _data("超标留样", "retained sample"),
    "3016": _down("设置采样时间周期", "set sampling cycle"),
    "3017": _data("采样时间周期", "sampling cycle"),
    "3018": _data("出样时间", "sample extraction time"),
    "3019": _data("设备唯一标识", "instrument id"),
    "3020": _data("现场机信息", "site info"),
    "3021": _down("设置现场机参数", "set site parameters"),
    "3022": _down("下发即时留样任务", "retain a sample now", since=2025),
    "3024": _down("启动标样核查", "start a check by standard sample", since=2025),
    "9011": _answer("请求应答", "request answer", _UP),
    "9012": _answer("执行结果", "execution result", _UP),
    "9013": _answer("通知应答", "notice answer", _BOTH),
    "9014": _answer("数据应答", "data answer", _BOTH),
    # Whether and how a heartbeat is answered is not in the sources at hand.
    "9015": Command(zh="心跳包", en="heartbeat", direction=_UP, up=Up.ANSWER, since=2025),
    "9021": Command(zh="登录（厂家自定义）", en="login (a vendor's own)", direction=_UP, up=Up.ANSWER, since=None),
}

SYSTEMS: dict[str, Meaning] = {
    "21": Meaning("地表水质量监测", "surface water"),
    "22": Meaning("空气质量监测", "ambient air"),
    "23": Meaning("声环境质量监测", "ambient noise"),
    "24": Meaning("地下水质量监测", "groundwater"),
    "25": Meaning("土壤质量监测", "soil"),
    "26": Meaning("海水质量监测", "sea water"),
    "27": Meaning("挥发性有机物监测", "volatile organic compounds"),
    "31": Meaning("大气环境污染源", "air emission source"),
    "32": Meaning("地表水体环境污染源", "surface water pollution source"),
    "33": Meaning("地下水体环境污染源", "groundwater pollution source"),
    "34": Meaning("海洋环境污染源", "sea pollution source"),
    "35": Meaning("土壤环境污染源", "soil pollution source"),
    "36": Meaning("声环境污染源", "noise source"),
    "37": Meaning("振动环境污染源", "vibration source"),
    "38": Meaning("放射性环境污染源", "radiation source"),
    "39": Meaning("工地扬尘污染源", "construction dust"),
    "41": Meaning("电磁环境污染源", "electromagnetic source"),
    "44": Meaning("用电监控", "power monitoring"),  # 2025
    "51": Meaning("烟气排放过程监控", "flue gas treatment process"),
    "52": Meaning("污水排放过程监控", "sewage treatment process"),
    "91": Meaning("系统交互", "system interaction"),
}
"""ST: what kind of monitor speaks, 91 in answers."""

REQUEST_CODES: dict[int, Meaning] = {
    1: Meaning("准备执行请求", "ready"),
    2: Meaning("请求被拒绝", "refused"),
    3: Meaning("PW 错误", "wrong PW"),
    4: Meaning("MN 错误", "wrong MN"),
    5: Meaning("ST 错误", "wrong ST"),
    6: Meaning("Flag 错误", "wrong Flag"),
    7: Meaning("QN 错误", "wrong QN"),
    8: Meaning("CN 错误", "wrong CN"),
    9: Meaning("CRC 校验错误", "wrong CRC"),
    100: Meaning("未知错误", "unknown error"),
}
"""QnRtn of 9011."""

EXECUTION_CODES: dict[int, Meaning] = {
    1: Meaning("执行成功", "done"),
    2: Meaning("执行失败，但不知道原因", "failed for an unknown reason"),
    3: Meaning("命令请求条件错误", "wrong condition"),
    4: Meaning("通讯超时", "timeout"),
    5: Meaning("系统繁忙不能执行", "busy"),
    6: Meaning("系统故障", "system fault"),
    100: Meaning("没有数据", "no data"),
}
"""ExeRtn of 9012."""

DATA_FLAGS: dict[str, Meaning] = {
    "N": Meaning("正常", "normal"),
    "F": Meaning("停运", "stopped"),
    "M": Meaning("维护", "maintenance"),
    "S": Meaning("手工输入", "entered by hand"),
    "D": Meaning("故障", "fault"),
    "C": Meaning("校准", "calibration"),
    "T": Meaning("超过测量上限", "over range"),
    "B": Meaning("通讯异常", "link fault"),
}
"""`xxx-Flag`: how far the value beside it may be believed."""

EQUIPMENT_STATES: dict[int, Meaning] = {
    0: Meaning("关闭", "off"),
    1: Meaning("运行", "running"),
    2: Meaning("校准", "calibration"),
    3: Meaning("维护", "maintenance"),
    4: Meaning("报警", "alarm"),
    5: Meaning("反吹", "blowing back"),
}
"""`SBx-RS`."""

TIMEOUT_S, RESENDS = 10.0, 3
"""How long to wait for an answer, and how often to send again, where 1000 sets nothing else (5 s over ADSL)."""
REALTIME_INTERVALS = range(30, 3601)
"""RtdInterval, in seconds."""
MINUTE_INTERVALS = frozenset({1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30})
"""MinInterval, in minutes."""
FIRST_CONNECTION = ("1012", "1000", "1062", "1064", "2011", "2021")
"""What the upper side sets when a site connects for the first time, in this order; 2012 and 2022 in place of the last two
switch them off."""
