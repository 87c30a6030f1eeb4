// The dream of the walker in plain JavaScript: wmlib's structured ensemble (models/structured.py with real/kinematics.py), C (control/controller.py)
// and one step of a dream (dream/dream.py). No page, no picture: numbers only, so that a test can hold it to the library.
// Names and order of the numbers are the library's. Sums are made in float64, and a state is kept as float32, as the library keeps it.
(() => {
  "use strict";
  if (window.wmDream) return;
  const JOINTS = 5; // physics begins with height and quaternion
  const NEAR_FLOOR = [0.01, 0.03], NEAR_LIMIT = [0.03, 0.1], INPUT_CLIP = 8, LOG_SIGMA = [-5, 1], CLIP = 10, CONSTANT = 1e-6, STIFFNESS = 10, DAMPING = 0.05;
  const within = (value, low, high) => Math.min(Math.max(value, low), high);

  // ---------------------------------------------------------------- vectors, and matrices as nine numbers, row by row

  const dot = (a, b) => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
  const plus = (a, b) => [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
  const scaled = (a, s) => [a[0] * s, a[1] * s, a[2] * s];
  const cross = (a, b) => [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]];
  const row = (m, i) => [m[3 * i], m[3 * i + 1], m[3 * i + 2]];
  const times = (m, v) => [m[0] * v[0] + m[1] * v[1] + m[2] * v[2], m[3] * v[0] + m[4] * v[1] + m[5] * v[2], m[6] * v[0] + m[7] * v[1] + m[8] * v[2]];
  const back = (m, v) => [m[0] * v[0] + m[3] * v[1] + m[6] * v[2], m[1] * v[0] + m[4] * v[1] + m[7] * v[2], m[2] * v[0] + m[5] * v[1] + m[8] * v[2]];
  const three = (a, at) => [a[at], a[at + 1], a[at + 2]];

  function product(a, b) {
    const c = new Array(9);
    for (let i = 0; i < 3; i++) for (let j = 0; j < 3; j++) c[3 * i + j] = a[3 * i] * b[j] + a[3 * i + 1] * b[3 + j] + a[3 * i + 2] * b[6 + j];
    return c;
  }

  /** The rotation about a unit axis, as Rodrigues has it. */
  function turned([x, y, z], angle) {
    const s = Math.sin(angle), c = Math.cos(angle), d = 1 - c;
    return [c + d * x * x, d * x * y - s * z, d * x * z + s * y, d * x * y + s * z, c + d * y * y, d * y * z - s * x, d * x * z - s * y, d * y * z + s * x, c + d * z * z];
  }

  /** The torso's matrix, of physics. */
  function rotation(physics) {
    const w = physics[1], x = physics[2], y = physics[3], z = physics[4];
    return [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y), 2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
      2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)];
  }

  // ---------------------------------------------------------------- numbers of a page

  /** Base64 of little-endian float32, or of float16 where `half`, as float64. */
  function numbers(text, half = false) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    if (!half) return Float64Array.from(new Float32Array(bytes.buffer));
    return Float64Array.from(new Uint16Array(bytes.buffer), (bits) => {
      const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
      if (exponent === 31) return fraction ? NaN : sign * Infinity;
      return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
    });
  }

  /** Random numbers that depend on seed and step alone, so that a step can be made again: uniform in (0, 1). */
  function uniform(seed, step) {
    let state = (Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(step + 1, 0x85ebca6b)) >>> 0;
    return () => { // mulberry32
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
    };
  }

  /** n standard normal numbers, two by two, as Box and Muller have it. */
  function normal(n, seed, step) {
    const next = uniform(seed, step), drawn = new Float64Array(n);
    for (let i = 0; i < n; i += 2) {
      const length = Math.sqrt(-2 * Math.log(next())), angle = 2 * Math.PI * next();
      drawn[i] = length * Math.cos(angle);
      if (i + 1 < n) drawn[i + 1] = length * Math.sin(angle);
    }
    return drawn;
  }

  class Dream {
    /** Of the JSON that wmlib.show.play writes. */
    constructor(data) {
      Object.assign(this, data);
      for (const key of Object.keys(data.stats)) this[key] = numbers(data.stats[key]);
      this.weights = {};
      for (const [name, text] of Object.entries(data.weights)) this.weights[name] = numbers(text, true);
      this.controllers = data.controllers.map((C) => {
        const [W, b, mean, std] = ["W", "b", "mean", "std"].map((key) => numbers(C[key]));
        return { ...C, W, b, mean, std };
      });
      this.nJoints = this.limits.length;
      this.nFeet = this.radius.length;
      this.nSpeeds = 6 + this.nJoints;
      this.first = JOINTS + this.nJoints; // of the speeds
      this.size = this.first + this.nSpeeds;
      this.aDim = this.action.length;
      if (this.low.length !== this.size || this.driven.length !== this.aDim) throw new Error("the numbers of the model do not fit the body");
    }

    /** In the torso's own frame, which stands still: centre of mass, its velocity, each foot, each foot's velocity. */
    limbs(physics) {
      const n = this.nJoints, feet = this.nFeet, out = new Float64Array(6 + 6 * feet);
      const frames = [null, { turn: [1, 0, 0, 0, 1, 0, 0, 0, 1], place: [0, 0, 0], velocity: [0, 0, 0], spin: [0, 0, 0] }];
      let center = this.root, moving = [0, 0, 0];
      for (const limb of this.limbsOf) {
        let { turn, place, velocity, spin } = frames[limb.parent];
        let arm = times(turn, limb.place);
        place = plus(place, arm);
        velocity = plus(velocity, cross(spin, arm));
        turn = product(turn, limb.matrix);
        for (const [axis, anchor, j] of limb.joints) {
          arm = times(turn, anchor);
          const hinge = plus(place, arm), swing = plus(velocity, cross(spin, arm));
          spin = plus(spin, scaled(times(turn, axis), physics[JOINTS + n + 6 + j]));
          turn = product(turn, turned(axis, physics[JOINTS + j]));
          arm = scaled(times(turn, anchor), -1);
          place = plus(hinge, arm);
          velocity = plus(swing, cross(spin, arm));
        }
        frames.push({ turn, place, velocity, spin });
        arm = times(turn, limb.center);
        center = plus(center, scaled(plus(place, arm), limb.mass));
        moving = plus(moving, scaled(plus(velocity, cross(spin, arm)), limb.mass));
        for (const [k, point] of limb.feet) {
          arm = times(turn, point);
          out.set(plus(place, arm), 6 + 3 * k);
          out.set(plus(velocity, cross(spin, arm)), 6 + 3 * (feet + k));
        }
      }
      out.set(center, 0);
      out.set(moving, 3);
      return out;
    }

    /** What a body can feel of itself, vectors in the torso's frame. */
    frame(physics, limbs) {
      const n = this.nJoints, turn = rotation(physics), up = row(turn, 2);
      const velocity = back(turn, three(physics, this.first)), spin = three(physics, this.first + 3), center = three(limbs, 0);
      const feet = [], moving = [], clearance = [], falling = [];
      for (let k = 0; k < this.nFeet; k++) {
        const foot = three(limbs, 6 + 3 * k), v = plus(plus(velocity, cross(spin, foot)), three(limbs, 6 + 3 * (this.nFeet + k)));
        feet.push(...foot);
        moving.push(...v);
        clearance.push(physics[0] + dot(up, foot) - this.radius[k]);
        falling.push(dot(up, v));
      }
      return { turn, up, ahead: row(turn, 0), velocity, spin, center, clearance, falling, feet, moving,
        joints: physics.subarray(JOINTS, JOINTS + n), speeds: physics.subarray(this.first + 6, this.first + 6 + n),
        centerVelocity: plus(plus(velocity, cross(spin, center)), three(limbs, 3)) };
    }

    /** What the network sees, in plain units. */
    inputs(physics, seen, action) {
      const { dt } = this, x = [physics[0], ...seen.up, ...seen.velocity, ...seen.spin, ...seen.center, ...seen.speeds, ...seen.clearance, ...seen.falling, ...seen.feet, ...seen.moving];
      for (const q of seen.joints) x.push(Math.sin(q));
      for (const q of seen.joints) x.push(Math.cos(q));
      this.action.forEach(([low, high], i) => x.push(within((action[i] - (high + low) / 2) / ((high - low) / 2), -1, 1)));
      const heights = [0, 0.5, 1].flatMap((part) => seen.clearance.map((clear, k) => clear + part * dt * seen.falling[k]));
      if (this.nFeet === 2) {
        const apart = [0, 1, 2].map((i) => seen.feet[i] - seen.feet[3 + i]);
        heights.push(Math.sqrt(dot(apart, apart) + 1e-8) - this.radius[0] - this.radius[1]);
      }
      for (const near of heights.length ? NEAR_FLOOR : []) for (const height of heights) x.push(Math.tanh(height / near));
      NEAR_LIMIT.forEach((near, far) => {
        const at = Array.from(seen.joints, (q, j) => q + far * dt * seen.speeds[j]);
        at.forEach((q, j) => x.push(Math.tanh((q - this.limits[j][1]) / near)));
        at.forEach((q, j) => x.push(Math.tanh((this.limits[j][0] - q) / near)));
      });
      return x;
    }

    /** One member's answer: mean and log sigma of the change of speeds, and the rest of the pose, in standard deviations. */
    network(x, member) {
      const { weights, hidden } = this, v = this.nSpeeds;
      let h = Float64Array.from(x, (value, i) => within((value - this.mean[i]) / this.std[i], -INPUT_CLIP, INPUT_CLIP));
      for (let layer = 0; layer < this.layers; layer++) {
        const u = layered(h, weights[`${layer}.kernel`], weights[`${layer}.bias`], member, hidden);
        let mean = 0, square = 0;
        for (let j = 0; j < hidden; j++) mean += u[j] / hidden;
        for (let j = 0; j < hidden; j++) { u[j] -= mean; square += u[j] * u[j] / hidden; }
        const scale = 1 / Math.sqrt(square + 1e-5), gain = weights[`${layer}.gain`];
        for (let j = 0; j < hidden; j++) {
          const y = u[j] * scale * gain[member * hidden + j];
          u[j] = y / (1 + Math.exp(-y)) + (layer ? h[j] : 0);
        }
        h = u;
      }
      const out = layered(h, weights["out.kernel"], weights["out.bias"], member, 3 * v);
      const middle = (LOG_SIGMA[0] + LOG_SIGMA[1]) / 2, half = (LOG_SIGMA[1] - LOG_SIGMA[0]) / 2;
      for (let i = v; i < 2 * v; i++) out[i] = middle + half * Math.tanh((out[i] - middle - half) / half);
      return [out.subarray(0, v), out.subarray(v, 2 * v), out.subarray(2 * v)];
    }

    /** A state from physics: with the limbs, and where it stands. */
    state(physics, x = 0, y = 0) {
      const kept = Float32Array.from(physics);
      return { physics: kept, limbs: this.limbs(kept), x, y };
    }

    /** One step of a dream with a member: the state after it, the reward, and whether the dream ends here. */
    step(state, action, noise, tau, member) {
      const { physics, limbs } = state, n = this.nJoints, half = this.dt / 2, first = this.first, seen = this.frame(physics, limbs), turn = seen.turn;
      const [mean, logSigma, rest] = this.network(this.inputs(physics, seen, action), member);
      const change = mean.map((value, i) => value * this.change_std[i]), more = rest.map((value, i) => value * this.rest_std[i]);
      const after = new Float64Array(this.size), before = three(physics, first), velocity = plus(before, times(turn, change));
      const moved = plus(scaled(plus(before, velocity), half), times(turn, more));
      after.set(velocity, first);
      for (let i = 3; i < this.nSpeeds; i++) after[first + i] = physics[first + i] + change[i];
      const slid = (i) => half * (physics[first + i] + after[first + i]) + more[i];
      after[0] = physics[0] + moved[2];
      after.set(spun(physics.subarray(1, JOINTS), [slid(3), slid(4), slid(5)]), 1);
      for (let j = 0; j < n; j++) after[JOINTS + j] = physics[JOINTS + j] + slid(6 + j);
      this.hold(after);
      if (noise) {
        const shaken = noise.map((value, i) => Math.sqrt(tau) * Math.exp(logSigma[i]) * this.change_std[i] * value), root = times(turn, shaken);
        for (let i = 0; i < this.nSpeeds; i++) after[first + i] += i < 3 ? root[i] : shaken[i];
        this.hold(after);
      }
      const next = this.state(after, state.x + moved[0], state.y + moved[1]);
      const ahead = moved[0] + dot(row(rotation(next.physics), 0), three(next.limbs, 0)) - dot(row(turn, 0), three(limbs, 0));
      const cost = action.reduce((sum, a) => sum + a * a, 0), [index, low, high] = this.healthy;
      const wrong = !next.physics.every(Number.isFinite), fell = !(next.physics[index] > low && next.physics[index] < high);
      const reward = this.forward * within(ahead / this.dt, this.speed[0], this.speed[1]) + (fell ? 0 : this.bonus) - this.cost * cost;
      return { state: next, reward: wrong ? 0 : reward, ended: wrong || fell, wrong };
    }

    /** Physics within what was ever seen. */
    hold(physics) {
      for (let i = 0; i < this.size; i++) physics[i] = within(physics[i], this.low[i], this.high[i]);
    }

    /** What C does: on features of the body's own frame, by moving the targets of the joints; `shift` is added to C's command, before the reflex. */
    act(C, state, shift = null) {
      const { physics, limbs } = state, seen = this.frame(physics, limbs), x = [physics[0], ...seen.up, ...seen.ahead, ...seen.velocity, ...seen.spin,
        ...seen.joints, ...seen.speeds, ...seen.center, ...seen.centerVelocity, ...seen.clearance, ...seen.feet.map((foot, i) => foot - seen.center[i % 3])];
      x.forEach((value, i) => { x[i] = C.std[i] < CONSTANT ? 0 : within((value - C.mean[i]) / C.std[i], -CLIP, CLIP); });
      return this.action.map(([low, high], a) => {
        const [q, v, rest] = this.driven[a];
        let push = C.b[a] + STIFFNESS * (rest - physics[q]) - DAMPING * physics[v] + (shift ? shift[a] : 0);
        for (let i = 0; i < x.length; i++) push += C.W[a * x.length + i] * x[i];
        return (high + low) / 2 + (high - low) / 2 * Math.tanh(push);
      });
    }
  }

  /** x times a member's matrix, and its bias. */
  function layered(x, kernel, bias, member, size) {
    const u = bias.slice(member * size, (member + 1) * size);
    for (let i = 0, at = member * x.length * size; i < x.length; i++) {
      const value = x[i];
      for (let j = 0; j < size; j++, at++) u[j] += value * kernel[at];
    }
    return u;
  }

  /** A unit quaternion turned by a small rotation vector in its own frame. */
  function spun([a, b, c, d], angle) {
    const h = scaled(angle, 0.5), squared = dot(h, h), part = 1 - squared / 6 + squared * squared / 120;
    const w = 1 - squared / 2 + squared * squared / 24, x = part * h[0], y = part * h[1], z = part * h[2];
    const q = [a * w - b * x - c * y - d * z, a * x + b * w + c * z - d * y, a * y - b * z + c * w + d * x, a * z + b * y - c * x + d * w];
    const length = Math.hypot(...q);
    return q.map((value) => value / length);
  }

  window.wmDream = { Dream, STIFFNESS, numbers, uniform, normal };
})();
