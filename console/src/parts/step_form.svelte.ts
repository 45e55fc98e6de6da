/** What a person fills in for one step of a case. It outlives refusals and conflicts: nothing typed is lost but by Cancel. */
import type { CaseDetail, CaseMay, StepBody } from '../lib/api';
import { say } from '../lib/words.svelte';
import type { Photo } from './photos.svelte';

/** Steps that end a case: their standard is the matter's closing condition; that of `file` is its filing condition. */
const CLOSING: readonly string[] = ['pass', 'override'];

/** A key that no other deed has; `crypto.randomUUID` is not there on a page without TLS. */
function newKey(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** ISO as a field of date and time has it: the reader's own zone, to the minute. */
function localOf(ms: number): string {
  const zone = new Date(ms).getTimezoneOffset() * 60_000;
  return new Date(ms - zone).toISOString().slice(0, 16);
}

export class StepForm {
  note = $state('');
  reason = $state('');
  standard = $state('');
  until = $state('');
  department = $state('');
  assignee = $state('');
  longitude = $state('');
  latitude = $state('');
  photos = $state.raw<readonly Photo[]>([]);
  readonly earliest = localOf(Date.now() + 60_000);
  readonly #key = newKey();
  /** When it was first sent, by this machine's clock: a second try after a broken line was done then, too. */
  #done = '';

  /** What is known already is filled in. */
  constructor(readonly step: string, one: CaseDetail) {
    this.standard = step === 'file' ? say(one.filed_when, '') : CLOSING.includes(step) ? say(one.closes_when, '') : '';
    this.department = one.department;
    const wanted = step === 'grant_hold' ? one.steps.findLast((s) => s.step === 'ask_hold')?.until : null;
    this.until = wanted ? localOf(Date.parse(wanted)) : '';
  }

  get sending(): boolean {
    return this.photos.some((photo) => photo.state === 'sending');
  }

  add(photo: Photo): void {
    this.photos = [...this.photos, photo];
    void photo.send();
  }

  remove(photo: Photo): void {
    photo.forget();
    this.photos = this.photos.filter((one) => one !== photo);
  }

  forget(): void {
    for (const photo of this.photos) photo.forget();
  }

  /** Somebody else's step came between: what is sent now is done now. */
  again(): void {
    this.#done = '';
  }

  body(may: CaseMay, actor: string, role: string, version: number): StepBody {
    this.#done ||= new Date().toISOString();
    const body: StepBody = { step: this.step, actor, role, version, key: this.#key, done: this.#done };
    const needs = new Set(may.needs);
    if (!needs.has('reason')) body.note = this.note.trim();
    if (needs.has('reason')) body.reason = this.reason.trim();
    if (needs.has('standard')) body.standard = this.standard.trim();
    if (needs.has('until')) body.until = new Date(this.until).toISOString();
    if (needs.has('department')) body.department = this.department.trim();
    if (needs.has('assignee')) body.assignee = this.assignee.trim();
    if (needs.has('photo')) body.photos = this.photos.filter((photo) => photo.state === 'kept').map((photo) => photo.id);
    if (needs.has('position')) body.position = { longitude: Number(this.longitude), latitude: Number(this.latitude) };
    return body;
  }
}
