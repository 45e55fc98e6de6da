import type { Case, CaseDetail } from '../lib/api';

export type Question =
  | { on: 'alarm'; alarm: string; what: string }
  /** `case` as it is shown to the person; the dialog asks for what a list leaves out. */
  | { on: 'case'; case: Case | CaseDetail; step: string; what: string };

class Asked {
  question = $state.raw<Question | null>(null);
  /** Grows when something was done: pages that show it ask anew. */
  done = $state(0);
  notice = $state('');
}

export const asked = new Asked();

/** Open the dialog that takes a name and what the step needs. */
export function ask(question: Question): void {
  asked.notice = '';
  asked.question = question;
}
