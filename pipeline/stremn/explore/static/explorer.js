// The explorer: what is shown, and how its parts hang together.

class App {
  constructor(model) {
    this.link = new Link(model);
    this.frame = 0;
    this.run = 0;
    this.beside = null;
    this.pixel = null;
    this.shows = { mask: true, truth: false, heat: true, whole: false, own: false };
    this.runs = [];
    this.details = new Map();
    this.thumbs = new Cache(600);
    this.seen = new Cache(120);
    this.timer = null;
    this.wish = new Latest((wish) => this.load(wish));
    this.fetch = new Latest(() => this.loadDetails());
    this.link.on("progress", (message) => this.progress(message));
    this.build();
  }

  build() {
    this.stage = new Stage(this, "frame");
    this.other = new Stage(this, "beside");
    this.slots = new Slots(this, { actions: true });
    this.otherSlots = new Slots(this, { actions: false });
    this.timeline = new Timeline(this);
    this.whatif = new WhatIf(this);
    this.race = new Race(this);
    this.draw = new Draw(this);
    this.prediction = new Prediction(this);
    this.runSelect = el("select", { "aria-label": "run", onchange: () => this.choose(Number(this.runSelect.value)) });
    this.besideSelect = el("select", { "aria-label": "run beside it",
      onchange: () => this.choose(this.run, this.besideSelect.value === "" ? null : Number(this.besideSelect.value)) });
    this.playButton = el("button", { type: "button", class: "play", title: "play or pause (space)", "aria-label": "play",
      onclick: () => this.play() }, "▶");
    this.speed = el("select", { "aria-label": "frames per second" });
    setOptions(this.speed, [2, 5, 10, 20].map((n) => [n, `${n} frames/s`]), 5);
    this.where = el("output", { class: "where" });
    this.status = el("div", { class: "status", role: "status", "aria-live": "polite" });
    this.stopButton = el("button", { type: "button", hidden: true, onclick: () => this.ask("stop") }, "stop");
    this.scaleBar = el("div", { class: "heat-scale" });
    const step = (by, text, title) => el("button", { type: "button", title, "aria-label": title,
      onclick: () => this.show(this.frame + by) }, text);
    const toggle = (name, text, title) => el("label", { class: "toggle", title }, el("input", { type: "checkbox", "data-show": name,
      checked: this.shows[name], onchange: (e) => this.toggle(name, e.target.checked) }), text);
    this.truthToggle = toggle("truth", "true outline", "outline of the ground truth (yellow and black)");
    this.panels = { whatif: this.whatif, race: this.race, draw: this.draw, prediction: this.prediction };
    const names = { whatif: "What if", race: "Race", draw: "Draw a mask", prediction: "Prediction" };
    this.tabs = Object.entries(names).map(([name, text]) => el("button", { type: "button", role: "tab", "data-tab": name,
      "aria-selected": name === "whatif", onclick: () => this.tab(name) }, text));
    this.root = el("div", { class: "stremn-explorer", tabindex: -1, "data-lm-suppress-shortcuts": "true" },
      el("header", {}, el("h2", {}, "Memory explorer"), el("label", {}, "run ", this.runSelect),
        el("label", {}, "beside ", this.besideSelect), this.status, this.stopButton),
      el("div", { class: "controls" }, step(-1, "◀◀", "one frame back (left arrow)"), this.playButton, step(1, "▶▶", "one frame on (right arrow)"),
        this.where, this.speed, toggle("mask", "mask", "objects in colour"), this.truthToggle,
        toggle("heat", "heat", "attention of the clicked pixel over the kept frames"),
        toggle("whole", "whole object", "attention averaged over the object under the pixel (STM Fig. 5)"),
        toggle("own", "own scale", "the brightest place of each slot, however little of the read it has; else one scale for all"),
        el("button", { type: "button", title: "no pixel: read mass of the whole frame again", onclick: () => this.pick(null) }, "clear pixel"),
        this.scaleBar),
      el("div", { class: "main" },
        el("div", { class: "side" }, this.stage.root, this.slots.root),
        this.besideBox = el("div", { class: "side beside", hidden: true }, this.other.root, this.otherSlots.root)),
      this.timeline.root,
      el("div", { role: "tablist", class: "tabs" }, ...this.tabs),
      ...Object.values(this.panels).map((panel) => panel.root));
    this.root.addEventListener("keydown", (event) => this.key(event));
    this.resize = new ResizeObserver(() => { if (this.about) { this.timeline.draw(); this.race.update(); } });
    this.resize.observe(this.timeline.root);
  }

