import { en } from '../messages/en';
import { zh, type Catalogue, type Key } from '../messages/zh';

export type Lang = 'zh' | 'en';
/** A text that the API gives in both languages. */
export type Text = { zh: string; en: string };

const CATALOGUES: Record<Lang, Catalogue> = { zh, en };
const TAGS: Record<Lang, string> = { zh: 'zh-CN', en: 'en' };
const STORED = 'citynerve.lang';

function stored(): Lang {
  return localStorage.getItem(STORED) === 'en' ? 'en' : 'zh';
}

class Words {
  lang = $state<Lang>(stored());

  get tag(): string {
    return TAGS[this.lang];
  }

  set(lang: Lang): void {
    this.lang = lang;
    localStorage.setItem(STORED, lang);
    document.documentElement.lang = TAGS[lang];
  }
}

export const words = new Words();
document.documentElement.lang = words.tag;

/** The text of `key` in the page's language, `{name}` replaced by its value. */
export function t(key: Key, values: Record<string, string | number> = {}): string {
  return fill(CATALOGUES[words.lang][key], values);
}

/** What a page of its own chunk says: its words in both languages, the same keys in each. */
export type PageWords<K extends string> = Readonly<Record<Lang, Readonly<Record<K, string>>>>;

/** `t` for the keys of a page's own words, and for all that every page knows. */
export function speak<K extends string>(own: PageWords<K>): (key: K | Key, values?: Record<string, string | number>) => string {
  return (key, values = {}) => (key in own.zh ? fill(own[words.lang][key as K], values) : t(key as Key, values));
}

function fill(text: string, values: Record<string, string | number>): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}

/** The word for a code that the API gave (`state.normal`), or the code itself where the catalogue has none. */
export function wordOf(group: string, code: string): string {
  const key = `${group}.${code}`;
  return key in zh ? t(key as Key) : code;
}

/** The API's own text in the page's language; `otherwise` where it gives none. */
export function say(text: Text | null | undefined, otherwise: string): string {
  if (text === null || text === undefined) return otherwise;
  return text[words.lang] || text.zh || text.en || otherwise;
}
