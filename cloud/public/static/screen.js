// Keeps the screen at the door as it is now: asks once a second, and says how old the picture is when nobody answers.
const main = document.getElementById('screen');
const said = main.dataset;
const EVERY_MS = 1000;
// After this much time without an answer the picture says where to look, not what is so.
const OLD_MS = 300000;
const CUT_OFF_MS = 10000;

let tag = '';
let now = null;
// By the clock that only goes forward: a screen's own may be set while it runs.
let heard = performance.now();
let made = Number(said.made);

const byId = (id) => document.getElementById(id);
const put = (element, text) => { if (element && element.textContent !== text) element.textContent = text; };

function time(ms) {
  return new Intl.DateTimeFormat(document.documentElement.lang, {
    timeZone: said.zone, month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23',
  }).format(ms);
}

function age(ms) {
  const s = Math.floor(ms / 1000);
  if (s < 120) return said.ageS.replace('#', s);
  return s < 7200 ? said.ageMin.replace('#', Math.floor(s / 60)) : said.ageH.replace('#', Math.floor(s / 3600));
}

function stall(name, state) {
  const group = main.querySelector(`[data-stall="${CSS.escape(name)}"]`);
  if (!group || group.classList.contains(state)) return;
  group.classList.remove('free', 'taken', 'unknown');
  group.classList.add(state);
  group.querySelector('.mark').setAttribute('href', `#mark-${state}`);
  put(group.querySelector('.word'), said[`word${state[0].toUpperCase()}${state.slice(1)}`]);
}

function show() {
  // What nobody could know any more is unknown, though nobody answers to say so.
  const at = made + (performance.now() - heard);
  const old = performance.now() - heard > OLD_MS;
  const counts = new Map();
  for (const each of now.stalls) {
    const state = old || (each.good_until !== 0 && at > each.good_until) ? 'unknown' : each.state;
    stall(each.name, state);
    const count = counts.get(each.section) ?? { free: 0, known: 0 };
    if (state === 'free') count.free += 1;
    if (state !== 'unknown') count.known += 1;
    counts.set(each.section, count);
  }
  for (const [section, { free, known }] of counts) put(main.querySelector(`[data-section="${section}"] .free-count`), known ? String(free) : '–');
  values();
}

function values() {
  put(byId('opening'), now.open ? byId('opening').dataset.open : byId('opening').dataset.closed);
  const grade = byId('grade');
  grade.className = `air ${now.grade}`;
  put(grade, said[`air${now.grade[0].toUpperCase()}${now.grade.slice(1)}`]);
  for (const id of ['nh3_ppm', 'h2s_ppm', 'temperature_c', 'visitors_today']) {
    const { form, unit } = byId(id).dataset;
    put(byId(id), now[id] === null ? said.wordUnknown : `${now[id].toFixed(Number(form))}${unit && ` ${unit}`}`);
  }
  for (const level of ['paper', 'soap']) {
    const element = main.querySelector(`[data-level="${level}"]`);
    element.querySelector('meter').value = now[`${level}_pct`] ?? 0;
    put(element.querySelector('.number'), now[`${level}_pct`] === null ? said.wordUnknown : `${now[`${level}_pct`].toFixed(0)} %`);
  }
}

function tell() {
  const silent = performance.now() - heard;
  put(byId('age'), age(silent));
  const warning = byId('cut-off');
  warning.hidden = silent < CUT_OFF_MS;
  put(warning, warning.hidden ? '' : said.cutOff.replace('#', time(made)));
  document.body.classList.toggle('old', silent > OLD_MS);
  if (now && silent > EVERY_MS * 2) show();
}

async function ask() {
  try {
    const answer = await fetch(said.url, { cache: 'no-store', headers: tag ? { 'If-None-Match': tag } : {}, signal: AbortSignal.timeout(5000) });
    if (answer.status === 200) {
      now = await answer.json();
      tag = answer.headers.get('etag') ?? '';
    }
    if (answer.status === 200 || answer.status === 304) {
      heard = performance.now();
      made = Number(answer.headers.get('x-made'));
      show();
      put(byId('as-of'), byId('as-of').dataset.said.replace('#', time(made)));
    }
  } catch (fault) {
    console.info('screen:', String(fault));
  }
  tell();
  setTimeout(ask, EVERY_MS);
}

ask();
setInterval(tell, EVERY_MS);
