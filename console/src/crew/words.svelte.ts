/** The page's language. Its own, not the desk's module: that one brings the desk's whole catalogue, and a phone waits for it. */

export type Lang = 'zh' | 'en';
/** A text that the API gives in both languages. */
export type Text = { zh: string; en: string };

const TAGS: Record<Lang, string> = { zh: 'zh-CN', en: 'en' };
/** The desk's too: one person, one language. */
const STORED = 'citynerve.lang';

class Words {
  lang = $state<Lang>(localStorage.getItem(STORED) === 'en' ? 'en' : 'zh');

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

/** The API's own text in the page's language; `otherwise` where it gives none. */
export function say(text: Text | null | undefined, otherwise: string): string {
  if (text === null || text === undefined) return otherwise;
  return text[words.lang] || text.zh || text.en || otherwise;
}
