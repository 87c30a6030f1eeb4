// Dreams in plain JavaScript. The walker's: wmlib's structured ensemble (models/structured.py with real/kinematics.py). V and M's: models/vae.py,
// mdnrnn.py, mdn.py and world.py. Both with C (control/controller.py) and one step of a dream (dream/dream.py).
// No page, no picture: numbers only, so that a test can hold it to the library.
// Names and order of the numbers are the library's. Sums are made in float64, and a state is kept as float32, as the library keeps it.
(() => {
  "use strict";
  if (window.wmDream) return;
  const JOINTS = 5; // physics begins with height and quaternion
  const NEAR_FLOOR = [0.01, 0.03], NEAR_LIMIT = [0.03, 0.1], INPUT_CLIP = 8, LOG_SIGMA = [-5, 1], CLIP = 10, CONSTANT = 1e-6, STIFFNESS = 10, DAMPING = 0.05;
  const M_LOG_SIGMA = [-6, 3], BEYOND = 15, REWARD_CAP = 3; // of V and M
  const POWERS = Float64Array.from({ length: 31 }, (_, exponent) => 2 ** (exponent - 25)); // of a float16, for its last bit
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

  /** Base64 of little-endian float32, as float64. */
  function numbers(text) { return new Float64Array(new Float32Array(bytes(text).buffer)); }

  /** Base64 of little-endian float16, as float32, which holds them exactly. */
  function halves(text) {
    const bits = new Uint16Array(bytes(text).buffer), out = new Float32Array(bits.length);
    for (let i = 0; i < bits.length; i++) {
      const exponent = (bits[i] >> 10) & 31, fraction = bits[i] & 1023;
      const size = exponent === 31 ? (fraction ? NaN : Infinity) : exponent ? POWERS[exponent] * (1024 + fraction) : POWERS[1] * fraction;
      out[i] = bits[i] & 0x8000 ? -size : size;
    }
    return out;
  }

  function bytes(text) {
    const letters = atob(text), out = new Uint8Array(letters.length);
    for (let i = 0; i < letters.length; i++) out[i] = letters.charCodeAt(i);
    return out;
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

  /** What both kinds of model share: numbers, the sizes of the body, and C. */
  class Model {
    /** Of the JSON that wmlib.show.play writes. */
    constructor(data) {
      Object.assign(this, data);
      for (const key of Object.keys(data.stats)) this[key] = numbers(data.stats[key]);
      this.weights = {};
      for (const [name, text] of Object.entries(data.weights)) this.weights[name] = halves(text);
      this.controllers = data.controllers.map((C) => {
        const [W, b, mean, std] = ["W", "b", "mean", "std"].map((key) => numbers(C[key]));
        return { ...C, W, b, mean, std };
      });
      this.nJoints = this.nSpeeds - 6;
      this.first = JOINTS + this.nJoints; // of the speeds
      this.size = this.first + this.nSpeeds;
      this.aDim = this.action.length;
      if (this.range().length !== this.size || this.driven.length !== this.aDim) throw new Error("the numbers of the model do not fit the body");
    }

    /** Whether the body lies, by the rule of the real one. */
    fell(physics) {
      const [index, low, high] = this.healthy;
      return !(physics[index] > low && physics[index] < high);
    }

    /** What C does; `shift` is added to C's command. Where C moves the targets of the joints, the reflex is added, too. A C's own `targets` goes before the model's. */
    act(C, state, shift = null) {
      const { physics } = state, { targets = this.targets } = C, x = Array.from(this.features(state), (value, i) => (C.std[i] < CONSTANT ? 0 : within((value - C.mean[i]) / C.std[i], -CLIP, CLIP)));
      return this.action.map(([low, high], a) => {
        const [q, v, rest] = this.driven[a];
        let push = C.b[a] + (targets ? STIFFNESS * (rest - physics[q]) - DAMPING * physics[v] : 0) + (shift ? shift[a] : 0);
        for (let i = 0; i < x.length; i++) push += C.W[a * x.length + i] * x[i];
        return (high + low) / 2 + (high - low) / 2 * Math.tanh(push);
      });
    }
  }

  // ---------------------------------------------------------------- the walker's model

  class Dream extends Model {
    constructor(data) {
      super(data);
      this.nFeet = this.radius.length;
    }

    range() { return this.low; }

    noise(seed, step) { return normal(this.nSpeeds, seed, step); }

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
      const cost = action.reduce((sum, a) => sum + a * a, 0), wrong = !next.physics.every(Number.isFinite), fell = this.fell(next.physics);
      const reward = this.forward * within(ahead / this.dt, this.speed[0], this.speed[1]) + (fell ? 0 : this.bonus) - this.cost * cost;
      return { state: next, reward: wrong ? 0 : reward, ended: wrong || fell, wrong };
    }

    /** Physics within what was ever seen. */
    hold(physics) {
      for (let i = 0; i < this.size; i++) physics[i] = within(physics[i], this.low[i], this.high[i]);
    }

    /** What C looks at: the features of the body's own frame. */
    features({ physics, limbs }) {
      const seen = this.frame(physics, limbs);
      return [physics[0], ...seen.up, ...seen.ahead, ...seen.velocity, ...seen.spin, ...seen.joints, ...seen.speeds, ...seen.center, ...seen.centerVelocity,
        ...seen.clearance, ...seen.feet.map((foot, i) => foot - seen.center[i % 3])];
    }
  }

  // ---------------------------------------------------------------- V and M

  const sigmoid = (x) => 1 / (1 + Math.exp(-x));

  class World extends Model {
    range() { return this.mean; }

    /** Dense layers `name.0`, `name.1`, ... with silu between them. */
    mlp(name, x) {
      for (let layer = 0; `${name}.${layer}.bias` in this.weights; layer++) x = this.dense(`${name}.${layer}`, layer ? x.map((value) => value * sigmoid(value)) : x);
      return x;
    }

    dense(name, x) {
      const { [`${name}.kernel`]: kernel, [`${name}.bias`]: bias } = this.weights;
      return layered(x, kernel, bias, 0, bias.length);
    }

    /** V: the mean of the code of a pose with its speeds. */
    encode(physics) {
      const x = Float64Array.from(physics, (value, i) => within((value - this.mean[i]) / this.std[i], -this.clip, this.clip));
      return Float32Array.from(this.mlp("encoder", x).subarray(0, this.zDim));
    }

    /** V: the physics that a code stands for, and its largest number in standard deviations. */
    decode(z) {
      const x = this.mlp("decoder", z), physics = Float32Array.from(x, (value, i) => value * this.std[i] + this.mean[i]);
      const length = Math.max(Math.hypot(...physics.subarray(1, JOINTS)), 1e-6);
      for (let i = 1; i < JOINTS; i++) physics[i] /= length;
      return { physics, outlier: Math.max(...x.map(Math.abs)) };
    }

    /** A state from physics, as V sees it. M's memory is empty; or, after a state, as it was there, or after an action there. */
    state(physics, x = 0, y = 0, before = null, action = null) {
      const kept = Float32Array.from(physics), empty = () => new Float32Array(this.hDim), { h, c } = before ?? { h: empty(), c: empty() };
      return { physics: kept, x, y, z: this.encode(kept), ...(action ? this.remember(before, action) : { h, c }) };
    }

    /** A state with another code, and the body that V draws of it. */
    coded(state, z) { return { ...state, z, physics: this.decode(z).physics }; }

    features({ z }) { return z; }

    /** M: the LSTM's h and c after a step. */
    remember({ z, h, c }, action) {
      const n = this.hDim, scaled = Array.from(action, (a, i) => (a - this.action_center[i]) / this.action_scale[i]);
      const inputs = layered([...z, ...scaled], this.weights["lstm.kernel"], this.weights["lstm.bias"], 0, 4 * n);
      const gates = layered(h, this.weights["lstm.recurrent"], inputs, 0, 4 * n), after = { h: new Float32Array(n), c: new Float32Array(n) };
      for (let j = 0; j < n; j++) {
        const cell = sigmoid(gates[n + j]) * c[j] + sigmoid(gates[j]) * Math.tanh(gates[2 * n + j]);
        after.c[j] = cell;
        after.h[j] = sigmoid(gates[3 * n + j]) * Math.tanh(cell);
      }
      return after;
    }

    /** M: of each number of the next code a mixture, component by component; the reward, and the logit of the end. */
    predict(state, action) {
      const memory = this.remember(state, action), out = this.dense("mixture", memory.h), n = this.nMix * this.zDim;
      const [reward, done] = this.dense("reward_done", memory.h), scale = (i) => this.change_scale[i % this.zDim];
      return {
        ...memory, logits: out.subarray(0, n), done, reward: reward * this.reward_stats[1] + this.reward_stats[0],
        mu: out.subarray(n, 2 * n).map((value, i) => value * scale(i) + state.z[i % this.zDim]),
        sigma: out.subarray(2 * n).map((value, i) => Math.exp(within(value, ...M_LOG_SIGMA)) * scale(i)),
      };
    }

    /** The mixture of one number at a temperature: [weight, middle, width] of each component. */
    hills({ logits, mu, sigma }, number, tau) {
      const at = Array.from({ length: this.nMix }, (_, k) => k * this.zDim + number), most = Math.max(...at.map((i) => logits[i]));
      const parts = at.map((i) => Math.exp((logits[i] - most) / Math.max(tau, 1e-6))), sum = parts.reduce((a, b) => a + b);
      return at.map((i, k) => [parts[k] / sum, mu[i], sigma[i] * Math.sqrt(tau)]);
    }

    noise(seed, step) {
      const next = uniform(seed + 250_000, step);
      return [Float64Array.from({ length: this.nMix * this.zDim }, () => -Math.log(-Math.log(next()))), normal(this.zDim, seed, step)];
    }

    /** A code drawn at a temperature: of each number the component with the largest logit + tau * gumbel, and noise of its width. */
    sample({ logits, mu, sigma }, [gumbel, eps], tau) {
      return Float32Array.from({ length: this.zDim }, (_, i) => {
        let best = i;
        for (let at = i; at < logits.length; at += this.zDim) if (logits[at] + tau * gumbel[at] > logits[best] + tau * gumbel[best]) best = at;
        return mu[best] + sigma[best] * Math.sqrt(tau) * eps[i];
      });
    }

    /** One step of a dream: M draws the next code, V says what body that is. */
    step(state, action, noise, tau) {
      const said = this.predict(state, action), z = this.sample(said, noise, tau), { physics, outlier } = this.decode(z);
      const moved = (i) => this.dt / 2 * (state.physics[this.first + i] + physics[this.first + i]);
      const next = { physics, z, h: said.h, c: said.c, x: state.x + moved(0), y: state.y + moved(1) };
      const cap = this.reward_stats[0] + REWARD_CAP * this.reward_stats[1], wrong = !physics.every(Number.isFinite), fell = this.fell(physics), beyond = !(outlier <= BEYOND);
      const reward = this.learned === "rest" ? Math.min(said.reward, cap) + this.bonus - this.cost * action.reduce((sum, a) => sum + a * a, 0)
        : Math.min(said.reward + this.bonus * sigmoid(said.done), cap);
      return { state: next, reward: beyond ? 0 : reward - (fell ? this.bonus : 0), ended: beyond || fell, wrong };
    }

    /** The numbers of a code, those that move the body most first: by the change of the pose from one standard deviation below to one above. */
    liveliest(z) {
      const moves = Array.from(z, (_, i) => {
        const [low, high] = [-1, 1].map((side) => this.decode(z.map((value, j) => value + (j === i ? side : 0))).physics);
        return low.subarray(0, this.first).reduce((sum, value, j) => sum + (high[j] - value) ** 2, 0);
      });
      return [...moves.keys()].sort((a, b) => moves[b] - moves[a]);
    }
  }

  /** x times a member's matrix, and its bias. Four rows at a time, so that a sum is read and written a quarter as often; the order of the sum stays. */
  function layered(x, kernel, bias, member, size) {
    const u = new Float64Array(bias.subarray(member * size, (member + 1) * size)), n = x.length, whole = n - (n % 4);
    let at = member * n * size;
    for (let i = 0; i < whole; i += 4, at += 4 * size) {
      const a = x[i], b = x[i + 1], c = x[i + 2], d = x[i + 3], second = at + size, third = second + size, fourth = third + size;
      for (let j = 0; j < size; j++) u[j] = u[j] + a * kernel[at + j] + b * kernel[second + j] + c * kernel[third + j] + d * kernel[fourth + j];
    }
    for (let i = whole; i < n; i++, at += size) for (let j = 0; j < size; j++) u[j] += x[i] * kernel[at + j];
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

  window.wmDream = { make: (data) => new (data.kind === "world" ? World : Dream)(data), STIFFNESS, numbers, uniform };
})();
