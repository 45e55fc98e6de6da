/** A frame as the profiles' own tests take it: an entry of a `frames.yaml`, to be named and checked by a person. */
import type { KeptFrame } from '../lib/api_device';

export function vectorOf(frame: KeptFrame): string {
  const bytes = (frame.hex.match(/../g) ?? []).join(' ').toUpperCase();
  const key = frame.language.replaceAll('-', '_');
  return [
    `- name: ${JSON.stringify(`as it came at ${frame.time}`)}`,
    `  source: ${JSON.stringify(`a device behind ${frame.gateway}${frame.source ? `, ${frame.source}` : ''}`)}`,
    `  ${key}: ["${bytes}"]`,
    ...(frame.decoded.ok ? ['  expect:', '    values:', ...frame.decoded.fields.map((one) => `      # ${one.name}: ${JSON.stringify(one.value)}`)] : [`  # ${frame.decoded.error ?? 'refused'}`]),
    '',
  ].join('\n');
}
