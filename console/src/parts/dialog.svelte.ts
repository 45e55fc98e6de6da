import type { Case, CaseAction } from '../lib/api';

export type Question =
  | { on: 'alarm'; alarm: string; what: string }
  | { on: 'case'; case: Case; action: CaseAction; what: string };

class Asked {
  question = $state.raw<Question | null>(null);
  /** Grows when something was done: pages that show it ask anew. */
  done = $state(0);
  notice = $state('');
}

export const asked = new Asked();

/** Open the dialog that takes a name and a note. */
export function ask(question: Question): void {
  asked.notice = '';
  asked.question = question;
}
