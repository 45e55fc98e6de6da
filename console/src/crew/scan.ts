/** Reads the code on a device with the camera, where the browser can (Shape Detection API: Chromium on Android, not Safari). */

type Detector = { detect: (from: HTMLVideoElement) => Promise<{ rawValue: string }[]> };
type DetectorClass = new (options?: { formats?: string[] }) => Detector;
const EVERY_MS = 250;

function detector(): DetectorClass | undefined {
  return (globalThis as { BarcodeDetector?: DetectorClass }).BarcodeDetector;
}

export function canScan(): boolean {
  return detector() !== undefined && navigator.mediaDevices?.getUserMedia !== undefined;
}

/** What a code means: the text itself, or the last part of the address that it is. */
export function codeOf(text: string): string {
  const plain = text.trim();
  return /^[a-z]+:\/\//i.test(plain) ? decodeURIComponent(plain.split(/[?#]/)[0]?.split('/').filter(Boolean).at(-1) ?? '') : plain;
}

/** Show the camera in `screen` and tell of the first code that is seen. The promise gives what ends it. */
export async function scan(screen: () => HTMLVideoElement | undefined, found: (text: string) => void): Promise<() => void> {
  const Detects = detector();
  if (Detects === undefined) throw new Error('this browser reads no codes');
  const camera = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
  const video = screen();
  const reader = new Detects();
  const timer = setInterval(() => {
    if (video === undefined || video.readyState < 2) return;
    void reader.detect(video).then((codes) => { if (codes[0] !== undefined) found(codes[0].rawValue); }, () => undefined);
  }, EVERY_MS);
  if (video !== undefined) {
    video.srcObject = camera;
    await video.play();
  }
  return () => {
    clearInterval(timer);
    for (const track of camera.getTracks()) track.stop();
  };
}
