/** What the board of cases, and the evidence on a case's own page, say. */
export const boardWords = {
  zh: {
    'board.view': '显示方式', 'board.list': '列表', 'board.board': '看板', 'board.lanes': '泳道', 'board.lane_none': '不分', 'board.lane_district': '按区', 'board.lane_department': '按部门', 'board.no_lane': '未定',
    'board.hold': '挂账', 'board.void': '作废', 'board.more': '另有 {count} 件', 'board.counted': '{count} 件', 'board.none': '无案件', 'board.extended': '延期', 'board.rework': '返工', 'board.photos': '{count} 张照片',
    'board.help': '方向键在卡片间移动，Shift+左右方向键把案件移到相邻一列，回车打开案件', 'board.no_way': '#{id} 不能从“{from}”直接到“{to}”', 'board.label': '案件看板', 'board.sla': '时限已用 {percent}%', 'board.no_sla': '不计时',
    'evidence.title': '证据', 'evidence.round': '报警前后', 'evidence.minutes': '{count} 分钟', 'evidence.rule': '判定规则', 'evidence.version': '按配置 {profile} 第 {version} 版判定', 'evidence.other_version': '现有第 {version} 版的文字',
    'evidence.limit_then': '当时限值', 'evidence.limit_today': '现行限值', 'evidence.above': '高于', 'evidence.below': '低于', 'evidence.none': '案件没有设备报警，因此没有测量证据。', 'evidence.no_values': '这段时间没有保存测量值。', 'evidence.truncated': '数值很多，只画出前 5000 个。',
    'evidence.chart': '{metric}，{count} 个原始值，最小 {min}，最大 {max}，限值 {limit}', 'evidence.no_limit': '无', 'evidence.neighbours': '附近同类设备当时的数值', 'evidence.away': '{metres} 米', 'evidence.silent': '无数值', 'evidence.trigger': '报警',
    'evidence.alarm': '报警', 'evidence.joined': '并入的报警与上报', 'evidence.unknown_rule': '没有人再认识这条规则：{rule}',
    'frame.title': '原始报文', 'frame.none': '没有保存报文。', 'frame.size': '{count} 字节', 'frame.fields': '字段', 'frame.broken': '未能解码：{error}',
    'export.json': '导出签名文件', 'export.sheet': '打印案件单', 'joined.step': '并案 {time}',
  },
  en: {
    'board.view': 'View', 'board.list': 'List', 'board.board': 'Board', 'board.lanes': 'Lanes', 'board.lane_none': 'None', 'board.lane_district': 'By district', 'board.lane_department': 'By department', 'board.no_lane': 'Not known',
    'board.hold': 'On hold', 'board.void': 'Void', 'board.more': '{count} more', 'board.counted': '{count} cases', 'board.none': 'No cases', 'board.extended': 'Extended', 'board.rework': 'Rework', 'board.photos': '{count} photos',
    'board.help': 'Arrows move between cards, Shift+Left or Right moves the case to the next column, Enter opens it', 'board.no_way': '#{id} cannot go from “{from}” straight to “{to}”', 'board.label': 'Board of cases', 'board.sla': '{percent}% of the limit used', 'board.no_sla': 'no clock runs',
    'evidence.title': 'Evidence', 'evidence.round': 'Round the alarm', 'evidence.minutes': '{count} min', 'evidence.rule': 'Rule', 'evidence.version': 'Judged by profile {profile}, version {version}', 'evidence.other_version': 'in the words of version {version}',
    'evidence.limit_then': 'limit then', 'evidence.limit_today': 'limit of today', 'evidence.above': 'above', 'evidence.below': 'below', 'evidence.none': 'This case has no alarm of a device, so nothing was measured.', 'evidence.no_values': 'No values of this time are kept.', 'evidence.truncated': 'Too many values: the first 5000 are drawn.',
    'evidence.chart': '{metric}, {count} raw values, min {min}, max {max}, limit {limit}', 'evidence.no_limit': 'none', 'evidence.neighbours': 'What the same kind of device near by said then', 'evidence.away': '{metres} m', 'evidence.silent': 'no value', 'evidence.trigger': 'alarm',
    'evidence.alarm': 'Alarm', 'evidence.joined': 'Joined alarms and reports', 'evidence.unknown_rule': 'Nobody knows this rule any longer: {rule}',
    'frame.title': 'Raw frame', 'frame.none': 'No frame kept.', 'frame.size': '{count} bytes', 'frame.fields': 'Fields', 'frame.broken': 'Not decoded: {error}',
    'export.json': 'Export signed', 'export.sheet': 'Print the sheet', 'joined.step': 'Joined {time}',
  },
} as const;
