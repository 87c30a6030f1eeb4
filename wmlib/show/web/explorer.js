// The controls of wmlib.show.explorer: which measure, which factor, which seeds, how certain, and whether all looks are counted.
// The numbers are those of explorer.py: differences of pairs of runs, with Student's t over seeds.
(() => {
  "use strict";
  if (window.wmExplorer) return window.wmExplorer.mount();
  const WIDTH = 200, HEIGHT = 22, GRID = 4000, LEVELS = [0.8, 0.9, 0.95, 0.99];
  const SVG = "http://www.w3.org/2000/svg";
  const STYLE = `
    .wm-explorer { max-width: 47rem; font: 14px/1.35 system-ui, sans-serif; }
    .wm-explorer .wm-controls { display: flex; flex-wrap: wrap; gap: 0.4rem 1rem; align-items: center; padding: 0.4rem 0; }
    .wm-explorer .wm-seeds { display: flex; flex-wrap: wrap; gap: 0.2rem 0.7rem; align-items: center; }
    .wm-explorer th:first-child { text-align: left; }
    .wm-explorer select { font: inherit; color: inherit; background: transparent; border: 1px solid #808080; border-radius: 4px; padding: 0.15rem 0.4rem; min-height: 1.9rem; max-width: 100%; }
    .wm-explorer option { color: #111; background: #fff; }
    .wm-explorer label { display: inline-flex; gap: 0.35rem; align-items: center; min-height: 1.9rem; }
    .wm-explorer :is(select, input):focus-visible { outline: 2px solid #0a6fc2; outline-offset: 1px; }
    .wm-explorer output { display: block; min-height: 1.4em; font-weight: 600; }
    @media (max-width: 480px) { .wm-explorer svg { width: 6rem; } .wm-explorer table { font-size: 0.8rem; } }`;

  /** An element with attributes and children; text is only ever text. */
  function make(tag, attributes = {}, ...children) {
    const made = ["svg", "path", "circle"].includes(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  const shares = new Map();
  /** The share of Student's t below angle i of the grid: the integral of cos^(df - 1). */
  function share(df) {
    if (!shares.has(df)) {
      const sums = [0];
      for (let i = 0; i < GRID; i++) sums.push(sums[i] + Math.cos(((i + 0.5) / GRID) * Math.PI / 2) ** (df - 1));
      shares.set(df, sums.map((sum) => sum / sums[GRID]));
    }
    return shares.get(df);
  }

  function quantile(level, df) {
    const sums = share(df), i = sums.findIndex((sum) => sum >= level);
    const at = i - 1 + (level - sums[i - 1]) / (sums[i] - sums[i - 1]);
    return Math.sqrt(df) * Math.tan((at / GRID) * Math.PI / 2);
  }

  /** Mean, standard error and number of some differences. */
  function moments(values) {
    const n = values.length, mean = values.reduce((a, b) => a + b, 0) / n;
    const squares = values.reduce((sum, value) => sum + (value - mean) ** 2, 0);
    return { n, mean, error: n > 1 ? Math.sqrt(squares / (n - 1) / n) : NaN };
  }

  function chance({ n, mean, error }) {
    if (n < 2 || (!mean && !error)) return 1;
    const at = (Math.atan2(Math.abs(mean), error * Math.sqrt(n - 1)) / (Math.PI / 2)) * GRID, sums = share(n - 1), i = Math.min(GRID - 1, Math.floor(at));
    return 1 - (sums[i] + (at - i) * (sums[i + 1] - sums[i]));
  }

  function holm(p) {
    const order = p.map((_, i) => i).sort((a, b) => p[a] - p[b]), adjusted = [];
    let worst = 0;
    order.forEach((index, place) => { worst = Math.max(worst, Math.min(1, (p.length - place) * p[index])); adjusted[index] = worst; });
    return adjusted;
  }

  /** What is found with these choices: of each effect mean, ends, 1 for better, -1 for worse, 0 for undecided. */
  function found(measure, { seeds, level, all }) {
    const lines = measure.effects.map((effect) => {
      const values = effect.values.filter((_, i) => seeds.has(effect.seeds[i]));
      const stats = moments(values), half = stats.n > 1 ? quantile(level, stats.n - 1) * stats.error : NaN;
      return { effect, values, ...stats, low: stats.mean - half, high: stats.mean + half, p: stats.n ? chance(stats) : 1 };
    });
    const counted = holm(lines.map((line) => line.p));
    lines.forEach((line, i) => {
      const decided = line.n > 1 && (line.low > 0 || line.high < 0) && (!all || counted[i] < 1 - level);
      line.verdict = decided ? Math.sign(line.mean) * measure.sign : 0;
    });
    return lines;
  }

  function picture({ values, low, high, verdict }, reach, inks) {
    const x = (value) => ((WIDTH / 2) * (1 + Math.max(-1, Math.min(1, value / reach)))).toFixed(1);
    const drawn = make("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, width: WIDTH, height: HEIGHT, "aria-hidden": "true" });
    drawn.append(make("path", { d: `M${WIDTH / 2} 0V${HEIGHT}`, stroke: "currentColor", opacity: 0.5 }));
    if (Number.isFinite(low)) drawn.append(make("path", { d: `M${x(low)} ${HEIGHT / 2}H${x(high)}`, stroke: inks[verdict], "stroke-width": 7, opacity: 0.6 }));
    for (const value of values) drawn.append(make("circle", { cx: x(value), cy: HEIGHT / 2, r: 3.2, fill: "none", stroke: "currentColor", "stroke-width": 1.6 }));
    return drawn;
  }

  class Explorer {
    constructor(place, data) {
      this.place = place;
      this.data = data;
      this.table = place.querySelector(".wm-effects");
      const seeds = [...new Set(data.measures.flatMap((measure) => measure.effects.flatMap((effect) => effect.seeds)))].sort((a, b) => a - b);
      const choice = (name, options) => {
        const select = make("select", { "aria-label": name }, ...options.map(([value, text]) => make("option", { value }, text)));
        select.addEventListener("change", () => this.draw(name === "measure"));
        return [select, make("label", {}, name, select)];
      };
      const tick = (text, on) => {
        const box = make("input", { type: "checkbox" });
        box.checked = on;
        box.addEventListener("change", () => this.draw());
        return [box, make("label", {}, box, text)];
      };
      const [measure, measures] = choice("measure", data.measures.map(({ name }, i) => [i, name]));
      const [factor, factors] = choice("factor", []);
      const [level, levels] = choice("certainty", LEVELS.map((value) => [value, `${Math.round(100 * value)}%`]));
      level.value = String(data.level);
      const ticks = seeds.map((seed) => [seed, ...tick(`${seed}`, true)]);
      const [all, looks] = tick("count all looks (Holm)", false);
      Object.assign(this, { measure, factor, level, ticks, all, said: make("output", { "aria-live": "polite" }) });
      const kept = make("div", { class: "wm-seeds", role: "group", "aria-label": "seeds" }, "seeds", ...ticks.map(([, , label]) => label));
      const controls = make("div", { class: "wm-controls", role: "group", "aria-label": data.label || "what to show" }, measures, factors, kept, levels, looks);
      place.insertBefore(controls, this.table);
      place.insertBefore(this.said, this.table);
      this.draw(true);
    }

    draw(fresh = false) {
      const { data } = this, measure = data.measures[Number(this.measure.value)];
      if (fresh) {
        const names = [...new Set(measure.effects.map((effect) => effect.factor))];
        this.factor.replaceChildren(...[["", "all"], ...names.map((name) => [name, name])].map(([value, text]) => make("option", { value }, text)));
      }
      const chosen = { seeds: new Set(this.ticks.filter(([, box]) => box.checked).map(([seed]) => seed)), level: Number(this.level.value), all: this.all.checked };
      // Looks are counted over the whole measure, whatever part of it is shown.
      const lines = found(measure, chosen);
      this.lines = lines.filter((line) => !this.factor.value || line.effect.factor === this.factor.value);
      const size = Math.max(...measure.effects.flatMap((effect) => effect.values.map(Math.abs))) || 1;
      const digits = Math.max(0, 2 - Math.floor(Math.log10(size)));
      const number = (value) => (value < 0 ? "-" : "+") + Math.abs(value).toFixed(digits);
      const head = ["changed", "seeds and interval", "difference", "finding"].map((text) => make("th", { scope: "col" }, text));
      const rows = this.lines.map((line) => {
        const { effect, n, mean, low, high, verdict } = line;
        const ends = n > 1 ? `[${number(low)}, ${number(high)}]` : n ? "one seed" : "no seed";
        const name = make("th", { scope: "row" }, `${effect.factor}: ${effect.level} `, make("small", {}, `for ${effect.against}`));
        const value = make("td", {}, n ? number(mean) : "", make("br"), make("small", {}, ends));
        return make("tr", {}, name, make("td", {}, picture(line, 2 * size, data.inks)), value, make("td", {}, data.words[verdict]));
      });
      const table = make("table", { class: "scorecard" }, make("caption", {}, measure.name), make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
      this.table.replaceChildren(table);
      const count = (verdict) => this.lines.filter((line) => line.verdict === verdict).length;
      this.said.textContent = `${this.lines.length} changes, ${chosen.seeds.size} seeds: ${[1, -1, 0].map((verdict) => `${count(verdict)} ${data.words[verdict]}`).join(", ")}`;
    }
  }

  /** Brings every table of the page to life that is not alive yet; one that cannot be read stays as it is. */
  function mount() {
    for (const place of document.querySelectorAll(".wm-explorer")) {
      if (place.explorer) continue;
      try {
        place.explorer = new Explorer(place, JSON.parse(place.querySelector("script[type='application/json']").textContent));
      } catch (error) {
        place.querySelectorAll(".wm-controls, output").forEach((element) => element.remove());
        place.explorer = null;
      }
    }
  }

  document.head.append(make("style", {}, STYLE));
  window.wmExplorer = { mount };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", mount);
  else mount();
})();
