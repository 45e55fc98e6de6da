/** Where a device is: a vehicle not where it was registered but where it last said it was. */
import type { Device, Latest, LatestMetric } from './api';

/** WGS-84 degrees. */
export type Position = { longitude: number; latitude: number };

function degrees(metrics: readonly LatestMetric[], name: string): number | null {
  const found = metrics.find((m) => m.metric === name);
  return found !== undefined && found.quality !== 'bad' && typeof found.value === 'number' ? found.value : null;
}

/** What it says of itself, if it does and the gateway believes it, or else what was registered; null where there is neither. */
export function placeOf(device: Device | null, latest: Latest | null): Position | null {
  const metrics = latest?.metrics ?? [];
  const [longitude, latitude] = [degrees(metrics, 'longitude_deg'), degrees(metrics, 'latitude_deg')];
  if (longitude !== null && latitude !== null) return { longitude, latitude };
  return device === null || device.longitude === null || device.latitude === null ? null : { longitude: device.longitude, latitude: device.latitude };
}
