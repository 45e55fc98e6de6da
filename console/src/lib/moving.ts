/** Vehicles: their place is not where they were registered but what they said last. */
import type { Device, Latest, LatestMetric } from './api';

export type Position = { longitude: number; latitude: number };

const KINDS: ReadonlySet<string> = new Set(['vehicle_terminal']);
/** As many as one question to the API may name. */
export const MOST_MOVING = 200;

export function isMoving(device: Device): boolean {
  return KINDS.has(device.kind);
}

function degrees(metrics: readonly LatestMetric[], name: string): number | null {
  const found = metrics.find((m) => m.metric === name);
  return found !== undefined && found.quality !== 'bad' && typeof found.value === 'number' ? found.value : null;
}

/** Device -> position, for those that sent one that is not bad. */
export function positions(latest: readonly Latest[]): Map<string, Position> {
  const found = new Map<string, Position>();
  for (const { device, metrics } of latest) {
    const [longitude, latitude] = [degrees(metrics, 'longitude_deg'), degrees(metrics, 'latitude_deg')];
    if (longitude !== null && latitude !== null) found.set(device, { longitude, latitude });
  }
  return found;
}
