export type Position = { longitude: number; latitude: number };
const EARTH_M = 6_371_008.8; // mean radius, IUGG
const ASK = { enableHighAccuracy: true, timeout: 15_000, maximumAge: 30_000 };

/** Metres along the great circle between two WGS-84 positions (haversine). */
export function metresBetween(a: Position, b: Position): number {
  const rad = Math.PI / 180;
  const half = (x: number, y: number) => Math.sin(((y - x) * rad) / 2) ** 2;
  const h = half(a.latitude, b.latitude) + Math.cos(a.latitude * rad) * Math.cos(b.latitude * rad) * half(a.longitude, b.longitude);
  return 2 * EARTH_M * Math.asin(Math.min(1, Math.sqrt(h)));
}

/** Where the phone is, once its holder allowed it. */
class Here {
  at = $state.raw<Position | null>(null);
  denied = $state(false);
  #watching = false;

  /** Follow the phone, where that is allowed already; nobody is asked. */
  async begin(): Promise<void> {
    const state = await navigator.permissions?.query({ name: 'geolocation' }).catch(() => null);
    if (state?.state === 'granted') this.follow();
  }

  follow(): void {
    if (this.#watching || !('geolocation' in navigator)) return;
    this.#watching = true;
    navigator.geolocation.watchPosition((found) => this.#found(found), (why) => this.#none(why), ASK);
  }

  /** One position now; asks for permission where need be. */
  now(): Promise<Position> {
    return new Promise((resolve, reject) => {
      if (!('geolocation' in navigator)) return reject(new Error('no geolocation'));
      navigator.geolocation.getCurrentPosition((found) => { resolve(this.#found(found)); this.follow(); }, (why) => { this.#none(why); reject(new Error(why.message)); }, ASK);
    });
  }

  #found(found: GeolocationPosition): Position {
    this.denied = false;
    this.at = { longitude: found.coords.longitude, latitude: found.coords.latitude };
    return this.at;
  }

  #none(why: GeolocationPositionError): void {
    this.denied = why.code === why.PERMISSION_DENIED;
  }
}

export const here = new Here();
