/** What the page of the gateways says. */
export const gatewayWords = {
  zh: {
    'fleet.sum': '共 {count} 个网关', 'fleet.devices': '设备 {heard} / {expected}', 'fleet.records': '待发 {count} 条', 'fleet.filters': '筛选网关', 'fleet.find': '按编号找', 'fleet.all': '全部', 'fleet.any_version': '所有版本', 'fleet.any_clock': '所有时钟', 'fleet.backlog': '有待发', 'fleet.clear': '清除筛选', 'fleet.none_match': '没有符合条件的网关', 'fleet.label': '网关列表', 'fleet.loaded': '已载入 {loaded}', 'fleet.loading': '载入中',
    'standing.online': '在线', 'standing.silent': '失联', 'standing.offline': '离线', 'standing.case': '案件 #{id}',
    'beats.title': '24 小时', 'beats.says': '24 小时：在线 {up}，失联 {silent}，离线 {down}，不明 {unknown}', 'beat.u': '在线', 'beat.s': '失联', 'beat.d': '离线', 'beat.p': '有变化', 'beat.?': '不明',
    'fleet.heard': '设备', 'fleet.heard_title': '听到 {heard} / 应有 {expected}', 'fleet.lane': '{lane} {count}', 'fleet.age': '最早 {age}前', 'fleet.account': '账目', 'fleet.lanes': '{count} 个通道',
  },
  en: {
    'fleet.sum': '{count} gateways', 'fleet.devices': 'devices {heard} / {expected}', 'fleet.records': '{count} records wait', 'fleet.filters': 'Which gateways', 'fleet.find': 'Find by id', 'fleet.all': 'All', 'fleet.any_version': 'Every version', 'fleet.any_clock': 'Every clock', 'fleet.backlog': 'With a backlog', 'fleet.clear': 'Clear', 'fleet.none_match': 'No gateway is like that', 'fleet.label': 'List of gateways', 'fleet.loaded': '{loaded} loaded', 'fleet.loading': 'loading',
    'standing.online': 'online', 'standing.silent': 'silent', 'standing.offline': 'offline', 'standing.case': 'case #{id}',
    'beats.title': '24 hours', 'beats.says': '24 hours: online {up}, silent {silent}, offline {down}, unknown {unknown}', 'beat.u': 'online', 'beat.s': 'silent', 'beat.d': 'offline', 'beat.p': 'changing', 'beat.?': 'unknown',
    'fleet.heard': 'Devices', 'fleet.heard_title': '{heard} heard of {expected}', 'fleet.lane': '{lane} {count}', 'fleet.age': 'oldest {age} old', 'fleet.account': 'Account', 'fleet.lanes': '{count} lanes',
  },
} as const;
