// What all parts use: elements, questions to Python, pictures that were seen before.

/** An element with attributes ("on…": listeners) and children (text or elements). */
function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null));
  return node;
}

/** Options of a <select>: pairs of value and text; the chosen one stays chosen. */
function setOptions(select, pairs, chosen) {
  select.replaceChildren(...pairs.map(([value, text]) => el("option", { value }, text)));
  select.value = String(chosen);
}

/** Questions to Python and its answers; `on(what, f)` for what Python tells unasked. */
class Link {
  constructor(model) {
    this.model = model;
    this.view = Math.random().toString(36).slice(2);
    this.number = 0;
    this.open = new Map();
    this.listeners = new Map();
    this.received = (message, buffers) => this.receive(message, buffers);
    model.on("msg:custom", this.received);
  }

  close() {
    this.model.off("msg:custom", this.received);
  }

  on(what, listener) {
    this.listeners.set(what, listener);
  }

  /** Resolves to the answer, its bytes as `buffers`; rejects with Python's one line of what is wrong. */
  ask(ask, content = {}, buffers = []) {
    const number = ++this.number;
    return new Promise((resolve, reject) => {
      this.open.set(number, { resolve, reject });
      this.model.send({ ask, number, view: this.view, ...content }, undefined, buffers);
    });
  }

  receive(message, buffers) {
    if (message.tell) {
      this.listeners.get(message.tell)?.(message);
      return;
    }
    const waiting = this.open.get(message.answer);
    if (message.view !== this.view || !waiting) return;
    this.open.delete(message.answer);
    if (message.problem) waiting.reject(new Error(message.problem));
    else waiting.resolve({ ...message, buffers: buffers || [] });
  }
}

/** A first question, again every few seconds until it is answered: a kernel that is still busy may have missed it. */
async function persist(question, over) {
  for (let n = 0; n < 40 && !over(); n++) {
    const answer = await Promise.race([question(), new Promise((go) => setTimeout(go, 3000, undefined))]);
    if (answer !== undefined) return answer;
  }
  return null;
}

/** Bytes of an answer as numbers. */
function numbers(view, Type) {
  if (!view || !view.byteLength) return new Type(0);
  return new Type(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
}

/** The bytes of a run's timeline as arrays. */
function unpacked({ done, slots, objects, buffers }) {
  const lives = numbers(buffers[0], Int32Array);
  const bySlot = Array.from({ length: slots }, () => []);
  for (let n = 0; n < lives.length; n += 3) bySlot[lives[n + 1]].push({ frame: lives[n], end: lives[n + 2] });
  const table = numbers(buffers[2], Float32Array);
  const columns = done ? table.length / done : 1;
  const j = Array.from({ length: columns }, (_, c) => Float32Array.from({ length: done }, (_, t) => table[t * columns + c]));
  const pairs = numbers(buffers[3], Int32Array);
  const evicted = new Map();
  for (let n = 0; n < pairs.length; n += 2) evicted.set(pairs[n], pairs[n + 1]);
  return { done, slots, objects, bySlot, mass: numbers(buffers[1], Uint8Array), j, evicted };
}

/** A picture from its bytes; null for no bytes. */
function bitmap(view, type) {
  return view && view.byteLength ? createImageBitmap(new Blob([view], { type })) : Promise.resolve(null);
}

/** The latest of many wishes: while one is fulfilled, only the newest of the others waits. */
class Latest {
  constructor(work) {
    this.work = work;
    this.busy = false;
    this.next = null;
  }

  want(wish) {
    this.next = { wish };
    return this.go();
  }

  async go() {
    if (this.busy) return;
    this.busy = true;
    try {
      while (this.next) {
        const { wish } = this.next;
        this.next = null;
        await this.work(wish);
      }
    } finally {
      this.busy = false;
    }
  }
}

/**
 * A button that plays and pauses. While it plays, `step` is called again and again; it resolves to the milliseconds
 * to wait before the next call, or to null at the end. `begin` may refuse to start by returning false.
 */
class Player {
  constructor(what, step, begin = () => true) {
    Object.assign(this, { what, step, begin, timer: null });
    this.button = el("button", { type: "button", class: "play", title: "play or pause (space)", "aria-label": `play${what}`,
      onclick: () => this.toggle() }, "▶");
  }

  toggle() {
    if (this.timer !== null) this.stop();
    else if (this.begin()) {
      this.say("❚❚", "pause");
      this.timer = setTimeout(() => this.next(), 0);
    }
  }

  async next() {
    const wait = await this.step();
    if (this.timer === null) return;
    if (wait === null) this.stop();
    else this.timer = setTimeout(() => this.next(), wait);
  }

  stop() {
    clearTimeout(this.timer);
    this.timer = null;
    this.say("▶", "play");
  }

  say(sign, verb) {
    this.button.textContent = sign;
    this.button.setAttribute("aria-label", verb + this.what);
  }
}

/** Things by name, the longest unused forgotten first. */
class Cache {
  constructor(most) {
    this.most = most;
    this.map = new Map();
  }

  get(name) {
    const found = this.map.get(name);
    if (found !== undefined) {
      this.map.delete(name);
      this.map.set(name, found);
    }
    return found;
  }

  set(name, value) {
    this.map.set(name, value);
    if (this.map.size > this.most) this.map.delete(this.map.keys().next().value);
  }

  clear() {
    this.map.clear();
  }
}

/** A canvas of so many CSS pixels, sharp on every screen; returns its context. */
function sized(canvas, width, height) {
  const scale = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * scale), Math.round(height * scale)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/** A share in per cent; "<1 %" for what rounds to nothing. */
function percent(share, digits = 0) {
  if (share == null) return "–";
  const least = 10 ** -digits;
  return share > 0 && 100 * share < least / 2 ? `<${least} %` : `${(100 * share).toFixed(digits)} %`;
}

/** Seconds, roughly, in words. */
function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

const fixed = (value, digits) => (value == null || Number.isNaN(value) ? "–" : value.toFixed(digits));
