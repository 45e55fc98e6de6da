/** What is looked at on the spot, by kind of device: what the device is asked, what must be ticked before "done", and sentences
 * that save typing. `opens`: it can be disarmed before it is opened. A city edits this table. */
import type { Value } from './format';
import type { Text } from './words.svelte';

/** One value that the device is asked for; `words` for one that is true or false, `fault` is the one that means trouble. */
export type Says = { metric: string; words?: { true: Text; false: Text }; fault?: Value };
export type Check = { id: string; text: Text; must: boolean };
export type Kind = { says: Says[]; checks: Check[]; phrases: Text[]; opens: boolean };

const text = (zh: string, en: string): Text => ({ zh, en });
const must = (id: string, zh: string, en: string): Check => ({ id, text: text(zh, en), must: true });
const may = (id: string, zh: string, en: string): Check => ({ id, text: text(zh, en), must: false });
const yesNo = (metric: string, fault: boolean, yes: Text, no: Text): Says => ({ metric, fault, words: { true: yes, false: no } });

const FENCED = must('fenced', '已围挡、设警示', 'Fenced and signed');
const CLEARED = must('cleared', '现场已清理，围挡已撤', 'Site cleared, fence removed');

const COVER: Kind = {
  says: [
    yesNo('cover_open', true, text('井盖打开', 'cover open'), text('井盖已闭合', 'cover closed')),
    { metric: 'tilt_deg' },
    yesNo('cover_moved', true, text('有震动', 'moved'), text('静止', 'still')),
    { metric: 'water_level_cm' },
  ],
  checks: [
    FENCED,
    must('gas', '下井前已测气体、已通风（不下井也勾选）', 'Gas measured and aired before going down (tick also when nobody goes down)'),
    must('seated', '井盖落座平稳，踩踏无响动', 'Cover seats flat and does not rattle'),
    must('locked', '锁具已锁闭', 'Lock closed'),
    may('rim', '井座、周边路面完好', 'Frame and pavement around it are sound'),
    CLEARED,
  ],
  phrases: [text('井盖已复位锁闭，踩踏无响动。', 'Cover back on its seat and locked, no rattle.'), text('井盖缺失，已更换同型号井盖。', 'Cover was missing, replaced by one of the same type.'), text('已围挡设警示，待更换井座。', 'Fenced and signed; the frame is to be replaced.')],
  opens: true,
};

const LAMP: Kind = {
  says: [
    yesNo('lamp_failure', true, text('灯故障', 'lamp failed'), text('灯正常', 'lamp works')),
    yesNo('breaker_tripped', true, text('断路器跳闸', 'breaker tripped'), text('断路器合上', 'breaker closed')),
    yesNo('door_open', true, text('箱门打开', 'door open'), text('箱门关闭', 'door closed')),
    { metric: 'leakage_ma' }, { metric: 'power_kw' }, { metric: 'power_w' }, { metric: 'dimming_pct' },
  ],
  checks: [
    must('off', '已断电、验电、挂牌', 'Switched off, tested dead, tagged'),
    FENCED,
    must('earth', '接地与绝缘完好，无外露带电部分', 'Earth and insulation sound, nothing live exposed'),
    must('lit', '送电试灯正常', 'Switched on and lit'),
    must('shut', '检修门、箱门已锁闭', 'Service door locked'),
    CLEARED,
  ],
  phrases: [text('更换灯具，试灯正常。', 'Lamp replaced, lit in the test.'), text('排除漏电点，绝缘合格，已恢复送电。', 'Leakage found and removed, insulation good, supply restored.'), text('断路器复位，原因已查明。', 'Breaker reset, cause found.')],
  opens: true,
};

const TOILET: Kind = {
  says: [{ metric: 'nh3_ppm' }, { metric: 'h2s_ppm' }, yesNo('fan_on', false, text('排风开', 'fan on'), text('排风停', 'fan off')), { metric: 'paper_level_pct' }, { metric: 'soap_level_pct' }, { metric: 'temperature_c' }],
  checks: [
    must('aired', '已通风，异味消除', 'Aired, no smell'),
    must('clean', '厕位、地面、洗手台已清洁', 'Cubicles, floor and basins cleaned'),
    may('paper', '厕纸、洗手液已补充', 'Paper and soap refilled'),
    may('flush', '冲水、龙头正常', 'Flush and taps work'),
    may('access', '无障碍厕位可用', 'Accessible cubicle usable'),
  ],
  phrases: [text('已通风清洁，异味消除。', 'Aired and cleaned, no smell.'), text('耗材已补充。', 'Supplies refilled.'), text('设备已修复，可正常使用。', 'Equipment repaired and in use.')],
  opens: false,
};