  async start() {
    const about = await this.hello();
    if (!about) return;
    this.about = about;
    this.map = numbers(about.buffers[0], Uint8Array);
    for (const [name, colour] of Object.entries(about.colours)) this.root.style.setProperty(`--${name}`, colour);
    this.truthToggle.hidden = !about.truth;
    this.tabs.find((tab) => tab.dataset.tab === "prediction").hidden = !about.predicts;
    for (const name of ["whatif", "race", "draw"]) {
      this.tabs.find((tab) => tab.dataset.tab === name).hidden = !about.has_weights;
    }
    this.whatif.about();
    this.race.about();
    this.setRuns(about);
    if (!about.can_run && about.has_weights) this.tab("draw");
    else if (!about.has_weights) this.tab(about.predicts ? "prediction" : null);
    await this.fetch.want(true);
    this.show(Math.min(this.frame, about.frames - 1));
    this.root.dataset.ready = "true";
  }

  /** The first question, again every few seconds: a kernel that is still busy may have missed it. */
  async hello() {
    for (let n = 0; n < 40 && !this.closed; n++) {
      const answer = await Promise.race([this.ask("hello"), new Promise((go) => setTimeout(go, 3000, undefined))]);
      if (answer !== undefined) return answer;
    }
    return null;
  }

  /** Ask Python; what is wrong is shown in one line, and the answer is null. */
  async ask(what, content, buffers) {
    try {
      const answer = await this.link.ask(what, content, buffers);
      if (this.status.classList.contains("problem")) this.say("");
      return answer;
    } catch (problem) {
      this.say(problem.message, true);
      return null;
    }
  }

  say(text, problem = false) {
    this.status.textContent = text;
    this.status.classList.toggle("problem", problem);
  }

  hasJ() {
    return this.about.truth;
  }

  setRuns({ runs, busy }) {
    this.runs = runs;
    this.busy = busy;
    const pairs = runs.map((run) => [run.number, run.done < this.about.frames ? `${run.name} (${run.done} frames)` : run.name]);
    setOptions(this.runSelect, pairs, this.run);
    setOptions(this.besideSelect, [["", "none"], ...pairs], this.beside === null ? "" : this.beside);
    this.stopButton.hidden = !busy;
    this.race.update();
  }

  choose(run, beside = this.beside === run ? null : this.beside) {
    this.run = run;
    this.beside = beside;
    this.seen.clear();
    this.setRuns({ runs: this.runs, busy: this.busy });
    this.besideBox.hidden = beside === null;
    this.root.classList.toggle("two", beside !== null);
    this.fetch.want(true).then(() => this.show(this.frame));
    this.show(this.frame);
  }

  async change(what) {
    const answer = await this.ask("change", { run: this.run, frame: this.frame, ...what });
    if (!answer) return;
    this.setRuns(answer);
    this.choose(this.run, answer.made);
  }

  async progress({ run, frame, finished, problem }) {
    if (!this.about) return;
    const name = this.runs[run]?.name ?? "run";
    if (problem) this.say(problem, true);
    else this.say(finished ? `${name}: done` : `${name}: frame ${frame + 1} of ${this.about.frames}`);
    const listed = await this.ask("runs");
    if (listed) this.setRuns(listed);
    await this.fetch.want(true);
    if (run === this.run || run === this.beside) this.show(this.frame);
  }

  /** The timelines of the runs that are shown; a long run that still goes on only now and then. */
  async loadDetails() {
    const wanted = [this.run, this.beside, ...this.race.members].filter((n) => n !== null && n < this.runs.length);
    for (const number of new Set(wanted)) {
      const known = this.details.get(number);
      const { done } = this.runs[number];
      if (known && (known.done >= done || (done < this.about.frames && done - known.done < known.done / 10))) continue;
      const answer = await this.ask("run", { run: number });
      if (answer) this.details.set(number, unpacked(answer));
    }
    this.timeline.draw();
    this.whatif.update();
    this.race.update();
  }

  async loadThumbs(run, frames) {
    const answer = await this.ask("thumbs", { run, frames });
    if (!answer) return;
    const pictures = await Promise.all(answer.buffers.map((bytes) => bitmap(bytes, "image/jpeg")));
    answer.frames.forEach((frame, n) => this.thumbs.set(`${run}:${frame}`, pictures[n]));
  }

  show(frame) {
    if (!this.about) return null;
    this.frame = Math.max(0, Math.min(this.about.frames - 1, frame));
    this.where.textContent = `frame ${this.frame} of ${this.about.frames - 1}`;
    this.timeline.draw();
    return this.wish.want({ frame: this.frame });
  }

  pick(pixel) {
    this.pixel = pixel;
    this.stage.draw();
    this.other.draw();
    this.root.dataset.asked = performance.now();
    return this.wish.want({ frame: this.frame });
  }

  toggle(name, on) {
    this.shows[name] = on;
    if (name === "truth" || name === "whole") this.seen.clear();
    this.wish.want({ frame: this.frame });
  }

