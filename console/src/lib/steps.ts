/** What a page makes of a case's steps: where it stands, what comes next, and what of that is asked for first.
 *
 * What is allowed the API says (`may`); here is only in which order it is offered, and what would be refused anyway. */
import type { Case, CaseDetail, CaseMay, CaseStep } from './api';

export const STAGES = ['reported', 'filed', 'dispatched', 'handling', 'feedback', 'checking', 'closed'] as const;
export type Stage = (typeof STAGES)[number];

/** The stage of each state; what is no stage of its own stands beside one. */
const STAGE_OF: Readonly<Record<string, Stage>> = {
  reported: 'reported', verifying: 'reported', void: 'reported', filed: 'filed', dispatched: 'dispatched', hold: 'dispatched',
  handling: 'handling', department_review: 'handling', feedback: 'feedback', checking: 'checking', closed: 'closed',
};

export function stageOf(state: string): Stage {
  return STAGE_OF[state] ?? 'reported';
}

/** The way on from each state, the usual step first. */
const WAY_ON: Readonly<Record<string, readonly string[]>> = {
  reported: ['file', 'verify', 'void'],
  verifying: ['found', 'not_found'],
  filed: ['dispatch', 'return'],
  dispatched: ['assign', 'return'],
  handling: ['take', 'arrive', 'submit'],
  department_review: ['confirm', 'rework'],
  feedback: ['pass', 'check', 'rework'],
  checking: ['checked', 'pass', 'fail'],
  hold: ['end_hold'],
  closed: [],
};
/** What waits for a decision comes before everything else. */
const DECISIONS: readonly string[] = ['grant_extension', 'grant_hold', 'refuse', 'agree_appeal', 'grant_appeal', 'refuse_appeal'];

/** What a list offers, where the steps that were taken are not at hand: to whom the task is assigned, and to everybody else. */
const OWN_USUAL: Readonly<Record<string, string>> = { verifying: 'found', handling: 'submit', checking: 'checked' };
const USUAL: Readonly<Record<string, string>> = {
  reported: 'file', filed: 'dispatch', dispatched: 'assign', department_review: 'confirm', feedback: 'check', checking: 'pass', hold: 'end_hold',
};

/** The usual next step of a case in a list; what was asked for is decided on its own page. */
export function usualStep(one: Case, name: string): string | null {
  if (one.asked !== 'nothing') return null;
  return (one.assignee === name ? OWN_USUAL[one.state] : undefined) ?? USUAL[one.state] ?? null;
}

/** Who is logged in, and in which offices. */
export type Me = { name: string; offices: readonly string[] };

/** Steps of a task, which only the person does that it is assigned to; the desk, which sent it, may answer for it. */
const OWN: Readonly<Record<string, readonly string[]>> = {
  verifying: ['found', 'not_found'], handling: ['take', 'arrive', 'call_help', 'submit', 'return'], checking: ['checked', 'fail'],
};
const DESK: readonly string[] = ['operator', 'shift_lead'];

function isMine(may: CaseMay, one: Case, me: Me): boolean {
  const held = may.roles.filter((role) => me.offices.includes(role));
  const own = OWN[one.state]?.includes(may.step) === true && one.assignee !== me.name;
  return held.some((role) => !own || DESK.includes(role));
}

/** The steps since the last one that is named, that one left out. */
function since(steps: readonly CaseStep[], step: string): readonly string[] {
  const words = steps.map((one) => one.step);
  return words.slice(words.lastIndexOf(step) + 1);
}

const APPEALS = ['appeal', 'agree_appeal', 'grant_appeal', 'refuse_appeal'];

/** Whether the workflow's conditions, as far as a page knows them, let the step through. */
function makesSense(step: string, one: CaseDetail): boolean {
  const appeal = one.steps.findLast((s) => APPEALS.includes(s.step))?.step;
  const seen = since(one.steps, 'check').includes('checked');
  const tasked = since(one.steps, 'assign');
  switch (step) {
    case 'grant_extension': return one.asked === 'extension';
    case 'grant_hold': return one.asked === 'hold';
    case 'refuse': return one.asked !== 'nothing';
    case 'ask_extension': case 'ask_hold': return one.asked === 'nothing';
    case 'take': return !tasked.includes('take') && !tasked.includes('arrive');
    case 'arrive': return !tasked.includes('arrive');
    case 'checked': return !seen;
    case 'pass': return one.state === 'feedback' ? one.device_says === 'clear' : one.device_says === 'clear' || (seen && one.device_says === 'nothing');
    case 'appeal': return one.overdue && appeal === undefined;
    case 'agree_appeal': return appeal === 'appeal';
    case 'grant_appeal': return appeal === 'agree_appeal';
    case 'refuse_appeal': return appeal === 'appeal' || appeal === 'agree_appeal';
    default: return true;
  }
}

export type Next = { main: CaseMay | null; ways: CaseMay[]; more: CaseMay[] };

/** The steps of a case in the order in which they are offered: one first, the other ways on, and the rest. `me` is null while
 * nobody has an account: everybody may say who they are then. */
export function nextSteps(one: CaseDetail, me: Me | null): Next {
  const may = one.may.filter((m) => makesSense(m.step, one) && (me === null || isMine(m, one, me)));
  const order = [...DECISIONS, ...(WAY_ON[one.state] ?? [])];
  const ways = order.flatMap((step) => may.find((m) => m.step === step) ?? []);
  const [main = null, ...others] = ways;
  return { main, ways: others, more: may.filter((m) => !ways.includes(m)) };
}

/** The department has confirmed: whether it was late is fixed, and nothing runs on against it. */
export function workIsDone(one: Case): boolean {
  return one.state === 'feedback' || one.state === 'checking';
}

/** From 0 when it was opened to 1 when it is due; null where no time runs. */
export function usedOf(one: Case, now: number): number | null {
  if (one.due === null || one.closed !== null || workIsDone(one)) return null;
  const [opened, due] = [Date.parse(one.opened), Date.parse(one.due)];
  return due <= opened ? 1 : (now - opened) / (due - opened);
}

/** So much of the time used is a warning (预警), as the cloud's own early warning has it. */
export const WARN_AT = 0.8;

export type Mark = 'overdue' | 'warning' | 'hold' | 'asked' | 'rework';
export const MARKS: readonly Mark[] = ['overdue', 'warning', 'hold', 'asked', 'rework'];

/** What of a case catches the eye in a list. */
export function marksOf(one: Case, now: number): Mark[] {
  const used = usedOf(one, now);
  const late = one.overdue || (used !== null && used > 1);
  const holds: Record<Mark, boolean> = {
    overdue: late,
    warning: !late && used !== null && used >= WARN_AT,
    hold: one.state === 'hold',
    asked: one.asked !== 'nothing',
    rework: one.closed === null && (one.reworks > 0 || one.returned),
  };
  return MARKS.filter((mark) => holds[mark]);
}