const DRAIN: Kind = {
  says: [{ metric: 'water_level_cm' }, { metric: 'velocity_ms' }, yesNo('sensor_fault', true, text('传感器故障', 'sensor failed'), text('传感器正常', 'sensor works'))],
  checks: [
    FENCED,
    must('gas', '下井前已测气体、已通风（不下井也勾选）', 'Gas measured and aired before going down (tick also when nobody goes down)'),
    must('flow', '管道已疏通，水流正常', 'Drain cleared, water flows'),
    must('grate', '井盖、雨水箅子已复位', 'Covers and grates back in place'),
    may('mud', '淤泥垃圾已清运', 'Sludge and rubbish taken away'),
    CLEARED,
  ],
  phrases: [text('管道已疏通，水位回落。', 'Drain cleared, the level is falling.'), text('雨水箅子已清掏。', 'Grate cleaned out.'), text('已强排，路面无积水。', 'Pumped out, no water on the road.')],
  opens: false,
};

const VEHICLE: Kind = {
  says: [yesNo('lid_open', true, text('顶盖未密闭', 'lid open'), text('顶盖密闭', 'lid closed')), { metric: 'speed_kmh' }, yesNo('position_fixed', false, text('已定位', 'position fixed'), text('未定位', 'no position')), yesNo('main_power_lost', true, text('主电源掉电', 'main supply lost'), text('主电源正常', 'main supply good'))],
  checks: [
    must('stopped', '车辆已停稳，已设警示', 'Vehicle stands still, warning set out'),
    must('driver', '已与驾驶员核实', 'Talked with the driver'),
    may('lid', '顶盖密闭，无遗撒', 'Lid closed, nothing falls off'),
    may('terminal', '终端、天线、接线完好', 'Terminal, antenna and wiring sound'),
    may('spill', '遗撒路面已清扫', 'Spilled road swept'),
  ],
  phrases: [text('已责令整改，车厢密闭后放行。', 'Ordered to put it right; let go with the body closed.'), text('终端已修复，定位正常。', 'Terminal repaired, position good.'), text('遗撒已清扫。', 'Spill swept up.')],
  opens: false,
};

const BIN: Kind = {
  says: [{ metric: 'fill_level_pct' }, { metric: 'temperature_c' }, yesNo('door_open', true, text('箱盖打开', 'lid open'), text('箱盖关闭', 'lid closed')), { metric: 'tilt_deg' }],
  checks: [must('emptied', '已清空', 'Emptied'), must('around', '周边垃圾已清扫', 'Rubbish around it swept up'), may('lid', '箱盖、箱体完好', 'Lid and body sound'), may('sensor', '探头清洁', 'Sensor wiped clean')],
  phrases: [text('已清空，周边已清扫。', 'Emptied, surroundings swept.'), text('箱体损坏，已更换。', 'Body broken, replaced.')],
  opens: false,
};

const OTHER: Kind = { says: [], checks: [must('safe', '现场安全，无遗留隐患', 'The place is safe, nothing dangerous is left'), may('clean', '现场已清理', 'Site cleared')], phrases: [text('已处置，恢复正常。', 'Done, back to normal.')], opens: false };

const KINDS: Readonly<Record<string, Kind>> = {
  manhole_cover: COVER, lamp_loop: LAMP, lamp_single: { ...LAMP, opens: false }, environment_station: LAMP, cabinet_sensor: LAMP, toilet_sensor: TOILET, cubicle_sensor: TOILET, people_counter: TOILET,
  drain_gauge: DRAIN, underpass_gauge: DRAIN, rain_gauge: DRAIN, vehicle_terminal: VEHICLE, waste_bin: BIN,
};

export function kindOf(kind: string | undefined): Kind {
  return KINDS[kind ?? ''] ?? OTHER;
}
