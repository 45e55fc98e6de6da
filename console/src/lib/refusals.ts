import type { ApiError } from './api';
import { t, wordOf, words } from './words.svelte';

/** Why the API refused, in the reader's language: its own sentence where it has one in that language, else its one word. */
export function refusalOf(fault: ApiError): string {
  if (fault.reason === 'network') return t('reason.network');
  const said = words.lang === 'zh' ? fault.zh : fault.message;
  const word = wordOf('reason', fault.reason);
  return said === '' ? word : t('refusal.said', { word, said });
}
