"""The elements that stations report (SL 651-2014, annex C): identifier, ASCII name, what it is, digits, UCUM unit."""

from enum import Enum

import msgspec

__all__ = ["BY_ASCII", "ELEMENTS", "Element", "Form"]


class Form(Enum):
    """How the bytes of an element are written."""

    NUMBER = "number"
    """BCD behind a byte with its size and decimals; FF before the digits is a minus sign."""
    STATUS = "status"
    """A word of bits, table 58."""
    RAIN = "rain"
    """Twelve bytes, 0.1 mm each; FF is no value. Binary, not BCD."""
    LEVELS = "levels"
    """Twelve words, 0.01 m each; FFFF is no value. Binary, not BCD."""


class Element(msgspec.Struct, frozen=True):
    """`digits` and `decimals` are annex C's N(digits,decimals); what is sent tells its own."""

    id: int
    ascii: str
    name: str
    name_zh: str
    digits: int
    decimals: int
    unit: str = "1"
    form: Form = Form.NUMBER

    @property
    def size(self) -> int:
        """Bytes in HEX/BCD."""
        return {Form.RAIN: 12, Form.LEVELS: 24}.get(self.form, (self.digits + 1) // 2)


_ALL = (
    Element(0x01, "AC", "section_area", "断面面积", 8, 2, "m2"),
    Element(0x02, "AI", "air_temperature", "瞬时气温", 3, 1, "Cel"),
    Element(0x03, "C", "water_temperature", "瞬时水温", 3, 1, "Cel"),
    Element(0x05, "DT", "duration", "时段长，降水、引排水、抽水历时", 4, 2, "h"),
    Element(0x06, "ED", "evaporation_day", "日蒸发量", 5, 1, "mm"),
    Element(0x07, "EJ", "evaporation", "当前蒸发", 5, 1, "mm"),
    Element(0x08, "FL", "air_pressure", "气压", 5, 0, "hPa"),
    Element(0x09, "GH", "gate_opening", "闸坝、水库闸门开启高度", 5, 2, "m"),
    Element(0x0A, "GN", "gate_number", "输水设备、闸门（组）编号", 3, 0),
    Element(0x0B, "GS", "gate_kind", "输水设备类别", 1, 0),
    Element(0x0C, "GT", "gates_open", "水库、闸坝闸门开启孔数", 3, 0),
    Element(0x0D, "GTP", "ground_temperature", "地温", 3, 1, "Cel"),
    Element(0x0E, "H", "groundwater_depth", "地下水瞬时埋深", 6, 2, "m"),
    Element(0x0F, "HW", "wave_height", "波浪高度", 5, 2, "m"),
    Element(0x10, "M10", "soil_moisture_10cm", "10 厘米处土壤含水量", 4, 1, "%"),
    Element(0x11, "M20", "soil_moisture_20cm", "20 厘米处土壤含水量", 4, 1, "%"),
    Element(0x12, "M30", "soil_moisture_30cm", "30 厘米处土壤含水量", 4, 1, "%"),
    Element(0x13, "M40", "soil_moisture_40cm", "40 厘米处土壤含水量", 4, 1, "%"),
    Element(0x14, "M50", "soil_moisture_50cm", "50 厘米处土壤含水量", 4, 1, "%"),
    Element(0x15, "M60", "soil_moisture_60cm", "60 厘米处土壤含水量", 4, 1, "%"),
    Element(0x16, "M80", "soil_moisture_80cm", "80 厘米处土壤含水量", 4, 1, "%"),
    Element(0x17, "M100", "soil_moisture_100cm", "100 厘米处土壤含水量", 4, 1, "%"),
    Element(0x18, "MST", "humidity", "湿度", 4, 1, "%"),
    Element(0x19, "NS", "machines_running", "开机台数", 2, 0),
    Element(0x1A, "P1", "rain_1h", "1 小时时段降水量", 5, 1, "mm"),
    Element(0x1B, "P2", "rain_2h", "2 小时时段降水量", 5, 1, "mm"),
    Element(0x1C, "P3", "rain_3h", "3 小时时段降水量", 5, 1, "mm"),
    Element(0x1D, "P6", "rain_6h", "6 小时时段降水量", 5, 1, "mm"),
    Element(0x1E, "P12", "rain_12h", "12 小时时段降水量", 5, 1, "mm"),
    Element(0x1F, "PD", "rain_day", "日降水量", 5, 1, "mm"),
    Element(0x20, "PJ", "rain_current", "当前降水量", 5, 1, "mm"),
    Element(0x21, "PN01", "rain_1min", "1 分钟时段降水量", 5, 1, "mm"),
    Element(0x22, "PN05", "rain_5min", "5 分钟时段降水量", 5, 1, "mm"),
    Element(0x23, "PN10", "rain_10min", "10 分钟时段降水量", 5, 1, "mm"),
    Element(0x24, "PN30", "rain_30min", "30 分钟时段降水量", 5, 1, "mm"),
    Element(0x25, "PR", "rain_storm", "暴雨量", 5, 1, "mm"),
    Element(0x26, "PT", "rain_total", "降水量累计值", 6, 1, "mm"),
    Element(0x27, "Q", "flow", "瞬时流量、抽水流量", 9, 3, "m3/s"),
    Element(0x28, "Q1", "intake_1_flow", "取（排）水口流量 1", 9, 3, "m3/s"),
    Element(0x29, "Q2", "intake_2_flow", "取（排）水口流量 2", 9, 3, "m3/s"),
    Element(0x2A, "Q3", "intake_3_flow", "取（排）水口流量 3", 9, 3, "m3/s"),
    Element(0x2B, "Q4", "intake_4_flow", "取（排）水口流量 4", 9, 3, "m3/s"),
    Element(0x2C, "Q5", "intake_5_flow", "取（排）水口流量 5", 9, 3, "m3/s"),
    Element(0x2D, "Q6", "intake_6_flow", "取（排）水口流量 6", 9, 3, "m3/s"),
    Element(0x2E, "Q7", "intake_7_flow", "取（排）水口流量 7", 9, 3, "m3/s"),
    Element(0x2F, "Q8", "intake_8_flow", "取（排）水口流量 8", 9, 3, "m3/s"),
    Element(0x30, "QA", "outflow_total", "总出库流量、过闸总流量", 9, 3, "m3/s"),
    Element(0x31, "QZ", "device_flow", "输水设备流量、过闸（组）流量", 9, 3, "m3/s"),
    Element(0x32, "SW", "sediment_discharge", "输沙量", 11, 3, "10*4.t"),
    Element(0x33, "UC", "wind_direction", "风向", 2, 0),
    Element(0x34, "UE", "wind_force", "风力（级）", 2, 0),  # codespell:ignore ue
    Element(0x35, "US", "wind_speed", "风速", 4, 1, "m/s"),
    Element(0x36, "VA", "velocity_mean", "断面平均流速", 5, 3, "m/s"),
    Element(0x37, "VJ", "velocity", "当前瞬时流速", 5, 3, "m/s"),
    Element(0x38, "VT", "supply_voltage", "电源电压", 4, 2, "V"),
    Element(0x39, "Z", "river_level", "瞬时河道水位、潮位", 7, 3, "m"),
    Element(0x3A, "ZB", "level_below", "库（闸、站）下水位", 7, 3, "m"),
    Element(0x3B, "ZU", "level_above", "库（闸、站）上水位", 7, 3, "m"),
    Element(0x3C, "Z1", "intake_1_level", "取（排）水口水位 1", 7, 3, "m"),
    Element(0x3D, "Z2", "intake_2_level", "取（排）水口水位 2", 7, 3, "m"),
    Element(0x3E, "Z3", "intake_3_level", "取（排）水口水位 3", 7, 3, "m"),
    Element(0x3F, "Z4", "intake_4_level", "取（排）水口水位 4", 7, 3, "m"),
    Element(0x40, "Z5", "intake_5_level", "取（排）水口水位 5", 7, 3, "m"),
    Element(0x41, "Z6", "intake_6_level", "取（排）水口水位 6", 7, 3, "m"),
    Element(0x42, "Z7", "intake_7_level", "取（排）水口水位 7", 7, 3, "m"),
    Element(0x43, "Z8", "intake_8_level", "取（排）水口水位 8", 7, 3, "m"),
    Element(0x44, "SQ", "sediment_concentration", "含沙量", 9, 3, "kg/m3"),
    Element(0x45, "ZT", "station_status", "遥测站状态及报警信息", 8, 0, "1", Form.STATUS),
    Element(0x46, "PH", "ph", "pH 值", 4, 2, "[pH]"),
    Element(0x47, "DO", "dissolved_oxygen", "溶解氧", 4, 1, "mg/L"),
    Element(0x48, "COND", "conductivity", "电导率", 5, 0, "uS/cm"),
    Element(0x49, "TURB", "turbidity", "浊度", 3, 0, "{NTU}"),
    Element(0x4A, "CODMN", "permanganate_index", "高锰酸盐指数", 4, 1, "mg/L"),
    Element(0x4B, "REDOX", "redox_potential", "氧化还原电位", 5, 1, "mV"),
    Element(0x4C, "NH4N", "ammonia_nitrogen", "氨氮", 6, 2, "mg/L"),
    Element(0x4D, "TP", "total_phosphorus", "总磷", 5, 3, "mg/L"),
    Element(0x4E, "TN", "total_nitrogen", "总氮", 5, 2, "mg/L"),
    Element(0x4F, "TOC", "total_organic_carbon", "总有机碳", 4, 2, "mg/L"),
    Element(0x50, "CU", "copper", "铜", 7, 4, "mg/L"),
    Element(0x51, "ZN", "zinc", "锌", 6, 4, "mg/L"),
    Element(0x52, "SE", "selenium", "硒", 7, 5, "mg/L"),
    Element(0x53, "AS", "arsenic", "砷", 7, 5, "mg/L"),
    Element(0x54, "THG", "mercury", "总汞", 7, 5, "mg/L"),
    Element(0x55, "CD", "cadmium", "镉", 7, 5, "mg/L"),
    Element(0x56, "PB", "lead", "铅", 7, 5, "mg/L"),
    Element(0x57, "CHLA", "chlorophyll_a", "叶绿素 a", 4, 2, "mg/L"),
    Element(0x58, "WP1", "water_pressure_1", "水压 1", 5, 2, "kPa"),
    Element(0x59, "WP2", "water_pressure_2", "水压 2", 5, 2, "kPa"),
    Element(0x5A, "WP3", "water_pressure_3", "水压 3", 5, 2, "kPa"),
    Element(0x5B, "WP4", "water_pressure_4", "水压 4", 5, 2, "kPa"),
    Element(0x5C, "WP5", "water_pressure_5", "水压 5", 5, 2, "kPa"),
    Element(0x5D, "WP6", "water_pressure_6", "水压 6", 5, 2, "kPa"),
    Element(0x5E, "WP7", "water_pressure_7", "水压 7", 5, 2, "kPa"),
    Element(0x5F, "WP8", "water_pressure_8", "水压 8", 5, 2, "kPa"),
    Element(0x60, "SYL1", "meter_1_left", "水表 1 剩余水量", 11, 3, "m3"),
    Element(0x61, "SYL2", "meter_2_left", "水表 2 剩余水量", 11, 3, "m3"),
    Element(0x62, "SYL3", "meter_3_left", "水表 3 剩余水量", 11, 3, "m3"),
    Element(0x63, "SYL4", "meter_4_left", "水表 4 剩余水量", 11, 3, "m3"),
    Element(0x64, "SYL5", "meter_5_left", "水表 5 剩余水量", 11, 3, "m3"),
    Element(0x65, "SYL6", "meter_6_left", "水表 6 剩余水量", 11, 3, "m3"),
    Element(0x66, "SYL7", "meter_7_left", "水表 7 剩余水量", 11, 3, "m3"),
    Element(0x67, "SYL8", "meter_8_left", "水表 8 剩余水量", 11, 3, "m3"),
    Element(0x68, "SBL1", "meter_1_hourly", "水表 1 每小时水量", 10, 2, "m3/h"),
    Element(0x69, "SBL2", "meter_2_hourly", "水表 2 每小时水量", 10, 2, "m3/h"),
    Element(0x6A, "SBL3", "meter_3_hourly", "水表 3 每小时水量", 10, 2, "m3/h"),
    Element(0x6B, "SBL4", "meter_4_hourly", "水表 4 每小时水量", 10, 2, "m3/h"),
    Element(0x6C, "SBL5", "meter_5_hourly", "水表 5 每小时水量", 10, 2, "m3/h"),
    Element(0x6D, "SBL6", "meter_6_hourly", "水表 6 每小时水量", 10, 2, "m3/h"),
    Element(0x6E, "SBL7", "meter_7_hourly", "水表 7 每小时水量", 10, 2, "m3/h"),
    Element(0x6F, "SBL8", "meter_8_hourly", "水表 8 每小时水量", 10, 2, "m3/h"),
    Element(0x70, "VTA", "ac_voltage_a", "交流 A 相电压", 4, 1, "V"),
    Element(0x71, "VTB", "ac_voltage_b", "交流 B 相电压", 4, 1, "V"),
    Element(0x72, "VTC", "ac_voltage_c", "交流 C 相电压", 4, 1, "V"),
    Element(0x73, "VIA", "ac_current_a", "交流 A 相电流", 4, 1, "A"),
    Element(0x74, "VIB", "ac_current_b", "交流 B 相电流", 4, 1, "A"),
    Element(0x75, "VIC", "ac_current_c", "交流 C 相电流", 4, 1, "A"),
    Element(0xF4, "DRP", "rain_5min_series", "1 小时内每 5 分钟时段雨量", 0, 1, "mm", Form.RAIN),
    Element(0xF5, "DRZ1", "level_1_5min_series", "1 小时内 5 分钟间隔相对水位 1", 0, 2, "m", Form.LEVELS),
    Element(0xF6, "DRZ2", "level_2_5min_series", "1 小时内 5 分钟间隔相对水位 2", 0, 2, "m", Form.LEVELS),
    Element(0xF7, "DRZ3", "level_3_5min_series", "1 小时内 5 分钟间隔相对水位 3", 0, 2, "m", Form.LEVELS),
    Element(0xF8, "DRZ4", "level_4_5min_series", "1 小时内 5 分钟间隔相对水位 4", 0, 2, "m", Form.LEVELS),
    Element(0xF9, "DRZ5", "level_5_5min_series", "1 小时内 5 分钟间隔相对水位 5", 0, 2, "m", Form.LEVELS),
    Element(0xFA, "DRZ6", "level_6_5min_series", "1 小时内 5 分钟间隔相对水位 6", 0, 2, "m", Form.LEVELS),
    Element(0xFB, "DRZ7", "level_7_5min_series", "1 小时内 5 分钟间隔相对水位 7", 0, 2, "m", Form.LEVELS),
    Element(0xFC, "DRZ8", "level_8_5min_series", "1 小时内 5 分钟间隔相对水位 8", 0, 2, "m", Form.LEVELS),
)

ELEMENTS: dict[int, Element] = {element.id: element for element in _ALL}
BY_ASCII: dict[str, Element] = {element.ascii: element for element in _ALL}
