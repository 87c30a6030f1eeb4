// Play in the dream: the controls of wmlib.show.play. The dream is dream.js, the scene viewer.js, the real simulator mujoco.js (only if asked for).
//
// A play is a seed, a start, a member and a list of events [step, kind, value]; every frame follows from these, so that a link can hold it and an
// earlier frame can be gone back to. An event at an earlier frame begins another future there.
(() => {
  "use strict";
  const SOURCE = document.currentScript?.src ?? ""; // empty in a notebook
  const MOST = 2000; // frames of a play: 30 s
  const FUTURE = 67; // steps of a sampled future: 1 s
  const MEGABYTES = 3.5; // of mujoco.js
  const REFLEX = -1, RANDOM = -2, ZERO = -3; // in place of a C's number
  const KEYS = { q: ["right_hip_y", -1], a: ["right_hip_y", 1], w: ["left_hip_y", -1], s: ["left_hip_y", 1], o: ["right_knee", -1], k: ["right_knee", 1], p: ["left_knee", -1], l: ["left_knee", 1] };
  const KEYED = "In the scene, hold Q or A: right thigh forward or back; W or S: left thigh; O or K: right knee bent or straight; P or L: left knee.";
  const SLIDERS = 4, MOST_Z = 3, MODEL = "#0a6fc2"; // of V and M: numbers of the code with a slider, how far it goes; the palette's blue
  const SIDES = { forward: [1, 0], left: [0, 1], right: [0, -1], back: [-1, 0] };
  const MARKS = { forward: "\u2191", left: "\u2190", right: "\u2192", back: "\u2193" };
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const STYLE = `
    .wm-play label { display: inline-flex; gap: 0.35rem; align-items: center; max-width: 100%; }
    .wm-play label select { min-width: 0; flex: 0 1 auto; }
    .wm-play label input[type=range] { flex: 0 1 8rem; width: 8rem; min-width: 4rem; }
    .wm-play .wm-value { min-width: 2.6em; font-variant-numeric: tabular-nums; }
    .wm-play .wm-said { margin: 0; padding: 0.35rem 0.6rem; min-height: 1.4em; text-align: left; border-top: 1px solid var(--line); }
    .wm-play canvas[hidden] { display: none; }
    .wm-play .wm-help { margin: 0; padding: 0 0.6rem 0.35rem; font-size: 0.85rem; text-align: left; }
    @media (pointer: coarse) { .wm-play .wm-help { display: none; } }
    .wm-play .wm-side { min-width: 2.1rem; }
    .wm-play canvas.wm-mixture { display: block; width: 100%; height: 90px; }
    @media (max-width: 480px) { /* the body stays in sight of its controls */
      .wm-play .wm-viewer figure { overflow: visible; }
      .wm-play .wm-viewer canvas.wm-scene { position: sticky; top: 3rem; z-index: 1; background: var(--ground); aspect-ratio: 16 / 10; }
    }
    .wm-play button:disabled { opacity: 0.5; cursor: default; }`;

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) name.startsWith("on") ? element.addEventListener(name.slice(2), value) : element.setAttribute(name, value);
    element.append(...children); // strings become text, never markup
    return element;
  }

  /** What the address of the page begins with, if it holds a play of this kind of model. */
  const address = ({ kind }) => (kind === "world" ? "#vm=" : "#dream=");

  // ---------------------------------------------------------------- scripts that are loaded when asked for; the real simulator

  let loading; // one for the page

  /** Runs a script that lies beside this one. */
  const load = (name) => new Promise((done, failed) => {
    document.head.append(make("script", { src: new URL(name, SOURCE).href, onload: done, onerror: () => failed(new Error(`its file ${name} is not beside this page's scripts`)) }));
  });

  /** MuJoCo, from the script beside this one or from the page itself. */
  function simulator() {
    const inside = document.querySelector("script.wm-mujoco");
    if (inside && !window.wmMujoco) document.head.append(make("script", {}, inside.textContent));
    if (!inside && !SOURCE) return Promise.reject(new Error("this page does not hold it; make it with wm.play(..., simulator=True)"));
    loading ??= (inside ? Promise.resolve() : load("mujoco.js")).then(() => window.wmMujoco());
    loading.catch(() => { loading = undefined; });
    return loading;
  }

  /** The body in MuJoCo; `qpos`, `qvel` and where the solver begins are all that a step depends on. */
  class Real {
    constructor(mujoco, { xml, skip }) {
      Object.assign(this, { mujoco, skip, model: mujoco.MjModel.from_xml_string(xml) });
      this.data = new mujoco.MjData(this.model);
    }
    set({ qpos, qvel, warm }) {
      const { mujoco, model, data } = this;
      mujoco.mj_resetData(model, data);
      data.qpos.set(qpos);
      data.qvel.set(qvel);
      if (warm) data.qacc_warmstart.set(warm);
      else mujoco.mj_forward(model, data);
    }
    get() { return { qpos: this.data.qpos.slice(), qvel: this.data.qvel.slice(), warm: this.data.qacc_warmstart.slice() }; }
    step(action) {
      this.data.ctrl.set(action.map(Math.fround));
      for (let i = 0; i < this.skip; i++) this.mujoco.mj_step(this.model, this.data);
    }
  }

  // ---------------------------------------------------------------- a play

  class Play {
    constructor(dream) {
      this.dream = dream;
      const silent = { ...dream.controllers[0], W: new Float64Array(dream.controllers[0].W.length), b: new Float64Array(dream.aDim) };
      this.walkers = { [REFLEX]: { ...silent, targets: true }, [ZERO]: { ...silent, targets: false } };
      dream.controllers.forEach((C, i) => { this.walkers[i] = C; });
      this.real = null; // MuJoCo, once it is loaded
      this.begin({});
    }

    /** A new play; nothing but numbers in range is taken from what is given. */
    begin({ seed = 1, start = 0, member = 0, events = [] }) {
      const size = (n, most) => Math.min(Math.max(Math.trunc(n) || 0, 0), most);
      Object.assign(this, { seed: size(seed, 1e6), start: size(start, this.dream.starts.length - 1), member: size(member, this.dream.members - 1), events: events.slice(0, 500) });
      const [qpos, qvel] = this.dream.starts[this.start].map((text) => window.wmDream.numbers(text));
      this.frames = [{ state: this.dream.state([...qpos.subarray(2), ...qvel], qpos[0], qpos[1]) }];
    }

    get last() { return this.frames.length - 1; }

    /** What holds in a step: which C, temperature, shifted joints, MuJoCo beside, awake; and the push at its beginning. */
    settings(frame) {
      const now = { c: 0, tau: this.dream.tau, shift: null, beside: false, awake: false, push: null };
      for (const [at, kind, ...value] of this.events) {
        if (at > frame) break;
        if (kind === "c") now.c = this.walkers[value[0]] || value[0] === RANDOM ? value[0] : 0;
        if (kind === "t") now.tau = Math.min(Math.max(value[0] || 0, 0), 2);
        if (kind === "j" && value[0] in this.dream.driven) (now.shift ??= new Array(this.dream.aDim).fill(0))[value[0]] = window.wmDream.STIFFNESS * value[1];
        if (kind === "m") now.beside = at;
        if (kind === "w") Object.assign(now, { awake: value[0] === 1 && at, beside: false });
        if (kind === "p" && at === frame) now.push = [value[0], value[1]];
      }
      return now;
    }

    /** Something happens at a frame. What was to come after it is forgotten, but for a question to MuJoCo, which changes nothing. */
    happen(frame, kind, ...value) {
      const same = ([at, other, first]) => at === frame && other === kind && (!"jz".includes(kind) || first === value[0]);
      this.events = this.events.filter((event) => !same(event) && (event[0] <= frame || (kind === "m" && event[1] !== "m")));
      this.events.push([frame, kind, ...value]);
      this.events.sort((a, b) => a[0] - b[0]); // stable
      this.cut(frame);
    }

    /** Back to a frame, as it was before anything was done there. */
    cut(frame) {
      this.frames.length = frame + 1;
      const now = this.frames[frame];
      if (now.lent) now.real = now.lent = undefined;
    }

    /** qpos and qvel of a state of the dream, in MuJoCo's order. */
    body({ physics, x, y }) {
      const length = Math.hypot(...physics.subarray(1, 5)) || 1, nq = this.dream.first;
      return { qpos: [x, y, physics[0], ...physics.subarray(1, 5).map((q) => q / length), ...physics.subarray(5, nq)], qvel: [...physics.subarray(nq)] };
    }

    /** The state of a frame, with what was done to its code there. */
    given(frame) {
      const { dream } = this, { real, lent } = this.frames[frame];
      let { state } = this.frames[frame];
      for (const [at, kind, i, value] of dream.zDim ? this.events : []) {
        if (at !== frame) continue;
        if (kind === "z") state = dream.coded(state, state.z.map((z, j) => (j === i ? Math.min(Math.max(value || 0, -MOST_Z), MOST_Z) : z)));
        if (kind === "e") state = dream.coded(state, dream.encode(real && !lent ? [...real.qpos.slice(2), ...real.qvel] : state.physics));
      }
      return state;
    }

    /** C's action in a state, or a random one. */
    chosen(now, state, seed, frame) {
      if (now.c !== RANDOM) return this.dream.act(this.walkers[now.c], state, now.shift);
      const next = window.wmDream.uniform(seed, frame);
      return this.dream.action.map(([low, high]) => low + (high - low) * next());
    }

    /** What a step begins from: the state with a push, if there is one, and the action there. */
    begun(frame, now) {
      const { dream } = this;
      let state = this.given(frame);
      if (now.push) {
        const physics = state.physics.slice();
        now.push.forEach((v, i) => { physics[dream.first + i] += v; });
        state = dream.state(physics, state.x, state.y, state);
      }
      return { state, action: this.chosen(now, state, this.seed + 500_000, frame) };
    }

    /** One frame more; false at an end. */
    next() {
      const { dream, last } = this, frame = this.frames[last], now = this.settings(last);
      const asked = now.awake !== false ? now.awake : now.beside;
      if (frame.ended || last >= MOST || (asked !== false && !this.real)) return false;
      if (asked === last) Object.assign(frame, { real: this.body(this.given(last)), lent: true });
      const { state, action } = this.begun(last, now);
      let real = asked === false ? null : frame.real, after = {};
      if (real && now.push) real = { ...real, qvel: Array.from(real.qvel, (v, i) => v + (now.push[i] ?? 0)) };
      if (real) {
        this.real.set(real);
        this.real.step(action);
        after.real = this.real.get();
      }
      if (now.awake !== false) {
        const { qpos, qvel } = after.real, wrong = ![...qpos, ...qvel].every(Number.isFinite), physics = [...qpos.slice(2), ...qvel];
        after = { ...after, awake: true, state: dream.state(physics, qpos[0], qpos[1], state, action), wrong, ended: wrong || dream.fell(physics) };
      } else after = { ...after, ...dream.step(state, action, dream.noise(this.seed, last), now.tau, this.member) };
      this.frames.push(after);
      return true;
    }

    /** Sampled futures from a frame: of each its states, less than `FUTURE` where it ends. */
    futures(frame, n) {
      const { dream } = this, now = this.settings(frame);
      return Array.from({ length: n }, (_, k) => {
        const states = [this.given(frame)];
        for (let t = 0, over = false; t < FUTURE && !over; t++) {
          const state = states.at(-1), seed = 7000 + 100 * this.seed + k, action = this.chosen(now, state, seed, frame + t);
          const after = dream.step(state, action, dream.noise(seed, frame + t), now.tau, this.member);
          if (!after.wrong) states.push(after.state);
          over = after.ended;
        }
        return states;
      });
    }

    /** As text for an address, and back. */
    toText(frame) {
      return [[this.seed, this.start, this.member, frame].join(","), ...this.events.map(([at, kind, ...value]) => `${at}${kind}${value.join(",")}`)].join(";");
    }
    static parse(text) {
      const [head, ...rest] = text.split(";"), [seed, start, member, frame] = head.split(",").map(Number);
      if (![seed, start, member, frame].every((n) => Number.isInteger(n) && n >= 0)) return null;
      const events = rest.map((part) => part.match(/^(\d{1,4})([ctpjmwze])([-\d.,]*)$/)).filter(Boolean)
        .map(([, at, kind, value]) => [Number(at), kind, ...(value ? value.split(",").map(Number) : [])]).filter((event) => event.slice(2).every((n) => Math.abs(n) <= 100));
      return { seed, start, member, events: events.sort((a, b) => a[0] - b[0]), frame: Math.min(frame, MOST) };
    }
  }

  // ---------------------------------------------------------------- the widget

  class Widget {
    constructor(root, viewer, dream) {
      Object.assign(this, { root, viewer, play: new Play(dream), fan: null, busy: false, address: address(dream), held: new Map() });
      this.heights = [new Float32Array(MOST + 1).fill(NaN), new Float32Array(MOST + 1).fill(NaN)];
      this.distance = new Float32Array(MOST + 1).fill(NaN);
      const { tracks, strip } = viewer.scene;
      tracks[0].seen = (frame) => !this.play.frames[frame]?.awake;
      tracks[1].seen = (frame) => !!this.play.frames[frame]?.real;
      tracks.slice(2).forEach((track, k) => Object.assign(track, { seen: (frame) => this.fan?.at === frame, alpha: 0.28 }));
      this.panels = strip;
      viewer.grow = () => this.grow();
      viewer.changed = () => this.changed();
      viewer.keys = Object.fromEntries([["Up", "forward"], ["Down", "back"], ["Left", "left"], ["Right", "right"]].map(([key, side]) => [`ShiftArrow${key}`, () => this.push(...SIDES[side])]));
      this.build();
      this.fill(0);
      viewer.reach(0);
      viewer.show(0);
      if (dream.paused) viewer.play(false);
      this.restore();
      if (SOURCE) window.addEventListener("hashchange", () => this.restore());
    }

    build() {
      const { dream } = this.play, keyed = Object.values(KEYS).every(([name]) => dream.joints.includes(name)), options = (list) => list.map(([value, text]) => make("option", { value }, text));
      const choose = (name, list, onchange) => { const select = make("select", { "aria-label": name, onchange }, ...options(list)); return [select, make("label", {}, name, select)]; };
      const range = (name, min, max, step, onchange) => {
        const input = make("input", { type: "range", "aria-label": name, min, max, step, onchange, oninput: () => { shown.textContent = Number(input.value).toFixed(2); } }), shown = make("span", { class: "wm-value" });
        return [input, make("label", {}, name, input, shown), shown];
      };
      const button = (text, onclick, attributes = {}) => make("button", { type: "button", onclick, ...attributes }, text);
      const [c, cs] = choose("C", [...dream.controllers.map(({ name }, i) => [i, name]), [REFLEX, dream.targets ? "the reflex alone" : "held joints"], [ZERO, "zero action"], [RANDOM, "random actions"]], () => this.event("c", Number(this.c.value)));
      const [tau, taus, tauShown] = range("temperature", 0, 2, 0.05, () => this.event("t", Number(this.tau.value)));
      const z = dream.zDim ? dream.liveliest(this.play.frames[0].state.z) : [];
      this.sliders = z.slice(0, SLIDERS).map((number) => {
        const [input, label, shown] = range(`z ${number}`, -MOST_Z, MOST_Z, 0.05, () => {});
        input.addEventListener("input", () => {
          const value = Number(input.value); // before the controls show the frame again
          this.viewer.play(false);
          this.event("z", number, value);
        });
        return { number, input, label, shown };
      });
      const [number, numbers] = choose("M's answer for", z.map((i) => [i, `z ${i}`]), () => this.mixture());
      this.curve = make("canvas", { class: "wm-mixture", "aria-hidden": "true" });
      this.read = make("p", { class: "wm-said" });
      const [member, members] = choose("member of M", Array.from({ length: dream.members }, (_, i) => [i, i + 1]), () => this.again({ member: Number(this.member.value) }));
      const [strength, strengths] = choose("push", [0.4, 0.8, 1.2, 1.6].map((v) => [v, `${v} m/s`]));
      strength.value = "0.8";
      const [joint, joints] = choose("joint", dream.joints.map((name, i) => [i, name.replaceAll("_", " ")]), () => this.label());
      const [angle, angles, angleShown] = range(dream.targets ? "its target (rad)" : "its pull", -1, 1, 0.05, () => this.event("j", Number(this.joint.value), Number(this.angle.value)));
      Object.assign(this, { c, tau, tauShown, member, strength, joint, angle, angleShown, number });
      this.fanButton = button("Show five futures", () => this.futures());
      this.askButton = button(`Ask MuJoCo (loads ${MEGABYTES} MB)`, () => this.ask("m"));
      this.wakeButton = button("Wake up", () => this.ask("w"));
      this.said = make("p", { class: "wm-said", role: "status" });
      const bar = (name, ...children) => make("div", { class: "wm-bar", role: "group", "aria-label": name }, ...children);
      const sides = Object.entries(SIDES).map(([side, way]) => button(MARKS[side], () => this.push(...way), { class: "wm-side", "aria-label": `Push ${side}`, title: `Push ${side} (Shift and an arrow key in the scene)` }));
      const link = button("Copy a link", () => this.copy());
      const figure = this.viewer.root.querySelector("figure"), step = button("One step", () => { this.viewer.play(false); this.viewer.forward(); });
      figure.querySelector(".wm-bar").before(this.said);
      const encode = button("Encode this pose", () => { this.viewer.play(false); this.event("e"); }, { title: "z becomes what V sees: of MuJoCo's body where that is shown, else of the dreamed one" });
      const inside = z.length ? [bar("V: numbers of the code", ...this.sliders.map(({ label }) => label), encode), bar("M: the next code", numbers), this.curve, this.read] : [];
      figure.append(bar("Who acts, and in which dream", cs, taus, ...(dream.members > 1 ? [members] : [])), ...inside, bar("Push the torso", strengths, ...sides, step), bar("Move a joint", joints, angles), ...(keyed ? [make("p", { class: "wm-help" }, KEYED)] : []),
        bar("What else", button("Undo", () => this.undo(), { title: "Take back what was done last" }), button("Start again", () => this.again({})), button("Another start", () => this.again({ seed: this.play.seed + 1, start: (this.play.start + 1) % dream.starts.length }), { title: "Another real start, and other noise" }),
          this.fanButton, this.askButton, this.wakeButton, ...(SOURCE ? [link] : [])));
      this.viewer.canvas.setAttribute("aria-label", `The body as this page dreams it. Drag or use the arrow keys to turn, Shift and an arrow key to push, plus and minus to zoom, space to play, comma and full stop to step.${keyed ? ` ${KEYED}` : ""}`);
      this.dragging();
      if (keyed) this.holding();
      this.label();
    }

    /** Joints are driven by keys as long as these are held, and only while the scene has the focus. */
    holding() {
      const { canvas } = this.viewer, drop = (joint) => { if (this.held.delete(joint)) this.event("j", joint, 0); };
      const of = (event) => (event.ctrlKey || event.metaKey || event.altKey ? [] : KEYS[event.key.toLowerCase()] ?? []);
      canvas.addEventListener("keydown", (event) => {
        const [name, side] = of(event), joint = this.play.dream.joints.indexOf(name);
        if (joint < 0) return;
        event.preventDefault();
        event.stopPropagation(); // JupyterLab has keys of its own
        if (this.held.get(joint) === side) return; // the key repeats itself
        this.held.set(joint, side);
        this.event("j", joint, side);
      });
      canvas.addEventListener("keyup", (event) => {
        const [name, side] = KEYS[event.key.toLowerCase()] ?? [], joint = this.play.dream.joints.indexOf(name);
        if (this.held.get(joint) === side) drop(joint);
      });
      canvas.addEventListener("blur", () => [...this.held.keys()].forEach(drop));
    }

    /** A drag that begins on the torso pushes it, along the floor. */
    dragging() {
      const { viewer } = this, figure = viewer.root.querySelector("figure");
      figure.addEventListener("pointerdown", (event) => {
        const box = viewer.canvas.getBoundingClientRect(), spot = viewer.spot(viewer.shown()[0] ?? 0, 1), from = [event.clientX, event.clientY];
        if (event.target !== viewer.canvas || Math.hypot(from[0] - box.left - spot.x, from[1] - box.top - spot.y) > box.height / 12) return;
        event.stopPropagation(); // the camera stays
        event.preventDefault();
        viewer.canvas.focus({ preventScroll: true });
        addEventListener("pointerup", ({ clientX, clientY }) => {
          const look = viewer.controls.target.clone().sub(viewer.camera.position), far = Math.hypot(look.x, look.y) || 1, dx = (clientX - from[0]) / 80, dy = (from[1] - clientY) / 80;
          const [ahead, side] = [look.x / far, look.y / far], size = Math.hypot(dx, dy);
          if (size < 0.1) return;
          const most = Math.min(1, 2 / size);
          this.push((ahead * dy + side * dx) * most, (side * dy - ahead * dx) * most, 1);
        }, { once: true });
      }, { capture: true });
    }

    /** Numbers of a frame: where the bodies are, and the curves. */
    fill(frame) {
      const { viewer, play } = this, { real, awake } = play.frames[frame], { qpos } = play.body(play.given(frame));
      const drawn = qpos.every(Number.isFinite) ? qpos : play.body(play.frames[Math.max(frame - 1, 0)].state).qpos.map((value) => value || 0);
      viewer.put(0, frame, drawn);
      viewer.put(1, frame, real?.qpos.every(Number.isFinite) ? real.qpos : drawn);
      this.heights[0][frame] = awake ? NaN : qpos[2];
      this.heights[1][frame] = real ? real.qpos[2] : NaN;
      this.distance[frame] = real && !awake ? Math.hypot(...[0, 1, 2].map((i) => real.qpos[i] - qpos[i])) : NaN;
    }

    grow() {
      if (!this.play.next()) return false;
      this.fill(this.play.last - 1); // MuJoCo may have been asked since
      this.fill(this.play.last);
      this.viewer.reach(this.play.last);
      return true;
    }

    /** Makes frames up to one, in slices, so that the page stays alive. */
    async run(to) {
      const job = (this.job = {}), { viewer } = this;
      for (let slice = performance.now(); this.play.last < to && this.grow();) {
        if (performance.now() - slice < 40) continue;
        await new Promise((done) => setTimeout(done));
        if (this.job !== job) return;
        slice = performance.now();
      }
      viewer.show(Math.min(to, this.play.last));
    }

    /** After a change: the curves, what is chosen, and what is to be said. */
    changed() {
      const { viewer, play } = this, { frame } = viewer;
      if (!this.said || !play.frames[frame]) return;
      if (this.fan && this.fan.at !== frame) this.fan = null;
      const upto = play.last + 1, [height, apart] = this.panels, colours = viewer.scene.tracks.map((track) => track.colour);
      height.lines = [0, 1].map((t) => ({ values: this.heights[t].subarray(0, upto), colour: colours[t], dash: t ? [6, 3] : [] }))
        .concat(this.fan ? this.fan.states.map((states) => ({ values: Float32Array.from(states, ({ physics }) => physics[0]), from: frame, colour: colours[0], dash: [2, 2] })) : []);
      apart.lines = [{ values: this.distance.subarray(0, upto), colour: "", dash: [] }];
      // The distance is shown once there are two bodies.
      viewer.scene.strip = apart.lines[0].values.filter(Number.isFinite).length > 1 ? this.panels : this.panels.slice(0, 1);
      viewer.strip.style.height = `${56 * viewer.scene.strip.length + 4}px`;
      this.label();
      const now = play.frames[frame], over = frame === play.last && (now.ended || frame >= MOST), real = now.real && !now.awake;
      this.say(now.wrong ? "A number of this state is not finite, so the play ends here. Go back on the timeline, or start again."
        : over && now.ended ? `${now.awake ? "Awake, it" : "In the dream it"} fell after ${(frame * this.play.dream.dt).toFixed(2)} s. Go back on the timeline, or start again.`
          : over ? "This is as long as a play can be. Go back on the timeline, or start again."
            : now.awake ? "Awake: C acts in MuJoCo, and nothing is dreamed." : real && !(now.real.qpos[2] > play.dream.healthy[1]) ? "The dream still stands; in MuJoCo the same actions fell."
              : real ? "Violet is dreamed; orange is MuJoCo with the same actions." : this.fan ? this.fan.text : "Asleep: every frame is made by this page as you watch. No simulator is asked.");
      if (!viewer.playing) this.keep();
    }

    /** M's answer for one number of the next code as a curve, at this temperature and, in grey, at 1; and what is drawn from it. */
    mixture() {
      const { play, viewer, curve } = this, { dream } = play, { frame } = viewer, now = play.settings(frame), number = Number(this.number.value), ratio = devicePixelRatio;
      const { state, action } = play.begun(frame, now), said = dream.predict(state, action), drawn = dream.sample(said, dream.noise(play.seed, frame), now.tau)[number];
      const usual = dream.hills(said, number, 1), sum = (value) => usual.reduce((total, hill) => total + hill[0] * value(hill), 0);
      const middle = sum(([, mu]) => mu), half = 4 * Math.sqrt(Math.max(1, now.tau) * sum(([, mu, width]) => width ** 2 + (mu - middle) ** 2)) || 1;
      const density = (hills) => Array.from({ length: 241 }, (_, i) => hills.reduce((total, [weight, mu, width]) => {
        const wide = Math.max(width, half / 120); // at temperature 0 a needle
        return total + weight / wide * Math.exp(-0.5 * ((middle + (i / 120 - 1) * half - mu) / wide) ** 2);
      }, 0));
      const lines = [[density(usual), "#767676"], [density(dream.hills(said, number, now.tau)), MODEL]], most = Math.max(...lines.flatMap(([line]) => line));
      const width = Math.round(curve.clientWidth * ratio), height = Math.round(curve.clientHeight * ratio), x = (value) => width / 2 + (value - middle) / half * (width / 2 - 8 * ratio);
      Object.assign(curve, { width, height });
      const pen = curve.getContext("2d"), ink = getComputedStyle(this.read).color;
      pen.lineWidth = 2 * ratio;
      for (const [line, colour] of lines) {
        pen.strokeStyle = colour;
        pen.beginPath();
        line.forEach((value, i) => pen.lineTo(x(middle + (i / 120 - 1) * half), height - (18 + value / most * 66) * ratio));
        pen.stroke();
      }
      pen.fillStyle = viewer.scene.tracks[0].colour;
      pen.fillRect(x(drawn) - ratio, 4 * ratio, 2 * ratio, height - 22 * ratio);
      pen.fillStyle = ink;
      pen.font = `${11.5 * ratio}px system-ui, sans-serif`;
      for (const [at, align] of [[-1, "left"], [0, "center"], [1, "right"]]) {
        pen.textAlign = align;
        pen.fillText((middle + at * half).toFixed(2), x(middle + at * half), height - 4 * ratio);
      }
      this.read.textContent = `z ${number} is ${state.z[number].toFixed(2)} now. M's mixture for the next step: blue at this temperature, grey at 1. Violet: the number that is drawn, ${drawn.toFixed(2)}.`;
    }

    say(text) { if (this.note ?? text !== this.said.textContent) this.said.textContent = this.note ?? text; }

    /** The controls show what holds at this frame. */
    label() {
      const now = this.play.settings(this.viewer.frame ?? 0), set = (input, value) => { if (document.activeElement !== input || input.tagName === "SELECT") input.value = value; };
      set(this.c, now.c);
      set(this.tau, now.tau);
      set(this.member, this.play.member);
      set(this.angle, (now.shift?.[Number(this.joint.value)] ?? 0) / window.wmDream.STIFFNESS);
      this.tauShown.textContent = Number(this.tau.value).toFixed(2);
      this.angleShown.textContent = Number(this.angle.value).toFixed(2);
      this.wakeButton.textContent = now.awake !== false ? "Dream on" : "Wake up";
      if (this.play.real) this.askButton.textContent = "Ask MuJoCo";
      const { z } = this.play.given(this.viewer.frame ?? 0);
      for (const { number, input, shown } of this.sliders) {
        input.value = z[number];
        shown.textContent = z[number].toFixed(2);
      }
      if (z && this.curve.isConnected) this.mixture();
      this.askButton.disabled = this.busy || now.awake !== false;
      this.wakeButton.disabled = this.busy;
    }

    /** Something happens at the frame that is shown. */
    event(kind, ...value) {
      const { viewer, play } = this, { frame } = viewer, { last } = play;
      this.fan = null;
      play.happen(frame, kind, ...value);
      this.cleared(frame);
      if (kind === "m") this.run(last);
      else if (!viewer.playing && !still.matches && !"tcze".includes(kind)) viewer.play(true);
    }

    /** Takes back what was done last, and goes to the frame where it was done. */
    undo() {
      const done = this.play.events.pop();
      if (!done) return;
      this.viewer.play(false);
      this.fan = null;
      const frame = Math.min(done[0], this.play.last);
      this.play.cut(frame);
      this.cleared(frame);
    }

    cleared(frame) {
      for (const curve of [...this.heights, this.distance]) curve.fill(NaN, frame + 1);
      this.job = null;
      this.fill(frame);
      this.viewer.reach(frame);
      this.viewer.show(frame);
    }

    push(x, y, strength = Number(this.strength.value)) { this.event("p", ...[x, y].map((v) => Math.round(100 * strength * v) / 100)); }

    /** A new play with the same choices. */
    again(changes) {
      const { play, viewer } = this, now = play.settings(viewer.frame);
      play.begin({ seed: play.seed, start: play.start, member: play.member, ...changes, events: [[0, "c", now.c], [0, "t", now.tau]] });
      this.fan = null;
      this.cleared(0);
    }

    /** Sampled futures from this frame, as pale bodies that go ahead once and stay where they came to. */
    futures() {
      const { viewer, play } = this, at = viewer.frame, ghosts = viewer.scene.tracks.length - 2;
      viewer.play(false);
      const states = play.futures(at, ghosts), heights = states.map((one) => one.at(-1).physics[0]), [, low] = play.dream.healthy;
      const fan = (this.fan = { at, states, text: `Five futures, ${(FUTURE * play.dream.dt).toFixed(1)} s ahead: the torso is at ${Math.min(...heights).toFixed(2)} to ${Math.max(...heights).toFixed(2)} m, ${heights.filter((height) => !(height > low)).length} fell.` });
      const show = (t) => {
        states.forEach((one, k) => viewer.put(2 + k, 0, play.body(one[Math.min(t, one.length - 1)]).qpos));
        viewer.show(at);
      };
      const begun = performance.now(), move = (time) => {
        if (this.fan !== fan) return;
        const t = Math.min(Math.max(0, Math.floor((time - begun) / 1000 / play.dream.dt)), FUTURE);
        show(t);
        if (t < FUTURE) requestAnimationFrame(move);
      };
      still.matches ? show(FUTURE) : requestAnimationFrame(move);
    }

    /** Loads MuJoCo; null, with a line, where that fails. */
    async load() {
      if (this.play.real) return true;
      Object.assign(this, { busy: true, note: "MuJoCo is being loaded ..." });
      this.changed();
      let wrong = "";
      try {
        this.play.real = new Real(await simulator(), this.play.dream);
      } catch (error) {
        wrong = `MuJoCo could not be started: ${error.message}.`;
      }
      Object.assign(this, { busy: false, note: wrong || undefined });
      this.changed();
      this.note = undefined;
      return !wrong;
    }

    async ask(kind) {
      if (!(await this.load())) return;
      if (kind === "m") this.event("m");
      else this.event("w", this.play.settings(this.viewer.frame).awake === false ? 1 : 0);
    }

    // The address of the page holds the play.

    keep() {
      clearTimeout(this.later);
      const mine = location.hash ? location.hash.startsWith(this.address) : this.viewer.frame || this.play.events.length; // another's address, or a section's, stays
      if (SOURCE && !this.restoring && mine) this.later = setTimeout(() => { if (!this.viewer.playing) history.replaceState(null, "", this.address + this.play.toText(this.viewer.frame)); }, 300);
    }

    async copy() {
      history.replaceState(null, "", this.address + this.play.toText(this.viewer.frame));
      const copied = await navigator.clipboard?.writeText(location.href).then(() => true, () => false);
      this.note = copied ? "Copied. Whoever opens the link sees this frame." : "The address of this page is now the link: copy it from the browser.";
      this.changed();
      this.note = undefined;
    }

    async restore() {
      if (!SOURCE || !location.hash.startsWith(this.address)) return;
      const given = Play.parse(location.hash.slice(this.address.length));
      if (!given) {
        this.note = "This link cannot be read, so a new play begins.";
        this.changed();
        this.note = undefined;
        return;
      }
      this.restoring = true;
      this.root.scrollIntoView({ block: "nearest" });
      this.viewer.play(false);
      this.play.begin(given);
      this.cleared(0);
      const asks = given.events.some(([at, kind]) => at < given.frame && "mw".includes(kind));
      if (!asks || (await this.load())) await this.run(given.frame);
      this.restoring = false;
    }
  }

  /** Begins a play: the controls, on the viewer that stands there. */
  function begin(root, data) {
    const { viewer } = root.querySelector(".wm-viewer");
    try {
      root.play = new Widget(root, viewer, window.wmDream.make({ ...window.wmModels[root.dataset.key], ...data }));
    } catch (error) {
      wrong(root, error);
    }
  }

  function wrong(root, error) {
    const place = root.querySelector(".wm-viewer");
    place.viewer.play(false);
    place.querySelector("figure")?.remove();
    place.querySelector(".wm-still").hidden = false;
    root.append(make("p", { class: "wm-wrong" }, `This dream cannot be played: ${error.message}. The picture shows its first frame.`));
  }

  /** A button that loads the model, a script beside this one. The viewer's own play does the same, and so does a link to a play of this kind. */
  function offer(root, data) {
    const { viewer } = root.querySelector(".wm-viewer"), { key, size } = root.dataset;
    const start = () => {
      if (button.disabled) return;
      button.disabled = true;
      button.textContent = "The model is being loaded ...";
      load(`play-${key}.js`).then(() => {
        bar.remove();
        viewer.strip.hidden = false;
        viewer.grow = null;
        viewer.play(!still.matches);
        viewer.canvas.focus({ preventScroll: true });
        begin(root, data);
      }, (error) => wrong(root, error));
    };
    const button = make("button", { type: "button", class: "wm-start", onclick: start }, `Start the dream (loads ${size} MB)`), bar = make("div", { class: "wm-bar" }, button);
    const linked = () => { if (location.hash.startsWith(address(data))) start(); };
    viewer.play(false);
    viewer.strip.hidden = true; // nothing is dreamed yet
    viewer.grow = () => { start(); return false; };
    viewer.root.querySelector("figure > .wm-bar").before(bar);
    addEventListener("hashchange", linked);
    linked();
  }

  function mount() {
    for (const root of document.querySelectorAll(".wm-play[data-key]:not([data-ready])")) {
      if (!root.querySelector(".wm-viewer")?.viewer) continue; // the still picture stays
      root.dataset.ready = "";
      try {
        const data = JSON.parse(root.querySelector("script.wm-dream").textContent);
        if (!data.kind) throw new Error("its data are damaged");
        if (SOURCE && !window.wmModels?.[root.dataset.key]) offer(root, data);
        else begin(root, data);
      } catch (error) {
        wrong(root, error);
      }
    }
  }

  if (window.wmPlay) return window.wmPlay.mount();
  window.wmPlay = { mount, Play, Real, simulator };
  document.head.append(make("style", {}, STYLE));
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", mount);
  mount();
})();