  /** Ask for what is visible of a frame, and draw it. */
  async load({ frame }) {
    const runs = this.beside === null ? [this.run] : [this.run, this.beside];
    const known = runs.filter((n) => n < this.runs.length);
    const name = `${frame}:${known.map((n) => [n, this.runs[n].done > frame])}:${this.shows.truth}`;
    const before = this.seen.get(name);
    const answer = await this.ask("view", { frame, runs: known, pictures: !before, truth: this.shows.truth,
      pixel: this.pixel && { ...this.pixel, whole: this.shows.whole } });
    if (!answer) return;
    const { buffers } = answer;
    const base = before || await Promise.all([bitmap(buffers[0], "image/jpeg"), bitmap(buffers[1], "image/png"),
      ...known.map((_, n) => bitmap(buffers[2 + 2 * n], "image/png"))]);
    this.seen.set(name, base);
    answer.parts.forEach((part, n) => { if (part.heat) part.heat.maps = numbers(buffers[3 + 2 * n], Float32Array); });
    const stages = [this.stage, this.other];
    const slots = [this.slots, this.otherSlots];
    const drawn = known.map((number, n) => {
      stages[n].set({ picture: base[0], truth: base[1], mask: base[2 + n], title: this.titles(number, answer.parts[n], frame) });
      return slots[n].set(number, answer.parts[n], this.slotTitle(number, answer.parts[n]));
    });
    if (!known.length) this.stage.set({ picture: base[0], truth: base[1], mask: null, title: [`frame ${frame}`] });
    await Promise.all(drawn);
    this.heatScale(answer.parts[0]?.heat);
    this.whatif.update();
    this.draw.paint();
    this.root.dataset.shown = frame;
    this.root.dataset.redrawn = performance.now();
    this.root.dataset.pixel = this.pixel ? `${this.pixel.x},${this.pixel.y}` : "";
  }

  titles(number, part, frame) {
    const run = this.runs[number];
    const j = part?.step?.j || [];
    const parts = [el("strong", {}, `Frame ${frame}`), ` · ${run.name}`];
    run.objects.forEach((id, n) => {
      if (j[n] == null) return;
      parts.push(el("span", { class: "object" }, el("i", { style: `background:${this.about.objects[(id - 1) % 5]}` }), `J ${j[n].toFixed(2)}`));
    });
    return parts;
  }

  slotTitle(number, part) {
    const step = part?.step;
    const action = !step ? "" : step.action === "evict" && step.evicted != null ? `; frame ${step.evicted} goes next`
      : step.action === "skip" ? "; this frame is not stored" : step.action === "append" ? "; this frame takes a free slot" : "";
    return `Memory as this frame found it${action}`;
  }

  heatScale(heat) {
    this.scaleBar.style.visibility = heat && this.shows.heat ? "visible" : "hidden";
    if (!heat) return;
    const stops = [0, 64, 128, 192, 255].map((n) => `rgb(${this.map.slice(3 * n, 3 * n + 3).join(",")})`);
    const top = Number(this.slots.grid.dataset.top || 0);
    const most = this.shows.own ? " the slot's most" : ` ${percent(top)}`;
    this.scaleBar.replaceChildren("attention of a position: 0 ",
      el("i", { style: `background:linear-gradient(90deg,${stops.join(",")})` }), most + (heat.positions > 1 ? ` (mean of ${heat.positions} positions)` : ""));
  }

  play() {
    const on = this.timer === null;
    clearTimeout(this.timer);
    this.timer = null;
    this.playButton.textContent = on ? "❚❚" : "▶";
    this.playButton.setAttribute("aria-label", on ? "pause" : "play");
    if (!on) return;
    if (this.frame >= this.about.frames - 1) this.frame = -1;
    const next = async () => {
      const began = performance.now();
      await this.show(this.frame + 1);
      if (this.timer === null) return;
      if (this.frame >= this.about.frames - 1) this.play();
      else this.timer = setTimeout(next, Math.max(0, 1000 / Number(this.speed.value) - (performance.now() - began)));
    };
    this.timer = setTimeout(next, 0);
  }

  key(event) {
    if (["INPUT", "SELECT", "TEXTAREA"].includes(event.target.tagName) && event.target.type !== "checkbox") return;
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9 };
    if (event.key in moves) this.show(this.frame + moves[event.key] * (event.shiftKey ? 10 : 1));
    else if (event.key === " " && event.target.tagName !== "BUTTON") this.play();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  tab(name) {
    for (const button of this.tabs) button.setAttribute("aria-selected", button.dataset.tab === name);
    for (const [own, panel] of Object.entries(this.panels)) panel.root.hidden = own !== name;
    if (name === "draw") this.draw.paint();
    if (name === "race") this.race.update();
    if (name === "prediction") this.prediction.open();
  }

  close() {
    this.closed = true;
    clearTimeout(this.timer);
    this.resize.disconnect();
    this.link.close();
  }
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

export default {
  render({ model, el: place }) {
    const app = new App(model);
    place.append(app.root);
    app.start();
    return () => app.close();
  },
};
