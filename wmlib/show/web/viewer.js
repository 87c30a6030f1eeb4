// The viewer of wmlib.show.viewer: draws the trajectories that a page holds as JSON beside a still picture.
//
// Three parts: the pose of a body from its qpos (as MuJoCo's mj_kinematics has it), two painters (three.js through one
// WebGL context for the whole page; lines on a canvas where there is no fast WebGL), and the controls. The camera, the
// floor and the shadows are the same for both painters. `?draw=3d` and `?draw=2d` in the page's address choose a painter.
//
// A live scene grows while it is watched: whoever makes its frames sets `grow`, which appends one with `put` and `reach`, or says
// that there are no more. Slider, keys, curves and speed are then a timeline of what was made.
(() => {
  "use strict";
  if (window.wmViewer) return window.wmViewer.mount();
  const T = window.WMThree;
  if (!T) return; // the still pictures stay
  const FREE = 0, BALL = 1, SLIDE = 2; // mjtJoint; 3 is a hinge
  const SPHERE = 2, CAPSULE = 3, ELLIPSOID = 4, CYLINDER = 5, BOX = 6; // mjtGeom
  const SPEEDS = [2, 1, 0.5, 0.25, 0.1];
  const HOLD = 0.8; // seconds that the last frame stays before the loop begins again
  const still = matchMedia("(prefers-reduced-motion: reduce)");

  // ---------------------------------------------------------------- the pose of a body

  const vector = (a, i = 0) => new T.Vector3(a[i], a[i + 1], a[i + 2]);
  const rotation = (a, i = 0) => new T.Quaternion(a[i + 1], a[i + 2], a[i + 3], a[i]); // MuJoCo: w first; three.js: w last

  /** Place and rotation of every body and geom of a model at one qpos. */
  function pose(model, qpos) {
    const bodies = [{ p: new T.Vector3(), q: new T.Quaternion() }];
    for (let b = 1; b < model.parent.length; b++) {
      const joints = model.joints.filter((joint) => joint.body === b);
      let p, q;
      if (joints.length && joints[0].type === FREE) {
        const at = joints[0].at;
        p = vector(qpos, at);
        q = rotation(qpos, at + 3);
        q = q.length() < 1e-12 ? new T.Quaternion() : q.normalize();
      } else {
        const parent = bodies[model.parent[b]];
        p = vector(model.pos[b]).applyQuaternion(parent.q).add(parent.p);
        q = parent.q.clone().multiply(rotation(model.quat[b]));
        for (const joint of joints) {
          const axis = vector(joint.axis), value = qpos[joint.at] - joint.rest;
          if (joint.type === SLIDE) {
            p.addScaledVector(axis.applyQuaternion(q), value);
            continue;
          }
          const anchor = vector(joint.pos).applyQuaternion(q).add(p);
          q.multiply(joint.type === BALL ? rotation(qpos, joint.at).normalize() : new T.Quaternion().setFromAxisAngle(axis, value));
          p = anchor.sub(vector(joint.pos).applyQuaternion(q));
        }
        q.normalize();
      }
      bodies.push({ p, q });
    }
    const geoms = model.geoms.map((geom) => {
      const { p, q } = bodies[geom.body];
      return { p: vector(geom.pos).applyQuaternion(q).add(p), q: q.clone().multiply(rotation(geom.quat)) };
    });
    return { bodies, geoms };
  }

  // ---------------------------------------------------------------- what a page holds

  function floats(text) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return new Float32Array(bytes.buffer);
  }

  /** Reads a viewer's JSON; throws one line where something is missing or does not fit. */
  function read(text) {
    const scene = JSON.parse(text);
    for (const key of ["dt", "nq", "model", "tracks", "view", "strip", "label", "ghost"]) {
      if (!(key in scene)) throw new Error(`'${key}' is missing`);
    }
    if (!scene.tracks.length) throw new Error("there is no track");
    for (const track of scene.tracks) {
      track.qpos = floats(track.qpos);
      track.n = track.qpos.length / scene.nq;
      if (!Number.isInteger(track.n) || track.n < 1) throw new Error(`the frames of '${track.name}' do not fit the body`);
      if (!track.qpos.every(Number.isFinite)) throw new Error(`a frame of '${track.name}' is not finite`);
    }
    for (const panel of scene.strip) for (const line of panel.lines) line.values = floats(line.values);
    return scene;
  }

  // ---------------------------------------------------------------- two painters

  let shared; // the page's one WebGL renderer; null where there is none, or only a slow one

  function renderer() {
    if (shared !== undefined) return shared;
    const wanted = new URLSearchParams(location.search).get("draw");
    const canvas = document.createElement("canvas");
    const options = { alpha: true, antialias: true, failIfMajorPerformanceCaveat: wanted !== "3d" };
    shared = null;
    try {
      const context = wanted === "2d" ? null : canvas.getContext("webgl2", options);
      if (context && (wanted === "3d" || !isSlow(context))) shared = new T.WebGLRenderer({ canvas, context, alpha: true, antialias: true });
    } catch {
      shared = null; // drawn with lines instead
    }
    canvas.addEventListener("webglcontextlost", (event) => { event.preventDefault(); api.lost++; shared = null; redraw(); });
    return shared;
  }

  /** Whether WebGL is drawn by the processor: lines on a canvas are then many times quicker. */
  function isSlow(context) {
    const info = context.getExtension("WEBGL_debug_renderer_info");
    const name = context.getParameter(info ? info.UNMASKED_RENDERER_WEBGL : context.RENDERER);
    return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(name);
  }

  function geometry(geom) {
    const [a, b, c] = geom.size;
    if (geom.type === CAPSULE) return new T.CapsuleGeometry(a, 2 * b, 8, 20).rotateX(Math.PI / 2);
    if (geom.type === CYLINDER) return new T.CylinderGeometry(a, a, 2 * b, 24).rotateX(Math.PI / 2);
    if (geom.type === BOX) return new T.BoxGeometry(2 * a, 2 * b, 2 * c);
    if (geom.type === ELLIPSOID) return new T.SphereGeometry(1, 24, 16).scale(a, b, c);
    return new T.SphereGeometry(a, 24, 16);
  }

  /** The bodies in three.js. A layer is drawn by itself, so that a ghost is one pale shape and not a heap of pale parts. */
  class Solid {
    constructor(scene) {
      this.world = new T.Scene();
      this.world.add(new T.HemisphereLight(0xffffff, 0x9a908a, 2.9));
      const sun = new T.DirectionalLight(0xffffff, 2.6);
      sun.position.set(-2, -4, 6);
      this.world.add(sun);
      const shapes = scene.model.geoms.map(geometry);
      this.meshes = scene.tracks.map((track) => scene.model.geoms.map((geom, g) => {
        const mesh = new T.Mesh(shapes[g], new T.MeshLambertMaterial({ color: new T.Color(track.colour).multiplyScalar(geom.shade) }));
        this.world.add(mesh);
        return mesh;
      }));
    }
    layer(camera, poses, shown, width, height) {
      const canvas = shared.domElement;
      if (canvas.width < width || canvas.height < height) {
        shared.setSize(Math.max(canvas.width, width), Math.max(canvas.height, height), false);
      }
      this.meshes.forEach((meshes, t) => meshes.forEach((mesh, g) => {
        mesh.visible = shown.includes(t);
        mesh.position.copy(poses[t].geoms[g].p);
        mesh.quaternion.copy(poses[t].geoms[g].q);
      }));
      shared.setViewport(0, 0, width, height);
      shared.setScissor(0, 0, width, height);
      shared.setScissorTest(true);
      shared.setClearColor(0x000000, 0);
      shared.clear();
      shared.render(this.world, camera);
      return [canvas, 0, canvas.height - height, width, height];
    }
  }

  /** A geom as a thick line with round ends: its two ends and its radius. */
  function segment(geom, { p, q }) {
    const round = geom.type === SPHERE || geom.type === ELLIPSOID;
    const half = geom.type === BOX ? Math.max(...geom.size) : round ? 0 : geom.size[1];
    const radius = geom.type === BOX ? Math.min(...geom.size) : geom.size[0];
    const axis = geom.type === BOX ? geom.size.indexOf(Math.max(...geom.size)) : 2;
    const along = new T.Vector3().setComponent(axis, half).applyQuaternion(q);
    return { a: p.clone().sub(along), b: p.clone().add(along), radius };
  }

  /** The bodies as thick lines, far ones first: no WebGL at all. */
  class Lines {
    constructor(scene) {
      this.scene = scene;
      this.canvas = document.createElement("canvas");
    }
    layer(camera, poses, shown, width, height, dark) {
      Object.assign(this.canvas, { width, height });
      const pen = this.canvas.getContext("2d", { willReadFrequently: true }), parts = [], look = camera.getWorldDirection(new T.Vector3());
      for (const t of shown) this.scene.model.geoms.forEach((geom, g) => {
        const { a, b, radius } = segment(geom, poses[t].geoms[g]);
        const lean = Math.abs(b.clone().sub(a).normalize().dot(look)); // parts that point at the eye are darker
        const colour = new T.Color(this.scene.tracks[t].colour).multiplyScalar(geom.shade * (1 - 0.25 * lean));
        const depth = a.clone().add(b).multiplyScalar(0.5).sub(camera.position).dot(look);
        parts.push({ a: project(a, camera, width, height), b: project(b, camera, width, height), wide: 2 * radius * scaleAt(depth, camera, height), depth, colour });
      });
      parts.sort((one, other) => other.depth - one.depth);
      pen.lineCap = "round";
      for (const { a, b, wide, colour, depth } of parts) {
        if (depth <= camera.near) continue;
        const edge = Math.max(1, height / 300), lit = colour.clone().lerp(new T.Color(0xffffff), 0.22);
        stroke(pen, a, b, wide, dark ? "rgba(15, 15, 15, 1)" : "rgba(255, 255, 255, 1)");
        stroke(pen, a, b, wide - edge, colour.getStyle());
        const shift = wide * 0.18;
        stroke(pen, { x: a.x - shift, y: a.y - shift }, { x: b.x - shift, y: b.y - shift }, wide * 0.28, lit.getStyle());
      }
      return [this.canvas, 0, 0, width, height];
    }
  }

  function stroke(pen, a, b, wide, style) {
    pen.beginPath();
    pen.moveTo(a.x, a.y);
    pen.lineTo(b.x + 0.01, b.y); // a round cap needs some length
    pen.lineWidth = Math.max(wide, 0.5);
    pen.strokeStyle = style;
    pen.stroke();
  }

  function project(point, camera, width, height) {
    const p = point.clone().project(camera);
    return { x: (p.x + 1) / 2 * width, y: (1 - p.y) / 2 * height };
  }

  /** Pixels per metre at a depth. */
  const scaleAt = (depth, camera, height) => height / (2 * Math.tan(camera.fov * Math.PI / 360) * Math.max(depth, camera.near));

  /** The floor: lines half a metre apart around the point that the camera looks at, paler far away. */
  function drawFloor(pen, camera, centre, width, height, dark) {
    const REACH = 5, x0 = Math.round(centre.x), y0 = Math.round(centre.y), look = camera.getWorldDirection(new T.Vector3());
    const middle = project(new T.Vector3(centre.x, centre.y, 0), camera, width, height);
    const fade = pen.createRadialGradient(middle.x, middle.y, 0, middle.x, middle.y, 0.75 * width);
    fade.addColorStop(0, dark ? "rgba(160, 175, 175, 1)" : "rgba(95, 100, 110, 1)");
    fade.addColorStop(1, dark ? "rgba(160, 175, 175, 0)" : "rgba(95, 100, 110, 0)");
    pen.strokeStyle = fade;
    pen.lineWidth = height / 380;
    for (const whole of [true, false]) {
      pen.globalAlpha = whole ? 0.6 : 0.22;
      pen.beginPath();
      for (let i = -2 * REACH; i <= 2 * REACH; i++) for (const turn of [0, 1]) {
        if ((i % 2 === 0) !== whole) continue;
        const a = turn ? new T.Vector3(x0 + i / 2, y0 - REACH, 0) : new T.Vector3(x0 - REACH, y0 + i / 2, 0);
        const b = turn ? new T.Vector3(x0 + i / 2, y0 + REACH, 0) : new T.Vector3(x0 + REACH, y0 + i / 2, 0);
        const da = a.clone().sub(camera.position).dot(look) - 0.2, db = b.clone().sub(camera.position).dot(look) - 0.2;
        if (da < 0 && db < 0) continue;
        if (da < 0 || db < 0) (da < 0 ? a : b).copy(a.clone().lerp(b, da / (da - db))); // what lies behind the camera is cut off
        const from = project(a, camera, width, height), to = project(b, camera, width, height);
        pen.moveTo(from.x, from.y);
        pen.lineTo(to.x, to.y);
      }
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }

  /** Shadows straight down, as one shape. */
  function drawShadow(pen, sheet, scene, camera, poses, shown, width, height) {
    Object.assign(sheet, { width, height });
    const ink = sheet.getContext("2d", { willReadFrequently: !renderer() }), look = camera.getWorldDirection(new T.Vector3());
    ink.lineCap = "round";
    for (const t of shown) scene.model.geoms.forEach((geom, g) => {
      const { a, b, radius } = segment(geom, poses[t].geoms[g]);
      a.z = b.z = 0;
      const depth = a.clone().add(b).multiplyScalar(0.5).sub(camera.position).dot(look);
      if (depth > 0.2) stroke(ink, project(a, camera, width, height), project(b, camera, width, height), 1.6 * radius * scaleAt(depth, camera, height), "#000");
    });
    pen.globalAlpha = 0.2;
    pen.drawImage(sheet, 0, 0);
    pen.globalAlpha = 1;
  }

  // ---------------------------------------------------------------- the controls

  const STYLE = `
    .wm-viewer { --ink: #24292f; --ground: #f6f6f4; --line: #c9c9c4; position: relative; max-width: 47rem; margin: 0.4rem 0; color: var(--ink); font: 14px/1.35 system-ui, sans-serif; }
    .wm-viewer[data-dark] { --ink: #e6e6e3; --ground: #1b1d20; --line: #4a4d52; }
    .wm-viewer figure { margin: 0; border: 1px solid var(--line); border-radius: 6px; background: var(--ground); overflow: hidden; }
    .wm-viewer canvas { display: block; width: 100%; background: none; }
    .wm-viewer canvas.wm-scene { aspect-ratio: 16 / 9; cursor: grab; touch-action: pan-y; }
    .wm-viewer canvas.wm-strip { cursor: col-resize; touch-action: pan-y; border-top: 1px solid var(--line); }
    .wm-viewer canvas:focus-visible, .wm-viewer button:focus-visible, .wm-viewer input:focus-visible, .wm-viewer select:focus-visible { outline: 2px solid #0a6fc2; outline-offset: -2px; }
    .wm-viewer .wm-names, .wm-viewer .wm-bar { display: flex; flex-wrap: wrap; gap: 0.3rem 0.6rem; align-items: center; padding: 0.35rem 0.6rem; }
    .wm-viewer .wm-names { padding-bottom: 0; }
    .wm-viewer .wm-bar { border-top: 1px solid var(--line); }
    .wm-viewer button, .wm-viewer select { font: inherit; color: inherit; background: var(--ground); border: 1px solid var(--line); border-radius: 4px; padding: 0.15rem 0.5rem; min-height: 1.9rem; cursor: pointer; }
    .wm-viewer select { appearance: auto; }
    .wm-viewer .wm-play { min-width: 2.4rem; }
    .wm-viewer button[aria-pressed=false] { opacity: 0.55; text-decoration: line-through; }
    .wm-viewer .wm-bar button[aria-pressed=true] { border-color: currentColor; }
    .wm-viewer .wm-bar button[aria-pressed=false] { text-decoration: none; opacity: 1; }
    .wm-viewer input[type=range] { flex: 1 1 8rem; min-width: 6rem; margin: 0; accent-color: #0a6fc2; }
    .wm-viewer output { font-variant-numeric: tabular-nums; min-width: 8.6rem; }
    .wm-viewer .wm-dot { display: inline-block; width: 0.7em; height: 0.7em; border-radius: 50%; margin-right: 0.4em; }
    @media (max-width: 480px) { .wm-viewer canvas.wm-scene { aspect-ratio: 4 / 3; } }`;

  function make(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value);
    }
    element.append(...children); // strings become text, never markup
    return element;
  }

  class Viewer {
    constructor(root, scene) {
      Object.assign(this, { root, scene, frame: 0, clock: 0, playing: !still.matches, dirty: true, grow: null, changed: null, keys: {}, draws: 0, sheet: document.createElement("canvas") });
      this.last = Math.max(...scene.tracks.map((track) => track.n)) - 1;
      this.hidden = new Set();
      const length = this.last * scene.dt;
      this.speed = scene.live ? 1 : SPEEDS.slice(1).find((speed) => length / speed >= 2) ?? 0.1;
      this.camera = new T.PerspectiveCamera(30, 16 / 9, 0.05, 100);
      this.camera.up.set(0, 0, 1);
      this.build();
      this.home();
      this.controls.addEventListener("change", () => { this.dirty = true; wake(); });
      this.show(0);
    }

    build() {
      const { scene } = this, names = scene.tracks.map((track) => track.name).join(", ");
      this.canvas = make("canvas", { class: "wm-scene", tabindex: 0, role: "img", "aria-label": `${scene.label || names}. Drag or use the arrow keys to turn, plus and minus to zoom, space to play, comma and full stop to step.`, onkeydown: (event) => this.key(event) });
      this.chips = scene.tracks.map((track, t) => {
        const dot = make("span", { class: "wm-dot" });
        dot.style.background = track.colour;
        return make("button", { type: "button", "aria-pressed": "true", title: `Show or hide ${track.name}`, onclick: () => this.toggle(t) }, dot, track.name);
      });
      this.button = make("button", { type: "button", class: "wm-play", onclick: () => this.play(!this.playing) });
      this.slider = make("input", { type: "range", min: 0, max: this.last, step: 1, value: 0, "aria-label": "Step", oninput: () => { this.play(false); this.show(Number(this.slider.value)); } });
      this.time = make("output", {});
      this.select = make("select", { "aria-label": "Speed", title: "Speed", onchange: () => { this.speed = Number(this.select.value); } },
        ...SPEEDS.map((speed) => make("option", { value: speed, ...(speed === this.speed ? { selected: "" } : {}) }, `${speed} x`)));
      this.followButton = make("button", { type: "button", "aria-pressed": "true", title: "The camera follows", onclick: () => { this.follow = !this.follow; this.followButton.setAttribute("aria-pressed", this.follow); this.show(this.frame); } }, "follow");
      const reset = make("button", { type: "button", title: "Back to the first view", onclick: () => { this.home(); this.show(this.frame); } }, "reset view");
      const figure = make("figure", { role: "group", "aria-label": scene.label || `Trajectory of ${names}` },
        make("div", { class: "wm-names" }, ...this.chips.filter((_, t) => scene.tracks[t].chip !== false)), this.canvas);
      if (scene.strip.length) {
        this.strip = make("canvas", { class: "wm-strip", "aria-hidden": "true" });
        this.strip.style.height = `${56 * scene.strip.length + 4}px`;
        const scrub = (event) => {
          if (!event.buttons) return;
          const box = this.strip.getBoundingClientRect();
          this.play(false);
          this.show(Math.round((event.clientX - box.left - 8) / Math.max(box.width - 16, 1) * this.end));
        };
        this.strip.addEventListener("pointerdown", scrub);
        this.strip.addEventListener("pointermove", scrub);
        figure.append(this.strip);
      }
      figure.append(make("div", { class: "wm-bar" }, this.button, this.slider, this.time, this.select, this.followButton, reset));
      this.root.append(figure);
      this.controls = new T.OrbitControls(this.camera, this.canvas);
      Object.assign(this.controls, { enablePan: false, minDistance: 0.8, maxDistance: 25, maxPolarAngle: 0.52 * Math.PI, enableZoom: false });
      this.canvas.style.touchAction = "pan-y"; // a finger scrolls the page up and down, and turns the scene sideways
      this.canvas.addEventListener("focus", () => { this.controls.enableZoom = true; }); // the wheel belongs to the page until the scene is clicked
      this.canvas.addEventListener("blur", () => { this.controls.enableZoom = false; });
      this.canvas.addEventListener("pointerdown", () => this.canvas.focus({ preventScroll: true }));
      this.play(this.playing);
    }

    /** The first view. */
    home() {
      const { target, distance, azimuth, elevation } = this.scene.view;
      this.follow = true;
      this.followButton.setAttribute("aria-pressed", true);
      this.moved = new T.Vector3();
      this.controls.target.copy(vector(target));
      this.camera.position.set(distance * Math.cos(elevation) * Math.cos(azimuth), distance * Math.cos(elevation) * Math.sin(azimuth), distance * Math.sin(elevation)).add(this.controls.target);
      this.controls.update();
    }

    play(on) {
      if (on && this.frame >= this.last && !this.grow) this.show(0);
      this.playing = on;
      this.button.textContent = on ? "\u275a\u275a" : "\u25b6";
      this.button.setAttribute("aria-label", on ? "Pause" : "Play");
      this.changed?.();
      wake();
    }

    toggle(t) {
      this.hidden.has(t) ? this.hidden.delete(t) : this.hidden.add(t);
      this.chips[t].setAttribute("aria-pressed", !this.hidden.has(t));
      this.show(this.frame);
    }

    key(event) {
      const turn = 0.12, offset = this.camera.position.clone().sub(this.controls.target), ball = new T.Vector3();
      const act = {
        " ": () => this.play(!this.playing), ",": () => { this.play(false); this.show(this.frame - 1); }, ".": () => { this.play(false); this.forward(); },
        ArrowLeft: () => offset.applyAxisAngle(this.camera.up, -turn), ArrowRight: () => offset.applyAxisAngle(this.camera.up, turn),
        ArrowUp: () => offset.applyAxisAngle(ball.crossVectors(offset, this.camera.up).normalize(), turn),
        ArrowDown: () => offset.applyAxisAngle(ball.crossVectors(offset, this.camera.up).normalize(), -turn),
        "+": () => offset.multiplyScalar(0.9), "=": () => offset.multiplyScalar(0.9), "-": () => offset.multiplyScalar(1 / 0.9),
        ...this.keys,
      }[(event.shiftKey && event.key.startsWith("Arrow") ? "Shift" : "") + event.key];
      if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      event.stopPropagation(); // JupyterLab has keys of its own
      act();
      this.camera.position.copy(this.controls.target).add(offset);
      this.controls.update();
      this.dirty = true;
      wake();
    }

    /** One frame on, which a live scene makes if there is none yet. */
    forward() {
      if (this.grow && this.frame >= this.last) this.grow();
      this.show(this.frame + 1);
    }

    /** Of a live scene: the pose of a track at a frame. */
    put(t, frame, qpos) {
      const { nq, tracks } = this.scene, track = tracks[t], end = (frame + 1) * nq;
      if (end > track.qpos.length) {
        const room = new Float32Array(2 * end);
        room.set(track.qpos);
        track.qpos = room;
      }
      track.qpos.set(qpos, frame * nq);
      track.n = frame + 1;
    }

    /** Of a live scene: the last frame that there is. */
    reach(last) {
      this.last = last;
      this.slider.max = last;
    }

    /** The tracks that can be seen at this frame. A track may say of itself whether it is there. */
    shown() { return this.scene.tracks.map((_, t) => t).filter((t) => !this.hidden.has(t) && (this.scene.tracks[t].seen?.(this.frame) ?? true)); }

    /** Where a link is drawn, in pixels of the page. */
    spot(t, link) { return project(this.poses[t].bodies[link].p, this.camera, this.canvas.clientWidth, this.canvas.clientHeight); }

    /** Goes to a frame. A track that is over keeps its last pose. */
    show(frame) {
      this.frame = Math.min(Math.max(frame, 0), this.last);
      this.clock = this.frame * this.scene.dt;
      const { nq, tracks, model } = this.scene;
      this.poses = tracks.map((track) => {
        const at = Math.min(this.frame, track.n - 1);
        const posed = pose(model, track.qpos.subarray(at * nq, (at + 1) * nq));
        for (const part of [...posed.bodies, ...posed.geoms]) part.p.add(vector(track.offset));
        return posed;
      });
      if (this.follow) {
        const bodies = this.shown().slice(0, this.scene.live ? 1 : undefined).map((t) => this.poses[t].bodies[1].p);
        const middle = bodies.reduce((sum, p) => sum.add(p), new T.Vector3()).multiplyScalar(1 / Math.max(bodies.length, 1));
        const move = bodies.length ? new T.Vector3(middle.x, middle.y, 0).sub(vector(this.scene.view.centre)).sub(this.moved) : new T.Vector3();
        this.moved.add(move);
        this.controls.target.add(move);
        this.camera.position.add(move);
      }
      const text = `${(this.frame * this.scene.dt).toFixed(2)} s \u00b7 step ${this.frame}`;
      this.time.textContent = text;
      this.slider.value = this.frame;
      this.slider.setAttribute("aria-valuetext", text);
      this.changed?.();
      this.dirty = true;
      wake();
    }

    /** Draws, if anything has changed. */
    draw() {
      const width = Math.round(this.canvas.clientWidth * devicePixelRatio), height = Math.round(this.canvas.clientHeight * devicePixelRatio);
      if (!this.dirty && this.canvas.width === width && this.canvas.height === height) return;
      if (!width || !height) return;
      this.dirty = false;
      if (this.canvas.width !== width || this.canvas.height !== height) Object.assign(this.canvas, { width, height });
      const { scene, camera, poses } = this, kind = renderer() ? Solid : Lines, dark = isDark();
      const pen = this.canvas.getContext("2d", { willReadFrequently: kind === Lines }); // keeps the canvas off a slow graphics card
      this.root.toggleAttribute("data-dark", dark);
      if (!(this.painter instanceof kind)) this.painter = new kind(scene);
      camera.aspect = width / height;
      camera.updateProjectionMatrix();
      camera.updateMatrixWorld();
      const shown = this.shown();
      pen.clearRect(0, 0, width, height);
      if (scene.model.floor) {
        drawFloor(pen, camera, this.controls.target, width, height, dark);
        drawShadow(pen, this.sheet, scene, camera, poses, shown, width, height);
      }
      const layers = scene.ghost ? shown.map((t) => [t]) : [shown];
      layers.forEach((layer) => {
        pen.globalAlpha = scene.ghost && layer[0] !== shown[0] ? scene.tracks[layer[0]].alpha ?? 0.55 : 1;
        const [source, x, y, w, h] = this.painter.layer(camera, poses, layer, width, height, dark);
        pen.drawImage(source, x, y, w, h, 0, 0, w, h);
      });
      pen.globalAlpha = 1;
      if (scene.names) this.nameBodies(pen, shown, width, height, dark);
      if (this.strip) this.drawStrip(dark);
      this.draws++;
    }

    /** Each name over its body. */
    nameBodies(pen, shown, width, height, dark) {
      pen.font = `${13 * devicePixelRatio}px system-ui, sans-serif`;
      pen.textAlign = "center";
      pen.fillStyle = dark ? "#e6e6e3" : "#24292f";
      for (const t of shown) {
        const over = this.poses[t].bodies[1].p.clone();
        over.z = this.scene.view.top + 0.12;
        const { x, y } = project(over, this.camera, width, height), track = this.scene.tracks[t];
        pen.fillText(track.name, x, y);
        if (this.frame >= track.n - 1 && track.n - 1 < this.last) pen.fillText(`ended: ${((track.n - 1) * this.scene.dt).toFixed(2)} s`, x, y + 16 * devicePixelRatio);
      }
    }

    drawStrip(dark) {
      const ratio = devicePixelRatio, width = Math.round(this.strip.clientWidth * ratio), panels = this.scene.strip, each = 56 * ratio;
      Object.assign(this.strip, { width, height: Math.round(this.strip.clientHeight * ratio) });
      const pen = this.strip.getContext("2d"), ink = dark ? "#e6e6e3" : "#24292f";
      this.end = Math.max(1, this.last, ...panels.flatMap((panel) => panel.lines.map((line) => (line.from ?? 0) + line.values.length - 1)));
      const x = (frame) => (8 * ratio) + frame / this.end * (width - 16 * ratio);
      panels.forEach((panel, i) => {
        const all = panel.lines.flatMap((line) => [...line.values]).filter(Number.isFinite), low = Math.min(...all), high = Math.max(...all), top = i * each;
        const y = (value) => top + each - 8 * ratio - (value - low) / (high - low || 1) * (each - 26 * ratio);
        pen.lineWidth = 1.5 * ratio;
        for (const line of panel.lines) {
          pen.strokeStyle = line.colour || ink;
          pen.setLineDash(line.dash.map((d) => d * ratio));
          pen.beginPath();
          line.values.forEach((value, f) => { if (Number.isFinite(value)) pen.lineTo(x((line.from ?? 0) + f), y(value)); });
          pen.stroke();
        }
        pen.setLineDash([]);
        pen.font = `${11.5 * ratio}px system-ui, sans-serif`;
        pen.fillStyle = ink;
        const values = panel.lines.filter((line) => !line.from).map((line) => line.values[Math.min(this.frame, line.values.length - 1)]).filter(Number.isFinite);
        pen.fillText(`${panel.name}   ${values.map((value) => value.toPrecision(3)).join("   ")}`, 8 * ratio, top + 13 * ratio);
      });
      pen.fillStyle = ink;
      pen.fillRect(x(this.frame) - 0.5 * ratio, 0, ratio, each * panels.length);
    }

    /** Moves time on by some seconds. */
    advance(seconds) {
      this.clock += seconds * this.speed;
      while (this.grow && this.clock / this.scene.dt >= this.last + 1) {
        if (this.grow()) continue;
        this.show(this.last);
        return this.play(false);
      }
      const end = this.last * this.scene.dt;
      if (this.clock > end + HOLD * this.speed) this.clock = 0;
      const frame = Math.min(Math.floor(this.clock / this.scene.dt + 1e-9), this.last), clock = this.clock;
      if (frame !== this.frame) this.show(frame);
      this.clock = clock;
    }

    /** Where the links are in the scene as drawn, (n_links, 3); and the geoms. For tests and for the curious. */
    links(track = 0) { return this.poses[track].bodies.map(({ p }) => p.toArray()); }
    parts(track = 0) {
      const meshes = this.painter instanceof Solid ? this.painter.meshes[track].map((mesh) => mesh.position) : this.poses[track].geoms.map(({ p }) => p);
      return meshes.map((p) => p.toArray());
    }
  }

  // ---------------------------------------------------------------- the page

  const visible = new Set();
  let ticking = 0, before = 0;

  function isDark() {
    const theme = document.documentElement.dataset.theme, lab = document.body.dataset.jpThemeLight;
    if (lab !== undefined) return lab === "false";
    if (theme === "dark" || theme === "light") return theme === "dark";
    return matchMedia("(prefers-color-scheme: dark)").matches;
  }

  /** One loop for all viewers; it sleeps when nothing that can be seen moves. */
  function tick(now) {
    const seconds = Math.min((now - before) / 1000, 0.1);
    before = now;
    let awake = false;
    for (const viewer of visible) {
      if (viewer.playing) { viewer.advance(seconds); awake = true; }
      viewer.draw();
    }
    ticking = awake ? requestAnimationFrame(tick) : 0;
  }

  function wake() {
    if (ticking) return;
    before = performance.now();
    ticking = requestAnimationFrame(tick);
  }

  function redraw() {
    for (const viewer of visible) {
      viewer.dirty = true;
      viewer.root.toggleAttribute("data-dark", isDark());
      viewer.changed?.(); // what others draw with the page's colours
    }
    wake();
  }

  const sight = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      const viewer = target.closest(".wm-viewer")?.viewer;
      if (!viewer) continue;
      viewer.dirty = true;
      isIntersecting ? visible.add(viewer) : visible.delete(viewer);
    }
    wake();
  });

  /** Makes a viewer of every place on the page that is not one yet. Where it cannot, the still picture stays. */
  function mount() {
    for (const root of document.querySelectorAll(".wm-viewer:not([data-ready])")) {
      root.dataset.ready = "";
      try {
        const viewer = new Viewer(root, read(root.querySelector("script[type='application/json']").textContent));
        root.viewer = viewer;
        root.querySelector(".wm-still").hidden = true;
        sight.observe(viewer.scene.live ? root : viewer.canvas); // a live scene goes on while its controls are in sight
        new ResizeObserver(() => { viewer.dirty = true; wake(); }).observe(viewer.canvas);
      } catch (error) {
        root.querySelector("figure")?.remove();
        root.append(make("p", { class: "wm-wrong" }, `This trajectory cannot be drawn: ${error.message}. The picture shows one frame of it.`));
      }
    }
  }

  const api = { mount, renderer, lost: 0, get painter() { return renderer() ? "3d" : "2d"; } };
  window.wmViewer = api;
  document.head.append(make("style", {}, STYLE));
  const watch = new MutationObserver(redraw);
  for (const element of [document.documentElement, document.body]) watch.observe(element, { attributes: true, attributeFilter: ["data-theme", "data-mode", "data-jp-theme-light"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", mount);
  mount();
})();
